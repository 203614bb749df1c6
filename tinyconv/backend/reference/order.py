"""Places of elements by their order: the largest so far, the k-th smallest, the most frequent.

NaN counts as larger than every number, but wins every race for an extreme.
"""

from __future__ import annotations

from typing import Any

from .half import in_float32


@in_float32(rounded=1)
def cumulative_extreme(xp: Any, x: Any, axis: int, largest: bool) -> tuple[Any, Any]:
    """Return the largest, or smallest, element so far along an axis, and its place.

    By doubling: after step m each element stands for the 2^m elements up to it.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        At least one dimension; not of bools.
    axis : int
        From 0.
    largest : bool
        Whether the largest is wanted.

    Returns
    -------
    array, int64 array
        Shape of ``x``. Of equal elements the place of the last; from the first NaN on, NaN.
    """
    shape, before = x.shape, (slice(None),) * axis
    size, reach = shape[axis], 1
    line = tuple([n if d == axis else 1 for d, n in enumerate(shape)])
    count = xp.arange(size, dtype=xp.int64, device=x.device)
    places = xp.broadcast_to(xp.reshape(count, line), shape)
    while reach < size:
        kept, left = (*before, slice(0, reach), ...), (*before, slice(0, size - reach), ...)
        here = (*before, slice(reach, size), ...)
        old, new = x[left], x[here]
        wins = (new != new) | ((old == old) & ((new >= old) if largest else (new <= old)))
        winner, place = xp.where(wins, new, old), xp.where(wins, places[here], places[left])
        x = xp.concat([x[kept], winner], axis=axis)
        places = xp.concat([places[kept], place], axis=axis)
        reach *= 2
    return xp.asarray(x, copy=True), xp.asarray(places, copy=True)


@in_float32(rounded=0)
def place_of_rank(xp: Any, x: Any, axis: int, rank: Any) -> Any:
    """Return where along an axis the elements of given ranks are.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array
        At least one dimension, and element along the axis; not of bools.
    axis : int
        From 0.
    rank : int64 array
        Shape of ``x`` with 1 along the axis: the place in a sort that keeps the order of equals.

    Returns
    -------
    int64 array
        Shape of ``rank``.
    """
    order = _sorting(xp, x, axis)
    return xp.take_along_axis(order, rank, axis=axis)


@in_float32(rounded=0)
def place_of_mode(xp: Any, x: Any, axis: int) -> Any:
    """Return the last place of the most frequent element along an axis, the smallest of several.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        At least one dimension, and element along the axis; not of bools. NaN is equal to nothing.
    axis : int
        From 0.

    Returns
    -------
    int64 array
        Shape of ``x`` with 1 along the axis.
    """
    order, shape = _sorting(xp, x, axis), x.shape
    ordered = xp.take_along_axis(x, order, axis=axis)
    # How many equal elements there are up to each: its place less that of the first of them.
    before = (slice(None),) * axis
    line = tuple([n if d == axis else 1 for d, n in enumerate(shape)])
    places = xp.reshape(xp.arange(shape[axis], dtype=xp.int64, device=x.device), line)
    places = xp.broadcast_to(places, shape)
    same = ordered[(*before, slice(1, None), ...)] == ordered[(*before, slice(0, -1), ...)]
    starts = xp.where(same, xp.zeros_like(places[(*before, slice(1, None), ...)]),
                      places[(*before, slice(1, None), ...)])  # fmt: skip
    starts = xp.concat([places[(*before, slice(0, 1), ...)], starts], axis=axis)
    count = places - cumulative_extreme(xp, starts, axis, True)[0]
    return xp.take_along_axis(order, xp.argmax(count, axis=axis, keepdims=True), axis=axis)


def _sorting(xp: Any, x: Any, axis: int) -> Any:
    """Return the order that sorts, NaN last, and keeps the order of equals."""
    return xp.astype(xp.argsort(x, axis=axis, stable=True), xp.int64)
