"""Batch normalisation: one pass over memory for the statistics, one for everything after them.

An image batch is a matrix of pixels and channels; :mod:`.columns` holds the loops. The pass that
normalises also adds a residual and applies a ReLU, or clips both ways, and the two passes of the
gradient also apply the mask of that, so that neither costs memory traffic of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from ..reference.activation import NO_LIMITS, RELU, Limits
from .activation import hardtanh_grad, relu_grad
from .columns import Mask, gradient_map, gradient_sums, map_columns, statistics
from .layout import Array, channels_last, from_pixels, is_fast
from .norm_vectors import affine_vectors, gradient_vectors


def batch_statistics(xp: Any, x: Array) -> tuple[Array, Array]:
    """Return mean and variance of each channel; see the reference kernel."""
    if not is_fast(x):
        return reference.batch_statistics(xp, x)
    mean, var = statistics(_rows(x))
    return mean[0], var[0]


def batch_norm(
    xp: Any,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    residual: Array | None,
    limits: Limits | None,
) -> Array:
    """Return the normalised input; see the reference kernel."""
    if not is_fast(x, residual):
        return reference.batch_norm(xp, x, mean, var, weight, bias, eps, residual, limits)
    centre, scale, shift = affine_vectors(mean, var, weight, bias, eps, x.dtype)[:, None]
    added = None if residual is None else _rows(residual)
    return from_pixels(map_columns(_rows(x), centre, scale, shift, added, limits or NO_LIMITS), x)


def batch_norm_grad(
    xp: Any,
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    y: Array | None,
    limits: Limits | None,
    training: bool,
    total: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x, y, total):
        return reference.batch_norm_grad(
            xp, dy, x, mean, var, weight, bias, eps, y, limits, training, total
        )
    rows, gradient, result = _rows(x), _rows(dy), None if y is None else _rows(y)
    centre, scale, shift = affine_vectors(mean, var, weight, bias, eps, x.dtype)[:, None]
    mask = None if limits is None else Mask(limits, result, scale, shift)
    (sums,) = gradient_sums(gradient, rows, mask, centre)
    count = max(rows.shape[1], 1)
    vectors, (dweight, dbias) = gradient_vectors(sums, mean, var, weight, eps, count, x.dtype)
    added = None if total is None else _rows(total)
    if training:
        centre, scale, slope, offset = vectors[:, None]
        dx = gradient_map(gradient, rows, mask, centre, scale, slope, offset, added)
    else:
        nothing, masked = np.zeros_like(vectors[:1]), gradient
        if limits is not None:
            if result is None:
                result = map_columns(rows, centre, scale, shift, None, NO_LIMITS)
            masked = clipped_grad(np, gradient, result, limits)
        dx = map_columns(masked, nothing, vectors[1:2], nothing, added, NO_LIMITS)
    return from_pixels(dx, x), dweight, dbias


def clipped_grad(xp: Any, dy: Array, y: Array, limits: Limits | None) -> Array:
    """Return ``dy``, and 0 where ``y`` is at one of the limits; infinity is no limit."""
    if limits is None or limits == RELU:
        return relu_grad(xp, dy, y)
    return hardtanh_grad(xp, dy, y, *limits)


def _rows(x: Array) -> Array:
    """Return an (N, C, *S) array as one matrix (1, N * positions, C); a view where possible."""
    channels = x.shape[1]
    if not x.size:
        return np.empty((1, 0, channels), x.dtype)
    return channels_last(x).reshape(1, -1, channels)
