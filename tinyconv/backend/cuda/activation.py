"""Activations of straight pieces, and their gradients, in one pass over memory."""

from __future__ import annotations

from typing import Any

from .. import reference
from .layout import Array
from .loops.mapping import fits, kernels, launch_map, variants

KERNELS = kernels(
    "activation.cu",
    "relu", "relu_grad", "hardtanh", "hardtanh_grad", "leaky_relu", "leaky_relu_grad",
)  # fmt: skip
#: All that a program can reach; tests compile each for real GPUs.
VARIANTS = variants(KERNELS)


def relu(xp: Any, x: Array) -> Array:
    """Return ``max(x, 0)``."""
    return _map("relu", xp, (x,))


def relu_grad(xp: Any, dy: Array, y: Array) -> Array:
    """Return ``dy``, and 0 where ``y <= 0``."""
    return _map("relu_grad", xp, (dy, y))


def hardtanh(xp: Any, x: Array, low: float, high: float) -> Array:
    """Return ``min(max(x, low), high)``."""
    return _map("hardtanh", xp, (x,), low, high)


def hardtanh_grad(xp: Any, dy: Array, y: Array, low: float, high: float) -> Array:
    """Return ``dy``, and 0 outside the interval."""
    return _map("hardtanh_grad", xp, (dy, y), low, high)


def leaky_relu(xp: Any, x: Array, slope: float) -> Array:
    """Return ``x`` where it is positive, else ``slope * x``."""
    return _map("leaky_relu", xp, (x,), slope)


def leaky_relu_grad(xp: Any, dy: Array, x: Array, slope: float) -> Array:
    """Return ``dy`` where ``x`` is positive, else ``slope * dy``."""
    return _map("leaky_relu_grad", xp, (dy, x), slope)


def _map(name: str, xp: Any, arrays: tuple[Array, ...], *numbers: float) -> Array:
    if not fits(*arrays):
        return getattr(reference, name)(xp, *arrays, *numbers)
    return launch_map(xp, KERNELS[name], arrays, numbers)
