"""``x[index]`` and ``x[index] = value`` by PyTorch's rules."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.autograd import gradcheck, no_grad
from tinyconv.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexRangeError,
    InPlaceError,
    ShapeError,
)

A = (3, 4, 5)
ROWS = np.array([2, 0, 2])
J = np.array([[1, 3, 0], [0, 1, -1]])
MASK = np.array([True, False, True])
MASK2 = np.arange(12).reshape(3, 4) % 3 == 0

# Keys that PyTorch and NumPy read alike: the oracle is NumPy.
KEYS = {
    "int": 1,
    "negative int": -1,
    "ints": (1, -2, 3),
    "slice": slice(1, 3),
    "slices": (slice(None, -1), slice(None), slice(1, None, 2)),
    "slice beyond the end": slice(2, 100),
    "empty slice": slice(3, 1),
    "none": (None, slice(None), None, 1),
    "ellipsis": (Ellipsis, 1),
    "ellipsis in the middle": (0, Ellipsis, slice(2)),
    "ellipsis only": Ellipsis,
    "empty tuple": (),
    "numpy int": np.int64(2),
    "list": [2, 0],
    "array": ROWS,
    "array 2-d": J - 1,
    "array in the middle": (slice(None), J),
    "two arrays": (ROWS, J),
    "two arrays after a slice": (slice(1, None), ROWS, J),
    "two arrays apart": (ROWS, slice(None), J),
    "arrays and none": (None, ROWS, J),
    "three arrays": (ROWS, J, 1 + ROWS),
    "broadcast arrays": (ROWS[:, None], ROWS),
    "mask": MASK,
    "mask 2-d": MASK2,
    "mask and array": (MASK, np.array([1, 3])),
    "mask and slice": (slice(None), np.array([True, False, True, True]), slice(2)),
    "list of bools": [True, False, False],
    "ellipsis and array": (Ellipsis, ROWS),
    "empty list": [],
    "true": True,
    "false": False,
    "0-d tensor like int": np.array(1),
}


class TestGetitem(OpSuite):
    CASES = [
        OpCase(name, lambda x, key=key: x[key], [A], lambda x, key=key: x[key])
        for name, key in KEYS.items()
    ]


@pytest.mark.parametrize("name", KEYS)
def test_setitem(name, backend):
    key = KEYS[name]
    rng = np.random.default_rng(0)
    expected = rng.normal(size=A)
    x = tensor(expected)
    value = rng.normal(size=expected[key].shape)
    if isinstance(key, np.ndarray | tuple | list):
        value = np.asarray(expected[key] * 0 + 7.5)  # with repeats, every winner is the same
    expected[key] = value
    x[key] = tensor(value)
    np.testing.assert_array_equal(host(x), expected)
    x[key] = 3
    expected[key] = 3
    np.testing.assert_array_equal(host(x), expected)


@pytest.mark.parametrize("name", [n for n in KEYS if n != "false"])
def test_setitem_gradient(name, backend):
    key = KEYS[name]
    rng = np.random.default_rng(1)
    x, value = rng.normal(size=A), rng.normal(size=A)[key]

    def put(x, value):
        y = x * 1.0
        y[key] = value * 2.0
        return y

    assert gradcheck(put, [tensor(x, True), tensor(value, True)])


def test_keys_where_torch_differs_from_numpy():
    torch = pytest.importorskip("torch")
    x = np.arange(60.0).reshape(A)
    ours, theirs = tensor(x), torch.tensor(x)
    for key in (
        (0, slice(None), [0, 1]),
        ([0, 1], slice(None), 0),
        (slice(None), 0, [1, 2]),
        (0, [0, 1], slice(None), None),
        ([0, 1], None, [1, 2]),
        ([0, 1], 1, [1, 2]),
        ([[0, 1]], Ellipsis, [[1], [2]]),
        (True, [0, 1]),
        (None, Ellipsis, [1], None),
    ):
        np.testing.assert_array_equal(host(ours[key]), theirs[key].numpy(), err_msg=str(key))


def test_random_keys_match_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 2, 4, 3))
    choices = [
        lambda n: int(rng.integers(-n, n)),
        lambda n: slice(*sorted(rng.integers(0, n + 1, 2).tolist()), int(rng.integers(1, 3))),
        lambda n: rng.integers(-n, n, 2),
        lambda n: rng.integers(-n, n, (3, 2)),
        lambda n: slice(None),
    ]
    for _ in range(150):
        used = int(rng.integers(1, 5))
        key = [choices[rng.integers(5)](n) for n in x.shape[:used]]
        if rng.random() < 0.3:
            key.insert(int(rng.integers(0, used + 1)), None)
        ours, theirs = tensor(x, True), torch.tensor(x, requires_grad=True)
        key_t = [torch.tensor(k) if isinstance(k, np.ndarray) else k for k in key]
        key_o = [tensor(k) if isinstance(k, np.ndarray) else k for k in key]
        a, b = ours[tuple(key_o)], theirs[tuple(key_t)]
        np.testing.assert_array_equal(host(a), b.detach().numpy(), err_msg=str(key))
        (a * a).sum().backward()
        (b * b).sum().backward()
        np.testing.assert_allclose(host(ours.grad), theirs.grad.numpy(), err_msg=str(key))


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (3, IndexRangeError, "index 3 is out of range for dimension 0 of size 3"),
        ((0, -5), IndexRangeError, "index -5 is out of range for dimension 1 of size 4"),
        (([0, 7],), IndexRangeError, "index 7 is out of range for dimension 0 of size 3"),
        ((slice(None), [-9]), IndexRangeError, "index -9 .* dimension 1 of size 4"),
        ((0, 0, 0, 0), IndexRangeError, "4 indices are too many .* 3 dimensions"),
        ((Ellipsis, Ellipsis), IndexRangeError, "only once"),
        (slice(None, None, -1), ArgumentError, "step of a slice must be positive, got -1"),
        (slice(None, None, 0), ArgumentError, "step"),
        (slice(0.5, 1), DTypeError, "bounds of a slice"),
        (1.5, DTypeError, "signed integer"),
        ([0.5], DTypeError, "signed integer dtype, got .*float32"),
        ("a", DTypeError, "str"),
        ([True, False], IndexRangeError, r"mask of shape \(2,\) does not fit"),
        (np.zeros((3, 5), bool), IndexRangeError, r"mask of shape \(3, 5\)"),
        (([0, 1], [0, 1, 2]), ShapeError, "do not broadcast"),
    ],
)
def test_bad_keys(key, error, match):
    x = ops.zeros(*A)
    with pytest.raises(error, match=match):
        x[key]
    with pytest.raises(error, match=match):
        x[key] = 1.0


def test_setitem_broadcasts_casts_and_checks(backend):
    x = ops.zeros(2, 3)
    x[:, 1:] = ops.tensor([[[1.0, 2.0]]])  # leading dimensions of size 1 go
    x[0] = [7, 8, 9]
    assert x.tolist() == [[7.0, 8.0, 9.0], [0.0, 1.0, 2.0]]
    n = ops.arange(3)
    n[0] = 1.9
    n[[1]] = ops.tensor([2.9])
    assert n.tolist() == [1, 2, 2]
    for key in (0, [0, 1]):
        with pytest.raises(ShapeError, match=r"value of shape \(2,\) does not broadcast"):
            x[key] = ops.ones(2)


def test_setitem_with_indices_apart_in_four_dimensions(backend):
    expected = np.arange(120.0).reshape(2, 3, 4, 5)
    x, value = tensor(expected), np.random.default_rng(0).normal(size=(2, 2, 4))
    expected[:, [0, 2], :, [4, 1]] = value
    x[:, [0, 2], :, [4, 1]] = tensor(value)
    np.testing.assert_array_equal(host(x), expected)


def test_the_last_of_repeated_indices_wins(backend):
    x = ops.zeros(3)
    x[[1, 1, 2, 1]] = ops.tensor([1.0, 2.0, 3.0, 4.0])
    assert x.tolist() == [0.0, 4.0, 3.0]
    many = np.random.default_rng(0).integers(0, 3, 300)
    x[many] = tensor(np.arange(300.0).astype("f4"))
    assert x.tolist() == [max(np.flatnonzero(many == i)) for i in range(3)]


def test_assignment_by_condition(backend):
    x = ops.tensor([-1.0, 2.0, -3.0])
    x[x < 0] = 0
    assert x.tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize("key", [0, [0], slice(None)])
def test_setitem_on_a_leaf(key):
    leaf = ops.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="setitem: a leaf that requires gradients"):
        leaf[key] = 5.0
    assert leaf.tolist() == [1.0, 1.0, 1.0]
    with no_grad():
        leaf[key] = 5.0
    assert leaf.tolist()[0] == 5.0
    assert leaf.is_leaf


@pytest.mark.parametrize("key", [0, [0]])
def test_setitem_counts_as_a_modification(key):
    x = ops.ones(3, requires_grad=True)
    y = x * 1
    z = y * y
    y[key] = 2.0
    with pytest.raises(InPlaceError):
        z.sum().backward()


def test_value_that_requires_grad_enters_a_plain_tensor(backend):
    v = ops.tensor([2.0, 3.0], requires_grad=True)
    x = ops.zeros(2, 2)
    x[1] = v
    x[0, [1]] = v[:1] * 4
    assert x.requires_grad
    assert not x.is_leaf
    x.sum().backward()
    assert v.grad.tolist() == [5.0, 1.0]
    assert v.is_leaf


def test_a_view_sees_what_is_written_into_its_base():
    x = ops.ones(2, 2, requires_grad=True)
    base = x * 1
    row = base[0]
    base[0, 0] = 9.0
    assert row.tolist() == [9.0, 1.0]
    (row * row).sum().backward()
    assert x.grad.tolist() == [[0.0, 2.0], [0.0, 0.0]]
