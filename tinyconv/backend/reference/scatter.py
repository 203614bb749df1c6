"""Sums, products and extremes of rows that go to the same place, and which of them came last.

Adding rows up where they came from is the gradient of picking rows.
"""

from __future__ import annotations

from typing import Any

from .half import in_float32


@in_float32
def scatter_add(xp: Any, size: int, index: Any, source: Any) -> Any:
    """Return zeros with each row of ``source`` added at its index, in the order of the rows.

    ``out[index[i]] += source[i]`` for i = 0, 1, 2, ...

    The standard has no such in-place addition. So rows are sorted by their index, and step ``r``
    adds the ``r``-th row of every index at once. With the indices ordered by how often they
    occur, those that have an ``r``-th row come first, and a plain slice is enough.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    size : int
        Rows of the result.
    index : int64 array (n,)
        Row to add to, from 0 to ``size - 1``.
    source : array (n, k)
        Rows to add.

    Returns
    -------
    array (size, k)
    """
    out = xp.zeros((size, source.shape[1]), dtype=source.dtype, device=source.device)
    if source.shape[0] == 0:
        return out
    order = xp.argsort(index, stable=True)
    index, source = xp.take(index, order), xp.take(source, order, axis=0)
    rows = xp.arange(size, dtype=index.dtype, device=index.device)
    start = xp.searchsorted(index, rows, side="left")
    count = xp.searchsorted(index, rows, side="right") - start

    by_count = xp.argsort(-count, stable=True)
    start, count = xp.take(start, by_count), xp.take(count, by_count)
    for r in range(int(count[0])):
        active = int(xp.sum(xp.astype(count > r, xp.int64)))
        out[:active, :] += xp.take(source, start[:active] + r, axis=0)
    return xp.take(out, xp.argsort(by_count, stable=True), axis=0)


@in_float32
def scatter_reduce(xp: Any, size: int, index: Any, source: Any, reduce: str) -> Any:
    """Return the product or an extreme of the rows of ``source`` that go to each index.

    Rows are sorted by their index. Then row ``i`` is combined with row ``i + 1`` of its index, the
    result with that of row ``i + 2``, then ``i + 4`` and so on: after log2 of the largest number
    of rows many steps, the first row of each index holds the whole.

    Hillis and Steele, "Data parallel algorithms", Communications of the ACM 29 (1986).

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    size : int
        Rows of the result.
    index : int64 array (n,)
        Where each row goes, from 0 to ``size - 1``, each of which occurs.
    source : array (n, k)
        The rows; not of bools.
    reduce : "prod", "amax" or "amin"
        How to combine. NaN is larger, and smaller, than all else.

    Returns
    -------
    array (size, k)
    """
    combine = {"prod": xp.multiply, "amax": xp.maximum, "amin": xp.minimum}[reduce]
    order = xp.argsort(index, stable=True)
    ids, rows = xp.take(index, order), xp.take(source, order, axis=0)
    places = xp.arange(size, dtype=ids.dtype, device=ids.device)
    starts = xp.searchsorted(ids, places, side="left")
    ends = xp.searchsorted(ids, places, side="right")
    longest, reach = int(xp.max(ends - starts)) if size else 0, 1
    while reach < longest:
        here = rows[:-reach, ...]
        same = xp.reshape(ids[reach:] == ids[:-reach], (-1, 1))
        both = xp.where(same, combine(here, rows[reach:, ...]), here)
        rows = xp.concat([both, rows[here.shape[0] :, ...]])
        reach *= 2
    return xp.take(rows, starts, axis=0)


def scatter_last(xp: Any, size: int, index: Any) -> Any:
    """Return for each place the last i with ``index[i]`` equal to it, and -1 where there is none.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    size : int
        Number of places.
    index : int64 array (n,)
        From 0 to ``size - 1``.

    Returns
    -------
    int64 array (size,)
    """
    if index.shape[0] == 0:
        return xp.full((size,), -1, dtype=xp.int64, device=index.device)
    order = xp.argsort(index, stable=True)
    ids = xp.take(index, order)
    places = xp.arange(size, dtype=ids.dtype, device=ids.device)
    last = xp.searchsorted(ids, places, side="right") - 1
    found = xp.where(last >= 0, last, xp.zeros_like(last))
    there = (last >= 0) & (xp.take(ids, found) == places)
    return xp.where(there, xp.take(order, found), xp.full_like(order[:1], -1))
