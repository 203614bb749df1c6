"""Places of elements by their order: the largest so far. CuPy sorts for the others."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import reference
from .driver.launching import CTYPES, Kernel, Variant, blocks_for, name_of
from .layout import Array, plain

THREADS = 256
FIELDS = "x values places outer:int64 size:int64 inner:int64 largest:int32"
COLUMNS = Kernel("order.cu", "extremes_of_columns", FIELDS, threads=THREADS)
ROWS = Kernel("order.cu", "extremes_of_rows", FIELDS, threads=THREADS)
#: C++ name of each dtype, and of that in which its elements compare.
TYPES = {name: (ctype, "float") for name, ctype in CTYPES.items()}
TYPES |= {"float64": ("double", "double"), "int64": ("int64", "int64")}


def _variant(kernel: Kernel, dtype: str) -> Variant:
    element, number = TYPES[dtype]
    return kernel.variant(T=element, V=number)


VARIANTS = [_variant(kernel, dtype) for kernel in (COLUMNS, ROWS) for dtype in TYPES]


def cumulative_extreme(xp: Any, x: Array, axis: int, largest: bool) -> tuple[Array, Array]:
    """Return the largest, or smallest, element so far and its place; see the reference kernel."""
    if name_of(x.dtype) not in TYPES:
        return reference.cumulative_extreme(xp, x, axis, largest)
    outer, size, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    values, places = xp.empty(x.shape, dtype=x.dtype), xp.empty(x.shape, dtype=xp.int64)
    if not x.size:
        return values, places
    if inner == 1:
        kernel, block = ROWS, min(THREADS, 32 * -(-size // 32))
        blocks = blocks_for(outer, 1, waves=2048 // block)
    else:
        kernel, block = COLUMNS, THREADS
        blocks = blocks_for(outer * inner, THREADS)
    _variant(kernel, name_of(x.dtype))(
        blocks, block, plain(xp, x), values, places, outer, size, inner, int(largest)
    )
    return values, places
