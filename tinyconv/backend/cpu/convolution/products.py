"""Products of many rows with a panel of columns: register tiles laid side by side.

A *panel* is a matrix of as many columns as a register tile is wide (32 with AVX-512 and float32),
packed row after row: the order in which a tile reads it. Weights are packed into panels once a
call; the last panel is filled up with zeros.

The functions here are compiled into the kernels that call them.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from .. import memory
from ..compiler.jit import kernel
from ..host import VECTORS, host
from ..layout import Array, plain
from ..parallel.region import shared
from ..parallel.threads import piece_of, share
from ..vectors.runs import clear_run, copy_run, fetch_run, scale_columns
from ..vectors.tile import product_of
from ..vectors.transpose import VECTOR_BYTES, transpose_all

#: Taps for which it does not pay to transpose a block that is so narrow.
FEW_TAPS = 6
#: Weights of an output so many further on are fetched meanwhile: they lie pages apart.
AHEAD = 2
ROWS = host().rows
#: Rows of a register tile, and of those for the rows that are left.
HEIGHTS = ROWS, 4, 2, 1


def panel_width(dtype: Any) -> int:
    """Return the number of columns of a panel."""
    return VECTORS * host().lanes(dtype)


def panels(columns: int, dtype: Any) -> int:
    """Return how many panels hold so many columns."""
    return -(-columns // panel_width(dtype))


_by_two, _by_one = product_of(HEIGHTS, 2), product_of(HEIGHTS, 1)


@register_jitable
def rows_by_panel(
    a, ao, a_row, a_k, a_at, b, bo, b_k, b_at, init, io, i_row, c, co, c_row, rows,
    segments, depth, columns, limits
):  # fmt: skip
    """Multiply rows by the first ``columns`` columns of a panel; see :func:`~.tile.product_of`."""
    if columns * a.itemsize > VECTOR_BYTES:
        _by_two(a, ao, a_row, a_k, a_at, b, bo, b_k, b_at, init, io, i_row, c, co, c_row, rows,
                segments, depth, columns, limits)  # fmt: skip
    else:
        _by_one(a, ao, a_row, a_k, a_at, b, bo, b_k, b_at, init, io, i_row, c, co, c_row, rows,
                segments, depth, columns, limits)  # fmt: skip


@kernel
def pack_all(board, seat, first, last, w, turned, scale, packed):
    """Pack weights (groups, O, C, taps) into panels (groups, panels, taps*C, width).

    Columns are multiplied by a ``scale``, unless it is ``None``.
    """
    if shared(board, seat):
        return
    count, width = packed.shape[1], packed.shape[3]
    depth = packed.shape[2] // w.shape[3]
    for number in range(first, last):
        g, p = number // count, number % count
        pack_panel(w[g], turned, True, p * width, 0, depth, packed[g, p])
        if scale is not None:
            scale_columns(packed[g, p], packed.shape[2], width, scale, number * width)


@register_jitable
def pack_panel(w, turned, by_tap, first, c0, depth, panel):
    """Pack the columns from ``first`` on of convolution weights (O, C, taps) into a panel.

    A column is an output channel, and its rows are ``depth`` input channels from c0 on, with all
    their taps. If *turned*, for the input gradient, a column is an input channel, its rows are
    output channels, and the last tap comes first. ``by_tap``: a tap's channels lie together, as in
    the patches of channels-last memory; else a channel's taps.
    """
    outputs, inputs, taps = w.shape
    source, target, width = w.reshape(-1), panel.reshape(-1), panel.shape[-1]
    offsets = np.empty(depth * taps, np.int64)
    for c in range(depth):
        for t in range(taps):
            place = taps - 1 - t if turned else t
            offsets[c * taps + t] = width * (place * depth + c if by_tap else c * taps + place)
    if turned:
        columns = min(inputs - first, width)
        if taps < FEW_TAPS:
            for c in range(depth):
                start = ((c0 + c) * inputs + first) * taps
                if taps == 1:
                    copy_run(source, start, target, offsets[c], columns)
                    clear_run(target, offsets[c] + columns, width - columns)
                    continue
                for t in range(taps):
                    to = offsets[c * taps + t]
                    for i in range(columns):
                        target[to + i] = source[start + i * taps + t]
                    for i in range(columns, width):
                        target[to + i] = 0
            return
        for c in range(depth):
            start = ((c0 + c) * inputs + first) * taps
            fetch_run(source, start + AHEAD * inputs * taps, columns * taps)
            transpose_all(source, start, taps, columns, taps, target, 0, offsets, c * taps, width)
    else:
        columns = min(outputs - first, width)
        transpose_all(source, (first * inputs + c0) * taps, inputs * taps, columns, depth * taps,
                      target, 0, offsets, 0, width)  # fmt: skip


class Packed(NamedTuple):
    """Weights of all groups in panels, with a bias to begin with.

    They are packed by :func:`pack_all`, with ``task`` for its arguments, ``step`` panels in a
    piece: at once by :meth:`of`, else by a kernel that uses the panels.
    """

    panels: Array
    bias: Array
    columns: int
    task: tuple[Any, ...]
    step: int

    @classmethod
    def of(
        cls,
        w: Array,
        turned: bool,
        groups: int,
        bias: Array | None = None,
        scale: Array | None = None,
    ) -> Packed:
        """Pack the weights (O, C/groups, *kernel) of all groups; see :func:`~.pack_panel`.

        Those of each output are multiplied by its ``scale``.
        """
        packed = cls.later(w, turned, groups, bias, scale)
        share(pack_all, groups * packed.panels.shape[1], packed.step, *packed.task)
        return packed

    @classmethod
    def later(
        cls,
        w: Array,
        turned: bool,
        groups: int,
        bias: Array | None = None,
        scale: Array | None = None,
    ) -> Packed:
        """Return what :meth:`of` does, with panels that are yet to be filled."""
        outputs, inputs, taps = w.shape[0] // groups, w.shape[1], prod(w.shape[2:])
        columns, channels = (inputs, outputs) if turned else (outputs, inputs)
        count, width = panels(columns, w.dtype), panel_width(w.dtype)
        by_group = plain(w).reshape(groups, outputs, inputs, taps)
        packed = memory.empty((groups, count, taps * channels, width), w.dtype)
        start = by_panel(bias, groups, columns, count * width, w.dtype)
        factors = scale
        if scale is not None:
            factors = by_panel(scale, groups, columns, count * width, w.dtype).reshape(-1)
        step = piece_of(groups * count, max((1 << 14) // (taps * channels * width), 1))
        return cls(packed, start, columns, (by_group, turned, factors, packed), step)


def by_panel(vector: Array | None, groups: int, columns: int, width: int, dtype: Any) -> Array:
    """Return a vector of all columns as (groups, width), filled up with zeros; ``None`` is 0."""
    result = np.zeros((groups, width), dtype)
    if vector is not None:
        result[:, :columns] = vector.reshape(groups, columns)
    return result
