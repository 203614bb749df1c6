"""Functions that calculus books have names for: gamma, Bessel, inverse error, logit, sinc."""

from __future__ import annotations

import operator
from functools import partial
from math import e, factorial, pi, sqrt
from typing import Any

from ...autograd import Function
from ...backend.reference import bessel, gamma
from ...errors import ArgumentError
from .._operands import as_floating
from ._formulas import unary as elementwise
from ._unary_function import unary_function
from .selection import where

erfinv = unary_function(
    "erfinv", "the inverse of :func:`erf`: infinite at -1 and 1, NaN beyond.",
    kernel="erfinv", y=lambda g, y: g * (e ** (y * y) * (sqrt(pi) / 2)),
)  # fmt: skip


class Polygamma(Function):
    """Derivative n of the digamma function; for n = 0 that itself, for n = -1 log |gamma|."""

    @staticmethod
    def forward(ctx: Any, x: Any, n: int) -> Any:
        ctx.save_for_backward(x)
        ctx.n = n
        if n < 1:
            return elementwise(partial(gamma.digamma if n == 0 else gamma.lgamma, x.xp), x)
        return elementwise(lambda array: gamma.polygamma(x.xp, array, n), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * Polygamma.apply(x, ctx.n + 1), None


class BesselI(Function):
    """The modified Bessel function of the first kind; I_n' = (I_(n-1) + I_(n+1)) / 2."""

    @staticmethod
    def forward(ctx: Any, x: Any, order: int) -> Any:
        ctx.save_for_backward(x)
        ctx.order = order
        return elementwise(lambda array: bessel.bessel_i(x.xp, array, order), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,), n = ctx.saved_tensors, ctx.order
        slope = BesselI.apply(x, 1)
        if n:
            slope = (BesselI.apply(x, n - 1) + BesselI.apply(x, n + 1)) / 2
        return grad * slope, None


class Sinc(Function):
    """sin(pi x) / (pi x), and 1 at 0."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return elementwise(partial(_sinc, x.xp), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        near = x.abs() < 0.1  # here the formula would lose digits, and at 0 all derivatives
        safe = where(near, 1, x)
        far = ((safe * pi).cos() - Sinc.apply(safe)) / safe
        angle = where(near, x, 0) * pi
        square, series = angle * angle, 0.0
        for k in range(7, 0, -1):
            series = series * square + (-1) ** k * 2 * k / factorial(2 * k + 1)
        return grad * where(near, series * angle * pi, far)


def _sinc(xp: Any, x: Any) -> Any:
    angle = xp.where(x == 0, xp.ones_like(x), x) * pi
    return xp.where(x == 0, xp.ones_like(x), xp.sin(angle) / angle)


class Logit(Function):
    """log(x / (1 - x)) of x moved into [eps, 1 - eps], where the gradient is not 0."""

    @staticmethod
    def forward(ctx: Any, x: Any, eps: float | None) -> Any:
        ctx.save_for_backward(x)
        ctx.eps = eps
        return elementwise(partial(_logit, x.xp, eps), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        low, high = (0.0, 1.0) if ctx.eps is None else (ctx.eps, 1 - ctx.eps)
        outside = x.wrap((x.array < low) | (x.array > high))
        safe = where(outside, 0.5, x)
        undefined = float("nan") if ctx.eps is None else 0.0
        return where(outside, undefined, grad / (safe * (1 - safe))), None


def _logit(xp: Any, eps: float | None, x: Any) -> Any:
    if eps is not None:
        x = xp.where(x < eps, eps, xp.where(x > 1 - eps, 1 - eps, x))
    return xp.log(x / (1 - x))


def lgamma(input: Any) -> Any:
    """Return the natural logarithm of the absolute value of the gamma function.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.

    Returns
    -------
    Tensor
        Shape of ``input``; inf at 0, -1, -2 ....

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.lgamma(tc.tensor([1.0, 4.0]))  # log(3!)
    tensor([0.0000, 1.7918])
    """
    return Polygamma.apply(as_floating("lgamma", input), -1)


def digamma(input: Any) -> Any:
    """Return the derivative of :func:`lgamma`.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.

    Returns
    -------
    Tensor
        Shape of ``input``; -inf at 0 and NaN at -1, -2 ....

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.digamma(tc.tensor([1.0]))
    tensor([-0.5772])
    """
    return Polygamma.apply(as_floating("digamma", input), 0)


def polygamma(n: int, input: Any) -> Any:
    """Return derivative ``n`` of :func:`digamma`.

    Parameters
    ----------
    n : int
        Order, at least 0.
    input : Tensor
        Any shape. Integers and bools become the default float dtype.

    Returns
    -------
    Tensor
        Shape of ``input``; for ``n > 0`` infinite at 0, -1, -2 ....

    Raises
    ------
    ArgumentError
        If ``n`` is negative.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.polygamma(1, tc.tensor([1.0]))  # pi^2 / 6
    tensor([1.6449])
    """
    order = operator.index(n)
    if order < 0:
        raise ArgumentError(f"polygamma: n={n} must be at least 0")
    return Polygamma.apply(as_floating("polygamma", input), order)


def i0(input: Any) -> Any:
    """Return the modified Bessel function of the first kind and order 0.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.i0(tc.tensor([0.0, 1.0]))
    tensor([1.0000, 1.2661])
    """
    return BesselI.apply(as_floating("i0", input), 0)


def sinc(input: Any) -> Any:
    """Return ``sin(pi * input) / (pi * input)``, and 1 at 0.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.sinc(tc.tensor([0.0, 0.5]))
    tensor([1.0000, 0.6366])
    """
    return Sinc.apply(as_floating("sinc", input))


def logit(input: Any, eps: float | None = None) -> Any:
    """Return ``log(input / (1 - input))``, the inverse of :func:`sigmoid`.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.
    eps : float, optional
        ``input`` is first moved into ``[eps, 1 - eps]``; outside, the gradient is 0.

    Returns
    -------
    Tensor
        Shape of ``input``; without ``eps``, infinite at 0 and 1 and NaN outside of them.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.logit(tc.tensor([0.5, 0.9]))
    tensor([0.0000, 2.1972])
    """
    return Logit.apply(as_floating("logit", input), eps)
