"""Which values there are, how often, and where a value belongs in an order; without gradients."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

from ...backend import as_dtype
from ...backend.dtypes import BOOL, INTEGER
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import (
    TensorBase,
    check_floating,
    check_same_device,
    check_tensor,
    dimension,
    precise,
)
from ..casting import result_type


def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the different values of a tensor, or its different slices along a dimension.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    sorted : bool, default True
        Accepted for PyTorch's sake; the values are always in ascending order.
    return_inverse : bool, default False
        Also return which of them each element is.
    return_counts : bool, default False
        Also return how often each occurs.
    dim : int, optional
        Compare slices along this dimension, in lexicographic order, rather than elements.

    Returns
    -------
    Tensor, or tuple of Tensor
        The values (1-D, or the slices along ``dim``), then the int64 inverse (shape of ``input``,
        or (size of ``dim``,)) and counts that were asked for. NaN is equal to nothing.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.unique(tc.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    xp, array = check_tensor("unique", "input", input).xp, input.array
    if dim is None:
        found = xp.unique_all(precise(input))
        inverse = xp.reshape(found.inverse_indices, array.shape)
        values = xp.astype(found.values, array.dtype, copy=False)
        return _some(input, values, (return_inverse, inverse), (return_counts, found.counts))
    dim = dimension("unique", dim, array.ndim)
    inverse = _rank_of_slices(input, dim)
    found = xp.unique_all(inverse)
    values = xp.take(array, found.indices, axis=dim)
    return _some(input, values, (return_inverse, inverse), (return_counts, found.counts))


def _rank_of_slices(input: Any, dim: int) -> Any:
    """Return the place of each slice in the lexicographic order of the different ones."""
    xp = input.xp
    rows = xp.moveaxis(precise(input), dim, 0)
    rows = xp.reshape(rows, (rows.shape[0], prod(rows.shape[1:])))
    rank = xp.zeros(rows.shape[0], dtype=xp.int64, device=rows.device)
    for column in range(rows.shape[1]):
        here = xp.unique_inverse(rows[:, column])
        pair = rank * here.values.shape[0] + here.inverse_indices
        rank = xp.reshape(xp.unique_inverse(pair).inverse_indices, (-1,))
    return rank


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return a tensor with each run of equal elements (or slices along ``dim``) as one.

    Arguments and results as those of :func:`unique`, but in the order of the input, which is
    flattened without ``dim``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.unique_consecutive(tc.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    op = "unique_consecutive"
    xp, array = check_tensor(op, "input", input).xp, input.array
    shape = (-1,) if dim is not None else array.shape
    if dim is None:
        array, axis = xp.reshape(array, (-1,)), 0
    else:
        axis = dimension(op, dim, array.ndim)
    rows = xp.moveaxis(array, axis, 0)
    rows = xp.reshape(rows, (rows.shape[0], prod(rows.shape[1:])))
    changed = xp.any(rows[1:, :] != rows[:-1, :], axis=1)
    first = xp.ones(min(rows.shape[0], 1), dtype=xp.bool, device=rows.device)
    starts = xp.nonzero(xp.concat([first, changed]))[0]
    values = xp.take(array, starts, axis=axis)
    number = xp.cumulative_sum(xp.astype(xp.concat([first, changed]), xp.int64)) - 1
    end = xp.full(1, rows.shape[0], dtype=starts.dtype, device=rows.device)
    counts = xp.concat([starts[1:], end[: min(rows.shape[0], 1)]]) - starts
    inverse = xp.reshape(number, shape)
    return _some(input, values, (return_inverse, inverse), (return_counts, counts))


def _some(like: Any, values: Any, *others: tuple[bool, Any]) -> Any:
    """Return the values, and those of the other arrays that are wanted."""
    wanted = [like.wrap(like.xp.astype(other, like.xp.int64)) for want, other in others if want]
    return (like.wrap(values), *wanted) if wanted else like.wrap(values)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Return how often each number 0, 1, 2 ... occurs.

    Parameters
    ----------
    input : Tensor
        (n,) of integers, none negative.
    weights : Tensor, optional
        (n,): add these up instead of counting.
    minlength : int, default 0
        Least number of results.

    Returns
    -------
    Tensor
        (max(largest + 1, minlength),): int64 counts; with weights their sums, float32 for float32
        weights, else float64.

    Raises
    ------
    DTypeError
        If the input does not hold integers.
    ArgumentError
        If a number, or ``minlength``, is negative.
    ShapeError
        If input or weights are not vectors of one size.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.bincount(tc.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    array, xp = check_tensor("bincount", "input", input).array, input.xp
    if input.dtype.kind != INTEGER:
        raise DTypeError(f"bincount: argument 'input' must hold integers, got {input.dtype}")
    if array.ndim != 1 or (weights is not None and weights.array.shape != array.shape):
        shapes = [tuple(t.array.shape) for t in (input, weights) if t is not None]
        raise ShapeError(f"bincount: input and weights must be vectors of one size, got {shapes}")
    if minlength < 0:
        raise ArgumentError(f"bincount: argument 'minlength' must be at least 0, got {minlength}")
    if array.shape[0] and int(xp.min(array)) < 0:
        raise ArgumentError(
            f"bincount: argument 'input' must not hold negative numbers, got {int(xp.min(array))}"
        )
    size = max(int(xp.max(array)) + 1 if array.shape[0] else 0, minlength)
    wide = weights is None or weights.dtype.name != "float32"
    dtype = (as_dtype("float64") if wide else weights.dtype).of(xp)
    ones = xp.ones(array.shape, dtype=dtype) if weights is None else xp.astype(weights.array, dtype)
    index = xp.astype(array, xp.int64)
    sums = input.device.backend.scatter_add(size, index, xp.reshape(ones, (-1, 1)))
    sums = xp.reshape(sums, (-1,))
    return input.wrap(xp.astype(sums, xp.int64) if weights is None else sums)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Return how many elements lie in each of some intervals of equal length.

    Parameters
    ----------
    input : Tensor
        Any shape; floating point. NaN and what lies outside are not counted.
    bins : int, default 100
        Number of intervals. The last one includes its upper end.
    min, max : float, default 0
        Ends of the range; if both are the same, it is that of the elements.

    Returns
    -------
    Tensor
        (bins,), of the dtype of ``input``.

    Raises
    ------
    ArgumentError
        If ``bins`` is below 1, or ``max`` less than ``min``.
    """
    x = check_floating("histc", "input", input).array
    xp, count = input.xp, operator.index(bins)
    if count < 1:
        raise ArgumentError(f"histc: argument 'bins' must be at least 1, got {bins}")
    x = xp.astype(xp.reshape(x, (-1,)), xp.float64)
    low, high = float(min), float(max)
    if low == high and x.shape[0]:
        low, high = float(xp.min(x)), float(xp.max(x))
    if low == high:
        low, high = low - 1, high + 1
    if not low < high < float("inf") or low == -float("inf"):
        raise ArgumentError(
            f"histc: the range must be finite, and min at most max; got {low} to {high}"
        )
    inside = x[(x >= low) & (x <= high)]
    place = xp.astype(xp.floor((inside - low) * count / (high - low)), xp.int64)
    place = xp.minimum(place, xp.full_like(place, count - 1))
    ones = xp.ones((place.shape[0], 1), dtype=xp.float64)
    sums = input.device.backend.scatter_add(count, place, ones)
    return input.wrap(xp.astype(xp.reshape(sums, (-1,)), input.array.dtype))


def searchsorted(
    sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None,
) -> Any:  # fmt: skip
    """Return where values would have to be put into a sorted sequence to keep it sorted.

    Parameters
    ----------
    sorted_sequence : Tensor
        (..., n), ascending along the last dimension.
    input : Tensor or number
        (..., m) with the same leading dimensions, or any shape for a sequence (n,).
    out_int32 : bool, default False
        Return int32 rather than int64.
    right : bool, default False
        Behind equal elements rather than before them.
    side : str, optional
        ``"left"`` or ``"right"``: another way to say so.

    Returns
    -------
    Tensor
        Shape of ``input``: places from 0 to n.

    Raises
    ------
    ShapeError
        If the leading dimensions differ.
    ArgumentError
        If ``side`` is unknown, or contradicts ``right``.
    """
    op = "searchsorted"
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(
            f"{op}: argument 'side' must be 'left' or 'right', and agree with right={right}; got "
            f"{side!r}"
        )
    sequence = check_tensor(op, "sorted_sequence", sorted_sequence)
    xp, rows = sequence.xp, precise(sequence)
    values = precise(input) if hasattr(input, "array") else xp.asarray(input, dtype=rows.dtype)
    where = "right" if right or side == "right" else "left"
    if rows.ndim == 1:
        places = xp.searchsorted(rows, xp.reshape(values, (-1,)), side=where)
    else:
        if rows.shape[:-1] != values.shape[:-1]:
            raise ShapeError(
                f"{op}: the leading dimensions of input and of the sequence must be the same, got "
                f"shapes {tuple(values.shape)} and {tuple(rows.shape)}"
            )
        flat, wanted = (xp.reshape(a, (-1, a.shape[-1])) for a in (rows, values))
        found = [
            xp.searchsorted(flat[i, :], wanted[i, :], side=where) for i in range(flat.shape[0])
        ]
        places = xp.stack(found) if found else xp.zeros(values.shape, dtype=xp.int64)
    places = xp.reshape(places, values.shape)
    return sequence.wrap(xp.astype(places, xp.int32 if out_int32 else xp.int64))


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Return in which of the intervals between boundaries each value lies.

    Parameters
    ----------
    input : Tensor or number
        Any shape.
    boundaries : Tensor
        (n,), ascending.
    out_int32, right : bool, default False
        As in :func:`searchsorted`: by default an interval includes its upper end.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.bucketize(tc.tensor([0.5, 1.0, 9.0]), tc.tensor([1.0, 2.0]))
    tensor([0, 0, 2])
    """
    if check_tensor("bucketize", "boundaries", boundaries).array.ndim != 1:
        raise ShapeError(
            "bucketize: argument 'boundaries' must be a vector, got shape "
            f"{tuple(boundaries.array.shape)}"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Return for each element whether it is one of some others.

    Parameters
    ----------
    elements, test_elements : Tensor or number
        Any shapes, at least one of them a tensor; compared in their common dtype. NaN is equal to
        nothing.
    assume_unique : bool, default False
        Accepted for PyTorch's sake: it makes no difference.
    invert : bool, default False
        Return whether it is none of them.

    Returns
    -------
    bool Tensor
        Shape of ``elements``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.isin(tc.tensor([1, 2, 3]), tc.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    both = [elements, test_elements]
    tensors = [t for t in both if isinstance(t, TensorBase)]
    if not tensors:
        check_tensor("isin", "elements", elements)
    like = tensors[0]
    both = [t if isinstance(t, TensorBase) else like.wrap(like.xp.asarray(t)) for t in both]
    check_same_device("isin", *both)
    dtype = result_type(*both)
    if dtype.kind == BOOL:  # the standard does not sort bools
        dtype = as_dtype("uint8")
    xp = like.xp
    native = dtype.of(xp)
    both = [like.wrap(xp.astype(t.array, native)) for t in both]
    wanted, tests = (xp.reshape(precise(t), (-1,)) for t in both)
    if tests.shape[0]:
        tests = xp.sort(tests)
        place = xp.searchsorted(tests, wanted)
        found = xp.take(tests, xp.minimum(place, xp.full_like(place, tests.shape[0] - 1))) == wanted
    else:
        found = xp.zeros(wanted.shape, dtype=xp.bool)
    return like.wrap(xp.reshape(~found if invert else found, both[0].array.shape))
