"""Functions of users that know of autocast."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.amp import custom_bwd, custom_fwd


class Product(tc.autograd.Function):
    seen = ()

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        y = a @ b
        type(ctx).seen += (y.dtype,)
        return y

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        first, second = grad @ b.T, a.T @ grad
        type(ctx).seen += (first.dtype,)
        return first, second


class Precise(Product):
    seen = ()

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=tc.float32)
    def forward(ctx, a, b):
        return Product.forward.__wrapped__(ctx, a, b)


@pytest.mark.parametrize(
    ("function", "enabled", "dtype"),
    [(Product, True, tc.bfloat16), (Product, False, tc.float32), (Precise, True, tc.float32)],
)
def test_forward_and_backward_run_alike(function, enabled, dtype):
    function.seen = ()
    a, b = (tc.randn(3, 3).requires_grad_() for _ in range(2))
    with tc.autocast("cpu", enabled=enabled):
        y = function.apply(a, b)
    y.float().sum().backward()
    assert function.seen == (dtype, dtype)
    assert a.grad.dtype is tc.float32
    exact = tc.ones(3, 3) @ b.detach().T
    np.testing.assert_allclose(a.grad.numpy(), exact.numpy(), rtol=0.05, atol=0.05)


def test_inputs_are_cast_through_containers_where_autocast_is_on():
    @custom_fwd(device_type="cpu", cast_inputs=tc.float32)
    def forward(ctx, *args, **kwargs):
        return args, kwargs, tc.is_autocast_enabled("cpu")

    class Context:
        pass

    half, double = tc.ones(1).bfloat16(), tc.ones(1).double()
    arguments = (half, [half, 3], double, tc.arange(2))
    with tc.autocast("cpu"):
        args, kwargs, inside = forward(Context(), *arguments, named={"x": half})
    assert args[0].dtype is args[1][0].dtype is kwargs["named"]["x"].dtype is tc.float32
    assert (args[1][1], args[2], args[3]) == (3, double, arguments[3])
    assert not inside
    args, _, _ = forward(Context(), *arguments)
    assert args[0] is half
