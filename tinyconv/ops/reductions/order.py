"""Elements at a place in the order of all: medians, the k-th smallest, and the most frequent."""

from __future__ import annotations

import operator
from typing import Any

from ...backend.dtypes import BOOL, uint8
from ...errors import ArgumentError
from .._operands import cast, check_not_bool, check_tensor, dimension
from ..indexing.gather import Gather
from .extrema import Amax, ValuesAndIndices
from .sums import reduced_shape


class Median(Amax):
    """The lower median of all elements; those that equal it share the gradient evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], skips_nan: bool) -> Any:
        xp, ctx.axes = x.xp, axes
        line = xp.reshape(x.array, (-1,))
        rank = xp.reshape(_median_rank(xp, line, 0, skips_nan), (1,))
        place = x.device.backend.place_of_rank(line, 0, rank)
        result = x.wrap(xp.reshape(xp.take(line, place), ()))
        ctx.save_for_backward(x, result)
        return result


def _median_rank(xp: Any, array: Any, axis: int, skips_nan: bool) -> Any:
    """Return the place of the median in the sorted order, where NaN comes last."""
    size = array.shape[axis]
    nans = xp.sum(xp.astype(array != array, xp.int64), axis=axis)
    if skips_nan:
        valid = size - nans
        return xp.where(valid > 0, (valid - 1) // 2, valid)
    return xp.where(nans > 0, size - nans, xp.full_like(nans, (size - 1) // 2))


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the middle element, the lower one of two; with its place, if a dimension is given.

    Parameters
    ----------
    input : Tensor
        Numbers of any shape.
    dim : int, optional
        Default: the median of all elements; elements that equal it share the gradient evenly. An
        int: the median along that dimension and its place, which the gradient goes to.
    keepdim : bool, default False
        Keep the dimension with size 1.

    Returns
    -------
    Tensor or ValuesAndIndices
        NaN where there is a NaN. With a dimension, a named tuple ``(values, indices)``; of equal
        elements it is the place of the one that sorting, which keeps their order, puts there.

    Raises
    ------
    DTypeError
        If the input holds bools.
    ArgumentError
        If there are no elements; but the median of an empty float tensor is NaN.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([[3.0, 1.0, 2.0, 4.0]])
    >>> tc.median(x)
    tensor(2.)
    >>> tc.median(x, dim=1).indices
    tensor([2])
    """
    return _median("median", input, dim, keepdim, skips_nan=False)


def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median of what is not NaN, and NaN of nothing; all else as :func:`median`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nanmedian(tc.tensor([3.0, float("nan"), 1.0]))
    tensor(1.)
    """
    return _median("nanmedian", input, dim, keepdim, skips_nan=True)


def _median(op: str, input: Any, dim: int | None, keepdim: bool, skips_nan: bool) -> Any:
    check_not_bool(op, check_tensor(op, "input", input))
    array, xp = input.array, input.xp
    if dim is None:
        if array.size == 0 and input.dtype.is_floating_point:
            return input.sum() * float("nan")
        _check_not_empty(op, input, None)
        return Median.apply(input, tuple(range(array.ndim)), skips_nan)
    axis = dimension(op, dim, array.ndim)
    if not array.ndim:
        return ValuesAndIndices(input.clone(), input.wrap(xp.zeros((), dtype=xp.int64)))
    _check_not_empty(op, input, axis)
    return at_rank(input, axis, keepdim, _median_rank(xp, array, axis, skips_nan))


def at_rank(input: Any, axis: int, keepdim: bool, rank: Any) -> ValuesAndIndices:
    """Return the elements at given places in the sorted order along an axis."""
    rank = input.xp.reshape(rank, reduced_shape(input.array.shape, (axis,), True))
    place = input.device.backend.place_of_rank(input.array, axis, rank)
    return _at(input, axis, keepdim, place)


def _at(input: Any, axis: int, keepdim: bool, place: Any) -> ValuesAndIndices:
    """Return the elements at places along an axis, and the places."""
    indices = input.wrap(place)
    values = Gather.apply(input, indices, axis)
    if keepdim:
        return ValuesAndIndices(values, indices)
    return ValuesAndIndices(values.squeeze(axis), indices.squeeze(axis))


def _check_not_empty(op: str, input: Any, axis: int | None) -> None:
    shape = tuple(input.array.shape)
    if 0 in (shape if axis is None else shape[axis : axis + 1]):
        raise ArgumentError(
            f"{op}: the input of shape {shape} has no elements along the dimension searched, so "
            "there is no result"
        )


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """Return the ``k``-th smallest element along a dimension, and where it is.

    Parameters
    ----------
    input : Tensor
        Numbers of any shape. NaN counts as larger than every number.
    k : int
        From 1, the smallest, to the size of the dimension.
    dim : int, default -1
        The dimension.
    keepdim : bool, default False
        Keep the dimension with size 1.

    Returns
    -------
    ValuesAndIndices
        A named tuple ``(values, indices)``; the gradient goes to the element found.

    Raises
    ------
    DTypeError
        If the input holds bools.
    ArgumentError
        If ``k`` is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.kthvalue(tc.tensor([3.0, 1.0, 2.0]), 2)
    ValuesAndIndices(values=tensor(2.), indices=tensor(2))
    """
    check_not_bool("kthvalue", check_tensor("kthvalue", "input", input))
    shape, xp, number = input.array.shape, input.xp, operator.index(k)
    axis = dimension("kthvalue", dim, len(shape))
    size = shape[axis] if shape else 1
    if not 1 <= number <= size:
        raise ArgumentError(
            f"kthvalue: k={k} must be from 1 to {size}, the size of dimension {axis}"
        )
    if not shape:
        return ValuesAndIndices(input.clone(), input.wrap(xp.zeros((), dtype=xp.int64)))
    rank = xp.full(reduced_shape(shape, (axis,), False), number - 1, dtype=xp.int64)
    return at_rank(input, axis, keepdim, rank)


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """Return the most frequent element along a dimension, and where it is last.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype. NaN is equal to nothing, and counts as larger than every number.
    dim : int, default -1
        The dimension.
    keepdim : bool, default False
        Keep the dimension with size 1.

    Returns
    -------
    ValuesAndIndices
        A named tuple ``(values, indices)``: of several most frequent elements the smallest; the
        gradient goes to its last place.

    Raises
    ------
    ArgumentError
        If the dimension is empty.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.mode(tc.tensor([5, 2, 3, 2]))
    ValuesAndIndices(values=tensor(2), indices=tensor(3))
    """
    shape, xp = check_tensor("mode", "input", input).array.shape, input.xp
    axis = dimension("mode", dim, len(shape))
    if not shape:
        return ValuesAndIndices(input.clone(), input.wrap(xp.zeros((), dtype=xp.int64)))
    _check_not_empty("mode", input, axis)
    numbers = cast(input, uint8) if input.dtype.kind == BOOL else input
    return _at(input, axis, keepdim, input.device.backend.place_of_mode(numbers.array, axis))
