"""Convolution of one tap and stride 1: the pixels are a matrix, and so are the weights.

    forward          x @ w^T          (pixels, C) @ (C, O)
    input gradient   dy @ w           (pixels, O) @ (O, C)
    weight gradient  dy^T @ x         (O, pixels) @ (pixels, C)

Arrays are matrices of pixels. A linear layer is the same. Groups are a batch of products.
"""

from __future__ import annotations

import numpy as np

from ..reference.activation import Limits
from . import memory
from .direct import PANEL_BYTES, PARTIAL_BYTES, Packed, finish
from .jit import kernel
from .layout import Array, plain
from .products import ROWS, pack_panel, panel_width, panels, rows_by_panel
from .runs import copy_run
from .threads import run, run_ranges, workspace
from .tile import limits_of

#: Rows of a block are chosen so that it shares a core's cache with the weights.
BLOCK_BYTES = 256 << 10
#: Rows so few that a task has all of them, and packs the panel of weights that it uses.
FEW_ROWS = 8 * ROWS
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
) -> Array:
    """Return the (pixels, O) product of (pixels, C) with weights (O, C/groups, 1 ...).

    ``turned``: with weights (C, O/groups, 1 ...), for the input gradient.
    """
    if groups == 1 and len(x) <= FEW_ROWS and x.nbytes <= BLOCK_BYTES:
        return _few_rows(x, w, turned, bias, limits)
    weights = Packed.of(w, turned, groups, bias)
    y = memory.empty((len(x), weights.columns * groups), x.dtype)
    fitting = BLOCK_BYTES // max(x.shape[1] * x.itemsize, 1)
    step = -(-max(min(fitting, len(x) // 8), 2 * ROWS) // ROWS) * ROWS
    ends, gaps = limits_of(y.dtype, limits), collide(x)

    def block(first: int, last: int) -> None:
        source, at = (apart(x[first:last]), 0) if gaps else (x, first)
        multiply(source, at, first, last, step, weights.panels, 0, weights.bias, weights.columns, y,
                 ends)  # fmt: skip

    run_ranges(block, len(x), step, merge=not gaps)
    return y


def collide(x: Array) -> bool:
    """Return whether the rows of x take turns in the same few lines of a cache."""
    return x.shape[1] * x.itemsize % PAGE == 0 and x.size > 0


def apart(x: Array) -> Array:
    """Return a copy of x with a gap after each row, in memory of this thread."""
    rows = workspace((len(x), x.shape[1] + PAGE // (64 * x.itemsize)), x.dtype, 3)
    rows[:, : x.shape[1]] = x
    return rows


def _few_rows(x: Array, w: Array, turned: bool, bias: Array | None, limits: Limits | None) -> Array:
    """Return the product; a task packs a panel of weights and uses it at once."""
    outputs, inputs = w.shape[0], w.shape[1]
    columns, depth = (inputs, outputs) if turned else (outputs, inputs)
    width, weights = panel_width(x.dtype), plain(w).reshape(outputs, inputs, 1)
    start = np.zeros((1, panels(columns, x.dtype) * width), x.dtype)
    if bias is not None:
        start[0, :columns] = bias
    y, ends = memory.empty((len(x), columns), x.dtype), limits_of(x.dtype, limits)
    source = apart(x) if collide(x) else x

    def some(first: int, last: int) -> None:
        for p in range(first, last):
            panel = workspace((1, 1, depth, width), x.dtype, 2)
            pack_panel(weights, turned, True, p * width, 0, depth, panel[0, 0])
            multiply(source, 0, 0, len(x), len(x), panel, p, start, columns, y, ends)

    step = max(PRODUCTS // max(len(x) * depth * width, 1), 1)
    run_ranges(some, panels(columns, x.dtype), step)
    return y


@kernel
def multiply(x, at, begin, end, step, packed, p0, bias, columns, y, limits):
    """Write the products of rows ``begin`` to ``end``, which are those of x from ``at`` on.

    ``step`` rows at a time stay in cache; panels are those from p0 on.
    """
    groups, count, depth, width = packed.shape
    a, b, init, c = x.reshape(-1), packed.reshape(-1), bias.reshape(-1), y.reshape(-1)
    start = np.zeros(1, np.int64)
    for first in range(begin, end, step):
        rows, row = min(step, end - first), at + first - begin
        for g in range(groups):
            for p in range(count):
                rows_by_panel(
                    a, row * x.shape[1] + g * depth, x.shape[1], 1, start,
                    b, (g * count + p) * depth * width, width, start,
                    init, (g * count + p0 + p) * width, 0,
                    c, first * y.shape[1] + g * columns + (p0 + p) * width, y.shape[1],
                    rows, 1, depth, min(columns - (p0 + p) * width, width), limits,
                )  # fmt: skip


def weight_grad(x: Array, dy: Array, groups: int) -> Array:
    """Return the (O, C/groups) gradient from (pixels, C) and (pixels, O)."""
    outputs, depth, width = dy.shape[1], x.shape[1] // groups, panel_width(x.dtype)
    if groups == 1 and fill(depth, outputs, width) < TURN * fill(outputs, depth, width):
        return np.ascontiguousarray(_weight_grad(dy, x, 1).T)
    return _weight_grad(x, dy, groups)


def _weight_grad(x: Array, dy: Array, groups: int) -> Array:
    """Return dy^T @ x.

    Tasks have some of the pixels each; if there are few of them, some of the output channels.
    """
    pixels, outputs = dy.shape
    depth, width = x.shape[1] // groups, panel_width(x.dtype)
    parts = min(TASKS, PARTIAL_BYTES // max(outputs * depth * x.itemsize, 1), pixels // (2 * LONG))
    parts, share = max(parts, 1), outputs
    if groups == 1 and parts < TASKS:
        share = max(-(-outputs * parts // (TASKS * ROWS)), 2) * ROWS
    shares = -(-outputs // share)
    per_part = -(-max(-(-pixels // LONG), 1) // parts) * LONG
    sums = memory.empty((parts, outputs, depth), x.dtype)
    limits = limits_of(x.dtype)

    def part(number: int) -> None:
        at, number = number % shares * share, number // shares
        end = workspace((LONG + width, x.shape[1]) if depth % width else (0, 0), x.dtype, 3)
        accumulate(dy, number * per_part, min((number + 1) * per_part, pixels), at, x, end,
                   groups, sums[number, at : at + share], limits)  # fmt: skip

    run(part, parts * shares)
    if parts == 1:
        return sums[0]
    dw = np.empty((outputs, depth, 1), x.dtype)
    run_ranges(lambda a, b: finish(sums, a, b, dw), outputs, max(-(-outputs // 8), 1))
    return dw[:, :, 0]


def fill(rows: int, columns: int, width: int) -> float:
    """Return the size of a product as if its register tiles were full."""
    return (rows + rows % 2) * -(-columns * 2 // width) * (1 + 0.1 * (columns < width))


@kernel
def accumulate(dy, begin, end, at, x, copy, groups, sums, limits):
    """Write dy^T @ x of some pixels; ``sums`` (rows, C/groups)."""
    a, c = dy.reshape(-1), sums.reshape(-1)
    outputs, channels, width = dy.shape[1], x.shape[1], PANEL_BYTES // dy.itemsize
    nothing, zero = np.zeros(width, dy.dtype), np.zeros(1, np.int64)
    rows, depth = sums.shape[0] // groups, sums.shape[1]
    if begin >= end:
        sums[:] = 0
    for first in range(begin, end, LONG):
        last = min(first + LONG, end)
        b, start = x.reshape(-1), first
        if last == len(x) and len(copy):
            # The last vector of a row is read to its end: past the end of x, for its last row.
            b, start = copy.reshape(-1), 0
            copy_run(x.reshape(-1), first * channels, b, 0, (last - first) * channels)
        new = first == begin
        for g in range(groups):
            for k in range(0, depth, width):
                to = g * rows * depth + k
                rows_by_panel(
                    a, first * outputs + at + g * rows, 1, outputs, zero,
                    b, start * channels + g * depth + k, channels, zero,
                    nothing if new else c, 0 if new else to, 0 if new else depth,
                    c, to, depth, rows, 1, last - first, min(depth - k, width), limits,
                )  # fmt: skip
