"""Joining images along their channels, and cutting them apart, in one launch.

In memory order, what is joined is a matrix: its rows are all that lies outside the axis, and a part
takes some columns. With channels last a row is a pixel. The result lies in memory as the first
array does. The pieces of a gradient are copied out as well: the kernels they go to work on memory
without gaps, and each would make a copy.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

from .. import reference
from .driver.launching import CTYPES, Kernel, name_of, runner
from .layout import Array, is_aligned, is_fast, plain
from .loops.tiling import WIDTHS, power

#: Parts of a launch, threads of a block, threads side by side, and blocks of a multiprocessor.
MOST, THREADS, ACROSS, BLOCKS = 16, 256, 32, 16
JOIN = Kernel(
    "joining.cu",
    "join",
    f"part:pointer*{MOST} columns:int64*{MOST} start:int64*{MOST} whole rows:int64 wide:int64",
    threads=THREADS,
)
VARIANTS = [
    JOIN.of_name(name, WIDTH=width, GATHER=gather)
    for name in CTYPES
    for width in WIDTHS[name]
    for gather in (0, 1)
]


def concat(xp: Any, axis: int, *arrays: Array) -> Array:
    """Return the arrays one behind the other; see the reference kernel."""
    order = _memory_order(arrays[0])
    shape, place = [arrays[0].shape[a] for a in order], order.index(axis)
    shape[place] = sum(array.shape[axis] for array in arrays)
    whole = xp.empty(tuple(shape), dtype=arrays[0].dtype)
    out = _back(xp, whole, order)
    if is_fast(*arrays):
        _copy([plain(xp, xp.permute_dims(array, order)) for array in arrays], whole, place, True)
    else:
        before, start = (slice(None),) * axis, 0
        for array in arrays:
            end = start + array.shape[axis]
            out[(*before, slice(start, end))] = array
            start = end
    return out


def split(xp: Any, x: Array, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    """Return the pieces, without gaps in memory; see the reference kernel."""
    order = _memory_order(x)
    place, whole = order.index(axis), xp.permute_dims(x, order)
    outermost = prod(whole.shape[:place]) == 1  # then the pieces have no gaps anyway
    if outermost or not (is_fast(x) and whole.flags.c_contiguous and is_aligned(x)):
        return reference.split(xp, x, sizes, axis)
    shape = whole.shape
    parts = [xp.empty((*shape[:place], size, *shape[place + 1 :]), dtype=x.dtype) for size in sizes]
    _copy(parts, whole, place, False)
    return tuple([_back(xp, part, order) for part in parts])


def _copy(parts: list[Array], whole: Array, place: int, gather: bool) -> None:
    """Copy between the columns of a matrix and its parts."""
    rows, wide = prod(whole.shape[:place]), prod(whole.shape[place:])
    columns = [prod(part.shape[place:]) for part in parts]
    starts = [end - count for end, count in zip(accumulate(columns), columns, strict=True)]
    width = WIDTHS[name_of(whole.dtype)][0]
    width = 1 if any(number % width for number in (*columns, wide)) else width
    kernel = JOIN.of(whole.dtype, WIDTH=width, GATHER=int(gather))
    pieces = [piece for piece in zip(parts, columns, starts, strict=True) if piece[0].size]
    for first in range(0, len(pieces), MOST):
        some = pieces[first : first + MOST]
        vectors = max(count for _, count, _ in some) // width
        across = min(power(vectors), ACROSS)
        tiles, down = -(-vectors // across), THREADS // across
        most = max(1, BLOCKS * runner().multiprocessors // (tiles * len(some)))
        lists = zip(*some, *[(None, 0, 0)] * (MOST - len(some)), strict=True)
        kernel(
            (tiles, min(-(-rows // down), most, 65535), len(some)), (across, down),
            *lists, whole, rows, wide,
        )  # fmt: skip


def _memory_order(array: Array) -> tuple[int, ...]:
    """Return the axes in the order in which they lie in memory."""
    return tuple(sorted(range(array.ndim), key=lambda axis: (-array.strides[axis], axis)))


def _back(xp: Any, array: Array, order: tuple[int, ...]) -> Array:
    """Return an array with axes in memory order, with them in their own."""
    return xp.permute_dims(array, tuple([order.index(axis) for axis in range(len(order))]))
