"""Philox-4x32-10: random numbers as a function of a counter, the same bits as on the CPU."""

from __future__ import annotations

from typing import Any

from .driver.graphs import live_draw
from .driver.launching import Kernel, blocks_for
from .layout import Array, plain

THREADS = 256
KERNEL = Kernel(
    "random.cu",
    "philox",
    "out blocks:int64 draw.live draw.here:uint32*5",
    ("philox.cuh",),
    threads=THREADS,
)
ROWS = Kernel(
    "random.cu",
    "philox_rows",
    "out draws rows:int64 blocks:int64 key:uint32*2 last:uint32",
    ("philox.cuh",),
    threads=THREADS,
)
VARIANTS = [KERNEL.variant(), ROWS.variant()]


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


def philox_rows(xp: Any, blocks: int, key: tuple[int, int], draws: Array, last: int) -> Array:
    """Return ``4 * blocks`` random 32-bit words for each draw."""
    rows = draws.shape[0]
    out = xp.empty((rows, 4 * blocks), dtype=xp.uint32)
    if out.size:
        grid = blocks_for(rows * blocks, THREADS)
        ROWS.variant()(grid, THREADS, out, plain(xp, draws), rows, blocks, key, last)
    return out
