"""Philox-4x32-10 as a loop over blocks; the reference kernel says what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from ..reference.random import KEY_STEPS, MULTIPLIERS, ROUNDS
from .compiler.jit import kernel
from .layout import Array, plain
from .parallel.threads import run_ranges

#: Blocks of a task: 128 kB of results, which take a few times as long as it takes to wake a thread.
BLOCKS = 1 << 13

# Numba takes these as constants. All 64-bit and unsigned: mixed signs would become float64.
M0, M1 = (np.uint64(m) for m in MULTIPLIERS)
STEP0, STEP1 = (np.uint64(s) for s in KEY_STEPS)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(xp: Any, blocks: int, key: tuple[int, int], counter: tuple[int, int, int]) -> Array:
    """Return ``4 * blocks`` random 32-bit words; see the reference kernel."""
    words = np.empty(4 * blocks, np.uint32)
    k0, k1, c1, c2, c3 = (np.uint64(word) for word in (*key, *counter))
    run_ranges(
        lambda a, b: philox_blocks(np.uint64(a), k0, k1, c1, c2, c3, words[4 * a : 4 * b]),
        blocks,
        BLOCKS,
        merge=True,
    )
    return words


def philox_rows(xp: Any, blocks: int, key: tuple[int, int], draws: Array, last: int) -> Array:
    """Return the words of several counters, one row for each; see the reference kernel."""
    words = np.empty((len(draws), 4 * blocks), np.uint32)
    k0, k1, c3 = (np.uint64(word) for word in (*key, last))
    draws = plain(draws)
    run_ranges(
        lambda a, b: philox_draws(k0, k1, draws[a:b], c3, words[a:b]),
        len(draws),
        BLOCKS // max(blocks, 1),
        merge=True,
    )
    return words


@kernel
def philox_blocks(first, key0, key1, c1, c2, c3, words):
    """Write the blocks from ``first`` on."""
    write_blocks(first, key0, key1, c1, c2, c3, words)


@kernel
def philox_draws(key0, key1, draws, c3, words):
    """Write a row of blocks for each draw, from block 0 on."""
    for row in range(len(draws)):
        c1, c2 = draws[row] & LOW, draws[row] >> HALF
        write_blocks(np.uint64(0), key0, key1, c1, c2, c3, words[row])


@register_jitable
def write_blocks(first, key0, key1, c1, c2, c3, words):
    """Write the blocks of one counter from ``first`` on."""
    for block in range(words.shape[0] // 4):
        k0, k1 = key0, key1
        w0, w1, w2, w3 = first + np.uint64(block), c1, c2, c3
        for _ in range(ROUNDS):
            a, b = M0 * w0, M1 * w2
            w0, w1, w2, w3 = (b >> HALF) ^ w1 ^ k0, b & LOW, (a >> HALF) ^ w3 ^ k1, a & LOW
            k0, k1 = (k0 + STEP0) & LOW, (k1 + STEP1) & LOW
        words[4 * block] = w0
        words[4 * block + 1] = w1
        words[4 * block + 2] = w2
        words[4 * block + 3] = w3
