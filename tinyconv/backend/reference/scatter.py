"""Scatter-add: the gradient of picking rows, where a row may have been picked several times."""

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
