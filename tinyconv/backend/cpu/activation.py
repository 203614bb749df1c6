"""Activations of straight pieces: one pass over memory, on all cores.

An element-wise loop does not care which element is which. So arrays are taken as flat memory, in
whatever order their dimensions lie there, and results get the strides of the input. Each loop is a
comparison and a choice, which becomes vector code without a branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from .compiler.jit import kernel
from .layout import FAST, Array, inverse, memory_order
from .memory import empty
from .parallel.region import shared
from .parallel.threads import share

#: Elements of the smallest task; fewer than two of them are not worth a second thread.
STEP = 1 << 15
#: Elements below which a call of NumPy is over before one of a compiled loop has begun.
SMALL = 1 << 10


def relu(xp: Any, x: Array) -> Array:
    """Return ``max(x, 0)``; see the reference kernel."""
    if x.size < SMALL:
        return np.maximum(x, 0)
    return _map(relu_loop, x) if _is_dense(x) else reference.relu(xp, x)


def relu_grad(xp: Any, dy: Array, y: Array) -> Array:
    """Return ``dy``, and 0 where ``y <= 0``; see the reference kernel."""
    if not (_is_dense(y) and dy.dtype == y.dtype and dy.shape == y.shape):
        return reference.relu_grad(xp, dy, y)
    return _map(relu_grad_loop, y, _as_laid_out(dy, y))


def hardtanh(xp: Any, x: Array, low: float, high: float) -> Array:
    """Return ``min(max(x, low), high)``; see the reference kernel."""
    if not _is_dense(x):
        return reference.hardtanh(xp, x, low, high)
    return _map(hardtanh_loop, x, *_numbers(x, low, high))


def hardtanh_grad(xp: Any, dy: Array, y: Array, low: float, high: float) -> Array:
    """Return ``dy``, and 0 where ``y <= low`` or ``y >= high``; see the reference kernel."""
    if not (_is_dense(y) and dy.dtype == y.dtype and dy.shape == y.shape):
        return reference.hardtanh_grad(xp, dy, y, low, high)
    return _map(hardtanh_grad_loop, y, _as_laid_out(dy, y), *_numbers(y, low, high))


def leaky_relu(xp: Any, x: Array, slope: float) -> Array:
    """Return ``x`` where ``x > 0``, else ``slope * x``; see the reference kernel."""
    if not _is_dense(x):
        return reference.leaky_relu(xp, x, slope)
    return _map(leaky_relu_loop, x, *_numbers(x, slope))


def leaky_relu_grad(xp: Any, dy: Array, x: Array, slope: float) -> Array:
    """Return ``dy`` where ``x > 0``, else ``slope * dy``; see the reference kernel."""
    if not (_is_dense(x) and dy.dtype == x.dtype and dy.shape == x.shape):
        return reference.leaky_relu_grad(xp, dy, x, slope)
    return _map(leaky_relu_grad_loop, x, _as_laid_out(dy, x), *_numbers(x, slope))


def masked(xp: Any, x: Array, mask: Array) -> Array:
    """Return ``x`` where ``mask`` is true, else 0; see the reference kernel."""
    if not (_is_dense(x) and mask.shape == x.shape):
        return reference.masked(xp, x, mask)
    return _map(masked_loop, x, _as_laid_out(mask, x))


def _is_dense(x: Array) -> bool:
    """Return whether the elements fill their memory, in some order of the dimensions."""
    if x.dtype not in FAST or not (x.flags.aligned and x.flags.writeable):
        return False
    return bool(x.flags.c_contiguous or x.transpose(memory_order(x)).flags.c_contiguous)


def _as_laid_out(array: Array, like: Array) -> Array:
    """Return the array, or a copy, with its elements in the order of those of ``like``."""
    if like.flags.c_contiguous:
        fits = array.flags.c_contiguous
    else:
        fits = array.transpose(memory_order(like)).flags.c_contiguous
    if fits and array.flags.aligned and array.flags.writeable:
        return array
    copy = np.empty_like(like, dtype=array.dtype)
    copy[...] = array
    return copy


def _numbers(x: Array, *values: float) -> list[Any]:
    return [x.dtype.type(value) for value in values]


def _map(loop: Any, x: Array, *rest: Any) -> Array:
    """Run a loop over the memory of ``x``, of more arrays laid out alike, and of the result."""
    arrays = [a for a in (x, *rest) if isinstance(a, np.ndarray)]
    numbers = rest[len(arrays) - 1 :]
    y = empty(x.size, x.dtype)
    if x.flags.c_contiguous:
        flat, result = [a.reshape(-1) for a in arrays], y.reshape(x.shape)
    else:
        order = memory_order(x)
        flat = [a.transpose(order).reshape(-1) for a in arrays]
        result = y.reshape([x.shape[axis] for axis in order]).transpose(inverse(order))
    share(loop, x.size, STEP, *flat, y, *numbers, merge=True)
    return result


@kernel
def relu_loop(board, seat, first, last, x, y):
    """Write ``max(x, 0)``."""
    if shared(board, seat):
        return
    x, y = x[first:last], y[first:last]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        value = x[i]
        y[i] = zero if value <= zero else value


@kernel
def relu_grad_loop(board, seat, first, last, y, dy, dx):
    """Write ``dy``, and 0 where ``y <= 0``."""
    if shared(board, seat):
        return
    y, dy, dx = y[first:last], dy[first:last], dx[first:last]
    zero = y.dtype.type(0)
    for i in range(len(y)):
        gradient = dy[i]
        dx[i] = zero if y[i] <= zero else gradient


@kernel
def hardtanh_loop(board, seat, first, last, x, y, low, high):
    """Write ``min(max(x, low), high)``."""
    if shared(board, seat):
        return
    x, y = x[first:last], y[first:last]
    for i in range(len(x)):
        v = low if x[i] <= low else x[i]
        y[i] = high if v >= high else v


@kernel
def hardtanh_grad_loop(board, seat, first, last, y, dy, dx, low, high):
    """Write ``dy``, and 0 where ``y <= low`` or ``y >= high``."""
    if shared(board, seat):
        return
    y, dy, dx = y[first:last], dy[first:last], dx[first:last]
    zero = y.dtype.type(0)
    for i in range(len(y)):
        value, gradient = y[i], dy[i]
        dx[i] = zero if (value <= low) | (value >= high) else gradient


@kernel
def leaky_relu_loop(board, seat, first, last, x, y, slope):
    """Write ``x`` where ``x > 0``, else ``slope * x``."""
    if shared(board, seat):
        return
    x, y = x[first:last], y[first:last]
    for i in range(len(x)):
        value = x[i]
        y[i] = value if value > 0 else slope * value


@kernel
def leaky_relu_grad_loop(board, seat, first, last, x, dy, dx, slope):
    """Write ``dy`` where ``x > 0``, else ``slope * dy``."""
    if shared(board, seat):
        return
    x, dy, dx = x[first:last], dy[first:last], dx[first:last]
    for i in range(len(x)):
        gradient = dy[i]
        dx[i] = gradient if x[i] > 0 else slope * gradient


@kernel
def masked_loop(board, seat, first, last, x, mask, y):
    """Write ``x`` where the mask is true, else 0."""
    if shared(board, seat):
        return
    x, mask, y = x[first:last], mask[first:last], y[first:last]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        value = x[i]
        y[i] = value if mask[i] else zero
