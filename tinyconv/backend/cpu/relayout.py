"""From channels-first to channels-last memory, and back: one transposed matrix an image.

NumPy copies such an array number by number. Here blocks are transposed in registers, on all cores.
So are images that are made rows of, by ``flatten`` for example.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .compiler.jit import kernel
from .layout import CHANNELS_FIRST, CHANNELS_LAST, LARGE, Array, is_fast, is_plain
from .memory import empty
from .parallel.region import shared
from .parallel.threads import share
from .vectors.transpose import VECTOR_BYTES, transpose_all, transpose_few

#: Pixels of a task's smallest piece, in elements.
PIECE = 1 << 14
#: Channels from which on they can be told apart faster than by NumPy.
FEW = 16


def to_channels_last(x: Array) -> Array:
    """Return a C-ordered (N, C, *S) array as a C-ordered (N, *S, C) one."""
    images, channels, pixels = x.shape[0], x.shape[1], prod(x.shape[2:])
    y = empty((images, *x.shape[2:], channels), x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    block = max(min(PIECE // channels, pixels), 1)
    places = np.arange(block) * channels
    blocks = -(-pixels // block)
    share(
        transpose_blocks, images * blocks, 1,
        source, channels, pixels, places, target, merge=True,
    )  # fmt: skip
    return y


def reshape(xp: Any, x: Array, shape: tuple[int, ...]) -> Array:
    """Return another shape; see the reference kernel.

    Fast are images (N, C, *S) in channels-last memory that become rows (N, C * pixels), and those
    that are shown as (N, *S, C), in channels-first memory, and become pixels (N * pixels, C).
    """
    if (
        x.size >= LARGE
        and x.ndim > 2 == len(shape)
        and all(shape)
        and is_fast(x)
        and not is_plain(x)
    ):
        rows, columns = (n if n >= 0 else x.size // -prod(shape) for n in shape)
        pixels, images = (x.transpose(order[x.ndim]) for order in (CHANNELS_LAST, CHANNELS_FIRST))
        if rows == len(x) and columns == x.size // rows and x.shape[1] >= FEW and is_plain(pixels):
            return to_channels_last(pixels.reshape(rows, -1, x.shape[1])).reshape(rows, columns)
        if len(x) > 1 and columns == x.shape[-1] and rows == x.size // columns and is_plain(images):
            return to_channels_last(images).reshape(rows, columns)
    return reference.reshape(xp, x, shape)


@kernel
def transpose_blocks(board, seat, first, last, source, channels, pixels, places, target):
    """Transpose the blocks ``first`` to ``last``; one has ``len(places)`` pixels of an image."""
    if shared(board, seat):
        return
    block, lanes = len(places), VECTOR_BYTES // source.itemsize
    blocks = -(-pixels // block)
    for number in range(first, last):
        image, start = number // blocks, number % blocks * block
        begin = image * channels * pixels
        if channels <= lanes // 2:
            for p in range(start, min(start + block, pixels), lanes):
                transpose_few(source, begin + p, pixels, channels, min(lanes, pixels - p),
                              target, begin + p * channels, channels)  # fmt: skip
            continue
        transpose_all(source, begin + start, pixels, channels, min(block, pixels - start),
                      target, begin + start * channels, places, 0, channels)  # fmt: skip
