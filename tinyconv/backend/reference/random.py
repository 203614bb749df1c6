"""Philox-4x32-10: random numbers as a function of a counter, without a state.

A block cipher, reduced to what randomness needs: ten rounds scramble a 128-bit counter with a
64-bit key into 128 random bits. Block ``i`` can be computed without the blocks before it, by any
thread and on any device, with the same bits.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
MASK = 0xFFFFFFFF


def philox(xp: Any, blocks: int, key: tuple[int, int], counter: tuple[int, int, int]) -> Any:
    """Return ``4 * blocks`` random 32-bit words.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the result.
    blocks : int
        Number of blocks of four words, up to 2**32.
    key : tuple of 2 ints
        Each below 2**32.
    counter : tuple of 3 ints
        Words 1 to 3 of the counter, each below 2**32; word 0 is the number of the block.

    Returns
    -------
    uint32 array (4 * blocks,)
    """
    first = xp.arange(blocks, dtype=xp.uint64)
    words = philox_rounds((first, *(xp.full_like(first, word) for word in counter)), key)
    return xp.astype(xp.reshape(xp.stack(words, axis=1), (4 * blocks,)), xp.uint32)


def philox_rows(xp: Any, blocks: int, key: tuple[int, int], draws: Any, last: int) -> Any:
    """Return the words of several counters, one row for each.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the result.
    blocks : int
        Number of blocks of four words in a row, up to 2**32.
    key : tuple of 2 ints
        Each below 2**32.
    draws : uint64 array (n,)
        Words 1 and 2 of the counter: the lower half and the upper one.
    last : int
        Word 3, below 2**32.

    Returns
    -------
    uint32 array (n, 4 * blocks)
    """
    rows = draws.shape[0]
    low, high = xp.reshape(draws & MASK, (rows, 1)), xp.reshape(draws >> 32, (rows, 1))
    first = xp.broadcast_to(xp.arange(blocks, dtype=xp.uint64), (rows, blocks))
    counter = (first, low, high, xp.full_like(low, last))
    words = xp.broadcast_arrays(*philox_rounds(counter, key))
    return xp.astype(xp.reshape(xp.stack(words, axis=2), (rows, 4 * blocks)), xp.uint32)


def philox_rounds(counter: tuple[Any, ...], key: tuple[int, int]) -> tuple[Any, ...]:
    """Scramble four uint64 arrays that hold 32-bit counter words.

    One round multiplies words 0 and 2 by constants, and swaps and mixes the high and low halves
    of the two 64-bit products:

        c0, c1, c2, c3 = high(m1*c2) ^ c1 ^ k0,  low(m1*c2),  high(m0*c0) ^ c3 ^ k1,  low(m0*c0)
    """
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(ROUNDS):
        a, b = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & MASK, (a >> 32) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + KEY_STEPS[0]) & MASK, (k1 + KEY_STEPS[1]) & MASK
    return c0, c1, c2, c3
