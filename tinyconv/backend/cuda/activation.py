"""Activations of straight pieces, and their gradients, in one pass over memory."""

from __future__ import annotations

from typing import Any

from .. import reference
from .launching import CTYPES, Kernel, blocks_for
from .layout import Array, dense, is_fast

THREADS = 256
FIELDS = "x y out count:int64 low:float32 high:float32"
KERNELS = {
    name: Kernel("activation.cu", name, FIELDS, threads=THREADS)
    for name in (
        "relu", "relu_grad", "hardtanh", "hardtanh_grad", "leaky_relu", "leaky_relu_grad",
    )
}  # fmt: skip
#: All that a program can reach; tests compile each for real GPUs.
VARIANTS = [kernel.of_name(dtype) for kernel in KERNELS.values() for dtype in CTYPES]


def relu(xp: Any, x: Array) -> Array:
    """Return ``max(x, 0)``."""
    return _map(xp, "relu", x)


def relu_grad(xp: Any, dy: Array, y: Array) -> Array:
    """Return ``dy``, and 0 where ``y <= 0``."""
    return _map(xp, "relu_grad", dy, y)


def hardtanh(xp: Any, x: Array, low: float, high: float) -> Array:
    """Return ``min(max(x, low), high)``."""
    return _map(xp, "hardtanh", x, None, low, high)


def hardtanh_grad(xp: Any, dy: Array, y: Array, low: float, high: float) -> Array:
    """Return ``dy``, and 0 outside the interval."""
    return _map(xp, "hardtanh_grad", dy, y, low, high)


def leaky_relu(xp: Any, x: Array, slope: float) -> Array:
    """Return ``x`` where it is positive, else ``slope * x``."""
    return _map(xp, "leaky_relu", x, None, slope)


def leaky_relu_grad(xp: Any, dy: Array, x: Array, slope: float) -> Array:
    """Return ``dy`` where ``x`` is positive, else ``slope * dy``."""
    return _map(xp, "leaky_relu_grad", dy, x, slope)


def _map(
    xp: Any, name: str, x: Array, y: Array | None = None, low: float = 0, high: float = 0
) -> Array:
    if not is_fast(x, y) or (y is not None and y.shape != x.shape):
        limits = {"hardtanh": (low, high), "leaky_relu": (low,)}.get(name.removesuffix("_grad"), ())
        return getattr(reference, name)(xp, x, *(() if y is None else (y,)), *limits)
    x, *rest = dense(xp, x) if y is None else dense(xp, x, y)
    out = xp.empty_like(x)
    if x.size:
        kernel = KERNELS[name].of(x.dtype)
        grid = blocks_for(x.size, THREADS, 16 // x.itemsize)
        kernel(grid, THREADS, x, *(rest or [None]), out, x.size, low, high)
    return out
