"""Rows that go to the same place, combined in a plain loop over rows, in their order.

Two rows may go to the same place, so rows are not shared out among threads; columns are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from .compiler.jit import kernel
from .layout import Array, is_fast, plain
from .parallel.threads import run_ranges

#: Columns of a task: a few cache lines.
COLUMNS = 64


def scatter_add(xp: Any, size: int, index: Array, source: Array) -> Array:
    """Return zeros with each row of ``source`` added at its index; see the reference kernel."""
    if not is_fast(source):
        return reference.scatter_add(xp, size, index, source)
    rows, places = plain(source), plain(index.astype(np.int64, copy=False))
    out = np.zeros((size, source.shape[1]), source.dtype)
    run_ranges(
        lambda a, b: add_columns(places, rows, a, b, out), source.shape[1], COLUMNS, merge=True
    )
    return out


@kernel
def add_columns(index, source, first, last, out):
    """Add the columns ``first`` to ``last`` of all rows."""
    for i in range(index.shape[0]):
        target, row = out[index[i], first:last], source[i, first:last]
        for c in range(last - first):
            target[c] += row[c]


#: What any row changes: the smallest and the largest number, and 1.
STARTS = {"prod": 1.0, "amax": -np.inf, "amin": np.inf}


def scatter_reduce(xp: Any, size: int, index: Array, source: Array, reduce: str) -> Array:
    """Return the product or an extreme of the rows of each index; see the reference kernel."""
    if not is_fast(source):
        return reference.scatter_reduce(xp, size, index, source, reduce)
    rows, places = plain(source), plain(index.astype(np.int64, copy=False))
    out = np.full((size, source.shape[1]), STARTS[reduce], source.dtype)

    def columns(a: int, b: int) -> None:
        if reduce == "prod":
            multiply_columns(places, rows, a, b, out)
        else:
            extreme_columns(places, rows, a, b, reduce == "amax", out)

    run_ranges(columns, source.shape[1], COLUMNS, merge=True)
    return out


@kernel
def multiply_columns(index, source, first, last, out):
    """Multiply by the columns ``first`` to ``last`` of all rows."""
    for i in range(index.shape[0]):
        target, row = out[index[i], first:last], source[i, first:last]
        for c in range(last - first):
            target[c] *= row[c]


@kernel
def extreme_columns(index, source, first, last, largest, out):
    """Keep the largest, or smallest, number of the columns ``first`` to ``last``; NaN stays."""
    for i in range(index.shape[0]):
        target, row = out[index[i], first:last], source[i, first:last]
        for c in range(last - first):
            old, new = target[c], row[c]
            beats = new > old if largest else new < old
            target[c] = new if (beats & (old == old)) | (new != new) else old


def scatter_last(xp: Any, size: int, index: Array) -> Array:
    """Return the last i with ``index[i]`` equal to each place; see the reference kernel."""
    last = np.full(size, -1)
    note_rows(plain(index.astype(np.int64, copy=False)), last)
    return last


@kernel
def note_rows(index, last):
    """Write the number of each row at its index."""
    for i in range(len(index)):
        last[index[i]] = i
