"""Resampling along one axis of an image in whatever order it lies in memory.

All that lies inside the axis is a run of adjacent numbers (with channels last, the channels of a
pixel, or all pixels of a line), and a result is a weighted sum of a few such runs.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .driver.launching import Kernel, blocks_for, name_of
from .layout import Array, is_aligned, is_fast, plain
from .loops.tiling import WIDTHS, variants

THREADS, LARGEST = 256, 1 << 31
FIELDS = """
x starts places factors y outer:int64 inner:int64 size:int32 vectors:int32 across:int32
"""
RESAMPLE = Kernel("resampling.cu", "resample", FIELDS, threads=THREADS)
VARIANTS = variants({"resample": RESAMPLE})


def resample(xp: Any, x: Array, axis: int, starts: Array, places: Array, factors: Array) -> Array:
    """Return weighted sums along an axis; see the reference kernel."""
    order = sorted(range(x.ndim), key=lambda a: -x.strides[a])
    whole = xp.permute_dims(x, tuple(order))
    if not (whole.flags.c_contiguous and is_aligned(whole)):
        order, whole = list(range(x.ndim)), plain(xp, x)
    place, outputs = order.index(axis), len(starts) - 1
    before, after = whole.shape[:place], whole.shape[place + 1 :]
    size, inner = whole.shape[place], prod(after)
    if not is_fast(x, factors) or max(size, outputs) * inner >= LARGEST:
        return reference.resample(xp, x, axis, starts, places, factors)
    y = xp.empty((*before, outputs, *after), dtype=x.dtype)
    if y.size:
        width = WIDTHS[name_of(x.dtype)][0]
        width = width if inner % width == 0 else 1
        outer, vectors = prod(before), outputs * inner // width
        threads = min(-(-vectors // 32) * 32, THREADS)
        grid = blocks_for(vectors, threads, waves=32), min(outer, 65535)
        tables = (plain(xp, table) for table in (starts, places, factors))
        RESAMPLE.of(x.dtype, WIDTH=width)(
            grid, threads, whole, *tables, y, outer, inner, size, vectors, inner // width
        )
    return xp.permute_dims(y, tuple(int(a) for a in np.argsort(order)))
