"""Variances, standard deviations and norms over dimensions."""

from __future__ import annotations

import math
from typing import Any

from ...autograd import Function
from ...backend import as_dtype
from ...backend.dtypes import wide
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_floating, dimension
from ..elementwise.selection import masked, where
from .sums import Dim, Spread, reduction_axes
from .sums import sum as sum_over


class Var(Function):
    """The sum of (x - mean)^2 over axes, divided by a number."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool, divisor: float) -> Any:
        ctx.save_for_backward(x)
        ctx.axes, ctx.divisor = axes, divisor
        centered = x - x.mean(axes, True)
        return sum_over(centered * centered, axes, keepdim) / divisor

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        spread = Spread.apply(grad * 2 / ctx.divisor, ctx.axes, x.array.shape)
        return spread * (x - x.mean(ctx.axes, True)), None, None, None


class SqrtOrZero(Function):
    """sqrt(x), with gradient 0 at 0: a deviation or length of 0 has no direction to grow in."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.sqrt()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        return masked(grad / (where(y == 0, 1, y) * 2), y.array != 0)


def var(
    input: Any,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Return the variance over dimensions.

    Parameters
    ----------
    input : Tensor
        Floating point.
    dim : int or sequence of int, optional
        Default all dimensions.
    unbiased : bool, optional
        ``True`` is ``correction=1``, ``False`` is ``correction=0``.
    keepdim : bool, default False
        Keep the dimensions with size 1.
    correction : number, default 1
        The sum of squares is divided by the number of elements less this; 1 (Bessel) makes the
        estimate unbiased.

    Returns
    -------
    Tensor
        NaN where there are not more elements than ``correction``.

    Raises
    ------
    DTypeError
        If ``input`` is not floating point.
    ArgumentError
        If both ``unbiased`` and ``correction`` are given.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.var(tc.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    return _var("var", input, dim, unbiased, keepdim, correction)


def std(
    input: Any,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Return the standard deviation, the square root of :func:`var`; its gradient at 0 is 0.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.std(tc.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    return SqrtOrZero.apply(_var("std", input, dim, unbiased, keepdim, correction))


def var_mean(
    input: Any, dim: Dim = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Any, Any]:
    """Return variance and mean; arguments as :func:`var`."""
    return (
        var(input, dim, keepdim=keepdim, correction=correction), input.mean(dim, keepdim)
    )  # fmt: skip


def std_mean(
    input: Any, dim: Dim = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Any, Any]:
    """Return standard deviation and mean; arguments as :func:`var`."""
    return (
        std(input, dim, keepdim=keepdim, correction=correction), input.mean(dim, keepdim)
    )  # fmt: skip


def _var(
    op: str,
    input: Any,
    dim: Dim | bool,
    unbiased: bool | None,
    keepdim: bool,
    correction: float | None,
) -> Any:
    check_floating(op, "input", input)
    if isinstance(dim, bool):  # PyTorch's var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None:
            raise ArgumentError(f"{op}: give unbiased or correction, not both")
        correction = 1 if unbiased else 0
    shape = input.array.shape
    axes = reduction_axes(op, dim, len(shape))
    count = math.prod([shape[axis] for axis in axes])
    divisor = max(count - (1 if correction is None else correction), 0)
    precise = cast(input, wide(input.dtype))
    return cast(Var.apply(precise, axes, keepdim, divisor), input.dtype)


def norm(
    input: Any, p: Any = "fro", dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """Return the p-norm over dimensions, ``sum(|input| ** p) ** (1 / p)``.

    Parameters
    ----------
    input : Tensor
        Floating point.
    p : number or "fro", default "fro"
        ``"fro"`` and ``None`` are 2; ``inf`` is the largest and ``-inf`` the smallest absolute
        value; 0 counts the elements that are not 0.
    dim : int or sequence of int, optional
        Default all dimensions; several are treated as one long vector.
    keepdim : bool, default False
        Keep the dimensions with size 1.
    dtype : DType, optional
        ``input`` is converted to it first.

    Returns
    -------
    Tensor
        0 for no elements. The gradient where the norm is 0 is 0.

    Raises
    ------
    ArgumentError
        If ``p`` is unknown, or there are no elements and ``p`` is infinite or negative.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.norm(tc.tensor([3.0, 4.0])), tc.norm(tc.tensor([3.0, -4.0]), p=1)
    (tensor(5.), tensor(7.))
    """
    check_floating("norm", "input", input)
    x = input if dtype is None else cast(input, as_dtype(dtype))
    power = _power(p)
    axes = reduction_axes("norm", dim, x.array.ndim)
    if power < 0 or power == math.inf:
        _check_not_empty(x.array.shape, axes, p)
    result = x.dtype
    precise = cast(x, wide(result))
    return cast(_norm(precise, power, axes, keepdim), result)


def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """Return ``input`` with each slice along ``dim`` scaled down to a norm of at most ``maxnorm``.

    Parameters
    ----------
    input : Tensor
        Floating point, at least 2 dimensions.
    p : number
        Which norm, greater than 0.
    dim : int
        Dimension of the slices.
    maxnorm : number
        At least 0.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ShapeError
        If the input has fewer than 2 dimensions.
    ArgumentError
        If ``p`` is not greater than 0, or ``maxnorm`` negative.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.renorm(tc.tensor([[3.0, 4.0], [0.6, 0.8]]), 2, 0, 2.5)
    tensor([[1.5000, 2.0000],
            [0.6000, 0.8000]])
    """
    shape = check_floating("renorm", "input", input).array.shape
    if len(shape) < 2:
        raise ShapeError(f"renorm: expected at least 2 dimensions, got shape {tuple(shape)}")
    if not p > 0:
        raise ArgumentError(f"renorm: p={p} must be greater than 0")
    if not maxnorm >= 0:
        raise ArgumentError(f"renorm: maxnorm={maxnorm} must be at least 0")
    axis = dimension("renorm", dim, len(shape))
    precise = cast(input, wide(input.dtype))
    lengths = norm(precise, p, [d for d in range(len(shape)) if d != axis], True)
    factor = where(lengths > maxnorm, maxnorm / (lengths + 1e-7), 1.0)
    return cast(precise * factor, input.dtype)


def _norm(x: Any, p: float, axes: tuple[int, ...], keepdim: bool) -> Any:
    if p == 2:
        return SqrtOrZero.apply(sum_over(x * x, axes, keepdim))
    if p == 1:
        return sum_over(x.abs(), axes, keepdim)
    if p == math.inf:
        return x.abs().amax(axes, keepdim)
    if p == -math.inf:
        return x.abs().amin(axes, keepdim)
    if p == 0:
        return sum_over(x.sign().abs(), axes, keepdim)
    # Zeros are set aside where the power would give them an infinite slope.
    zero = x == 0
    powers = where(zero, 1, x).abs() ** p
    total = sum_over(where(zero, 0.0 if p > 0 else math.inf, powers), axes, keepdim)
    empty = (total == 0) | total.isinf()
    return where(empty, 0.0 if p > 0 else total, where(empty, 1, total) ** (1 / p))


def _power(p: Any) -> float:
    if p is None or p == "fro":
        return 2.0
    if isinstance(p, int | float):
        return float(p)
    raise ArgumentError(f"norm: p={p!r} is not supported; choose a number, inf, -inf or 'fro'")


def _check_not_empty(shape: tuple[int, ...], axes: tuple[int, ...], p: Any) -> None:
    if 0 in [shape[axis] for axis in axes]:
        raise ArgumentError(f"norm: p={p} has no value for an input of shape {tuple(shape)}")
