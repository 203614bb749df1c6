"""Scatter-add: the gradient of picking rows, where a row may have been picked several times."""

from __future__ import annotations

from typing import Any

from .. import reference
from .launching import Kernel, blocks_for
from .layout import Array, is_fast, plain

THREADS = 256
KERNEL = Kernel(
    "scatter.cu",
    "scatter_add",
    "index order source out rows:int64 size:int64 columns:int32",
    threads=THREADS,
)
VARIANTS = KERNEL.of_each()


def scatter_add(xp: Any, size: int, index: Array, source: Array) -> Array:
    """Return zeros with each row of ``source`` added at its index, in the order of the rows."""
    if not is_fast(source):
        return reference.scatter_add(xp, size, index, source)
    rows, columns = source.shape
    out = xp.zeros((size, columns), dtype=source.dtype)
    if source.size:
        order = xp.argsort(index, kind="stable")
        KERNEL.of(source.dtype)(
            blocks_for(source.size, THREADS), THREADS,
            index[order], order, plain(xp, source), out, rows, size, columns,
        )  # fmt: skip
    return out
