"""The loops of :mod:`.columns`: sums and maps of blocks of lines.

Data is (samples, elements); a sample has as many blocks of ``step`` elements as it takes, the last
one may be shorter. Blocks are numbered through all samples. Vectors belong to a sample, and have
the length of a line.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from .jit import kernel
from .region import shared

#: Lines whose sums are taken in the dtype of the data before they go to float64.
RUN = 64


@register_jitable
def place(number, step, length):
    """Return sample, start and end of a block."""
    blocks = (length + step - 1) // step
    start = number % blocks * step
    return number // blocks, start, min(start + step, length)


@kernel
def block_moments(board, seat, first, last, x, step, wide, result):
    """Write the mean of each column of each block, and the sum of squared differences from it."""
    if shared(board, seat):
        return
    channels = result.shape[3]
    centre, sums = np.zeros(wide, x.dtype), np.zeros((2, wide), np.float64)
    for number in range(first, last):
        sample, start, end = place(number, step, x.shape[1])
        block = x[sample, start:end]
        find_centre(block, channels, centre)
        add_differences(block, centre, sums[0], sums[1])
        means, squares = result[sample, start // step]
        rows = len(block) / channels
        for c in range(channels):
            plain, square = 0.0, 0.0
            for j in range(c, wide, channels):
                plain += sums[0, j]
                square += sums[1, j]
            means[c] = centre[c] + plain / rows
            difference = square - plain * plain / rows
            squares[c] = 0.0 if difference < 0.0 else difference
        sums[:] = 0


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
    for c in range(channels):
        for j in range(c + channels, wide, channels):
            centre[c] += centre[j]
        centre[c] *= x.dtype.type(channels / sample)
        if not abs(centre[c]) < np.inf:
            centre[c] = 0
        for j in range(c + channels, wide, channels):
            centre[j] = centre[c]


@register_jitable
def add_differences(x, centre, total, squares):
    """Add up ``x - centre`` and its square for each element of a line."""
    wide = len(centre)
    plain, square = np.zeros(wide, x.dtype), np.zeros(wide, x.dtype)
    at, run = 0, 0
    while at + 4 * wide <= len(x):
        first, second = x[at : at + wide], x[at + wide : at + 2 * wide]
        third, fourth = x[at + 2 * wide : at + 3 * wide], x[at + 3 * wide : at + 4 * wide]
        for j in range(wide):
            h = centre[j]
            p, q, r, s = first[j] - h, second[j] - h, third[j] - h, fourth[j] - h
            plain[j] += (p + q) + (r + s)
            square[j] += (p * p + q * q) + (r * r + s * s)
        at += 4 * wide
        run += 4
        if run == RUN:
            flush(plain, total)
            flush(square, squares)
            run = 0
    while at < len(x):
        line = x[at : min(at + wide, len(x))]
        for j in range(len(line)):
            p = line[j] - centre[j]
            plain[j] += p
            square[j] += p * p
        at += wide
    flush(plain, total)
    flush(square, squares)


@register_jitable
def flush(sums, total):
    """Move the sums of a run to float64."""
    for j in range(len(sums)):
        total[j] += sums[j]
        sums[j] = 0


@kernel
def map_blocks(
    board, seat, first, last, x, step, centres, scales, shifts, other, low, high, y
):  # fmt: skip
    """Write ``(x - centre) * scale + shift + other``, clipped; NaN stays NaN."""
    if shared(board, seat):
        return
    wide = centres.shape[1]
    for number in range(first, last):
        sample, start, end = place(number, step, x.shape[1])
        centre, scale, shift = centres[sample], scales[sample], shifts[sample]
        for at in range(start, end, wide):
            stop = min(at + wide, end)
            line, out = x[sample, at:stop], y[sample, at:stop]
            if other is None:
                for j in range(len(line)):
                    v = (line[j] - centre[j]) * scale[j] + shift[j]
                    out[j] = low if v <= low else (high if v >= high else v)
            else:
                more = other[sample, at:stop]
                for j in range(len(line)):
                    v = (line[j] - centre[j]) * scale[j] + shift[j] + more[j]
                    out[j] = low if v <= low else (high if v >= high else v)


@register_jitable
def masked(y, low, high, gradient, zero):
    """Return a gradient, or 0 where ``y`` is at one of the ends."""
    return zero if y <= low or y >= high else gradient


@kernel
def sum_gradient_blocks(
    board, seat, first, last, dy, x, y, scales, shifts, low, high, step, centres, result
):  # fmt: skip
    """Add up ``dy``, 0 where y is at an end, and ``dy * (x - centre)`` for each place in a line."""
    if shared(board, seat):
        return
    wide, zero = centres.shape[1], x.dtype.type(0)
    plain, product = np.zeros(wide, x.dtype), np.zeros(wide, x.dtype)
    for number in range(first, last):
        sample, start, end = place(number, step, x.shape[1])
        centre, (total, products) = centres[sample], result[sample, start // step]
        run = 0
        for at in range(start, end, wide):
            stop = min(at + wide, end)
            line, gradient = x[sample, at:stop], dy[sample, at:stop]
            if shifts is not None:
                scale, shift = scales[sample], shifts[sample]
                for j in range(len(line)):
                    difference = line[j] - centre[j]
                    v = masked(difference * scale[j] + shift[j], low, high, gradient[j], zero)
                    plain[j] += v
                    product[j] += v * difference
            elif y is None:
                for j in range(len(line)):
                    plain[j] += gradient[j]
                    product[j] += gradient[j] * (line[j] - centre[j])
            else:
                mask = y[sample, at:stop]
                for j in range(len(line)):
                    v = masked(mask[j], low, high, gradient[j], zero)
                    plain[j] += v
                    product[j] += v * (line[j] - centre[j])
            run += 1
            if run == RUN:
                flush(plain, total)
                flush(product, products)
                run = 0
        flush(plain, total)
        flush(product, products)


@kernel
def map_gradient_blocks(
    board, seat, first, last, dy, x, y, _, shifts, low, high, step, centres, scales, slopes,
    offsets, add, dx,
):  # fmt: skip
    """Write ``scale * dy + slope * (x - centre) + offset``, or add it to what is there."""
    if shared(board, seat):
        return
    wide, zero = centres.shape[1], x.dtype.type(0)
    for number in range(first, last):
        sample, start, end = place(number, step, x.shape[1])
        centre, scale = centres[sample], scales[sample]
        slope, offset = slopes[sample], offsets[sample]
        for at in range(start, end, wide):
            stop = min(at + wide, end)
            line, gradient, out = x[sample, at:stop], dy[sample, at:stop], dx[sample, at:stop]
            if shifts is not None:
                shift = shifts[sample]
                for j in range(len(line)):
                    difference = line[j] - centre[j]
                    v = masked(difference * scale[j] + shift[j], low, high, gradient[j], zero)
                    rest = slope[j] * difference + offset[j]
                    out[j] = (out[j] if add else zero) + (scale[j] * v + rest)
            elif y is None:
                for j in range(len(line)):
                    rest = slope[j] * (line[j] - centre[j]) + offset[j]
                    out[j] = (out[j] if add else zero) + (scale[j] * gradient[j] + rest)
            else:
                mask = y[sample, at:stop]
                for j in range(len(line)):
                    v = masked(mask[j], low, high, gradient[j], zero)
                    rest = slope[j] * (line[j] - centre[j]) + offset[j]
                    out[j] = (out[j] if add else zero) + (scale[j] * v + rest)
