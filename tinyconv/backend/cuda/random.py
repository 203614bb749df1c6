"""Philox-4x32-10: random numbers as a function of a counter, the same bits as on the CPU."""

from __future__ import annotations

from typing import Any

from .graphs import live_draw
from .launching import Kernel, blocks_for
from .layout import Array

THREADS = 256
KERNEL = Kernel(
    "random.cu",
    "philox",
    "out blocks:int64 draw.live draw.here:uint32*5",
    ("philox.cuh",),
    threads=THREADS,
)
VARIANTS = [KERNEL.variant()]


def philox(xp: Any, blocks: int, key: tuple[int, int], counter: tuple[int, int, int]) -> Array:
    """Return ``4 * blocks`` random 32-bit words."""
    out = xp.empty((4 * blocks,), dtype=xp.uint32)
    if blocks:
        KERNEL.variant()(
            blocks_for(blocks, THREADS),
            THREADS,
            out,
            blocks,
            live_draw(key, counter),
            (*key, *counter),
        )
    return out
