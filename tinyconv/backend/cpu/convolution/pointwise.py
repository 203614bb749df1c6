"""Convolution of one tap and stride 1: the pixels are a matrix, and so are the weights.

    forward          x @ w^T          (pixels, C) @ (C, O)
    input gradient   dy @ w           (pixels, O) @ (O, C)
    weight gradient  dy^T @ x         (O, pixels) @ (pixels, C)

Arrays are matrices of pixels. A linear layer is the same. Groups are a batch of products.

The input may be given as it was before it was normalised and clipped, with a prologue that says
how. Blocks of pixels that a core is about to use are then normalised into its cache, so that the
normalised image is never in memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...reference.activation import Limits
from ...reference.norm import Prologue
from .. import memory
from ..compiler.jit import kernel
from ..layout import Array, plain
from ..loops.column_loops import map_rows
from ..norm import batch_norm, prologue_of
from ..parallel.region import another, shared
from ..parallel.threads import piece_of, scratch, share, workspace
from ..vectors.runs import copy_run, scale_columns
from ..vectors.tile import limits_of
from .direct import FINISHED, PANEL_BYTES, PARTIAL_BYTES, finish
from .products import (
    ROWS,
    Packed,
    by_panel,
    pack_all,
    pack_panel,
    panel_width,
    panels,
    rows_by_panel,
)

#: Rows of a block are chosen so that it shares a core's cache with the weights.
BLOCK_BYTES = 256 << 10
#: Rows so few that a task has all of them, and packs the panel of weights that it uses: a core
#: reads what another one has packed as slowly as from memory.
FEW_ROWS = 16 * ROWS
#: Multiply-adds that are worth a task.
PRODUCTS = 1 << 20
#: Rows at this distance in memory fall into the same set of a core's first cache.
PAGE = 4096
#: Pixels that a weight gradient sums before it writes to memory.
LONG = 16 * ROWS
#: Tasks of a weight gradient, and by how much it must be better off the other way round.
TASKS, TURN = 8, 0.95


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    groups: int,
    bias: Array | None,
    limits: Limits | None = None,
    onto: Array | None = None,
    scale: Array | None = None,
    more: Array | None = None,
    prologue: Prologue | None = None,
) -> Array:
    """Return the (pixels, O) product of (pixels, C) with weights (O, C/groups, 1 ...).

    ``turned``: with weights (C, O/groups, 1 ...), for the input gradient. If the result is to be
    added ``onto`` an array, it is written there, and there is no bias. Before a bias is added, each
    output is multiplied by its ``scale``. ``more`` (pixels, O) is added before it is clipped.
    ``prologue`` is for one group.
    """
    if groups == 1 and len(x) <= FEW_ROWS:
        if prologue is not None:
            x = batch_norm(np, x, *prologue.norm, None, prologue.limits)
        return _few_rows(x, w, turned, bias, limits, onto, scale, more)
    weights = Packed.later(w, turned, groups, bias, scale)
    y = memory.empty((len(x), weights.columns * groups), x.dtype) if onto is None else onto
    step = max(BLOCK_BYTES // max(x.shape[1] * x.itemsize * ROWS, 1), 2) * ROWS
    worth = PRODUCTS // max(ROWS * x.shape[1] * weights.columns, 1)
    gap = gap_of(x)
    before = None if prologue is None else prologue_of(x, prologue)
    copied = gap or before is not None
    rows = scratch(step * (x.shape[1] + gap) if copied else 0, x.dtype, 3)
    share(
        pack_and_multiply, -(-len(x) // ROWS), worth,
        *weights.task, weights.step, x, before, step, gap, rows, weights.bias, weights.columns,
        onto is not None, y, limits_of(y.dtype, limits, more), merge=True,
    )  # fmt: skip
    return y


def gap_of(x: Array) -> int:
    """Return how many elements must lie between the rows of x, so that they can be in a cache.

    Rows that are whole pages apart take turns in the same few lines of it.
    """
    return PAGE // (64 * x.itemsize) if x.shape[1] * x.itemsize % PAGE == 0 and x.size else 0


def _few_rows(
    x: Array,
    w: Array,
    turned: bool,
    bias: Array | None,
    limits: Limits | None,
    onto: Array | None,
    scale: Array | None,
    more: Array | None,
) -> Array:
    """Return the product; a task packs a panel of weights and uses it at once."""
    outputs, inputs = w.shape[0], w.shape[1]
    columns, depth = (inputs, outputs) if turned else (outputs, inputs)
    width, weights = panel_width(x.dtype), plain(w).reshape(outputs, inputs, 1)
    whole = panels(columns, x.dtype) * width
    start = by_panel(bias, 1, columns, whole, x.dtype)
    factors = None if scale is None else by_panel(scale, 1, columns, whole, x.dtype).reshape(-1)
    y = memory.empty((len(x), columns), x.dtype) if onto is None else onto
    ends = limits_of(x.dtype, limits, more)
    source, gap = x, gap_of(x)
    if gap:
        source = workspace((len(x), depth + gap), x.dtype, 3)
        source[:, :depth] = x
    step = PRODUCTS // max(len(x) * depth * width, 1)
    share(
        multiply_few, panels(columns, x.dtype), step,
        source, weights, turned, depth, scratch(depth * width, x.dtype, 2), factors, start, columns,
        onto is not None, y, ends, merge=True,
    )  # fmt: skip
    return y


@kernel
def pack_and_multiply(
    board, seat, first, last, w, turned, scale, packed, some, x, before, step, gap, copies, bias,
    columns, add, y, limits,
):  # fmt: skip
    """Pack weights, ``some`` panels in a piece, and multiply by them."""
    begin, end = another(seat, packed.shape[0] * packed.shape[1], some)
    pack_all(board, seat, begin, end, w, turned, scale, packed)
    multiply(
        board, seat, first, last, x, before, step, gap, copies, packed, bias, columns, add, y,
        limits,
    )  # fmt: skip


@kernel
def multiply(
    board, seat, first, last, x, before, step, gap, copies, packed, bias, columns, add, y, limits
):  # fmt: skip
    """Write the products of some tiles of rows, or add them to what is there.

    ``step`` rows at a time stay in cache, after a copy with gaps, or one that is mapped by what
    comes ``before``: vectors and limits, see :func:`~.column_loops.map_rows`.
    """
    if shared(board, seat):
        return
    groups, count, depth, width = packed.shape
    b, init, c = packed.reshape(-1), bias.reshape(-1), y.reshape(-1)
    start, i_row, stop = np.zeros(1, np.int64), y.shape[1] if add else 0, min(last * ROWS, len(x))
    for begin in range(first * ROWS, stop, step):
        rows, a, a_row = min(step, stop - begin), x.reshape(-1), x.shape[1]
        at = begin * a_row
        if before is not None:
            vectors, ends = before
            map_rows(x, a_row, begin, rows, 0, a_row, vectors, ends, copies[seat], gap)
            a, a_row, at = copies[seat], a_row + gap, 0
        elif gap:
            for i in range(rows):
                copy_run(a, (begin + i) * a_row, copies[seat], i * (a_row + gap), a_row)
            a, a_row, at = copies[seat], a_row + gap, 0
        for g in range(groups):
            for p in range(count):
                to = begin * y.shape[1] + g * columns + p * width
                rows_by_panel(
                    a, at + g * depth, a_row, 1, start,
                    b, (g * count + p) * depth * width, width, start,
                    c if add else init, to if add else (g * count + p) * width, i_row,
                    c, to, y.shape[1],
                    rows, 1, depth, min(columns - p * width, width), limits,
                )  # fmt: skip


@kernel
def multiply_few(
    board, seat, first, last, x, weights, turned, depth, panels, scale, bias, columns, add, y,
    limits,
):  # fmt: skip
    """Write the products of all rows with panels of weights, which are packed just before.

    Or add them to what is there.
    """
    if shared(board, seat):
        return
    panel, width = panels[seat][: depth * PANEL_BYTES // x.itemsize], PANEL_BYTES // x.itemsize
    a, init, c, start = x.reshape(-1), bias.reshape(-1), y.reshape(-1), np.zeros(1, np.int64)
    for p in range(first, last):
        pack_panel(weights, turned, True, p * width, 0, depth, panel.reshape(depth, width))
        if scale is not None:
            scale_columns(panel, depth, width, scale, p * width)
        rows_by_panel(
            a, 0, x.shape[1], 1, start, panel, 0, width, start,
            c if add else init, p * width, y.shape[1] if add else 0,
            c, p * width, y.shape[1], len(x), 1, depth, min(columns - p * width, width), limits,
        )  # fmt: skip


def weight_grad(x: Array, dy: Array, groups: int, prologue: Prologue | None = None) -> Array:
    """Return the (O, C/groups) gradient from (pixels, C) and (pixels, O).

    ``prologue`` is for one group.
    """
    outputs, depth, width = dy.shape[1], x.shape[1] // groups, panel_width(x.dtype)
    before = None if prologue is None else prologue_of(x, prologue)
    if groups == 1 and fill(depth, outputs, width) < TURN * fill(outputs, depth, width):
        return np.ascontiguousarray(_weight_grad(dy, x, 1, None, before).T)
    return _weight_grad(x, dy, groups, before, None)


def _weight_grad(x: Array, dy: Array, groups: int, before_x: Any, before_dy: Any) -> Array:
    """Return dy^T @ x, one of them mapped by what comes before (see :func:`multiply`), if any.

    Tasks have some of the pixels each; if there are few of them, some of the output channels, or of
    the columns of x if it is mapped and has more: tasks that need the same ones all map them.
    """
    pixels, outputs = dy.shape
    depth, width = x.shape[1] // groups, panel_width(x.dtype)
    parts = min(TASKS, PARTIAL_BYTES // max(outputs * depth * x.itemsize, 1), pixels // (2 * LONG))
    parts, some, wide = max(parts, 1), outputs, depth
    if groups == 1 and parts < TASKS:
        if before_x is not None and depth > outputs:
            wide = -(-panels(depth, x.dtype) * parts // TASKS) * width
        others = parts * -(-depth // wide)
        some = max(-(-outputs * others // (TASKS * ROWS)), 2) * ROWS
    per_part = max(-(-pixels // parts), 1)
    long = -(-per_part // -(-per_part // LONG))
    sums = memory.empty((parts, outputs, depth), x.dtype)
    ends = scratch((long + width) * x.shape[1] if depth % width else 0, x.dtype, 3)
    mapped = some if before_dy is not None else wide if before_x is not None else 0
    rows = scratch((long + width) * mapped, x.dtype, 2)
    task = (
        dy, before_dy, per_part, long, some, x, before_x, wide, rows, ends, groups, sums,
        limits_of(x.dtype),
    )  # fmt: skip
    pieces = parts * -(-outputs // some) * -(-depth // wide)
    if parts == 1:
        share(accumulate, pieces, 1, *task)
        return sums[0]
    dw = memory.empty((outputs, depth, 1), x.dtype)
    step = piece_of(outputs, FINISHED // max(parts * depth, 1))
    share(accumulate_parts, pieces, 1, *task, step, dw)
    return dw[:, :, 0]


def fill(rows: int, columns: int, width: int) -> float:
    """Return the size of a product as if its register tiles were full."""
    return (rows + rows % 2) * -(-columns * 2 // width) * (1 + 0.1 * (columns < width))


@kernel
def accumulate_parts(
    board, seat, first, last, dy, before_dy, per_part, long, share, x, before_x, wide, mapped,
    copies, groups, sums, limits, step, dw,
):  # fmt: skip
    """Write dy^T @ x of all parts, and add them up, ``step`` outputs in a piece."""
    accumulate(
        board, seat, first, last, dy, before_dy, per_part, long, share, x, before_x, wide, mapped,
        copies, groups, sums, limits,
    )  # fmt: skip
    begin, end = another(seat, len(dw), step)
    finish(board, seat, begin, end, sums, dw)


@kernel
def accumulate(
    board, seat, first, last, dy, before_dy, per_part, long, share, x, before_x, wide, mapped,
    copies, groups, sums, limits,
):  # fmt: skip
    """Write dy^T @ x of a part of the pixels, for a share of the outputs, and of the columns of x.

    ``sums`` is (parts, outputs, C/groups); shares are numbered within parts. If something comes
    before one of the two, a block of it is ``mapped`` just before it is used.
    """
    if shared(board, seat):
        return
    outputs, channels, width = dy.shape[1], x.shape[1], PANEL_BYTES // dy.itemsize
    shares, depth = -(-outputs // share), sums.shape[2]
    left, number = first % -(-depth // wide) * wide, first // -(-depth // wide)
    right, at, part = min(left + wide, depth), number % shares * share, number // shares
    total = sums[part, at : min(at + share, outputs)]
    begin, end = part * per_part, min((part + 1) * per_part, len(x))
    a, a_row, c = dy.reshape(-1), outputs, total.reshape(-1)
    nothing, zero = np.zeros(width, dy.dtype), np.zeros(1, np.int64)
    rows = len(total) // groups
    if begin >= end:
        total[:, left:right] = 0
    for low in range(begin, end, long):
        high = min(low + long, end)
        a_at = low * outputs + at
        if before_dy is not None:
            vectors, ends = before_dy
            map_rows(dy, outputs, low, high - low, at, len(total), vectors, ends, mapped[seat], 0)
            a, a_row, a_at = mapped[seat], len(total), 0
        b, b_row, start = x.reshape(-1), channels, low * channels
        if before_x is not None:
            vectors, ends = before_x
            b, b_row, start = mapped[seat], right - left, -left
            map_rows(x, channels, low, high - low, left, b_row, vectors, ends, b, 0)
        elif high == len(x) and depth % width:
            # The last vector of a row is read to its end: past the end of x, for its last row.
            b, start = copies[seat], 0
            copy_run(x.reshape(-1), low * channels, b, 0, (high - low) * channels)
        new = low == begin
        for g in range(groups):
            for k in range(left, right, width):
                to = g * rows * depth + k
                rows_by_panel(
                    a, a_at + g * rows, 1, a_row, zero, b, start + g * depth + k, b_row, zero,
                    nothing if new else c, 0 if new else to, 0 if new else depth,
                    c, to, depth, rows, 1, high - low, min(depth - k, width), limits,
                )  # fmt: skip
