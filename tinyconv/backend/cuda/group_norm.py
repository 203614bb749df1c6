"""Group and instance normalisation: a matrix of pixels and channels for each sample.

The loops are those of batch normalisation, see :mod:`.loops.columns`; a group of columns has
statistics together. The gradients of weight and bias are first those of each sample, and then
added up.
"""

from __future__ import annotations

from typing import Any

from .. import reference
from .layout import Array, channels_first, channels_last, is_fast
from .loops import columns
from .loops.columns import VARIANTS, statistics, vectors
from .reduction import add_parts

__all__ = ["VARIANTS", "group_norm", "group_norm_grad"]


def group_norm(
    xp: Any, x: Array, groups: int, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the normalised input, means and variances; see the reference kernel."""
    if not is_fast(x):
        return reference.group_norm(xp, x, groups, weight, bias, eps)
    if not x.size:
        shape = len(x), groups
        nothing = xp.zeros(shape, dtype=xp.float64), xp.zeros(shape, dtype=xp.float64)
        return xp.empty_like(x), *nothing
    rows = _matrices(xp, x)
    mean, var = statistics(xp, rows, groups)
    by = vectors(xp, mean, var, weight, bias, eps, x.dtype)
    return _images(xp, columns.normalise(xp, rows, by, None, None), x), mean, var


def group_norm_grad(
    xp: Any, dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x):
        return reference.group_norm_grad(xp, dy, x, mean, var, weight, eps)
    samples, channels = x.shape[:2]
    if not x.size:
        return xp.empty_like(x), *xp.zeros((2, channels), dtype=xp.float32)
    by = vectors(xp, mean, var, weight, None, eps, x.dtype)
    rows, gradient = _matrices(xp, x), _matrices(xp, dy)
    dx, shares = columns.gradients(xp, gradient, rows, by, None, None, True)
    if samples > 1:
        shares = add_parts(xp, shares.reshape(1, samples, 2 * channels), xp.float32)
        shares = shares.reshape(2, channels)
    dweight, dbias = shares
    return _images(xp, dx, x), dweight, dbias


def _matrices(xp: Any, x: Array) -> Array:
    """Return an (N, C, *S) array as (N, positions, C); a view where possible."""
    return channels_last(xp, x).reshape(x.shape[0], -1, x.shape[1])


def _images(xp: Any, rows: Array, like: Array) -> Array:
    """Return the matrices of :func:`_matrices` with the shape of ``like``."""
    shape = (like.shape[0], *like.shape[2:], like.shape[1])
    return channels_first(xp, rows.reshape(shape))
