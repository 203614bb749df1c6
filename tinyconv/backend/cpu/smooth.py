"""Smooth activation functions in one pass over memory; see :mod:`.exponential` for exp and erf."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from .. import reference
from .activation import _as_laid_out, _is_dense, _map
from .compiler.jit import kernel
from .layout import Array
from .parallel.region import shared
from .vectors.exponential import error_function, exponential

ROOT_HALF, DENSITY = sqrt(0.5), 1 / sqrt(2 * pi)


def sigmoid(xp: Any, x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``; see the reference kernel."""
    return _map(sigmoid_loop, x) if _is_dense(x) else reference.sigmoid(xp, x)


def silu(xp: Any, x: Array) -> Array:
    """Return ``x * sigmoid(x)``; see the reference kernel."""
    return _map(silu_loop, x) if _is_dense(x) else reference.silu(xp, x)


def silu_grad(xp: Any, dy: Array, x: Array) -> Array:
    """Return ``dy`` times the derivative of silu; see the reference kernel."""
    if not _fits(dy, x):
        return reference.silu_grad(xp, dy, x)
    return _map(silu_grad_loop, x, _as_laid_out(dy, x))


def gelu(xp: Any, x: Array) -> Array:
    """Return ``x * Phi(x)``; see the reference kernel."""
    return _map(gelu_loop, x) if _is_dense(x) else reference.gelu(xp, x)


def gelu_grad(xp: Any, dy: Array, x: Array) -> Array:
    """Return ``dy`` times the derivative of gelu; see the reference kernel."""
    if not _fits(dy, x):
        return reference.gelu_grad(xp, dy, x)
    return _map(gelu_grad_loop, x, _as_laid_out(dy, x))


def _fits(dy: Array, x: Array) -> bool:
    return _is_dense(x) and dy.dtype == x.dtype and dy.shape == x.shape


@kernel
def sigmoid_loop(board, seat, first, last, x, y):
    """Write ``1 / (1 + exp(-x))``."""
    if shared(board, seat):
        return
    x, y = x[first:last], y[first:last]
    one = x.dtype.type(1)
    for i in range(len(x)):
        y[i] = one / (one + exponential(-x[i]))


@kernel
def silu_loop(board, seat, first, last, x, y):
    """Write ``x * sigmoid(x)``."""
    if shared(board, seat):
        return
    x, y = x[first:last], y[first:last]
    one = x.dtype.type(1)
    for i in range(len(x)):
        y[i] = x[i] * (one / (one + exponential(-x[i])))


@kernel
def silu_grad_loop(board, seat, first, last, x, dy, dx):
    """Write ``dy * (s + x * s * (1 - s))``."""
    if shared(board, seat):
        return
    x, dy, dx = x[first:last], dy[first:last], dx[first:last]
    one = x.dtype.type(1)
    for i in range(len(x)):
        value = x[i]
        s = one / (one + exponential(-value))
        dx[i] = dy[i] * (s * (value * (one - s) + one))


@kernel
def gelu_loop(board, seat, first, last, x, y):
    """Write ``x * Phi(x)``."""
    if shared(board, seat):
        return
    x, y = x[first:last], y[first:last]
    one, half, root = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(ROOT_HALF)
    for i in range(len(x)):
        value = x[i]
        y[i] = value * ((error_function(value * root) + one) * half)


@kernel
def gelu_grad_loop(board, seat, first, last, x, dy, dx):
    """Write ``dy * (Phi(x) + x * phi(x))``."""
    if shared(board, seat):
        return
    x, dy, dx = x[first:last], dy[first:last], dx[first:last]
    one, half, root = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(ROOT_HALF)
    scale = x.dtype.type(DENSITY)
    for i in range(len(x)):
        value = x[i]
        density = exponential(value * value * -half) * scale
        dx[i] = dy[i] * ((error_function(value * root) + one) * half + value * density)
