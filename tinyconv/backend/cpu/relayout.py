"""From channels-first to channels-last memory: one transposed matrix an image.

NumPy copies such an array number by number. Here blocks are transposed in registers, on all cores.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .jit import kernel
from .layout import Array
from .memory import empty
from .products import VECTOR_BYTES, transpose_all
from .region import shared
from .threads import share
from .transpose import transpose_few

#: Pixels of a task's smallest piece, in elements.
PIECE = 1 << 14


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
