"""Sums, means, products and counts over dimensions.

``dim`` is one dimension, several, or ``None`` for all; ``keepdim`` keeps them with size 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...backend import as_dtype
from ...backend.dtypes import Half, int64, wide
from ...backend.quiet import quiet
from ...backend.reference.half import is_half
from ...errors import DTypeError, ShapeError
from .._operands import (
    cast,
    check_floating,
    check_tensor,
    constant,
    dimension,
    dimensions,
    is_bool,
)
from ..elementwise.selection import masked

Dim = int | Sequence[int] | None
#: Elements from which a sum is worth a kernel of the backend.
LARGE = 1 << 13


class Sum(Function):
    """The sum over axes, in a shape given: with or without the axes."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        ctx.axes, ctx.shape = axes, x.array.shape
        result = total(x, x.array, axes)
        return x.wrap(result if result.shape == shape else x.xp.reshape(result, shape))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Spread.apply(grad, ctx.axes, ctx.shape), None, None


def total(like: Any, array: Any, axes: tuple[int, ...]) -> Any:
    """Return the sum of an array over axes, in its dtype, on the device of a tensor."""
    if array.size < LARGE:
        return quiet(array_sum, like.xp, array, axes)
    return like.device.backend.total(array, axes)


def array_sum(xp: Any, array: Any, axes: tuple[int, ...]) -> Any:
    """Return the sum of a small array over axes, in its dtype."""
    if Half.in_use and is_half(xp, array):  # else digits are lost at every addition
        return xp.astype(xp.sum(array, axis=axes, dtype=xp.float32), array.dtype)
    return xp.sum(array, axis=axes, dtype=array.dtype)


class Spread(Function):
    """The adjoint of Sum: each element repeated along the axes that were summed."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        ctx.axes, ctx.shape = axes, x.array.shape
        kept = tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
        return x.wrap(x.xp.broadcast_to(x.xp.reshape(x.array, kept), shape))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Sum.apply(grad, ctx.axes, ctx.shape), None, None


class Prod(Function):
    """The product over one axis. Its gradient is the product of all other elements."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        result = x.wrap(quiet(lambda: x.xp.prod(x.array, axis=axis, dtype=x.array.dtype)))
        ctx.save_for_backward(x, result)
        ctx.axis = axis
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, result = ctx.saved_tensors
        shape = x.array.shape
        if x.xp.all(x.array != 0):
            return Spread.apply(grad * result, (ctx.axis,), shape) / x, None
        others = product_before(x, ctx.axis, 1) * product_before(x, ctx.axis, -1)
        return Spread.apply(grad, (ctx.axis,), shape) * others, None


def product_before(x: Any, axis: int, direction: int) -> Any:
    """Return for each element the product of those before it (direction -1: behind it).

    Each step doubles the number of factors: a scan in log2(n) products, without a division.
    """
    result, reach = Shift.apply(x, axis, direction, 1.0), 1
    while reach < x.array.shape[axis]:
        result = result * Shift.apply(result, axis, direction * reach, 1.0)
        reach *= 2
    return result


class Shift(Function):
    """Elements moved by some places along an axis; a constant moves in."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, places: int, fill: float) -> Any:
        ctx.axis, ctx.places = axis, places
        array, xp = x.array, x.xp
        size = array.shape[axis]
        count = min(abs(places), size)
        before = (slice(None),) * axis
        filled = xp.full_like(array[(*before, slice(0, count), ...)], fill)
        if places > 0:
            parts = [filled, array[(*before, slice(0, size - count), ...)]]
        else:
            parts = [array[(*before, slice(count, size), ...)], filled]
        return x.wrap(xp.concat(parts, axis=axis))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Shift.apply(grad, ctx.axis, -ctx.places, 0.0), None, None, None


def reduced_shape(shape: Sequence[int], axes: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """Return the shape after a reduction over ``axes``."""
    if keepdim:
        return tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])


def reduction_axes(op: str, dim: Dim, ndim: int) -> tuple[int, ...]:
    """Return the axes to reduce; ``None`` and, as in PyTorch, ``()`` mean all."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(ndim))
    return dimensions(op, dim, ndim)


def summable(op: str, input: Any, dtype: Any) -> Any:
    """Return ``input`` in ``dtype``, or else integers and bools as int64."""
    check_tensor(op, "input", input)
    if dtype is not None:
        return cast(input, as_dtype(dtype))
    return input if input.dtype.is_floating_point else cast(input, int64)


def sum(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the sum over dimensions.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int or sequence of int, optional
        What to sum over; default all dimensions.
    keepdim : bool, default False
        Keep the summed dimensions with size 1.
    dtype : DType, optional
        ``input`` is converted to it first; default is its own dtype, int64 for integers and
        bools. Half precision is summed in float32 and rounded once.

    Returns
    -------
    Tensor
        The sum of nothing is 0.

    Raises
    ------
    IndexRangeError
        If a dimension does not exist.
    ArgumentError
        If a dimension is named twice.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.sum(tc.tensor([[1, 2], [3, 4]]), dim=0)
    tensor([4, 6])
    """
    x = summable("sum", input, dtype)
    shape = x.array.shape
    if dim is None:
        return Sum.apply(x, tuple(range(len(shape))), (1,) * len(shape) if keepdim else ())
    axes = reduction_axes("sum", dim, len(shape))
    return Sum.apply(x, axes, reduced_shape(shape, axes, keepdim))


def sum_to_size(input: Any, *size: Any) -> Any:
    """Return the sum over the dimensions along which ``size`` broadcasts to the input's shape.

    Parameters
    ----------
    input : Tensor
        Any shape.
    *size : int, or one sequence of int
        Shape to return.

    Raises
    ------
    ShapeError
        If ``size`` does not broadcast to the shape of ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    target = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    shape = check_tensor("sum_to_size", "input", input).array.shape
    extra = len(shape) - len(target)
    axes = list(range(max(extra, 0)))
    for axis, wanted in enumerate(target, start=extra):
        if axis < 0 or wanted not in (1, shape[axis]):
            raise ShapeError(
                f"sum_to_size: size {target} does not broadcast to the shape {tuple(shape)} of "
                "the input; each size must be 1 or equal, counted from the back"
            )
        if wanted != shape[axis]:
            axes.append(axis)
    return Sum.apply(input, tuple(axes), target)


def mean(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the arithmetic mean over dimensions.

    Parameters
    ----------
    input : Tensor
        Floating point, unless ``dtype`` is given.
    dim, keepdim, dtype
        As for :func:`sum`.

    Returns
    -------
    Tensor
        The mean of nothing is NaN.

    Raises
    ------
    DTypeError
        If neither ``input`` nor ``dtype`` is floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.mean(tc.tensor([[1.0, 2.0], [3.0, 6.0]]), dim=1)
    tensor([1.5000, 4.5000])
    """
    result = check_tensor("mean", "input", input).dtype if dtype is None else as_dtype(dtype)
    if not result.is_floating_point:
        raise DTypeError(
            f"mean: needs a floating-point result, got {result}; use .float() or dtype="
        )
    shape = input.array.shape
    axes = reduction_axes("mean", dim, len(shape))
    count = math.prod([shape[axis] for axis in axes])
    # A sum may exceed what float16 holds.
    return cast(sum(input, axes, keepdim, dtype=wide(result)) / count, result)


def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the product over one dimension, or of all elements.

    Gradients are right where elements are 0, to any order.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int, optional
        What to multiply over; default all elements.
    keepdim, dtype
        As for :func:`sum`.

    Returns
    -------
    Tensor
        The product of nothing is 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.prod(tc.tensor([1.0, 2.0, 3.0]))
    tensor(6.)
    """
    x = summable("prod", input, dtype)
    shape = x.array.shape
    if dim is None or not shape:
        axis = 0 if dim is None else dimension("prod", dim, 0)
        axes, flat = tuple(range(len(shape))), x.reshape(-1)
    else:
        axis, flat = dimension("prod", dim, len(shape)), x
        axes = (axis,)
    return Prod.apply(flat, axis).reshape(reduced_shape(shape, axes, keepdim))


# -- NaN left out -------------------------------------------------------------------------------


def nansum(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the sum of what is not NaN; arguments as :func:`sum`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nansum(tc.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    x = summable("nansum", input, dtype)
    there = masked(x, x.array == x.array) if x.dtype.is_floating_point else x
    return sum(there, dim, keepdim)


def nanmean(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the mean of what is not NaN, and NaN of nothing; arguments as :func:`mean`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nanmean(tc.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5000)
    """
    check_floating("nanmean", "input", input)
    result = input.dtype if dtype is None else as_dtype(dtype)
    x = cast(input, wide(result))
    there = constant(x, x.array == x.array)
    return cast(nansum(x, dim, keepdim) / sum(there, dim, keepdim), result)


# -- truth and counts ---------------------------------------------------------------------------


def any(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return a bool tensor: whether any element is not 0; of nothing, false.

    ``dim`` and ``keepdim`` as for :func:`sum`.
    """
    return _truth("any", input, dim, keepdim)


def all(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return a bool tensor: whether no element is 0; of nothing, true.

    ``dim`` and ``keepdim`` as for :func:`sum`.
    """
    return _truth("all", input, dim, keepdim)


def _truth(op: str, input: Any, dim: Dim, keepdim: bool) -> Any:
    axes = reduction_axes(op, dim, check_tensor(op, "input", input).array.ndim)
    return input.wrap(getattr(input.xp, op)(input.array, axis=axes, keepdims=keepdim))


def count_nonzero(input: Any, dim: Dim = None) -> Any:
    """Return how many elements are not 0, as int64; ``dim`` as for :func:`sum`."""
    axes = reduction_axes("count_nonzero", dim, check_tensor("count_nonzero", "input", input).ndim)
    xp, array = input.xp, input.array
    ones = xp.astype(array if is_bool(input) else array != 0, xp.int64)
    return input.wrap(xp.sum(ones, axis=axes, dtype=xp.int64))
