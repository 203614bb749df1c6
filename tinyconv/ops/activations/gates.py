"""Gates: functions that rise from 0 to 1, and activation functions that multiply by one."""

from __future__ import annotations

from typing import Any

from ...autograd import Function, TensorBase, is_grad_enabled
from ...errors import ShapeError
from .._operands import check_floating, constant, dimension, keep, kept, operands
from ..elementwise._formulas import binary, unary
from ..elementwise.selection import Where, masked
from ..shapes.joining import Split
from .piecewise import finish


class Hardsigmoid(Function):
    """min(max(x + 3, 0), 6) / 6; the slope is 1/6 for -3 < x < 3, ends left out, else 0."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return unary(lambda a: _hard_gate(x.xp, a) / 6, x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        if is_grad_enabled():
            return masked(grad / 6, _between(x.array))
        return binary(lambda g, a: x.xp.where(_between(a), g / 6, 0.0), grad, x)


class Hardswish(Function):
    """x * hardsigmoid(x); the slope is x/3 + 1/2 for -3 < x < 3, and 0 or 1 from there on."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return unary(lambda a: a * _hard_gate(x.xp, a) / 6, x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        xp = x.xp
        if is_grad_enabled():
            outside = x.wrap(_beyond(x.array))
            return grad * Where.apply(outside, constant(x, x.array >= 3), x / 3 + 0.5)

        def product(g: Any, a: Any) -> Any:
            inside = xp.where(_beyond(a), 0.0, g * (a / 3 + 0.5))
            return xp.where(a >= 3, g, inside)

        return binary(product, grad, x)


class Swish(Function):
    """x * sigmoid(beta * x)."""

    @staticmethod
    def forward(ctx: Any, x: Any, beta: Any) -> Any:
        keep(ctx, x, beta)
        return x * (x * beta).sigmoid()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, beta = kept(ctx)
        gate = (x * beta).sigmoid()
        rise = x * (gate * (1 - gate))
        by_x = grad * (gate + rise * beta) if ctx.needs_input_grad[0] else None
        return by_x, grad * (x * rise) if ctx.needs_input_grad[1] else None


def _hard_gate(xp: Any, a: Any) -> Any:
    return xp.minimum(xp.maximum(a + 3, 0.0), 6.0)


def _between(a: Any) -> Any:
    return (a > -3) & (a < 3)


def _beyond(a: Any) -> Any:
    """Return where a hard gate is shut or wide open, which for NaN it is not."""
    return (a <= -3) | (a >= 3)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """Return ``min(max(input + 3, 0), 6) / 6``, a sigmoid of three straight pieces.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    inplace : bool, default False
        Write the result into the memory of ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.hardsigmoid(tc.tensor([-4.0, 0.0, 1.5]))
    tensor([0.0000, 0.5000, 0.7500])
    """
    return finish("hardsigmoid", check_floating("hardsigmoid", "input", input), inplace,
                  Hardsigmoid)  # fmt: skip


def hardswish(input: Any, inplace: bool = False) -> Any:
    """Return ``input * hardsigmoid(input)``, a cheap stand-in for :func:`silu`.

    Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape; -inf gives NaN, as 0 times infinity does.
    inplace : bool, default False
        Write the result into the memory of ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.hardswish(tc.tensor([-1.5, 0.0, 4.0]))
    tensor([-0.3750,  0.0000,  4.0000])
    """
    return finish("hardswish", check_floating("hardswish", "input", input), inplace, Hardswish)


def swish(input: Any, beta: Any = 1.0) -> Any:
    """Return ``input * sigmoid(beta * input)``, between ``input / 2`` and ReLU.

    Ramachandran, Zoph and Le, "Searching for activation functions", 2017, arXiv:1710.05941.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    beta : float or Tensor, default 1.0
        How steep the gate is: 0 halves the input, infinity would be ReLU, 1 is :func:`silu`. A
        tensor broadcasts with ``input`` and receives a gradient.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.swish(tc.tensor([-1.0, 1.0]), beta=2.0)
    tensor([-0.1192,  0.8808])
    """
    check_floating("swish", "input", input)
    if isinstance(beta, TensorBase):
        check_floating("swish", "beta", beta)
    return Swish.apply(*operands("swish", input, beta))


def glu(input: Any, dim: int = -1) -> Any:
    """Return the first half of ``input`` along ``dim`` times the sigmoid of the second half.

    The gated linear unit; Dauphin et al., "Language modeling with gated convolutional networks",
    2017, arXiv:1612.08083.

    Parameters
    ----------
    input : Tensor
        Floating point, at least one dimension.
    dim : int, default -1
        Dimension to halve; its size is even.

    Returns
    -------
    Tensor
        Shape of ``input``, with half the size along ``dim``.

    Raises
    ------
    ShapeError
        If ``input`` has no dimension, or an odd size along ``dim``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.glu(tc.tensor([2.0, 4.0, 0.0, 0.0]))
    tensor([1., 2.])
    """
    shape = check_floating("glu", "input", input).array.shape
    if not shape:
        raise ShapeError("glu: a tensor of 0 dimensions has no halves")
    dim = dimension("glu", dim, len(shape))
    half, odd = divmod(shape[dim], 2)
    if odd:
        raise ShapeError(
            f"glu: the size along dim={dim} must be even, got {shape[dim]} of input shape "
            f"{tuple(shape)}"
        )
    value, gate = Split.apply(input, (half, half), dim)
    return value * gate.sigmoid()
