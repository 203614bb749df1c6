"""Channels-last memory, in one place.

An image batch is *indexed* (N, C, H, W), but its memory is ordered (N, H, W, C): all channels of a
pixel lie side by side. Then the inner loop of every kernel runs over adjacent numbers, and a
convolution is a matrix product without any rearrangement. An array that comes in another order
is copied once; results stay channels-last, so a network converts once, at its input.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
#: Most elements a task works on at a time: 2 MB of float32, so that they stay in cache.
BLOCK_ELEMENTS = 1 << 19
#: Elements from which on a copy in another order is worth a kernel.
LARGE = 1 << 14
FAST = (np.dtype(np.float32), np.dtype(np.float64))
#: Orders of the dimensions, by their number: channels moved from the second place to the last, and
#: from there to the second.
CHANNELS_LAST = {n: (0, *range(2, n), 1) for n in range(2, 65)}
CHANNELS_FIRST = {n: (0, n - 1, *range(1, n - 1)) for n in range(2, 65)}


def is_fast(array: Array, *more: Array | None) -> bool:
    """Return whether all arrays are of one dtype that the compiled kernels know."""
    dtype = array.dtype
    for other in more:
        if other is not None and other.dtype is not dtype and other.dtype != dtype:
            return False
    return dtype in FAST


def is_image(*arrays: Array) -> bool:
    """Return whether all arrays are (N, C, H, W), of one dtype that the compiled kernels know."""
    return all(a.ndim == 4 for a in arrays) and is_fast(*arrays)


def is_plain(array: Array) -> bool:
    """Return whether the memory is C-ordered, writable and aligned."""
    return array.flags.carray


def plain(array: Array) -> Array:
    """Return the array, or a copy if its memory is not C-ordered, aligned and writable.

    Compiled code is made for each kind of array, and this leaves one kind.
    """
    return array if is_plain(array) else array.copy(order="C")


def memory_order(array: Array) -> tuple[int, ...]:
    """Return the dimensions in the order in which they lie in memory, the outermost first."""
    return _order_of(array.strides)


@lru_cache(maxsize=4096)
def _order_of(strides: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis]))


@lru_cache(maxsize=4096)
def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of dimensions that undoes another one."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def channels_last(array: Array) -> Array:
    """Return an (N, C, *S) array as a C-ordered (N, *S, C) one; a view where memory allows."""
    pixels = array.transpose(CHANNELS_LAST[array.ndim])
    if pixels.flags.carray:
        return pixels
    if (
        array.size < LARGE
        or pixels.flags.c_contiguous
        or not (array.flags.c_contiguous and array.flags.aligned and array.dtype in FAST)
    ):
        return plain(pixels)
    from .relayout import to_channels_last  # brings Numba with it

    return to_channels_last(array)


def channels_first(array: Array) -> Array:
    """Return the (N, C, *S) view of an (N, *S, C) array."""
    return array.transpose(CHANNELS_FIRST[array.ndim])


def from_pixels(pixels: Array, like: Array) -> Array:
    """Return the channels of all pixels, in memory order, as an (N, C, *S) array like another."""
    return channels_first(pixels.reshape(like.shape[0], *like.shape[2:], like.shape[1]))


def lines_per_task(lines: int, line_elements: int) -> int:
    """Return how many lines make a good task, from shapes alone.

    Enough work to be worth a thread (2**14 elements), about sixteen tasks in all, and at most
    ``BLOCK_ELEMENTS`` elements.
    """
    line_elements = max(line_elements, 1)
    enough, share = -(-(1 << 14) // line_elements), -(-lines // 16)
    return max(min(max(enough, share), BLOCK_ELEMENTS // line_elements), 1)
