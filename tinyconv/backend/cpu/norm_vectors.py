"""The vectors of batch normalisation, a number a channel: small work between two large passes.

Each function here is one compiled loop over the channels; as a dozen NumPy calls it would take
longer than the pass over the pixels of a small map. The formulas are those of the reference
kernels, in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import kernel
from .layout import Array


def wide(vector: Array | None, like: Array, default: float) -> Array:
    """Return a vector in float64, or one of a constant instead of ``None``."""
    if vector is None:
        return np.full(len(like), default)
    return np.ascontiguousarray(vector, np.float64)


def affine_vectors(
    mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float, dtype: Any
) -> Array:
    """Return centre, scale and shift as the rows of a matrix; see ``reference.norm.affine_map``."""
    result = np.empty((3, len(mean)), dtype)
    fill_affine(*_wide(mean, var), wide(weight, mean, 1), wide(bias, mean, 0), eps, result)
    return result


def folded_vectors(
    mean: Array,
    var: Array,
    weight: Array | None,
    shift: Array | None,
    eps: float,
    bias: Array | None,
    dtype: Any,
) -> Array:
    """Return the scale and the bias of a convolution whose result is normalised, as two rows."""
    result = np.empty((2, len(mean)), dtype)
    rest = wide(weight, mean, 1), wide(shift, mean, 0), wide(bias, mean, 0)
    fill_folded(*_wide(mean, var), *rest, eps, result)
    return result


def gradient_vectors(
    sums: Array, mean: Array, var: Array, weight: Array | None, eps: float, count: int, dtype: Any
) -> tuple[Array, Array]:
    """Return (centre, scale, slope, offset) and (dweight, dbias) as the rows of two matrices.

    ``sums`` (2, C) are those of ``dy`` and of ``dy * (x - centre)``.
    """
    vectors, gradients = np.empty((4, len(mean)), dtype), np.empty((2, len(mean)), dtype)
    fill_gradient(sums, *_wide(mean, var), wide(weight, mean, 1), eps, count, vectors, gradients)
    return vectors, gradients


def _wide(mean: Array, var: Array) -> tuple[Array, Array]:
    return wide(mean, mean, 0), wide(var, mean, 0)


@kernel
def fill_affine(mean, var, weight, bias, eps, result):
    """Write the rows of ``result``: ``(x - centre) * scale + shift`` is the normalised input."""
    centre, scale, shift = result
    for c in range(len(mean)):
        factor = weight[c] / np.sqrt(var[c] + eps)
        centre[c], scale[c] = mean[c], factor
        shift[c] = (np.float64(centre[c]) - mean[c]) * factor + bias[c]


@kernel
def fill_folded(mean, var, weight, shift, bias, eps, result):
    """Write the rows of ``result``: ``x * scale + offset`` is ``x + bias``, normalised."""
    scale, offset = result
    for c in range(len(mean)):
        factor = weight[c] / np.sqrt(var[c] + eps)
        scale[c], offset[c] = factor, (bias[c] - mean[c]) * factor + shift[c]


@kernel
def fill_gradient(sums, mean, var, weight, eps, count, vectors, gradients):
    """Write ``dx = scale * dy + slope * (x - centre) + offset``, and the parameters' gradients."""
    centre, scale, slope, offset = vectors
    for c in range(len(mean)):
        centre[c] = mean[c]
        rest = mean[c] - np.float64(centre[c])
        plain = sums[0, c]
        product = sums[1, c] - rest * plain
        inverse = 1 / np.sqrt(var[c] + eps)
        factor = weight[c] * inverse
        steep = -factor * inverse * inverse * product / count
        scale[c], slope[c] = factor, steep
        offset[c] = -factor * plain / count - steep * rest
        gradients[0, c], gradients[1, c] = product * inverse, plain


@kernel
def merge_moments(parts, step, rows, mean, var):
    """Write mean and biased variance of (samples, blocks, 2, C) means and sums of squares.

    Blocks have ``step`` rows, the last one what is left of ``rows``.
    """
    samples, blocks, _, channels = parts.shape
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


@kernel
def add_parts(parts, repeats, sums):
    """Add up parts (samples, blocks, 2, repeats * C) into sums (samples, 2, C)."""
    samples, blocks, _, _ = parts.shape
    channels = sums.shape[2]
    for s in range(samples):
        for b in range(blocks):
            for k in range(2):
                for r in range(repeats):
                    part = parts[s, b, k, r * channels : (r + 1) * channels]
                    for c in range(channels):
                        sums[s, k, c] += part[c]
