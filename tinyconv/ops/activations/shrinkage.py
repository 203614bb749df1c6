"""Shrinkage: activation functions that are 0, or almost, around 0, and so make values sparse.

The first two come from denoising by wavelets; Donoho and Johnstone, "Ideal spatial adaptation by
wavelet shrinkage", Biometrika 81 (1994).
"""

from __future__ import annotations

from math import inf
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...errors import ArgumentError
from .._operands import as_floating, check_floating
from ..elementwise._formulas import binary, unary
from ..elementwise.selection import masked


class Hardshrink(Function):
    """0 where -width <= x <= width, else x."""

    @staticmethod
    def forward(ctx: Any, x: Any, width: float) -> Any:
        ctx.save_for_backward(x)
        ctx.width = width
        return unary(lambda a: x.xp.where(_small(a, width), 0.0, a), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        width, xp = ctx.width, x.xp
        if is_grad_enabled():
            return masked(grad, ~_small(x.array, width)), None
        return binary(lambda g, a: xp.where(_small(a, width), 0.0, g), grad, x), None


class Softshrink(Hardshrink):
    """0 where -width <= x <= width, else x moved towards 0 by width; slopes as without moving."""

    @staticmethod
    def forward(ctx: Any, x: Any, width: float) -> Any:
        ctx.save_for_backward(x)
        ctx.width, xp = width, x.xp
        return unary(lambda a: a - xp.minimum(xp.maximum(a, -width), width), x)


def _small(a: Any, width: float) -> Any:
    """Return where -width <= a <= width, which NaN is not."""
    return (a >= -width) & (a <= width)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """Return 0 where ``input`` is from ``-lambd`` to ``lambd``, and ``input`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    lambd : float, default 0.5
        The threshold; at it the result and its gradient are 0. A negative one changes nothing.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``; NaN stays NaN.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.hardshrink(tc.tensor([-2.0, 0.3, 0.7]))
    tensor([-2.0000,  0.0000,  0.7000])
    """
    return Hardshrink.apply(check_floating("hardshrink", "input", input), float(lambd))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """Return ``input`` moved towards 0 by ``lambd``, and 0 where it would go beyond.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    lambd : float, default 0.5
        How far, not negative.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``; NaN stays NaN.

    Raises
    ------
    ArgumentError
        If ``lambd`` is negative or infinite.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.softshrink(tc.tensor([-2.0, 0.3, 0.75]))
    tensor([-1.5000,  0.0000,  0.2500])
    """
    check_floating("softshrink", "input", input)
    if not 0 <= lambd < inf:
        raise ArgumentError(f"softshrink: lambd must be at least 0 and finite, got {lambd}")
    return Softshrink.apply(input, float(lambd))


def tanhshrink(input: Any) -> Any:
    """Return ``input - tanh(input)``; integers and bools become the default float dtype."""
    x = as_floating("tanhshrink", input)
    return x - x.tanh()
