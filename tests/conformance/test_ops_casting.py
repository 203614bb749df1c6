"""Dtypes, devices, memory, and leaving for Python and NumPy."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, DeviceError, DTypeError, GradientError

CASES = [
    OpCase("clone", ops.clone, [(2, 3)], np.copy, zero_size=True),
    OpCase("contiguous", ops.contiguous, [(2, 3)], np.copy, zero_size=True),
    OpCase("contiguous transposed", lambda x: x.T.contiguous(), [(2, 3)], np.transpose),
    OpCase("to float64", lambda x: x.to("float64").float() if x.dtype.itemsize == 4 else x.double(),
           [(2, 3)], np.copy, bfloat16=False),
    OpCase("type_as", ops.type_as, [(2, 3), (1,)], lambda x, y: x, gradient=False),
]  # fmt: skip


class TestCasting(OpSuite):
    CASES = CASES


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("half", "float16"), ("float", "float32"), ("double", "float64"), ("char", "int8"),
        ("short", "int16"), ("int", "int32"), ("long", "int64"), ("byte", "uint8"),
        ("bool", "bool"),
    ],
)  # fmt: skip
def test_casts_match_torch(name, dtype):
    torch = pytest.importorskip("torch")
    for values in ([0.0, 1.7, 100.2], [0, 1, 200], [True, False, True]):
        ours, theirs = getattr(ops.tensor(values), name)(), getattr(torch.tensor(values), name)()
        assert ours.dtype.name == dtype
        np.testing.assert_array_equal(host(ours), theirs.numpy())
        assert getattr(ours, name)() is ours


def test_gradients_come_back_in_the_dtype_of_the_input(backend):
    x = ops.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * ops.tensor([3.0, 4.0], dtype="float64")).sum().backward()
    assert x.grad.dtype.name == "float32"
    assert x.grad.tolist() == [3.0, 4.0]


def test_to_reads_its_arguments_as_torch_does(backend, device):
    x = ops.ones(2)
    float64 = ops.ones(1, dtype="float64")
    assert x.to("float32" and x.dtype) is x
    assert x.to(device) is x
    for moved in (
        x.to(float64.dtype), x.to(device, float64.dtype), x.to(float64), x.to(dtype=float64.dtype),
        x.to(other=float64), x.to(device, float64.dtype, False, True), x.type(float64.dtype),
        x.to(device=None, dtype=float64.dtype, non_blocking=True),
    ):  # fmt: skip
        assert moved.dtype is float64.dtype
        assert moved.device is x.device
    copy = x.to(x.dtype, copy=True)
    copy.zero_()
    assert x.tolist() == [1.0, 1.0]
    assert x.type() == "tinyconv.float32"


def test_moving_between_devices_is_differentiable():
    x = ops.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    y = x.to("strict")
    assert str(y.device) == "strict"
    (y * y).to("cpu").sum().backward()
    assert str(x.grad.device) == "cpu"
    assert x.grad.tolist() == [2.0, 4.0]
    assert y.cpu().device is x.device
    host(y.detach().cpu())[0] = 9.0
    assert y[0].item() == 1.0


def test_two_devices_in_one_op_raise():
    with pytest.raises(DeviceError, match="strict"):
        ops.ones(2, 2) @ ops.ones(2, 2, device="strict")
    with pytest.raises(DeviceError, match="cuda"):
        ops.ones(2).cuda()


def test_missing_dtype_on_a_device():
    with pytest.raises(DTypeError, match="device 'strict' has no float16"):
        ops.ones(2, device="strict").half()


def test_contiguity_and_strides():
    x = ops.zeros(2, 3, 4)
    assert x.stride() == (12, 4, 1)
    assert x.stride(-1) == 1
    assert x.is_contiguous()
    turned = x.permute(2, 0, 1)
    assert turned.stride() == (1, 12, 4)
    assert not turned.is_contiguous()
    assert turned.contiguous().stride() == (6, 3, 1)
    assert x.contiguous() is x
    assert x[:, :1].is_contiguous() == (x[:, :1].stride() == (4, 4, 1))
    assert ops.zeros(1, 3)[:, ::2].stride() == (3, 2)
    assert ops.zeros(0, 3).T.is_contiguous()
    assert ops.zeros(3, 1).T.is_contiguous()


def test_clone_keeps_the_layout():
    x = ops.zeros(2, 3, 4).permute(2, 0, 1)
    assert x.clone().stride() == x.stride()


def test_item_tolist_numpy(backend):
    assert ops.tensor([[2.5]]).item() == 2.5
    assert type(ops.tensor(3).item()) is int
    assert type(ops.tensor(True).item()) is bool
    assert ops.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert ops.tensor(1.5).tolist() == 1.5
    with pytest.raises(ArgumentError, match=r"2 elements \(shape \(2,\)\)"):
        ops.ones(2).item()
    x = ops.ones(2, device="cpu")
    array = x.numpy()
    assert isinstance(array, np.ndarray)
    x[0] = 5.0
    assert array[0] == 5.0


def test_numpy_of_a_tensor_that_requires_grad():
    x = ops.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match=r"use \.detach\(\)\.numpy\(\)"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1.0, 1.0]
    assert x.detach().numpy().tolist() == [1.0, 1.0]


def test_half_precision_arithmetic():
    x = tensor(np.array([1.0, 2.0], np.float16), requires_grad=True)
    y = (x * 2 + 1).sum()
    assert y.dtype.name == "float16"
    y.backward()
    assert x.grad.dtype.name == "float16"
    assert x.grad.tolist() == [2.0, 2.0]
