"""Sums, products and extremes of rows that go to the same place, such as gradients of picked rows.

CuPy sorts the rows by where they go. Which of them came last is found without that.
"""

from __future__ import annotations

from typing import Any

from .. import reference
from .driver.launching import Kernel, blocks_for
from .layout import Array, is_fast, plain

THREADS = 256
KERNELS = {
    name: Kernel(
        "scatter.cu", f"scatter_{name}",
        "index order source out rows:int64 size:int64 columns:int32", ("reduce.cuh",),
        threads=THREADS,
    )
    for name in ("add", "prod", "amax", "amin")
}  # fmt: skip
LAST = Kernel(
    "scatter.cu", "scatter_last", "index out rows:int64 size:int64", ("reduce.cuh",),
    threads=THREADS,
).variant(T="float")  # fmt: skip
VARIANTS = [*[variant for kernel in KERNELS.values() for variant in kernel.of_each()], LAST]


def scatter_add(xp: Any, size: int, index: Array, source: Array) -> Array:
    """Return zeros with each row of ``source`` added at its index, in the order of the rows."""
    if not is_fast(source):
        return reference.scatter_add(xp, size, index, source)
    return _scattered(xp, "add", size, index, source)


def scatter_reduce(xp: Any, size: int, index: Array, source: Array, reduce: str) -> Array:
    """Return the product or an extreme of the rows of ``source`` that go to each index."""
    if not is_fast(source):
        return reference.scatter_reduce(xp, size, index, source, reduce)
    return _scattered(xp, reduce, size, index, source)


def scatter_last(xp: Any, size: int, index: Array) -> Array:
    """Return for each place the last i with ``index[i]`` equal to it, or -1."""
    if index.dtype != xp.int64:
        return reference.scatter_last(xp, size, index)
    out, rows = xp.full((size,), -1, dtype=xp.int64), index.shape[0]
    if rows:
        LAST(blocks_for(rows, THREADS), THREADS, plain(xp, index), out, rows, size)
    return out


def _scattered(xp: Any, name: str, size: int, index: Array, source: Array) -> Array:
    rows, columns = source.shape
    out = xp.zeros((size, columns), dtype=source.dtype)
    if source.size:
        order = xp.argsort(index, kind="stable")
        KERNELS[name].of(source.dtype)(
            blocks_for(source.size, THREADS), THREADS,
            index[order], order, plain(xp, source), out, rows, size, columns,
        )  # fmt: skip
    return out
