"""Scatter-add as a plain loop over rows, in their order.

Two rows may go to the same place, so rows are not shared out among threads; columns are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from .jit import kernel
from .layout import Array, is_fast, plain
from .threads import run_ranges

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
