"""Batch normalisation: one pass over memory for the statistics, one for everything after them.

An image batch is a matrix of pixels and channels; :mod:`.columns` holds the loops. The pass that
normalises also adds a residual and applies a ReLU, or clips both ways, and the two passes of the
gradient also apply the mask of that, so that neither costs memory traffic of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import numpy as np

from .. import reference
from ..reference.activation import NO_LIMITS, Limits
from ..reference.norm import Prologue, bessel_correction, move_all
from .layout import FAST, Array, channels_first, channels_last, is_fast, is_plain, plain
from .loops.columns import Plan, statistics
from .loops.norm_loops import affine, batch_norm_gradient, fold, move, normalise
from .memory import empty

FLOAT64 = np.dtype(np.float64)


def batch_statistics(
    xp: Any, x: Array, averages: tuple[Array, ...] | None = None, momentum: float = 0.0
) -> tuple[Array, Array]:
    """Return mean and variance of each channel; see the reference kernel."""
    if not is_fast(x):
        return reference.batch_statistics(xp, x, averages, momentum)
    if averages is None:
        (mean,), (var,) = statistics(channels_last(x), _plan(x), None)
        return mean, var
    one, two, correction = averages[0], averages[1], bessel_correction(x.shape)
    fast = _is_fast_vector(one) and _is_fast_vector(two)
    moved = (one, two, float(momentum), correction) if fast else None
    (mean,), (var,) = statistics(channels_last(x), _plan(x), moved)
    if moved is None:
        move_all(xp, averages, mean, var, correction, momentum)
    elif len(averages) == 3:
        batches = averages[2]
        batches[()] = batches.item() + 1  # NumPy takes ten times as long for the sum
    return mean, var


def move_averages(
    xp: Any, averages: Sequence[Array], values: Sequence[Array], momentum: float
) -> None:
    """Move running averages towards new values; see the reference kernel."""
    for average, value in zip(averages, values, strict=True):
        if _is_fast_vector(average) and _is_fast_vector(value):
            move(average, value, float(momentum))
        else:
            reference.move_averages(xp, [average], [value], momentum)


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
    plan, pixels = _plan(x), channels_last(x)
    y, vectors = empty(pixels.shape, x.dtype), np.empty((1, 3, plan.line), x.dtype)
    plan.run(
        normalise, pixels.reshape(plan.flat), _rows(residual, plan), plan.step,
        *_vectors(mean, var, weight, bias), eps, vectors, _ends(*(limits or NO_LIMITS)),
        y.reshape(plan.flat),
    )  # fmt: skip
    return channels_first(y)


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
    plan, pixels = _plan(x), channels_last(x)
    rows, gradient, result = pixels.reshape(plan.flat), _rows(dy, plan), _rows(y, plan)
    ends = None if limits is None else _ends(limits[0], nan if limits[1] == inf else limits[1])
    vectors, sums = np.empty((1, 5, plan.line), x.dtype), np.zeros((1, 2, plan.channels))
    d_weight, d_bias = np.zeros(plan.channels, x.dtype), np.zeros(plan.channels, x.dtype)
    dx = empty(pixels.shape, x.dtype) if total is None else channels_last(total)
    plan.run(
        batch_norm_gradient, gradient, rows, result, ends, plan.step,
        *_vectors(mean, var, weight, bias), eps, vectors, *plan.sums(x.dtype), sums, d_weight,
        d_bias, training or None, None if total is None else True, dx.reshape(plan.flat),
    )  # fmt: skip
    return channels_first(dx), d_weight, d_bias


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
    fold(*_vectors(mean, var, weight, shift, bias), eps, result)
    return result


def prologue_of(x: Array, prologue: Prologue) -> tuple[Array, tuple[float, float]]:
    """Return the vectors, and the limits, of the map of (pixels, C) that a prologue is."""
    vectors = np.empty((3, Plan.of(1, *x.shape).line), x.dtype)
    affine(*_vectors(*prologue.norm[:4]), prologue.norm[4], vectors)
    return vectors, _ends(*prologue.limits)


def _plan(x: Array) -> Plan:
    return Plan.of(1, x.size // max(x.shape[1], 1), x.shape[1])


def _rows(x: Array | None, plan: Plan) -> Array | None:
    return None if x is None else channels_last(x).reshape(plan.flat)


def _is_fast_vector(vector: Array) -> bool:
    return vector.dtype in FAST and is_plain(vector)


def _vectors(mean: Array, var: Array, *affine: Array | None) -> list[Array | None]:
    """Return statistics in float64, and the rest as it is, all of them as kernels take arrays."""
    wide = [v if v.dtype == FLOAT64 else v.astype(FLOAT64) for v in (mean, var)]
    return [None if v is None else plain(v) for v in (*wide, *affine)]


def _ends(low: float, high: float) -> tuple[float, float]:
    return float(low), float(high)
