"""Softmax along an axis, its logarithm, and their gradients, each in one kernel.

The array may lie in memory in any dense order: what counts is how many rows there are, how long
one is, and how far apart its elements lie.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .. import reference
from .driver.launching import Kernel, blocks_for
from .layout import Array, dense, is_fast

THREADS = 256
#: Longest row that a warp takes; a longer one takes a block.
WARP_ROW = 1024
KERNELS = {
    name: Kernel(
        "softmax.cu",
        name,
        "x y out outer:int64 inner:int64 size:int32",
        ("reduce.cuh",),
        threads=THREADS,
    )
    for name in ("softmax", "softmax_grad", "log_softmax", "log_softmax_grad")
}
VARIANTS = [
    variant
    for kernel in KERNELS.values()
    for threads in (32, THREADS)
    for variant in kernel.of_each(THREADS=threads)
]


def softmax(xp: Any, x: Array, axis: int) -> Array:
    """Return ``exp(x) / sum(exp(x))`` along ``axis``."""
    return _rows("softmax", xp, axis, x)


def softmax_grad(xp: Any, dy: Array, y: Array, axis: int) -> Array:
    """Return ``y * (dy - sum(dy * y))``, from softmax's result ``y``."""
    return _rows("softmax_grad", xp, axis, dy, y)


def log_softmax(xp: Any, x: Array, axis: int) -> Array:
    """Return ``x - log(sum(exp(x)))`` along ``axis``."""
    return _rows("log_softmax", xp, axis, x)


def log_softmax_grad(xp: Any, dy: Array, y: Array, axis: int) -> Array:
    """Return ``dy - exp(y) * sum(dy)``, from log_softmax's result ``y``."""
    return _rows("log_softmax_grad", xp, axis, dy, y)


def _rows(name: str, xp: Any, axis: int, x: Array, y: Array | None = None) -> Array:
    if not is_fast(x, y) or x.ndim == 0 or (y is not None and y.shape != x.shape):
        arrays = (x,) if y is None else (x, y)
        return getattr(reference, name)(xp, *arrays, axis)
    x, *rest = dense(xp, x) if y is None else dense(xp, x, y)
    out = xp.empty_like(x)
    if not x.size:
        return out
    size = x.shape[axis]
    # Axes of length 1 may have any stride; the others lie around the axis in memory.
    inner = prod(
        n for n, step in zip(x.shape, x.strides, strict=True) if step < x.strides[axis]
    ) if size > 1 else 1  # fmt: skip
    outer = x.size // (size * inner)
    if inner == 1:
        threads = 32 if size <= WARP_ROW else THREADS
        blocks = blocks_for(outer, THREADS // threads)
    else:
        threads, blocks = 32, blocks_for(outer * inner, THREADS)
    KERNELS[name].of(x.dtype, THREADS=threads)(
        blocks, THREADS, x, *(rest or [None]), out, outer, inner, size
    )
    return out
