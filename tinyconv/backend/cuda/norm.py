"""Batch normalisation: one pass over memory for the statistics, one for everything after them.

An image batch is a matrix of pixels and channels; :mod:`.loops.columns` launches the loops. The
pass that normalises also adds a residual and applies a ReLU, or clips both ways, and the two passes
of the gradient also apply the mask of that, so that neither costs memory traffic of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import reference
from ..reference.activation import Limits
from ..reference.norm import bessel_correction, move_all
from .driver.launching import name_of
from .elementwise import added
from .layout import Array, channels_first, channels_last, is_fast
from .loops.columns import VARIANTS, Averages, gradients, normalise, statistics, vectors

__all__ = ["VARIANTS", "batch_norm", "batch_norm_grad", "batch_statistics"]


def batch_statistics(
    xp: Any, x: Array, averages: tuple[Array, ...] | None = None, momentum: float = 0.0
) -> tuple[Array, Array]:
    """Return mean and variance of each channel; see the reference kernel."""
    if not is_fast(x):
        return reference.batch_statistics(xp, x, averages, momentum)
    channels = x.shape[1]
    if not x.size:
        return xp.zeros(channels, dtype=xp.float64), xp.zeros(channels, dtype=xp.float64)
    find = partial(statistics, xp, as_rows(xp, x), channels)
    return moving(xp, x.shape, averages, momentum, find)


def moving(
    xp: Any,
    shape: tuple[int, ...],
    averages: tuple[Array, ...] | None,
    momentum: float,
    find: Callable[[Averages | None], tuple[Array, Array]],
) -> tuple[Array, Array]:
    """Return the mean and variance that ``find`` returns of a batch of a shape; move averages.

    The launch of ``find`` moves them, unless they are of another dtype than float32 or have gaps.
    """
    correction, moved = bessel_correction(shape), None
    if averages is not None and all(_is_plain_vector(vector) for vector in averages[:2]):
        one, two, batches = averages if len(averages) == 3 else (*averages, None)
        moved = Averages(one, two, batches, momentum, correction)
    (mean,), (var,) = find(moved)
    if averages is not None and moved is None:
        move_all(xp, averages, mean, var, correction, momentum)
    return mean, var


def _is_plain_vector(x: Array) -> bool:
    return name_of(x.dtype) == "float32" and bool(x.flags.c_contiguous)


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
    if not x.size:
        return xp.empty_like(x)
    added = None if residual is None else as_rows(xp, residual)
    by = vectors(xp, mean[None], var[None], weight, bias, eps, x.dtype)
    return _image(xp, normalise(xp, as_rows(xp, x), by, added, limits), x)


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
    if not is_fast(dy, x, y):
        return reference.batch_norm_grad(
            xp, dy, x, mean, var, weight, bias, eps, y, limits, training, total
        )
    if not x.size:
        return xp.empty_like(x), *xp.zeros((2, x.shape[1]), dtype=xp.float32)
    result = None if y is None or limits is None else as_rows(xp, y)
    by = vectors(xp, mean[None], var[None], weight, bias, eps, x.dtype)
    rows, gradient = as_rows(xp, x), as_rows(xp, dy)
    dx, (dweight, dbias) = gradients(xp, gradient, rows, by, result, limits, training)
    return added(xp, _image(xp, dx, x), total), dweight, dbias


def as_rows(xp: Any, x: Array) -> Array:
    """Return an (N, C, *S) array as one matrix (1, N * positions, C); a view where possible."""
    return channels_last(xp, x).reshape(1, -1, x.shape[1])


def _image(xp: Any, rows: Array, like: Array) -> Array:
    """Return the matrix of :func:`as_rows` with the shape of ``like``."""
    shape = (like.shape[0], *like.shape[2:], like.shape[1])
    return channels_first(xp, rows.reshape(shape))
