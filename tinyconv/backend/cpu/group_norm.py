"""Group and instance normalisation: a matrix of pixels and channels for each sample.

Where there are samples enough, each core takes some, see :mod:`.sample_norm_loops`. Else the loops
are those of batch normalisation, see :mod:`.columns`; what belongs to a group is put together from
its channels, between the passes over memory, in vectors as short as the channels.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from ..reference.activation import NO_LIMITS
from ..reference.group_norm import by_channel, group_gradient
from ..reference.norm import affine_map, scale_of
from .layout import Array, channels_last, from_pixels, is_fast, plain
from .loops.columns import MOST, TASK, Plan, gradient_map, gradient_sums, map_columns, statistics
from .loops.sample_norm_loops import normalise_samples, sample_gradients
from .memory import empty
from .parallel.threads import scratch, share

#: Samples that are enough for all cores.
MANY = 8


def group_norm(
    xp: Any, x: Array, groups: int, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the normalised input, means and variances; see the reference kernel."""
    if not is_fast(x) or not x.size:
        return reference.group_norm(xp, x, groups, weight, bias, eps)
    rows = _matrices(x)
    if _one_core_a_sample(rows):
        return _normalised_by_sample(rows, groups, weight, bias, eps, x)
    mean, var = statistics(rows, Plan.of(*rows.shape))
    positions, shape = prod(x.shape[2:]), (x.shape[0], groups, -1)
    mean, squares = merge(positions, mean.reshape(shape), var.reshape(shape) * positions, axis=2)
    var = squares / (positions * (x.shape[1] // groups))
    scale = by_channel(np, x, scale_of(np, var, None, eps))
    if weight is not None:
        scale = scale * weight
    vectors = affine_map(np, by_channel(np, x, mean), scale, bias, x.dtype)
    return from_pixels(map_columns(rows, *vectors, None, NO_LIMITS), x), mean, var


def group_norm_grad(
    xp: Any, dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x) or not x.size:
        return reference.group_norm_grad(xp, dy, x, mean, var, weight, eps)
    rows, gradient = _matrices(x), _matrices(dy)
    if _one_core_a_sample(rows):
        return _gradients_by_sample(gradient, rows, mean, var, weight, eps, x)
    centre = by_channel(np, x, mean).astype(x.dtype)
    sums = gradient_sums(gradient, rows, centre).swapaxes(0, 1)
    maps, dweight, dbias = group_gradient(np, x, mean, var, weight, eps, *sums)
    return from_pixels(gradient_map(gradient, rows, centre, *maps), x), dweight, dbias


def _one_core_a_sample(rows: Array) -> bool:
    """Return whether a core does all of a sample (samples, positions, C), which is in its cache."""
    return rows[0].size <= MOST and (len(rows) >= MANY or rows.size <= TASK)


def _normalised_by_sample(
    rows: Array, groups: int, weight: Array | None, bias: Array | None, eps: float, x: Array
) -> tuple[Array, Array, Array]:
    """Return what :func:`group_norm` does."""
    plan, y = Plan.of(*rows.shape), empty(rows.shape, x.dtype)
    mean, var = np.empty((len(x), groups)), np.empty((len(x), groups))
    share(
        normalise_samples, len(x), TASK // rows[0].size,
        rows.reshape(plan.flat), plan.channels, _vector(weight), _vector(bias), eps,
        tuple(map(float, NO_LIMITS)), *_memory(plan, x.dtype, 3), mean, var, y.reshape(plan.flat),
        merge=True,
    )  # fmt: skip
    return from_pixels(y, x), mean, var


def _gradients_by_sample(
    gradient: Array, rows: Array, mean: Array, var: Array, weight: Array | None, eps: float,
    x: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return what :func:`group_norm_grad` does."""
    plan, dx = Plan.of(*rows.shape), empty(rows.shape, x.dtype)
    d_weight, d_bias = np.empty(plan.channels, x.dtype), np.empty(plan.channels, x.dtype)
    share(
        sample_gradients, len(x), TASK // rows[0].size,
        gradient.reshape(plan.flat), rows.reshape(plan.flat), plan.channels, plain(mean),
        plain(var), _vector(weight), eps, *_memory(plan, x.dtype, 5), dx.reshape(plan.flat),
        d_weight, d_bias, merge=True,
    )  # fmt: skip
    return from_pixels(dx, x), d_weight, d_bias


def _memory(plan: Plan, dtype: Any, vectors: int) -> tuple[Array, Array, Array]:
    """Return memory for three lines of each seat; for sums and vectors of each sample."""
    samples, line = plan.flat[0], plan.line
    parts, maps = np.empty((samples, 1, 2, line)), np.empty((samples, vectors, line), dtype)
    return scratch(3 * line, dtype, 0), parts, maps


def _vector(values: Array | None) -> Array | None:
    return None if values is None else plain(values)


def merge(counts: Any, means: Array, squares: Array, axis: int) -> tuple[Array, Array]:
    """Return mean and sum of squared differences of several parts put together."""
    if means.shape[axis] == 1:
        return means.sum(axis=axis), squares.sum(axis=axis)
    counts = np.broadcast_to(counts, means.shape)
    mean = (counts * means).sum(axis=axis) / np.maximum(counts.sum(axis=axis), 1)
    difference = means - np.expand_dims(mean, axis)
    return mean, (squares + counts * difference**2).sum(axis=axis)


def _matrices(x: Array) -> Array:
    """Return an (N, C, *S) array as (N, positions, C); a view where possible."""
    return channels_last(x).reshape(x.shape[0], -1, x.shape[1])
