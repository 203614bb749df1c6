"""The user's tensor as a Python object: operators, protocols, attributes, in-place ops."""

import copy
import pickle

import numpy as np
import pytest

from tinyconv import autograd, ops
from tinyconv.errors import ArgumentError, DTypeError, GradientError, InPlaceError, ShapeError
from tinyconv.tensor import Size, Tensor


def test_attributes():
    x = ops.zeros(2, 3, dtype="float64")
    assert x.shape == x.size() == (2, 3)
    assert isinstance(x.shape, Size)
    assert repr(x.shape) == "tinyconv.Size([2, 3])"
    assert x.shape.numel() == x.numel() == x.nelement() == 6
    assert x.size(-1) == 3
    assert x.ndim == x.dim() == 2
    assert (x.itemsize, x.element_size(), x.nbytes) == (8, 8, 48)
    assert x.is_floating_point()
    assert not x.is_cuda
    assert not hasattr(x, "__dict__")
    with pytest.raises(IndexError, match="dim=2"):
        x.size(2)


def test_operators_with_numbers_on_either_side(backend):
    x = ops.tensor([1.0, 4.0])
    assert (1 - x).tolist() == [0.0, -3.0]
    assert (2 / x).tolist() == [2.0, 0.5]
    assert (2**x).tolist() == [2.0, 16.0]
    assert (9 // x).tolist() == [9.0, 2.0]
    assert (9 % x).tolist() == [0.0, 1.0]
    assert (-x).tolist() == [-1.0, -4.0]
    assert abs(-x).tolist() == [1.0, 4.0]
    assert (x > 2).tolist() == [False, True]
    assert (~(x > 2)).tolist() == [True, False]
    assert ((x > 2) | (x < 2)).tolist() == [True, True]
    assert (1 + x).dtype.name == (np.float64(1) * x).dtype.name == "float32"


def test_numpy_scalars_and_arrays_defer_to_the_tensor():
    x = ops.tensor([1.0, 2.0])
    product = np.float64(3) * x
    assert isinstance(product, Tensor)
    assert product.tolist() == [3.0, 6.0]
    with pytest.raises(DTypeError, match="ndarray"):
        np.ones(2) * x


def test_equality_answers_for_any_object():
    x = ops.tensor([1.0, 2.0])
    assert (x == 1).tolist() == [True, False]
    assert (x != ops.tensor([1.0, 0.0])).tolist() == [False, True]
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True


def test_hash_is_identity():
    x, y = ops.ones(2), ops.ones(2)
    assert hash(x) != hash(y)
    assert len({x, y, x}) == 2


def test_truth_and_numbers():
    assert bool(ops.tensor([2.0]))
    assert not ops.tensor(0)
    assert float(ops.tensor([1.5])) == 1.5
    assert int(ops.tensor(2.9)) == 2
    assert [10, 20, 30][ops.tensor(1)] == 20
    assert list(range(5))[ops.tensor(1) : ops.tensor([3])] == [1, 2]
    for call in (bool, float, int):
        with pytest.raises(ArgumentError):
            call(ops.ones(2))
    with pytest.raises(ArgumentError, match=r"use \.any\(\) or \.all\(\)"):
        bool(ops.ones(0))
    for bad in (ops.tensor(1.0), ops.tensor([1, 2])):
        with pytest.raises(DTypeError, match="can be an index"):
            [1, 2, 3][bad]


def test_len_iter_contains(backend):
    x = ops.arange(6).reshape(3, 2)
    assert len(x) == 3
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    *_, last = x
    assert last.tolist() == [4, 5]
    assert 5 in x
    assert 7 not in x
    for call in (len, iter):
        with pytest.raises(TypeError, match="0 dimensions"):
            call(ops.tensor(1.0))


def test_iteration_is_differentiable():
    x = ops.ones(3, 2, requires_grad=True)
    first, _, last = x
    (first.sum() + 2 * last.sum()).backward()
    assert x.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]


def test_array_protocol():
    x = ops.tensor([1.0, 2.0])
    shared = np.asarray(x)
    x[0] = 5.0
    assert shared.tolist() == [5.0, 2.0]
    assert not np.shares_memory(np.array(x), shared)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(x, dtype=np.float64, copy=False)
    assert np.concatenate([x, x]).tolist() == [5.0, 2.0, 5.0, 2.0]
    with pytest.raises(GradientError, match="detach"):
        np.asarray(ops.ones(2, requires_grad=True))


def test_dlpack():
    x = ops.arange(3)
    array = np.from_dlpack(x)
    x[0] = 9
    assert array.tolist() == [9, 1, 2]
    assert x.__dlpack_device__()[0] == 1


def test_data():
    x = ops.ones(2, requires_grad=True)
    x.data.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    x.data -= 1
    assert x.tolist() == [2.0, 2.0]
    x.data = ops.zeros(3)
    assert x.tolist() == [0.0] * 3
    assert x.requires_grad
    assert x.is_leaf
    with pytest.raises(DTypeError, match="data: argument 'value'"):
        x.data = 3


def test_deepcopy():
    x = ops.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    y, z = copy.deepcopy([x, x])
    assert y is z
    assert y.requires_grad
    assert y.grad.tolist() == [2.0, 2.0]
    y.data.zero_()
    y.grad.zero_()
    assert x.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [2.0, 2.0]
    with pytest.raises(GradientError, match=r"deepcopy: only a leaf"):
        copy.deepcopy(x * 2)


def test_deepcopy_of_a_subclass_with_attributes():
    class Named(Tensor):
        pass

    x = Named(ops.ones(2).array, ops.ones(2).device)
    x.me, x.names = x, ["a"]
    y = copy.deepcopy(x)
    assert type(y) is Named
    assert y.me is y
    assert y.names == ["a"]
    assert y.names is not x.names


def test_pickle_for_worker_processes():
    x = ops.tensor([[1.0, 2.0]], requires_grad=True)
    y = pickle.loads(pickle.dumps(x))
    assert type(y) is Tensor
    assert y.tolist() == x.tolist()
    assert y.requires_grad
    y.data[0, 0] = 5.0
    assert x.tolist() == [[1.0, 2.0]]


def test_in_place_operators(backend):
    x = ops.tensor([1.0, 2.0])
    same = x
    x += 1
    x *= ops.tensor([2.0, 3.0])
    x -= 1
    x /= 2
    x **= 2
    assert same is x
    assert x.tolist() == [2.25, 16.0]
    mask = ops.tensor([True, False])
    mask &= ops.tensor([True, True])
    mask ^= ops.tensor([True, True])
    assert mask.tolist() == [False, True]


def test_in_place_methods_keep_identity_and_graph(backend):
    x = ops.tensor([1.0, 4.0], requires_grad=True)
    y = x * 1
    assert y.sqrt_().add_(1).clamp_(max=2.5) is y
    y.sum().backward()
    assert x.grad.tolist() == [0.5, 0.0]


def test_fill_zero_copy(backend):
    x = ops.ones(2, 2)
    x.fill_(3)
    assert x.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    x.copy_(ops.tensor([5, 6]))
    assert x.tolist() == [[5.0, 6.0], [5.0, 6.0]]
    x[0].zero_()
    assert x.tolist() == [[0.0, 0.0], [5.0, 6.0]]
    source = ops.ones(2, requires_grad=True)
    y = ops.zeros(2, 2)
    y.copy_(source)
    y.sum().backward()
    assert source.grad.tolist() == [2.0, 2.0]
    x.copy_(ops.full((2, 2), 7.0, device="cpu"))
    assert x[0, 0].item() == 7.0
    with pytest.raises(ShapeError, match="copy_"):
        x.copy_(ops.ones(3))
    with pytest.raises(DTypeError, match="copy_: argument 'src'"):
        x.copy_([1.0])


def test_format():
    assert f"{ops.tensor(1.23456):.2f}" == "1.23"
    assert f"{ops.tensor([1, 2])}" == "tensor([1, 2])"


def test_every_method_is_documented():
    missing = [
        name for name in dir(Tensor)
        if not name.startswith("_") and name not in Tensor.__slots__
        and callable(getattr(Tensor, name)) and not getattr(Tensor, name).__doc__
    ]  # fmt: skip
    assert missing == []


def test_ops_are_functions_and_not_modules_of_the_same_name():
    for name in ("gather", "norm", "softmax", "einsum"):
        assert callable(getattr(ops, name)), name


def test_memory_that_cannot_be_written_is_named():
    array = np.ones(3)
    array.flags.writeable = False
    for x in (ops.ones(1, 3).expand(2, 3), ops.from_numpy(array)):
        for write in (lambda t: t.add_(1), lambda t: t.__setitem__(0, 1.0)):
            with pytest.raises(InPlaceError, match=r"cannot be written.*clone\(\)"):
                write(x)
        assert x.sum().item() in (3, 6)


IN_PLACE = {
    **dict.fromkeys(
        [
            "neg",
            "abs",
            "exp",
            "log",
            "sqrt",
            "rsqrt",
            "square",
            "sign",
            "reciprocal",
            "floor",
            "ceil",
            "round",
            "trunc",
            "relu",
            "sigmoid",
            "tanh",
        ],
        (),
    ),
    **dict.fromkeys(["add", "sub", "mul", "div", "floor_divide", "remainder", "pow"], (1.5,)),
    "clamp": (0.6, 1.2),
    "clip": (0.6, 1.2),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_twin_does_what_the_op_does(name, backend):
    leaf = ops.tensor([0.4, 0.9, 1.7], requires_grad=True)
    results = []
    for method in (name, f"{name}_"):
        x = leaf * 1
        y = getattr(x, method)(*IN_PLACE[name])
        assert (y is x) == method.endswith("_")
        (grad,) = autograd.grad((y * y).sum(), leaf)
        results.append((y.tolist(), grad.tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_in_place_twin_of_integers(name, backend):
    x = ops.tensor([12, 10, 7])
    expected = getattr(x, name)(6).tolist()
    assert getattr(x, f"{name}_")(6) is x
    assert x.tolist() == expected
