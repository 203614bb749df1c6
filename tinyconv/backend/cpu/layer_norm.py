"""Layer normalisation: each row of a matrix is normalised while it is in cache.

One pass over memory forward, one backward. The loops are in :mod:`.row_loops`; blocks
of rows follow from the shape alone, so the bits do not depend on the threads.

Where the last three dimensions of an image are normalised over, their order does not matter, so
channels-last memory is taken as it is, with weight and bias rearranged to fit.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .layout import Array, is_fast, plain
from .loops.row_loops import gradient_rows, normalise_rows
from .memory import empty
from .parallel.threads import share

#: Elements that are worth a task.
TASK = 1 << 14
#: Fewest elements of a block, which has sums of its own for weight and bias.
BLOCK = 1 << 16
#: Sums of all blocks that may be kept, where that leaves enough blocks for a few cores.
SUMS = 1 << 20


def layer_norm(
    xp: Any, x: Array, dims: int, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the normalised input, mean and variance; see the reference kernel."""
    if not is_fast(x, weight, bias) or not x.size:
        return reference.layer_norm(xp, x, dims, weight, bias, eps)

    order = _order(x, dims)
    rows = _rows(x, dims, order)
    y, mean, var = empty(rows.shape, rows.dtype), np.empty(len(rows)), np.empty(len(rows))
    scale, shift = _columns(weight, order, rows, 1), _columns(bias, order, rows, 0)
    share(
        normalise_rows, len(rows), TASK // rows.shape[1],
        rows, scale, shift, eps, y, mean, var, merge=True,
    )  # fmt: skip
    batch = x.shape[: x.ndim - dims]
    return _image(y, x, order), mean.reshape(batch), var.reshape(batch)


def layer_norm_grad(
    xp: Any, dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x, weight) or not x.size:
        return reference.layer_norm_grad(xp, dy, x, mean, var, weight, eps)

    dims = x.ndim - mean.ndim
    order = _order(x, dims)
    rows, gradient = _rows(x, dims, order), _rows(dy, dims, order)
    means, inverse = mean.reshape(-1), 1 / np.sqrt(var.reshape(-1) + eps)
    scale = _columns(weight, order, rows, 1)
    most = min(max(SUMS // rows.shape[1], 4), 16)
    step = max(BLOCK // rows.shape[1], -(-len(rows) // most), 1)
    dx = empty(rows.shape, rows.dtype)
    parts = np.zeros((-(-len(rows) // step), 2, rows.shape[1]), np.float64)
    share(
        gradient_rows, len(rows), step,
        gradient, rows, means, inverse, scale, dx, step, parts,
    )  # fmt: skip
    dweight, dbias = (_like_weight(s.astype(x.dtype), x, dims, order) for s in parts.sum(axis=0))
    return _image(dx, x, order), dweight, dbias


def _order(x: Array, dims: int) -> tuple[int, ...] | None:
    """Return the dimensions in the order of memory if it is channels-last and may be used so."""
    if dims != x.ndim - 1 or dims < 2 or x.flags.c_contiguous:
        return None
    order = (0, *range(2, x.ndim), 1)
    return order if x.transpose(order).flags.c_contiguous else None


def _rows(x: Array, dims: int, order: tuple[int, ...] | None) -> Array:
    size = prod(x.shape[x.ndim - dims :])
    return plain(x if order is None else x.transpose(order)).reshape(-1, size)


def _image(rows: Array, like: Array, order: tuple[int, ...] | None) -> Array:
    """Return the matrix of :func:`_rows` with the shape of ``like``."""
    if order is None:
        return rows.reshape(like.shape)
    return rows.reshape([like.shape[axis] for axis in order]).transpose(np.argsort(order))


def _columns(
    vector: Array | None, order: tuple[int, ...] | None, rows: Array, default: int
) -> Array:
    """Return weight or bias as one value for each column of the matrix."""
    if vector is None:
        return np.full(rows.shape[1], default, rows.dtype)
    if order is not None:
        vector = vector.transpose([axis - 1 for axis in order[1:]])
    return plain(vector).reshape(-1)


def _like_weight(columns: Array, x: Array, dims: int, order: tuple[int, ...] | None) -> Array:
    """Return one value for each column with the shape of the weight."""
    if order is None:
        return columns.reshape(x.shape[x.ndim - dims :])
    inner = [axis - 1 for axis in order[1:]]
    return columns.reshape([x.shape[axis] for axis in order[1:]]).transpose(np.argsort(inner))
