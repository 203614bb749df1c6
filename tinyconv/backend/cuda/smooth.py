"""Smooth activation functions and their gradients, in one pass over memory."""

from __future__ import annotations

from typing import Any

from .. import reference
from .layout import Array
from .loops.mapping import fits, kernels, launch_map, variants

KERNELS = kernels(
    "smooth.cu", "sigmoid", "silu", "silu_grad", "gelu", "gelu_grad", "erf_of", "erfinv_of"
)
VARIANTS = variants(KERNELS)


def sigmoid(xp: Any, x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``."""
    return _map("sigmoid", xp, x)


def silu(xp: Any, x: Array) -> Array:
    """Return ``x * sigmoid(x)``."""
    return _map("silu", xp, x)


def silu_grad(xp: Any, dy: Array, x: Array) -> Array:
    """Return the gradient of :func:`silu` at ``x``, times ``dy``."""
    return _map("silu_grad", xp, dy, x)


def gelu(xp: Any, x: Array) -> Array:
    """Return ``x * Phi(x)``."""
    return _map("gelu", xp, x)


def gelu_grad(xp: Any, dy: Array, x: Array) -> Array:
    """Return the gradient of :func:`gelu` at ``x``, times ``dy``."""
    return _map("gelu_grad", xp, dy, x)


def erf(xp: Any, x: Array) -> Array:
    """Return the error function of each element."""
    return launch_map(xp, KERNELS["erf_of"], (x,)) if fits(x) else reference.erf(xp, x)


def erfinv(xp: Any, y: Array) -> Array:
    """Return the inverse of the error function; float32 is right to two roundings."""
    return launch_map(xp, KERNELS["erfinv_of"], (y,)) if fits(y) else reference.erfinv(xp, y)


def _map(name: str, xp: Any, *arrays: Array) -> Array:
    if not fits(*arrays):
        return getattr(reference, name)(xp, *arrays)
    return launch_map(xp, KERNELS[name], arrays)
