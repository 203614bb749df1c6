"""The loops of :mod:`.columns`: sums and maps of blocks of lines.

Data is (samples, elements); a sample has as many blocks of ``step`` elements as it takes, the last
one may be shorter. Blocks are numbered through all samples. ``vectors`` are (samples, rows, line):
what belongs to the columns, see :mod:`.column_lines`, where the innermost loops are. ``memory`` has
a row for each seat, of three lines: arrays that two threads get from Numba may be neighbours, and
then each takes the other's from its cache.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ..compiler.jit import kernel
from ..parallel.region import calls, shared
from .column_lines import add_differences, add_gradient_lines, map_gradient_lines, map_lines
from .norm_vectors import add_parts, merge_moments, move_average

#: Lines whose sums are taken in the dtype of the data before they go to float64.
RUN = 64
#: Most and fewest lines that are gone through together, and the elements that are enough. A run
#: has several times as many lines.
MOST_LINES, FEWEST_LINES, TOGETHER = 16, 4, 1 << 11


@register_jitable
def place(number, step, length):
    """Return sample, block in the sample, and the first and last element of a block."""
    blocks = (length + step - 1) // step
    sample, block = number // blocks, number % blocks
    start = sample * length + block * step
    return sample, block, start, start + min(step, length - block * step)


@register_jitable
def together(wide):
    """Return how many lines of ``wide`` elements are gone through together."""
    lines = MOST_LINES
    while lines > FEWEST_LINES and lines * wide > TOGETHER:
        lines //= 2
    return lines


@register_jitable
def next_lines(at, stop, wide):
    """Return how many lines of ``wide`` elements come next, and their length; the last is shorter.

    No more than are taken together.
    """
    rows = min((stop - at) // wide, together(wide))
    return (rows, wide) if rows > 0 else (1, stop - at)


@kernel
def moments(board, seat, first, last, x, step, memory, parts, moved, mean, var):
    """Write mean and biased variance of each column of each sample, from those of the blocks.

    Averages are ``moved``, if there are any; see :func:`~.columns.statistics`.
    """
    channels = mean.shape[1]
    if not shared(board, seat):
        block_moments(first, last, x, step, memory[seat], channels, parts)
    if calls(board, seat):
        merge_moments(parts, step // channels, x.shape[1] // channels, mean, var)
        if moved is not None:
            mean_average, var_average, momentum, factor = moved
            move_average(mean_average, mean[0], 1.0, momentum)
            move_average(var_average, var[0], factor, momentum)


@register_jitable
def block_moments(first, last, x, step, memory, channels, result):
    """Write the mean of each channel of each block, and the sum of squared differences from it."""
    data, wide = x.reshape(-1), result.shape[3]
    centre, plain, square = memory[:wide], memory[wide : 2 * wide], memory[2 * wide : 3 * wide]
    plain[:], square[:] = 0, 0
    for number in range(first, last):
        sample, block, at, stop = place(number, step, x.shape[1])
        part, run = channels / (stop - at), 0
        find_centre(data[at:stop], channels, centre)
        total, squares = result[sample, block]
        total[:], squares[:] = 0, 0
        while at < stop:
            rows, count = next_lines(at, stop, wide)
            add_differences(x, at, rows, wide, count, centre, plain, square)
            at, run = at + rows * count, run + rows
            if run >= RUN or at >= stop:
                flush(plain, total)
                flush(square, squares)
                run = 0
        fold(total, channels)
        fold(squares, channels)
        for c in range(channels):
            mean = total[c] * part
            difference = squares[c] - total[c] * mean
            total[c], squares[c] = centre[c] + mean, 0.0 if difference < 0.0 else difference


@register_jitable
def find_centre(x, channels, centre):
    """Write, for each column, the mean of the first eighth of the block.

    It is within ``sqrt(7)`` standard deviations of the mean of the block, whatever the data.
    """
    wide = len(centre)
    centre[:] = 0
    sample = min(max(len(x) // wide // 8, 1) * wide, len(x))
    for at in range(0, sample, wide):
        line = x[at : min(at + wide, sample)]
        for j in range(len(line)):
            centre[j] += line[j]
    fold(centre, channels)
    part, zero = x.dtype.type(channels / sample), x.dtype.type(0)
    for c in range(channels):
        mean = centre[c] * part
        centre[c] = mean if abs(mean) < np.inf else zero
    for j in range(channels, wide):
        centre[j] = centre[j - channels]


@register_jitable
def fold(sums, channels):
    """Add up what belongs to the same channel, in the first columns of a line."""
    for start in range(channels, len(sums), channels):
        more = sums[start : start + channels]
        for c in range(channels):
            sums[c] += more[c]


@register_jitable
def flush(sums, total):
    """Move the sums of a run to float64."""
    for j in range(len(sums)):
        total[j] += sums[j]
        sums[j] = 0


@kernel
def map_blocks(board, seat, first, last, x, other, step, vectors, limits, y):
    """Write ``(x - centre) * scale + shift + other``, clipped."""
    if not shared(board, seat):
        map_all(first, last, x, other, step, vectors, limits, y)


@register_jitable
def map_all(first, last, x, other, step, vectors, limits, y):
    """Do so for some blocks."""
    wide = vectors.shape[2]
    for number in range(first, last):
        sample, _, at, stop = place(number, step, x.shape[1])
        own = sample * vectors.shape[1] * wide
        while at < stop:
            rows, count = next_lines(at, stop, wide)
            map_lines(x, other, at, rows, wide, count, vectors, own, wide, limits, y, at, wide)
            at += rows * count


@register_jitable
def map_rows(x, channels, first, rows, at, count, vectors, limits, y, gap):
    """Write columns ``at`` to ``at + count`` of some rows of a matrix to ``y``, mapped so.

    Rows of ``y`` have gaps between them.
    """
    wide = vectors.shape[1]
    if count == channels and gap == 0:  # rows lie one behind the other
        begin, stop = first * channels, (first + rows) * channels
        at = begin
        while at < stop:
            lines, length = next_lines(at, stop, wide)
            map_lines(x, None, at, lines, wide, length, vectors, 0, wide, limits, y, at - begin,
                      wide)  # fmt: skip
            at += lines * length
        return
    some, step = together(channels), count + gap
    for i in range(0, rows, some):
        start, lines = (first + i) * channels + at, min(some, rows - i)
        map_lines(x, None, start, lines, channels, count, vectors, at, wide, limits, y, i * step,
                  step)  # fmt: skip


@kernel
def sum_gradient_blocks(board, seat, first, last, dy, x, step, vectors, memory, parts, sums):
    """Add up ``dy`` and ``dy * (x - centre)`` for each column of each sample."""
    if not shared(board, seat):
        sum_gradients(first, last, dy, x, None, None, step, vectors, memory[seat], parts)
    if calls(board, seat):
        add_parts(parts, sums)


@register_jitable
def sum_gradients(first, last, dy, x, y, limits, step, vectors, memory, result):
    """Add up the same for each place in a line of some blocks."""
    wide = vectors.shape[2]
    plain, product = memory[:wide], memory[wide : 2 * wide]
    plain[:], product[:] = 0, 0
    for number in range(first, last):
        sample, block, at, stop = place(number, step, x.shape[1])
        own, run = sample * vectors.shape[1] * wide, 0
        total, products = result[sample, block]
        total[:], products[:] = 0, 0
        while at < stop:
            rows, count = next_lines(at, stop, wide)
            add_gradient_lines(dy, x, y, at, rows, wide, count, vectors, own, wide, limits, plain,
                               product)  # fmt: skip
            at, run = at + rows * count, run + rows
            if run >= RUN or at >= stop:
                flush(plain, total)
                flush(product, products)
                run = 0


@kernel
def map_gradient_blocks(
    board, seat, first, last, dy, x, y, limits, step, vectors, moving, add, dx
):  # fmt: skip
    """Write ``scale * dy + slope * (x - centre) + offset``, or ``scale * dy``.

    Or add it to what is there.
    """
    if shared(board, seat):
        return
    wide = vectors.shape[2]
    for number in range(first, last):
        sample, _, at, stop = place(number, step, x.shape[1])
        own = sample * vectors.shape[1] * wide
        while at < stop:
            rows, count = next_lines(at, stop, wide)
            map_gradient_lines(dy, x, y, at, rows, wide, count, vectors, own, wide, limits, moving,
                               add, dx)  # fmt: skip
            at += rows * count
