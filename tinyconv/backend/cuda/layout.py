"""What a kernel may assume of its arrays' memory, in one place.

A kernel gets addresses, no strides. So arrays are brought into an order it knows first: images
into channels-last memory, as on the CPU (``backend/cpu/layout.py``); for element-wise kernels any
dense order will do, as long as all arrays have the same.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .driver.launching import CTYPES, Kernel, name_of, runner

Array = Any
#: Elements of a tile of images whose order changes; see layout.cu.
TILE = 2048
CHANNELS_LAST = Kernel(
    "layout.cu",
    "channels_last",
    "x y images:int64 positions:int64 channel_step:int64 position_step:int64 "
    "channels:int32 wide:int32 rows:int32 columns:int32",
    threads=256,
)
VARIANTS = CHANNELS_LAST.of_each(TILE=TILE)


def is_fast(*arrays: Array | None) -> bool:
    """Return whether all arrays are of one dtype that the kernels know."""
    dtypes = {a.dtype for a in arrays if a is not None}
    return len(dtypes) == 1 and name_of(dtypes.pop()) in CTYPES


def is_aligned(array: Array) -> bool:
    """Return whether kernels may read 16 bytes at a time from the first element on."""
    return runner().pointer(array) % 16 == 0


def is_plain(array: Array) -> bool:
    """Return whether memory is C-ordered, and kernels may read 16 bytes of it at a time."""
    return bool(array.flags.c_contiguous) and is_aligned(array)


def plain(xp: Any, array: Array) -> Array:
    """Return the array, or a copy if its memory is not C-ordered or begins at an odd address."""
    return array if is_plain(array) else array.copy(order="C")


def parameter(xp: Any, vector: Array | None, dtype: Any) -> Array | None:
    """Return a vector of parameters in the dtype of the data or in float32, C-ordered."""
    if vector is not None and vector.dtype != dtype and name_of(vector.dtype) != "float32":
        vector = vector.astype(xp.float32)
    return None if vector is None else plain(xp, vector)


def wide(xp: Any, statistics: Array) -> Array:
    """Return statistics in float64, C-ordered."""
    same = name_of(statistics.dtype) == "float64"
    return plain(xp, statistics if same else statistics.astype(xp.float64))


def channels_last(xp: Any, array: Array, least: int = 0) -> Array:
    """Return an (N, C, *S) array as a C-ordered (N, *S, C) one; a view where memory allows.

    It has at ``least`` so many channels: further ones are zeros.
    """
    last = as_images(xp, array)
    if array.shape[1] < least:
        source = array if is_plain(array) or is_plain(last) else array.copy(order="C")
    elif is_plain(last) or not (is_plain(array) and is_fast(array) and array.size):
        return plain(xp, last)
    else:
        source = array
    (images, channels), positions = array.shape[:2], prod(array.shape[2:])
    y = xp.empty((*last.shape[:-1], max(least, channels)), dtype=array.dtype)
    steps = (positions, 1) if source.flags.c_contiguous else (1, channels)
    rows, columns = tile_of(y.shape[-1], positions)
    grid = -(-positions // columns), min(-(-y.shape[-1] // rows), 65535), min(images, 65535)
    CHANNELS_LAST.of(array.dtype, TILE=TILE)(
        grid, 256, source, y, images, positions, *steps, channels, y.shape[-1], rows, columns
    )
    return y


def tile_of(channels: int, positions: int) -> tuple[int, int]:
    """Return how many channels and positions a tile of an image has: 32 or more, if there are."""
    columns = min(positions, max(32, TILE // channels))
    rows = min(channels, TILE // columns)
    return (rows if rows == channels else rows // 32 * 32), columns


def as_images(xp: Any, array: Array) -> Array:
    """Return the (N, *S, C) view of an (N, C, *S) array."""
    return xp.permute_dims(array, (0, *range(2, array.ndim), 1))


def channels_first(xp: Any, array: Array) -> Array:
    """Return the (N, C, *S) view of an (N, *S, C) array."""
    return xp.permute_dims(array, (0, array.ndim - 1, *range(1, array.ndim - 1)))


def is_dense(array: Array) -> bool:
    """Return whether the elements fill one range of memory, in whatever order of the axes."""
    expected = array.itemsize
    for stride, size in sorted(zip(array.strides, array.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def is_alike(first: Array, *others: Array) -> bool:
    """Return whether :func:`dense` would return the arrays as they are."""
    return (
        is_dense(first)
        and all(other.strides == first.strides for other in others)
        and all(map(is_aligned, (first, *others)))
    )


def dense(xp: Any, *arrays: Array) -> tuple[Array, ...]:
    """Return the arrays, copied where needed so that all are dense and in one order of memory.

    That is the order of the first one that is dense: a gradient that was spread out over an image
    becomes channels-last beside one that is. They have one shape and one dtype.
    """
    like = next((array for array in arrays if is_dense(array) and is_aligned(array)), None)
    if like is None:
        like = xp.empty(arrays[0].shape, dtype=arrays[0].dtype)
    same = []
    for array in arrays:
        if array.strides != like.strides or not is_aligned(array):
            copy = xp.empty_like(like)
            copy[...] = array
            array = copy
        same.append(array)
    return tuple(same)
