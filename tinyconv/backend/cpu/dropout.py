"""Dropout in one pass: random words are drawn, compared and used while they are in registers.

Which word belongs to an element follows from the element's place in row-major order, but memory may
have another order: with channels last, neighbours belong to words far apart. Then the mask of an
image is drawn first, a byte an element, and read across while it is in cache.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .compiler.jit import kernel
from .layout import Array, is_fast, is_plain, plain
from .memory import empty
from .parallel.region import shared
from .parallel.threads import share
from .random import HALF, LOW, M0, M1, ROUNDS, STEP0, STEP1

#: Blocks of four words that are drawn together: vectors of each of the four.
TOGETHER = 64
#: Blocks of a task.
BLOCKS = 1 << 12


def dropout(
    xp: Any,
    x: Array,
    threshold: int,
    scale: float,
    key: tuple[int, int],
    counter: tuple[int, int, int],
) -> tuple[Array, Array]:
    """Return the scaled elements that are kept, and the mask; see the reference kernel."""
    if not is_fast(x) or x.size == 0:
        return reference.dropout(xp, x, threshold, scale, key, counter)
    mask = empty(x.size, np.bool_)
    words = [np.uint64(word) for word in (*key, *counter)]
    limit = np.uint64(threshold)
    share(draw, -(-x.size // 4), BLOCKS, *words, limit, mask, merge=True)
    keep = mask.reshape(x.shape)
    if not x.flags.c_contiguous and _is_channels_last(x):
        keep = _channels_last(keep)
    return kept(xp, x, keep, scale), keep


def kept(xp: Any, x: Array, keep: Array, scale: float) -> Array:
    """Return ``x * scale`` where ``keep`` is true, else 0; see the reference kernel."""
    if not is_fast(x) or x.shape != keep.shape or not (is_plain(x) or _is_channels_last(x)):
        return reference.kept(xp, x, keep, scale)
    order = list(range(x.ndim)) if is_plain(x) else [0, *range(2, x.ndim), 1]
    source, mask = x.transpose(order), plain(keep.transpose(order)).reshape(-1)
    y = empty(source.shape, x.dtype)
    values, flat, factor = source.reshape(-1), y.reshape(-1), x.dtype.type(scale)
    share(keep_loop, x.size, 4 * BLOCKS, values, mask, factor, flat, merge=True)
    return y.transpose(np.argsort(order))


def _is_channels_last(x: Array) -> bool:
    return x.ndim > 2 and is_plain(x.transpose(0, *range(2, x.ndim), 1))


def _channels_last(mask: Array) -> Array:
    """Return a row-major (N, C, ...) mask in channels-last memory."""
    n, c, *spatial = mask.shape
    pixels = prod(spatial)
    result = empty((n, *spatial, c), np.bool_)
    source, target = mask.reshape(n, c, pixels), result.reshape(n, pixels, c)
    step = max(4 * BLOCKS // c, 1)
    parts = -(-pixels // step)

    share(transpose_masks, n * parts, 1, source, step, target)
    return result.transpose(0, result.ndim - 1, *range(1, result.ndim - 1))


@kernel
def draw(board, seat, first, last, key0, key1, c1, c2, c3, threshold, mask):
    """Write whether each word is below the threshold, for the blocks ``first`` to ``last``.

    The rounds are those of :func:`~.random.philox_blocks`, here for many blocks side by side, so
    that they become vector code.
    """
    if shared(board, seat):
        return
    mask = mask[4 * first : 4 * last]
    a0, a1 = np.empty(TOGETHER, np.uint64), np.empty(TOGETHER, np.uint64)
    a2, a3 = np.empty(TOGETHER, np.uint64), np.empty(TOGETHER, np.uint64)
    for start in range(0, len(mask), 4 * TOGETHER):
        block = np.uint64(first + start // 4)
        for i in range(TOGETHER):
            k0, k1 = key0, key1
            w0, w1, w2, w3 = block + np.uint64(i), c1, c2, c3
            for _ in range(ROUNDS):
                a, b = M0 * w0, M1 * w2
                w0, w1, w2, w3 = (b >> HALF) ^ w1 ^ k0, b & LOW, (a >> HALF) ^ w3 ^ k1, a & LOW
                k0, k1 = (k0 + STEP0) & LOW, (k1 + STEP1) & LOW
            a0[i], a1[i], a2[i], a3[i] = w0, w1, w2, w3
        part = mask[start : start + 4 * TOGETHER]
        whole = len(part) // 4
        for i in range(whole):
            part[4 * i] = a0[i] < threshold
            part[4 * i + 1] = a1[i] < threshold
            part[4 * i + 2] = a2[i] < threshold
            part[4 * i + 3] = a3[i] < threshold
        for j in range(4 * whole, len(part)):
            rest = j - 4 * whole
            word = a0[whole] if rest == 0 else (a1[whole] if rest == 1 else a2[whole])
            part[j] = word < threshold


@kernel
def keep_loop(board, seat, first, last, x, keep, scale, y):
    """Write ``x * scale`` where ``keep`` is true, else 0."""
    if shared(board, seat):
        return
    x, keep, y = x[first:last], keep[first:last], y[first:last]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        value = x[i] * scale
        y[i] = value if keep[i] else zero


@kernel
def transpose_masks(board, seat, first, last, source, step, target):
    """Write parts of (N, channels, pixels) masks to (N, pixels, channels).

    A part is ``step`` pixels of an image, which are written a tile of 64 x 64 at a time.
    """
    if shared(board, seat):
        return
    _, channels, pixels = source.shape
    parts = -(-pixels // step)
    for number in range(first, last):
        image, start = number // parts, number % parts * step
        end = min(start + step, pixels)
        for p in range(start, end, 64):
            for c in range(0, channels, 64):
                for j in range(p, min(p + 64, end)):
                    for i in range(c, min(c + 64, channels)):
                        target[image, j, i] = source[image, i, j]
