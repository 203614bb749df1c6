"""Sums over axes in one pass over memory.

In memory order, the axes of the array are (samples, rows, columns), and the rows are summed: for
the gradient of a convolution's bias, channels-last images are one sample with a row a pixel; for
a global average, each image is a sample; a sum over all is one column. Where columns do not fill
vectors of 16 bytes, several rows are taken as one.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .driver.launching import Kernel, name_of
from .layout import Array, is_aligned, is_fast, plain
from .loops.tiling import ACROSS, SUM_BLOCKS, THREADS, WIDTHS, power, tiling, variants

FIELDS = "x parts out samples:int64 rows:int64 step:int64 columns:int32 blocks:int32"
KERNELS = {
    name: Kernel("reduction.cu", name, FIELDS, ("tiles.cuh",), threads=THREADS, blocks=4)
    for name in ("column_sums", "add_parts")
}
VARIANTS = variants(KERNELS)


def total(xp: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """Return the sum over axes; see the reference kernel."""
    if not is_fast(x) or not axes:
        return reference.total(xp, x, axes)
    if not x.size:
        return xp.zeros([n for axis, n in enumerate(x.shape) if axis not in axes], dtype=x.dtype)
    data, kept = _as_cube(xp, x, axes)
    sums = column_sums(xp, data).reshape([x.shape[axis] for axis in kept])
    return xp.permute_dims(sums, tuple(int(place) for place in np.argsort(kept)))


def column_sums(xp: Any, x: Array) -> Array:
    """Return the sums (samples, columns) over the rows of (samples, rows, columns) data."""
    samples, rows, columns = x.shape
    width = WIDTHS[name_of(x.dtype)][0]
    repeats = width if columns % width and rows % width == 0 else 1
    x = x.reshape(samples, rows // repeats, columns * repeats)
    tiles = tiling(x, SUM_BLOCKS)
    blocks, out, parts = tiles.grid[1], None, None
    if blocks * repeats == 1:
        out = xp.empty((samples, columns), dtype=x.dtype)
    else:
        parts = xp.empty((samples, blocks * repeats, columns), dtype=xp.float64)
    KERNELS["column_sums"].of(x.dtype, WIDTH=tiles.width)(
        tiles.grid, tiles.block, x, parts, out,
        samples, rows // repeats, tiles.step, columns * repeats, blocks,
    )  # fmt: skip
    return out if parts is None else add_parts(xp, parts, x.dtype)


def add_parts(xp: Any, parts: Array, dtype: Any) -> Array:
    """Return the sums (samples, columns) of float64 (samples, blocks, columns) data in a dtype."""
    samples, blocks, columns = parts.shape
    out = xp.empty((samples, columns), dtype=dtype)
    across = min(power(columns), ACROSS)
    down = min(THREADS // across, power(blocks))
    KERNELS["add_parts"].of(out.dtype, WIDTH=1)(
        (-(-columns // across), 1, min(samples, 65535)), (across, down),
        None, parts, out, samples, 0, 0, columns, blocks,
    )  # fmt: skip
    return out


def _as_cube(xp: Any, x: Array, axes: tuple[int, ...]) -> tuple[Array, list[int]]:
    """Return x as C-ordered (samples, rows, columns), and the axes that are kept, in their order.

    Copied if memory has holes, or if axes that are kept lie between those that are summed.
    """
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    data = xp.permute_dims(x, tuple(order))
    summed = [place for place, axis in enumerate(order) if axis in axes]
    first, last = summed[0], summed[-1] + 1
    if not (data.flags.c_contiguous and is_aligned(data) and len(summed) == last - first):
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        data = plain(xp, xp.permute_dims(x, (*kept, *axes)))
        return data.reshape(prod(data.shape[: len(kept)]), -1, 1), kept
    shape = prod(data.shape[:first]), prod(data.shape[first:last]), prod(data.shape[last:])
    return data.reshape(shape), [axis for axis in order if axis not in axes]
