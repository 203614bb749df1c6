"""Joining images along their channels, and cutting them apart, in one parallel copy.

In memory order, what is joined is a matrix: its rows are all that lies outside the axis, and a part
takes some columns. With channels last a row is a pixel. The pieces of a gradient are copied out as
well, since the kernels they go to work on memory without gaps, and would each make a copy.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .. import reference
from .compiler.jit import kernel
from .layout import Array, inverse, is_fast, is_plain, memory_order
from .memory import empty
from .parallel.region import shared
from .parallel.threads import share
from .vectors.runs import copy_run

#: Elements below which one copy of NumPy is faster.
SMALL = 1 << 14
#: Elements of a task.
TASK = 1 << 15


def concat(xp: Any, axis: int, *arrays: Array) -> Array:
    """Return the arrays one behind the other; see the reference kernel."""
    order = memory_order(arrays[0])
    if (
        sum(array.size for array in arrays) < SMALL
        or not is_fast(*arrays)
        or not all(is_plain(array.transpose(order)) for array in arrays)
    ):
        return reference.concat(xp, axis, *arrays)
    parts = [array.transpose(order) for array in arrays]
    place = order.index(axis)
    shape = list(parts[0].shape)
    shape[place] = sum(part.shape[place] for part in parts)
    result = empty(tuple(shape), parts[0].dtype)
    _copy(parts, result, place, gather=True)
    return result.transpose(inverse(order))


def split(xp: Any, x: Array, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    """Return the pieces, without gaps in memory if they are large; see the reference kernel."""
    order = memory_order(x)
    place = order.index(axis)
    whole = x.transpose(order)
    outermost = prod(whole.shape[:place]) == 1  # then the pieces have no gaps anyway
    if x.size < SMALL or outermost or not is_fast(x) or not is_plain(whole):
        return reference.split(xp, x, sizes, axis)
    shape, parts = whole.shape, []
    for size in sizes:
        parts.append(empty((*shape[:place], size, *shape[place + 1 :]), x.dtype))
    _copy(parts, whole, place, gather=False)
    return tuple([part.transpose(inverse(order)) for part in parts])


def _copy(parts: list[Array], whole: Array, place: int, gather: bool) -> None:
    """Copy between the columns of a matrix and its parts."""
    rows = prod(whole.shape[:place])
    wide = prod(whole.shape[place:])
    flat, pieces, start = whole.reshape(-1), [], 0
    for part in parts:
        count = prod(part.shape[place:])
        pieces.append((part.reshape(-1), start, count))
        start += count
    copy = gather_columns if gather else scatter_columns
    for piece, start, count in pieces:
        share(copy, rows, TASK // max(count, 1), piece, count, flat, wide, start, merge=True)


@kernel
def gather_columns(board, seat, first, last, part, count, whole, wide, start):
    """Write the rows ``first`` to ``last`` of a part to its columns of the whole."""
    if shared(board, seat):
        return
    for row in range(first, last):
        copy_run(part, row * count, whole, row * wide + start, count)


@kernel
def scatter_columns(board, seat, first, last, part, count, whole, wide, start):
    """Write columns of the whole to the rows ``first`` to ``last`` of a part."""
    if shared(board, seat):
        return
    for row in range(first, last):
        copy_run(whole, row * wide + start, part, row * count, count)
