"""Sums over axes in one pass over memory, on all cores.

In memory order, the axes of the array are (samples, rows, columns), and the rows are summed: for
the gradient of a convolution's bias, channels-last images are one sample with a row a pixel; for
a global average, each image is a sample; a sum over all is one column. Rows are shorter than a
vector where there are few columns, so several are taken as one *line* of at least ``LINE`` numbers.

A short run of lines is added up in the dtype of the data, in vector registers; the sums of runs are
added up in float64. So errors stay below those of adding one number after the other in float32 by
the length of a run. Blocks follow from the shape alone, so the bits do not depend on the threads.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba.extending import register_jitable

from .. import reference
from .compiler.jit import kernel
from .layout import Array, is_fast, is_plain, memory_order
from .parallel.region import shared
from .parallel.threads import share

#: Fewest elements of a line, where there are as many.
LINE = 256
#: Lines that are added up in the dtype of the data.
RUN = 32
#: Elements of a block, and of a task.
BLOCK = 1 << 16


def total(xp: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """Return the sum over axes; see the reference kernel."""
    cube = _as_cube(x, axes) if x.size and is_fast(x) else None
    if cube is None:
        return reference.total(xp, x, axes)
    data, kept, shape = cube
    samples, rows, columns = data.shape
    repeats = min(max(-(-LINE // columns), 1), rows)  # a line is not longer than there are rows
    step = max(BLOCK // (repeats * columns), 1) * repeats
    blocks = -(-rows // step)
    partial = np.empty((samples, blocks, columns), np.float64)
    flat = data.reshape(samples, rows * columns)
    wide = repeats * columns
    share(
        add_blocks, samples * blocks, max(BLOCK // max(min(step, rows) * columns, 1), 1),
        flat, step * columns, wide, partial, merge=True,
    )  # fmt: skip
    sums = partial[:, 0] if blocks == 1 else partial.sum(axis=1)
    return np.asarray(sums.astype(x.dtype).reshape(shape).transpose(np.argsort(kept)))


def _as_cube(x: Array, axes: tuple[int, ...]) -> tuple[Array, list[int], list[int]] | None:
    """Return x as (samples, rows, columns), the order of the axes kept, and their sizes."""
    order = memory_order(x)
    data = x.transpose(order)
    summed = [place for place, axis in enumerate(order) if axis in axes]
    if not summed or not is_plain(data):
        return None
    first, last = summed[0], summed[-1] + 1
    if len(summed) != last - first:  # axes that are kept lie between those that are summed
        return None
    kept = [axis for axis in order if axis not in axes]
    cube = data.reshape(
        prod(data.shape[:first]), prod(data.shape[first:last]), prod(data.shape[last:])
    )
    return cube, [sorted(kept).index(axis) for axis in kept], [x.shape[axis] for axis in kept]


@kernel
def add_blocks(board, seat, first, last, x, step, wide, result):
    """Write the sums of the columns of the blocks ``first`` to ``last``.

    ``x`` is (samples, elements), a block has ``step`` elements of it, a line ``wide``.
    """
    if shared(board, seat):
        return
    _, blocks, columns = result.shape
    run, total = np.empty(wide, x.dtype), np.empty(wide, np.float64)
    for number in range(first, last):
        sample, start = number // blocks, number % blocks * step
        end = min(start + step, x.shape[1])
        total[:] = 0
        while start < end:
            stop = min(start + RUN * wide, end)
            add_run(x[sample, start:stop], wide, run)
            for j in range(wide):
                total[j] += run[j]
            start = stop
        sums = result[sample, number % blocks]
        for c in range(columns):
            sums[c] = total[c]
        for j in range(columns, wide):
            sums[j % columns] += total[j]


@register_jitable
def add_run(x, wide, run):
    """Write the sum of the lines of x, four at a time; the last may be shorter."""
    run[:] = 0
    start = 0
    while start + 4 * wide <= len(x):
        one, two = x[start : start + wide], x[start + wide : start + 2 * wide]
        rest = x[start + 2 * wide : start + 4 * wide]
        for j in range(wide):
            run[j] += (one[j] + two[j]) + (rest[j] + rest[j + wide])
        start += 4 * wide
    while start < len(x):
        line = x[start : min(start + wide, len(x))]
        for j in range(len(line)):
            run[j] += line[j]
        start += wide
