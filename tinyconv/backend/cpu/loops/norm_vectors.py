"""The vectors of batch normalisation, a number a channel: small work between two large passes.

Each function here is a loop over the channels, compiled into the kernel whose pass comes before or
after it; as a dozen NumPy calls it would take longer than the pass over the pixels of a small map.
The formulas are those of the reference kernels, in float64. Vectors for a line of several pixels
(see :mod:`.columns`) have the numbers of the channels as often.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from .column_lines import CENTRE, OFFSET, SCALE, SHIFT, SLOPE


@register_jitable
def fill_affine(mean, var, weight, bias, eps, vectors):
    """Write centre, scale and shift: ``(x - centre) * scale + shift`` is the normalised input."""
    centre, scale, shift = vectors[CENTRE], vectors[SCALE], vectors[SHIFT]
    for c in range(len(mean)):
        factor = (1.0 if weight is None else weight[c]) / np.sqrt(var[c] + eps)
        centre[c], scale[c] = mean[c], factor
        rest = (np.float64(centre[c]) - mean[c]) * factor
        shift[c] = rest if bias is None else rest + bias[c]
    for vector in (centre, scale, shift):
        repeat(vector, len(mean))


@register_jitable
def fill_gradient(sums, mean, var, weight, eps, count, vectors, d_weight, d_bias):
    """Write slope and offset: ``dx = scale * dy + slope * (x - centre) + offset``.

    The other vectors are there already. ``sums`` (2, C) are those of ``dy`` and of
    ``dy * (x - centre)``; ``d_weight`` and ``d_bias`` are the gradients of weight and bias.
    """
    centre, slope, offset = vectors[CENTRE], vectors[SLOPE], vectors[OFFSET]
    for c in range(len(mean)):
        rest = mean[c] - np.float64(centre[c])
        plain = sums[0, c]
        product = sums[1, c] - rest * plain
        inverse = 1 / np.sqrt(var[c] + eps)
        factor = inverse if weight is None else weight[c] * inverse
        steep = -factor * inverse * inverse * product / count
        slope[c], offset[c] = steep, -factor * plain / count - steep * rest
        d_weight[c], d_bias[c] = product * inverse, plain
    for vector in (slope, offset):
        repeat(vector, len(mean))


@register_jitable
def repeat(vector, channels):
    """Repeat the first ``channels`` numbers in those after them."""
    for j in range(channels, len(vector)):
        vector[j] = vector[j - channels]


@register_jitable
def merge_moments(parts, step, rows, mean, var):
    """Write mean and biased variance of means and sums of squares (samples, blocks, 2, C or more).

    Blocks have ``step`` rows, the last one what is left of ``rows``.
    """
    blocks, (samples, channels) = parts.shape[1], mean.shape
    mean[:], var[:] = 0, 0
    for s in range(samples):
        for b in range(blocks):
            count = min(step, rows - b * step)
            for c in range(channels):
                mean[s, c] += count * parts[s, b, 0, c]
        for c in range(channels):
            mean[s, c] /= rows
        for b in range(blocks):
            count = min(step, rows - b * step)
            for c in range(channels):
                difference = parts[s, b, 0, c] - mean[s, c]
                var[s, c] += parts[s, b, 1, c] + count * difference * difference
        for c in range(channels):
            var[s, c] /= rows


@register_jitable
def move_average(average, value, factor, momentum):
    """Move an average towards a new value times ``factor``."""
    kind = average.dtype.type
    kept, taken = kind(1 - momentum), kind(momentum)
    for c in range(len(average)):
        average[c] = average[c] * kept + kind(value[c] * factor) * taken


@register_jitable
def add_parts(parts, sums):
    """Add up parts (samples, blocks, 2, repeats * C) into sums (samples, 2, C), zeros at first."""
    samples, blocks, _, wide = parts.shape
    channels = sums.shape[2]
    for s in range(samples):
        for b in range(blocks):
            for k in range(2):
                for r in range(0, wide, channels):
                    part = parts[s, b, k, r : r + channels]
                    for c in range(channels):
                        sums[s, k, c] += part[c]
