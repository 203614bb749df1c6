"""The kernels of group normalisation where there are samples enough for all cores.

Nothing goes from one sample to another. So each is read from memory once: it is still in the core's
own cache when its statistics are known, and all passes are done before the next sample. A sample is
one block of :mod:`.column_loops`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ..compiler.jit import kernel
from ..parallel.region import calls, shared
from .column_lines import CENTRE, OFFSET, SCALE, SHIFT, SLOPE, map_gradient_lines, map_lines
from .column_loops import block_moments, fold, next_lines, sum_gradients
from .norm_vectors import repeat


@kernel
def normalise_samples(
    board, seat, first, last, x, channels, weight, bias, eps, limits, memory, parts, vectors,
    mean, var, y,
):  # fmt: skip
    """Write mean and variance of each group (samples, groups), and the normalised samples."""
    if shared(board, seat):
        return
    length, wide = x.shape[1], vectors.shape[2]
    for s in range(first, last):
        block_moments(s, s + 1, x, length, memory[seat], channels, parts)
        merge_channels(parts[s, 0], channels, length // channels, mean[s], var[s])
        fill_map(mean[s], var[s], weight, bias, eps, channels, vectors[s])
        own, at, stop = s * vectors.shape[1] * wide, s * length, (s + 1) * length
        while at < stop:
            rows, count = next_lines(at, stop, wide)
            map_lines(x, None, at, rows, wide, count, vectors, own, wide, limits, y, at, wide)
            at += rows * count


@kernel
def sample_gradients(
    board, seat, first, last, dy, x, channels, mean, var, weight, eps, memory, parts, vectors,
    dx, d_weight, d_bias,
):  # fmt: skip
    """Write the gradients of input, weight and bias."""
    if not shared(board, seat):
        length, wide = x.shape[1], vectors.shape[2]
        for s in range(first, last):
            fill_map(mean[s], var[s], weight, None, eps, channels, vectors[s])
            sum_gradients(s, s + 1, dy, x, None, None, length, vectors, memory[seat], parts)
            fold(parts[s, 0, 0], channels)
            fold(parts[s, 0, 1], channels)
            count = length // len(mean[s])
            fill_gradient_map(parts[s, 0], mean[s], var[s], weight, eps, count, channels,
                              vectors[s])  # fmt: skip
            own, at, stop = s * vectors.shape[1] * wide, s * length, (s + 1) * length
            while at < stop:
                rows, count = next_lines(at, stop, wide)
                map_gradient_lines(dy, x, None, at, rows, wide, count, vectors, own, wide, None,
                                   True, None, dx)  # fmt: skip
                at += rows * count
    if calls(board, seat):
        for c in range(channels):
            plain = product = 0.0
            for s in range(len(x)):
                plain, product = plain + parts[s, 0, 0, c], product + parts[s, 0, 1, c]
            d_bias[c], d_weight[c] = plain, product


@register_jitable
def merge_channels(parts, channels, rows, mean, var):
    """Write mean and variance of groups, from means and sums of squares (2, C) of channels."""
    size = channels // len(mean)
    for g in range(len(mean)):
        centre = square = 0.0
        for c in range(g * size, (g + 1) * size):
            centre += parts[0, c]
        centre /= size
        for c in range(g * size, (g + 1) * size):
            difference = parts[0, c] - centre
            square += parts[1, c] + rows * difference * difference
        mean[g], var[g] = centre, square / (rows * size)


@register_jitable
def fill_map(mean, var, weight, bias, eps, channels, vectors):
    """Write centre, scale and shift of a sample: ``(x - centre) * scale + shift``."""
    centre, scale, shift = vectors[CENTRE], vectors[SCALE], vectors[SHIFT]
    size = channels // len(mean)
    for c in range(channels):
        m = mean[c // size]
        factor = (1.0 if weight is None else weight[c]) / np.sqrt(var[c // size] + eps)
        centre[c], scale[c] = m, factor
        rest = (np.float64(centre[c]) - m) * factor
        shift[c] = rest if bias is None else rest + bias[c]
    for vector in (centre, scale, shift):
        repeat(vector, channels)


@register_jitable
def fill_gradient_map(sums, mean, var, weight, eps, count, channels, vectors):
    """Write slope and offset of a sample: ``scale * dy + slope * (x - centre) + offset``.

    ``sums`` (2, C) are those of ``dy`` and of ``dy * (x - centre)``, for each channel; they become
    what the sample adds to the gradients of bias and weight. A group has ``count`` elements.
    """
    centre, slope, offset = vectors[CENTRE], vectors[SLOPE], vectors[OFFSET]
    size = channels // len(mean)
    for g in range(len(mean)):
        inverse, plain, product = 1 / np.sqrt(var[g] + eps), 0.0, 0.0
        rest = mean[g] - np.float64(centre[g * size])
        for c in range(g * size, (g + 1) * size):
            sums[1, c] -= rest * sums[0, c]
            gamma = 1.0 if weight is None else weight[c]
            plain, product = plain + gamma * sums[0, c], product + gamma * sums[1, c]
            sums[1, c] *= inverse
        steep = -inverse * inverse * inverse * product / count
        for c in range(g * size, (g + 1) * size):
            slope[c], offset[c] = steep, -inverse * plain / count - steep * rest
    for vector in (slope, offset):
        repeat(vector, channels)
