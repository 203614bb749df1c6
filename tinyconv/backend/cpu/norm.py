"""Batch normalisation in two passes over memory forward, and two backward.

The statistics are taken of fixed blocks that stay in cache: of each block the mean, then the sum
of squared differences from that mean. Blocks are merged by the formula of Chan, Golub and LeVeque
(1983), which never subtracts large numbers:

    mean = sum(n_i * mean_i) / n        M2 = sum(M2_i + n_i * (mean_i - mean)^2)        var = M2 / n

Sums are float64 and blocks follow from the shape alone, so the bits do not depend on threads. The
normalisation, like the gradient, is then one more pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from .jit import kernel
from .layout import Array, channels_first, channels_last, is_fast
from .threads import run_ranges

#: Elements of a block: 256 kB of float32, of which a core's cache holds several.
BLOCK = 1 << 16


def batch_norm(
    xp: Any, x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the normalised input, mean and variance; see the reference kernel."""
    if not is_fast(x, weight, bias):
        return reference.batch_norm(xp, x, weight, bias, eps)
    pixels = channels_last(x)
    rows = pixels.reshape(-1, x.shape[1]) if x.size else np.empty((0, x.shape[1]), x.dtype)
    mean, var = _statistics(rows)
    scale = _scale(var, weight, eps)
    shift = np.zeros_like(mean) if bias is None else bias.astype(np.float64)
    y = np.empty(pixels.shape, x.dtype)
    flat = y.reshape(rows.shape)
    run_ranges(lambda a, b: normalise(rows, a, b, mean, scale, shift, flat), len(rows), _step(rows))
    return channels_first(y), mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_grad(
    xp: Any,
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x, mean, var, weight):
        return reference.batch_norm_grad(xp, dy, x, mean, var, weight, eps)
    pixels, channels = channels_last(x), x.shape[1]
    shape = (-1, channels) if x.size else (0, channels)
    rows, gradient = pixels.reshape(shape), channels_last(dy).reshape(shape)
    centre, spread = mean.astype(np.float64), var.astype(np.float64)
    step = _step(rows)
    sums = np.zeros((max(-(-len(rows) // step), 1), 2, channels), np.float64)
    run_ranges(
        lambda a, b: gradient_sums(gradient, rows, a, b, centre, sums[a // step]), len(rows), step
    )
    dbias, product = sums.sum(axis=0)

    count = max(len(rows), 1)
    inverse, scale = _scale(spread, None, eps), _scale(spread, weight, eps)
    slope, offset = -scale * inverse**2 * product / count, -scale * dbias / count
    dx = np.empty(pixels.shape, x.dtype)
    flat = dx.reshape(shape)
    run_ranges(
        lambda a, b: gradient_lines(gradient, rows, a, b, centre, scale, slope, offset, flat),
        len(rows),
        step,
    )
    return channels_first(dx), (product * inverse).astype(x.dtype), dbias.astype(x.dtype)


def _statistics(rows: Array) -> tuple[Array, Array]:
    """Return the float64 mean and biased variance of each column."""
    length, channels = rows.shape
    step = _step(rows)
    parts = np.zeros((max(-(-length // step), 1), 2, channels), np.float64)
    run_ranges(lambda a, b: moments(rows, a, b, parts[a // step]), length, step)
    counts = np.full((len(parts), 1), step, np.float64)
    counts[-1] = length - step * (len(parts) - 1)
    total = max(length, 1)
    mean = (counts * parts[:, 0]).sum(axis=0) / total
    squares = (parts[:, 1] + counts * (parts[:, 0] - mean) ** 2).sum(axis=0)
    return mean, squares / total


def _scale(var: Array, weight: Array | None, eps: float) -> Array:
    """Return ``weight / sqrt(var + eps)`` in float64."""
    inverse = 1 / np.sqrt(var + eps)
    return inverse if weight is None else inverse * weight


def _step(rows: Array) -> int:
    """Return the rows of a block."""
    return max(BLOCK // max(rows.shape[1], 1), 1)


@kernel
def moments(rows, first, last, result):
    """Write the mean of each column and the sum of squared differences from it."""
    mean, squares = result[0], result[1]
    channels = rows.shape[1]
    for i in range(first, last):
        for c in range(channels):
            mean[c] += rows[i, c]
    for c in range(channels):
        mean[c] /= last - first
    for i in range(first, last):
        for c in range(channels):
            difference = rows[i, c] - mean[c]
            squares[c] += difference * difference


@kernel
def normalise(rows, first, last, mean, scale, shift, y):
    """Write ``(x - mean) * scale + shift``."""
    for i in range(first, last):
        for c in range(rows.shape[1]):
            y[i, c] = (rows[i, c] - mean[c]) * scale[c] + shift[c]


@kernel
def gradient_sums(dy, rows, first, last, mean, result):
    """Add up dy and ``dy * (x - mean)`` for each column."""
    plain, product = result[0], result[1]
    for i in range(first, last):
        for c in range(rows.shape[1]):
            plain[c] += dy[i, c]
            product[c] += dy[i, c] * (rows[i, c] - mean[c])


@kernel
def gradient_lines(dy, rows, first, last, mean, scale, slope, offset, dx):
    """Write ``scale * dy + slope * (x - mean) + offset``."""
    for i in range(first, last):
        for c in range(rows.shape[1]):
            dx[i, c] = scale[c] * dy[i, c] + slope[c] * (rows[i, c] - mean[c]) + offset[c]
