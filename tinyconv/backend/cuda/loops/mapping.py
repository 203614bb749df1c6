"""Launching a function of each element; the loop itself is in ``map.cuh``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..driver.launching import Kernel, Variant, blocks_for
from ..layout import Array, dense, is_fast

THREADS = 256


def kernels(source: str, *names: str) -> dict[str, Kernel]:
    """Return the element-wise kernels of a source by name."""
    fields = "x y out count:int64 low:float32 high:float32"
    return {name: Kernel(source, name, fields, ("map.cuh",), threads=THREADS) for name in names}


def variants(of: dict[str, Kernel]) -> list[Variant]:
    """Return all variants of some kernels that take one dtype."""
    return [variant for kernel in of.values() for variant in kernel.of_each()]


def fits(x: Array, y: Array | None = None) -> bool:
    """Return whether the kernels know the arrays' dtype, and the two have one shape."""
    return is_fast(x, y) and (y is None or y.shape == x.shape)


def launch_map(
    xp: Any, kernel: Kernel, arrays: tuple[Array, ...], numbers: Sequence[float] = ()
) -> Array:
    """Return a new array with the kernel's function of each element of one or two arrays."""
    x, *second = dense(xp, *arrays)
    out = xp.empty_like(x)
    if x.size:
        low, high = (*numbers, 0.0, 0.0)[:2]
        grid = blocks_for(x.size, THREADS, 16 // x.itemsize)
        kernel.of(x.dtype)(grid, THREADS, x, *(second or [None]), out, x.size, low, high)
    return out
