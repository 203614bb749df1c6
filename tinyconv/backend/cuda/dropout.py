"""Dropout: random words, mask and scaled input in one kernel; and masks that are given."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import reference
from .driver.graphs import live_draw
from .driver.launching import Kernel, blocks_for
from .layout import Array, dense, is_fast

THREADS = 256
MOST_AXES = 6
KEPT = Kernel(
    "dropout.cu", "kept", "x keep out count:int64 scale:float32", ("philox.cuh",), threads=THREADS
)
DROPOUT = Kernel(
    "dropout.cu",
    "dropout",
    f"x out keep count:int64 sizes:int64*{MOST_AXES} steps:int64*{MOST_AXES} "
    "last:uint32 scale:float32 draw.live draw.here:uint32*5",
    ("philox.cuh",),
    threads=THREADS,
)
VARIANTS = [variant for kernel in (KEPT, DROPOUT) for variant in kernel.of_each()]


def dropout(
    xp: Any,
    x: Array,
    threshold: int,
    scale: float,
    key: tuple[int, int],
    counter: tuple[int, int, int],
) -> tuple[Array, Array]:
    """Return ``x * scale`` where a random word is below ``threshold``, else 0, and the mask."""
    if not is_fast(x) or threshold == 0 or not x.size or x.ndim > MOST_AXES:
        return reference.dropout(xp, x, threshold, scale, key, counter)
    (x,) = dense(xp, x)
    out, keep = xp.empty_like(x), xp.empty_like(x, dtype=xp.bool)
    sizes, steps = _in_memory_order(x)
    DROPOUT.of(x.dtype)(
        blocks_for(x.size, THREADS), THREADS,
        x, out, keep, x.size, sizes, steps, threshold - 1, scale,
        live_draw(key, counter), (*key, *counter),
    )  # fmt: skip
    return out, keep


def kept(xp: Any, x: Array, keep: Array, scale: float) -> Array:
    """Return ``x * scale`` where ``keep`` is true, else 0."""
    if not is_fast(x) or keep.shape != x.shape or keep.dtype != xp.bool:
        return reference.kept(xp, x, keep, scale)
    return _kept(xp, x, keep, scale)


def masked(xp: Any, x: Array, mask: Array) -> Array:
    """Return ``x`` where ``mask`` is true, else 0."""
    if not is_fast(x) or mask.shape != x.shape:
        return reference.masked(xp, x, mask)
    return _kept(xp, x, mask, 1.0)


def _kept(xp: Any, x: Array, keep: Array, scale: float) -> Array:
    (x,) = dense(xp, x)
    out = xp.empty_like(x)
    if tuple(step * x.itemsize for step in keep.strides) != x.strides:
        same = xp.empty_like(x, dtype=keep.dtype)
        same[...] = keep
        keep = same
    if x.size:
        KEPT.of(x.dtype)(blocks_for(x.size, THREADS), THREADS, x, keep, out, x.size, scale)
    return out


def _in_memory_order(x: Array) -> tuple[list[int], list[int]]:
    """Return length and row-major step of each axis, slowest in memory first.

    Axes that follow each other both in memory and in the row-major order are one.
    """
    axes = sorted((a for a in range(x.ndim) if x.shape[a] > 1), key=lambda a: -x.strides[a])
    sizes: list[int] = []
    steps: list[int] = []
    for axis in axes:
        size, step = x.shape[axis], prod(x.shape[axis + 1 :])
        if sizes and steps[-1] == size * step:
            sizes[-1], steps[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            steps.append(step)
    unused = MOST_AXES - len(sizes)
    return [1] * unused + sizes, [0] * unused + steps
