"""Sums, products and extrema of all elements so far, along a dimension.

What no array library has as one function is computed by doubling: after step ``m`` each element
stands for the ``2 ** m`` elements up to it, so log2(n) steps on whole arrays do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd import Function
from ...backend.dtypes import BOOL, uint8
from ...backend.quiet import quiet
from .._operands import cast, check_floating, check_tensor, dimension
from ..elementwise.selection import where
from ..indexing.gather import GatherAdd
from .extrema import ValuesAndIndices
from .sums import Shift, product_before, summable


class Cumsum(Function):
    """Running sums along an axis, from the front or from the back."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, from_back: bool) -> Any:
        ctx.axis, ctx.from_back = axis, from_back
        return x.wrap(quiet(_cumulative_sum, x.xp, x.array, axis, from_back))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Cumsum.apply(grad, ctx.axis, not ctx.from_back), None, None


def _cumulative_sum(xp: Any, array: Any, axis: int, from_back: bool) -> Any:
    if from_back:
        array = xp.flip(array, axis=axis)
    sums = xp.cumulative_sum(array, axis=axis, dtype=array.dtype)
    return xp.flip(sums, axis=axis) if from_back else sums


class Cumprod(Function):
    """Running products along an axis. No gradient divides, so it is right where elements are 0."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        ctx.save_for_backward(x)
        ctx.axis, array, xp = axis, x.array, x.xp
        return x.wrap(quiet(lambda: xp.cumulative_prod(array, axis=axis, dtype=array.dtype)))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,), axis = ctx.saved_tensors, ctx.axis
        behind = _recurrence(grad, Shift.apply(x, axis, -1, 1.0), axis)
        return product_before(x, axis, 1) * behind, None


class CumulativeExtreme(Function):
    """The largest, or smallest, element so far along an axis, and where it is."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, largest: bool) -> Any:
        kernel = x.device.backend.cumulative_extreme
        values, indices = map(x.wrap, kernel(x.array, axis, largest))
        ctx.axis, ctx.shape = axis, x.array.shape
        ctx.save_for_backward(indices)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(ctx: Any, grad: Any, _: Any) -> Any:
        (indices,) = ctx.saved_tensors
        return GatherAdd.apply(grad, indices, ctx.axis, ctx.shape), None, None


class LogCumsumExp(Function):
    """Logarithms of running sums of exponentials, without overflow."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        xp = x.xp

        def combine(before: Any, here: Any) -> tuple[Any, ...]:
            return (xp.logaddexp(before[0], here[0]),)

        result = x.wrap(quiet(_scan, xp, (x.array,), axis, combine)[0])
        ctx.save_for_backward(x, result)
        ctx.axis = axis
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x, y), axis = ctx.saved_tensors, ctx.axis
        # The gradient is the sum over later elements j of grad_j exp(x - y_j); y never falls, so
        # the steps from y to the next y have exponentials of at most 1.
        following = Shift.apply(y, axis, -1, float("inf"))
        behind = _recurrence(grad, _exp_of_difference(y, following), axis)
        return behind * _exp_of_difference(x, y), None


def _exp_of_difference(a: Any, b: Any) -> Any:
    """Return exp(a - b), and 1 where both are the same infinity."""
    same = a == b
    return where(same, 0, a - where(same, 0, b)).exp()


def _recurrence(grad: Any, factor: Any, axis: int) -> Any:
    """Return the r with r[i] = grad[i] + factor[i] * r[i + 1]; of tensors, differentiably."""
    result, reach = grad, 1
    while reach < grad.array.shape[axis]:
        result = result + factor * Shift.apply(result, axis, -reach, 0.0)
        factor = factor * Shift.apply(factor, axis, -reach, 1.0)
        reach *= 2
    return result


def _scan(
    xp: Any, arrays: tuple[Any, ...], axis: int, combine: Callable[..., tuple[Any, ...]]
) -> tuple[Any, ...]:
    """Return running results of an associative ``combine(before, here)`` of tuples of arrays."""
    before, reach = (slice(None),) * axis, 1
    size = arrays[0].shape[axis]
    while reach < size:
        first = [array[(*before, slice(0, reach), ...)] for array in arrays]
        left = tuple([array[(*before, slice(0, size - reach), ...)] for array in arrays])
        here = tuple([array[(*before, slice(reach, size), ...)] for array in arrays])
        combined = combine(left, here)
        arrays = tuple([xp.concat([a, b], axis=axis) for a, b in zip(first, combined, strict=True)])
        reach *= 2
    return arrays


def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Return the running sums along a dimension.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int
        The dimension.
    dtype : DType, optional
        As for :func:`sum`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cumsum(tc.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    x = summable("cumsum", input, dtype)
    axis = dimension("cumsum", dim, x.array.ndim)
    return Cumsum.apply(x, axis, False) if x.array.ndim else x + 0


def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Return the running products along a dimension; arguments as :func:`cumsum`.

    Gradients are right where elements are 0, to any order.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cumprod(tc.tensor([2.0, 3.0, 4.0]), dim=0)
    tensor([ 2.,  6., 24.])
    """
    x = summable("cumprod", input, dtype)
    axis = dimension("cumprod", dim, x.array.ndim)
    return Cumprod.apply(x, axis) if x.array.ndim else x + 0


def logcumsumexp(input: Any, dim: int) -> Any:
    """Return the logarithms of running sums of exponentials along a dimension.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    dim : int
        The dimension.

    Raises
    ------
    DTypeError
        If the input is not floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.logcumsumexp(tc.tensor([1000.0, 1000.0]), dim=0)
    tensor([1000.0000, 1000.6932])
    """
    ndim = check_floating("logcumsumexp", "input", input).array.ndim
    axis = dimension("logcumsumexp", dim, ndim)
    return LogCumsumExp.apply(input, axis) if ndim else input + 0


def cummax(input: Any, dim: int) -> Any:
    """Return the largest element so far along a dimension, and where it is.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype. From the first NaN on the result is NaN.
    dim : int
        The dimension.

    Returns
    -------
    ValuesAndIndices
        A named tuple ``(values, indices)``; of equal elements the last, which the gradient goes
        to.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cummax(tc.tensor([1.0, 3.0, 2.0]), dim=0).values
    tensor([1., 3., 3.])
    """
    return _running_extreme("cummax", input, dim, True)


def cummin(input: Any, dim: int) -> Any:
    """Return the smallest element so far along a dimension; all else as :func:`cummax`."""
    return _running_extreme("cummin", input, dim, False)


def _running_extreme(op: str, input: Any, dim: int, largest: bool) -> ValuesAndIndices:
    shape, xp = check_tensor(op, "input", input).array.shape, input.xp
    axis = dimension(op, dim, len(shape))
    if not shape:
        return ValuesAndIndices(input.clone(), input.wrap(xp.zeros((), dtype=xp.int64)))
    if input.dtype.kind == BOOL:
        values, indices = _running_extreme(op, cast(input, uint8), axis, largest)
        return ValuesAndIndices(values.bool(), indices)
    return ValuesAndIndices(*CumulativeExtreme.apply(input, axis, largest))
