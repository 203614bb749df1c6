"""New tensors: values, dtypes, devices, memory."""

import numpy as np
import pytest
from suite import host

from tinyconv import config, ops
from tinyconv.errors import ArgumentError, DeviceError, DTypeError, GradientError, ShapeError


def kind(t):
    return t.dtype.name


@pytest.mark.parametrize(
    "data",
    [
        1.5, 3, True, [1, 2], [1.0, 2], [True, False], [[1, 2], [3, 4]], (1, (2.0,))[0:1], [],
        [[]], [[1, 2.5], [3, 4]], [np.float32(1), np.float32(2)], [np.float64(1)], np.float32(3),
        np.arange(3), np.arange(3, dtype=np.int8), np.ones((2, 2)), np.ones(2, np.float16),
        np.array(True), [True, 2, 3.0], range(3), [np.arange(2), np.arange(2)], np.float64(2),
    ],
    ids=repr,
)  # fmt: skip
def test_dtype_and_value_match_torch(data):
    torch = pytest.importorskip("torch")
    if isinstance(data, list) and data and isinstance(data[0], np.ndarray):
        expected = torch.tensor(np.array(data))  # torch warns that a list of arrays is slow
    else:
        expected = torch.tensor(data)
    ours = ops.tensor(data)
    assert kind(ours) == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(host(ours), expected.numpy())


def test_default_dtype_and_devices(backend, device):
    with config.dtype.override("float64"):
        for made in (
            ops.tensor([1.0]), ops.zeros(2), ops.full((1,), 2.0), ops.arange(0.0, 1, 0.5),
            ops.eye(2), ops.linspace(0, 1, 2),
        ):  # fmt: skip
            assert kind(made) == "float64"
    t = ops.tensor([[1, 2], [3, 4]], dtype="float32", requires_grad=True)
    assert str(t.device) == device
    assert t.requires_grad
    assert t.is_leaf
    assert str(ops.ones(2, device="cpu").device) == "cpu"


def test_tensor_copies_and_from_numpy_shares():
    a = np.zeros(3, np.float32)
    copied, shared, also, as_array = (
        ops.tensor(a), ops.from_numpy(a), ops.as_tensor(a), ops.asarray(a)
    )  # fmt: skip
    a[0] = 5
    assert copied[0].item() == 0
    assert shared[0].item() == also[0].item() == as_array[0].item() == 5
    shared[1] = 7.0
    assert a[1] == 7
    assert ops.asarray(a, copy=True)._version is not None
    assert not np.shares_memory(host(ops.asarray(a, copy=True)), a)


def test_tensors_as_data(backend):
    t = ops.tensor([1.0, 2.0], requires_grad=True)
    copy = ops.tensor(t)
    assert copy.is_leaf
    assert not copy.requires_grad
    assert ops.as_tensor(t) is t
    assert kind(ops.as_tensor(t, dtype="int64")) == "int64"
    nested = ops.tensor([t.detach(), t.detach() + 1])
    assert nested.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    assert ops.tensor([t.detach().sum(), 1.0]).tolist() == [3.0, 1.0]


def test_big_endian_and_negative_strides():
    big = np.array([1.0, 2.0], dtype=">f4")
    assert ops.tensor(big).tolist() == ops.from_numpy(big).tolist() == [1.0, 2.0]
    assert ops.from_numpy(np.arange(3)[::-1]).tolist() == [2, 1, 0]


def test_fills(backend):
    assert ops.zeros(2, 3).tolist() == [[0.0] * 3] * 2
    assert ops.ones((2,), dtype="int32").tolist() == [1, 1]
    assert ops.zeros(size=(1, 2)).shape == (1, 2)
    assert ops.zeros(()).shape == ops.zeros([]).shape == ()
    assert ops.empty(0, 3).shape == (0, 3)
    assert kind(ops.full((2,), 3)) == "int64"
    assert kind(ops.full((2,), True)) == "bool"
    assert kind(ops.full((2,), 1.0)) == "float32"
    assert ops.full((), 2.7, dtype="int64").item() == 2
    like = ops.zeros(2, 2, dtype="float64")
    for made, value in [
        (ops.zeros_like(like), 0), (ops.ones_like(like), 1), (ops.full_like(like, 4), 4),
    ]:  # fmt: skip
        assert kind(made) == "float64"
        assert made.tolist() == [[value] * 2] * 2
    assert ops.empty_like(like, dtype="int8").dtype.name == "int8"
    assert kind(like.new_tensor([1])) == kind(like.new_full((1,), 2)) == "float64"
    assert like.new_zeros(2, 1).shape == like.new_ones((2, 1)).shape == (2, 1)
    assert like.new_empty(3).shape == (3,)


@pytest.mark.parametrize(
    "arguments",
    [(5,), (2, 5), (0, 7, 2), (5, 0, -2), (0.0, 1.0, 0.1), (3.5,), (1, 2, 0.3), (5, 2), (0, 0)],
)
def test_arange_matches_torch(arguments, backend):
    torch = pytest.importorskip("torch")
    if len(arguments) == 2 and arguments[0] > arguments[1]:
        assert ops.arange(*arguments).tolist() == []
        return
    expected = torch.arange(*arguments)
    ours = ops.arange(*arguments)
    assert kind(ours) == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(host(ours), expected.numpy(), rtol=1e-6)


def test_sequences(backend):
    assert ops.arange(3, dtype="float32").tolist() == [0.0, 1.0, 2.0]
    assert ops.linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ops.linspace(3, 4, 1).tolist() == [3.0]
    assert ops.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_dlpack_both_ways():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6.0).reshape(2, 3)
    ours = ops.from_dlpack(theirs)
    theirs[0, 0] = 9
    assert ours.tolist() == [[9.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    back = torch.from_dlpack(ours.T)
    assert back.shape == (3, 2)
    back[2, 1] = -1
    assert ours[1, 2].item() == -1
    copy = ops.from_dlpack(theirs, copy=True)
    theirs.zero_()
    assert copy[0, 0].item() == 9
    assert ops.tensor(theirs).tolist() == [[0.0] * 3] * 2
    with pytest.raises(GradientError, match="detach"):
        torch.from_dlpack(ops.ones(2, requires_grad=True))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.tensor([[1], [1, 2]]), ShapeError, "tensor: .* equal lengths"),
        (lambda: ops.tensor("abc"), DTypeError, "tensor: cannot make a tensor of a str"),
        (lambda: ops.tensor(["a"]), DTypeError, "not supported"),
        (lambda: ops.tensor(None), DTypeError, "not supported|NoneType"),
        (lambda: ops.tensor(1j), DTypeError, "complex128.* is not supported"),
        (lambda: ops.tensor([300], dtype="uint8"), ArgumentError, "300"),
        (lambda: ops.tensor([1], requires_grad=True), GradientError, "floating-point"),
        (lambda: ops.tensor(1.0, dtype="float8"), DTypeError, "float8"),
        (lambda: ops.tensor(1.0, device="tpu"), DeviceError, "tpu"),
        (lambda: ops.from_numpy([1]), DTypeError, "from_numpy: expected a NumPy array, got list"),
        (lambda: ops.from_numpy(np.ones(2, np.complex64)), DTypeError, "complex64"),
        (lambda: ops.from_numpy(np.ones(2, np.uint16)), DTypeError, "uint16"),
        (lambda: ops.from_dlpack([1]), DTypeError, "from_dlpack: a list has no __dlpack__"),
        (lambda: ops.zeros(2, -1), ShapeError, "zeros: sizes must not be negative"),
        (lambda: ops.zeros(2.5), DTypeError, "zeros: sizes must be integers"),
        (lambda: ops.zeros(2, fill=1), TypeError, "unexpected keyword argument 'fill'"),
        (lambda: ops.arange(0, 1, 0), ArgumentError, "step must not be 0"),
        (lambda: ops.asarray([1], copy=False), ArgumentError, "has to be copied"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
