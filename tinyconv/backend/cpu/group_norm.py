"""Group and instance normalisation: a matrix of pixels and channels for each sample.

The loops are those of batch normalisation, see :mod:`.columns`. What belongs to a group is put
together from its channels, between the passes over memory, in vectors as short as the channels.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from ..reference.activation import NO_LIMITS
from ..reference.group_norm import by_channel, group_gradient
from ..reference.norm import affine_map, scale_of
from .columns import Plan, gradient_map, gradient_sums, map_columns, statistics
from .layout import Array, channels_last, from_pixels, is_fast


def group_statistics(xp: Any, x: Array, groups: int) -> tuple[Array, Array]:
    """Return mean and variance of each group of each sample; see the reference kernel."""
    if not is_fast(x) or not x.size:
        return reference.group_statistics(xp, x, groups)
    rows = _matrices(x)
    mean, var = statistics(rows, Plan.of(*rows.shape))
    positions, shape = prod(x.shape[2:]), (x.shape[0], groups, -1)
    mean, squares = merge(positions, mean.reshape(shape), var.reshape(shape) * positions, axis=2)
    return mean, squares / (positions * (x.shape[1] // groups))


def merge(counts: Any, means: Array, squares: Array, axis: int) -> tuple[Array, Array]:
    """Return mean and sum of squared differences of several parts put together."""
    if means.shape[axis] == 1:
        return means.sum(axis=axis), squares.sum(axis=axis)
    counts = np.broadcast_to(counts, means.shape)
    mean = (counts * means).sum(axis=axis) / np.maximum(counts.sum(axis=axis), 1)
    difference = means - np.expand_dims(mean, axis)
    return mean, (squares + counts * difference**2).sum(axis=axis)


def group_norm(
    xp: Any,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> Array:
    """Return the normalised input; see the reference kernel."""
    if not is_fast(x) or not x.size:
        return reference.group_norm(xp, x, mean, var, weight, bias, eps)
    scale = by_channel(np, x, scale_of(np, var, None, eps))
    if weight is not None:
        scale = scale * weight
    vectors = affine_map(np, by_channel(np, x, mean), scale, bias, x.dtype)
    return from_pixels(map_columns(_matrices(x), *vectors, None, NO_LIMITS), x)


def group_norm_grad(
    xp: Any, dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x) or not x.size:
        return reference.group_norm_grad(xp, dy, x, mean, var, weight, eps)
    rows, gradient = _matrices(x), _matrices(dy)
    centre = by_channel(np, x, mean).astype(x.dtype)
    sums = gradient_sums(gradient, rows, centre).swapaxes(0, 1)
    maps, dweight, dbias = group_gradient(np, x, mean, var, weight, eps, *sums)
    return from_pixels(gradient_map(gradient, rows, centre, *maps), x), dweight, dbias


def _matrices(x: Array) -> Array:
    """Return an (N, C, *S) array as (N, positions, C); a view where possible."""
    return channels_last(x).reshape(x.shape[0], -1, x.shape[1])
