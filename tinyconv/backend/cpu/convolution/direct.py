"""Convolution as matrix products whose operands stay where they are in memory.

    forward          windows(x) @ w                   (pixels, taps*C) @ (taps*C, O)
    input gradient   windows(dy) @ turned w           (pixels, taps*O) @ (taps*O, C)
    weight gradient  dy^T @ windows(x)                (O, pixels) @ (pixels, taps*C)

Any kernel, stride, padding, dilation and groups, in one to three dimensions: these only decide
where windows begin (:mod:`.lines`). The input gradient of a convolution with stride s is s*s (in
two dimensions) convolutions of stride 1: inputs at rows 0, s, 2s, ... see one set of taps, inputs
at rows 1, s+1, ... another. Kernels of one tap are in :mod:`.pointwise`.

Arrays are channels-last, (N, D, H, W, C). Groups are a batch of products.
"""

from __future__ import annotations

from itertools import product
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from ...reference.activation import Limits
from ...reference.windows import Ints
from .. import memory
from ..compiler.jit import kernel
from ..host import VECTORS
from ..layout import Array
from ..parallel.region import shared
from ..parallel.threads import scratch, share
from ..vectors.runs import copy_run
from ..vectors.tile import limits_of
from ..vectors.transpose import transpose_all
from .lines import Lines, copy_block
from .products import ROWS, VECTOR_BYTES, Packed, panel_width, rows_by_panel

#: Bytes of partial sums of a weight gradient that may exist at a time.
PARTIAL_BYTES = 16 << 20
#: Elements of a weight gradient from which on tasks share it instead of having one each.
SHARED_WEIGHTS = 1 << 18
#: Elements of partial sums that are worth a task when they are added up.
FINISHED = 1 << 14
PANEL_BYTES = VECTORS * VECTOR_BYTES
ONES = (1, 1, 1)


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    groups: int,
    bias: Array | None,
    out: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    limits: Limits | None = None,
    onto: Array | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the (N, *out, O) correlation with weights (O, C/groups, *kernel).

    ``turned``: with the weights of the input gradient, (C, O/groups, *kernel) turned around.
    Results are clipped to ``limits``: (0, inf) for a ReLU. If they are to be added ``onto`` an
    array, they are written there, and there is no bias. Before a bias is added, each output is
    multiplied by its ``scale``.
    """
    weights, y = Packed.of(w, turned, groups, bias, scale), onto
    if y is None:
        y = memory.empty((x.shape[0], *out, weights.columns * groups), x.dtype)
    source = Lines(x, w.shape[2:], tuple(out), stride, before, dilation)
    _multiply_all(source, weights, groups, limits, onto is not None, y, (0, 0, 0), ONES)
    return y


def _multiply_all(
    source: Lines,
    weights: Packed,
    groups: int,
    limits: Limits | None,
    add: bool,
    y: Array,
    first: Ints,
    every: Ints,
    places: Array | None = None,
) -> None:
    """Write a convolution to the pixels of y that begin at ``first``, ``every`` so many.

    Or add it to what is there. ``places`` says which of the taps in ``weights`` are those of the
    windows, unless all are.
    """
    starts, taps = source.segments()
    line = source.width * source.channels * source.stride[1]
    # With groups, the taps of a run are not neighbours for one group; nor are some of all taps.
    if taps > 1 and (groups > 1 or places is not None):
        starts = (starts[:, None] + np.arange(taps) * source.channels).reshape(-1)
        taps = 1
    depth = taps * source.channels // groups
    at = np.arange(len(starts)) if places is None else places
    at = at * (depth * weights.panels.shape[-1])
    place = (
        y.shape[1:], first, every, (source.stride[2] * source.channels, line), source.out[2], depth
    )  # fmt: skip
    flat, ends = y.reshape(-1), limits_of(y.dtype, limits)
    share(
        multiply, source.blocks, 1,
        source.x, source.geometry, source.memory(), starts, at, weights.panels, weights.bias,
        weights.columns, add, flat, *place, ends, merge=True,
    )  # fmt: skip


@kernel
def multiply(
    board, seat, first, last, x, geometry, memory, starts, at, panels, bias, columns, add, y, shape,
    begin, every, a_steps, pixels, depth, limits,
):  # fmt: skip
    """Write the products of the windows of some blocks of lines and the panels of all groups.

    Or add them to what is there.
    """
    if shared(board, seat):
        return
    a = memory[seat]
    groups, count, length, width = panels.shape
    b, init = panels.reshape(-1), bias.reshape(-1)
    y_row = every[2] * shape[3]
    y_line = every[1] * shape[2] * shape[3]
    for number in range(first, last):
        image, sheet, top, lines = copy_block(x, number, geometry, a)
        to = (image * shape[0] + sheet * every[0] + begin[0]) * shape[1]
        to = ((to + top * every[1] + begin[1]) * shape[2] + begin[2]) * shape[3]
        for g in range(groups):
            for p in range(count):
                for line in range(lines):
                    pixel = to + line * y_line + g * columns + p * width
                    rows_by_panel(
                        a, line * a_steps[1] + g * depth, a_steps[0], 1, starts,
                        b, (g * count + p) * length * width, width, at,
                        y if add else init, pixel if add else (g * count + p) * width,
                        y_row if add else 0, y, pixel, y_row,
                        pixels, len(starts), depth, min(columns - p * width, width), limits,
                    )  # fmt: skip


class Phase(NamedTuple):
    """Inputs of one residue modulo the stride, in one dimension, and the taps that read them."""

    first: int
    size: int
    taps: slice
    before: int
    dilation: int


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> list[Phase]:
    """Return the phases of one dimension that any tap reads."""
    every = stride // gcd(stride, dilation)
    found = []
    for first in range(min(stride, size)):
        hits = (t for t in range(every) if (t * dilation - first - before) % stride == 0)
        taps = range(next(hits, kernel), kernel, every)
        if taps:
            offset = (first + before - taps[-1] * dilation) // stride
            found.append(
                Phase(first, len(range(first, size, stride)), slice(taps[0], None, every),
                      -offset, dilation * every // stride)
            )  # fmt: skip
    return found


def input_grad(
    dy: Array,
    w: Array,
    spatial: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    groups: int,
    bias: Array | None = None,
    onto: Array | None = None,
) -> Array:
    """Return the (N, *spatial, C) gradient with respect to the input, with a bias (C,) added.

    Or without one, add it ``onto`` an array.
    """
    kernel = w.shape[2:]
    times = stride[2]
    alone = 1 < times == kernel[2] and spatial[2] == times * dy.shape[3]
    if alone and before[2] == 0 and dilation[2] == groups == 1:
        # Each output has read some pixels of a line that no other has: together they are one pixel
        # of more channels.
        joined = w.transpose(0, 4, 1, 2, 3).reshape(len(w), times * w.shape[1], *kernel[:2], 1)
        size, step = (*spatial[:2], dy.shape[3]), (*stride[:2], 1)
        repeated = None if bias is None else np.tile(bias, times)
        if onto is not None:
            onto = onto.reshape(len(dy), *size, joined.shape[1])
        dx = input_grad(dy, joined, size, step, before, dilation, 1, repeated, onto)
        return dx.reshape(len(dy), *spatial, w.shape[1])
    if prod(stride) == 1:
        reach = tuple(d * (k - 1) - b for d, k, b in zip(dilation, kernel, before, strict=True))
        return correlate(dy, w, True, groups, bias, spatial, ONES, reach, dilation, None, onto)
    options = [
        _phases(*dimension)
        for dimension in zip(spatial, kernel, stride, before, dilation, strict=True)
    ]
    covered = all(
        len(found) == min(s, size) for found, s, size in zip(options, stride, spatial, strict=True)
    )
    add = onto is not None
    if onto is not None:
        dx = onto
    else:
        dx = memory.empty((dy.shape[0], *spatial, w.shape[1] * groups), dy.dtype)
        if not covered:
            dx[...] = 0 if bias is None else bias
    weights = Packed.of(w, True, groups, bias)  # all taps, the last one first
    numbers = np.arange(prod(kernel))[::-1].reshape(kernel)
    for phase in product(*options):
        selection: Any = tuple(p.taps for p in phase)
        places = numbers[selection][::-1, ::-1, ::-1].reshape(-1)
        taps = tuple(len(range(k)[p.taps]) for k, p in zip(kernel, phase, strict=True))
        source = Lines(
            dy, taps, tuple(p.size for p in phase), ONES, tuple(p.before for p in phase),
            tuple(p.dilation for p in phase),
        )  # fmt: skip
        _multiply_all(
            source, weights, groups, None, add, dx, tuple(p.first for p in phase), stride, places
        )  # fmt: skip
    return dx


def weight_grad(
    x: Array, dy: Array, kernel: Ints, stride: Ints, before: Ints, dilation: Ints, groups: int
) -> Array:
    """Return the (O, C/groups, *kernel) gradient with respect to the weights.

    Small gradients are summed by tasks that have some lines each, and the tasks' sums are added;
    of a large one, a task has some output channels and all lines.
    """
    outputs, width = dy.shape[-1], panel_width(x.dtype)
    source = Lines(x, kernel, dy.shape[1:-1], stride, before, dilation, width)
    dw = memory.empty((outputs, x.shape[-1] // groups, prod(kernel)), x.dtype)
    starts, taps = source.segments()
    if groups == 1 and taps * source.channels < width:
        return _narrow_weight_grad(source, dy, starts, taps).reshape(outputs, -1, *kernel)
    if groups > 1 and taps > 1:
        starts = (starts[:, None] + np.arange(taps) * source.channels).reshape(-1)
        taps = 1
    depth = dw.shape[1] * dw.shape[2]
    some = outputs
    if groups == 1 and dw.size >= SHARED_WEIGHTS:
        some = max(-(-outputs // (16 * ROWS)), 1) * ROWS
    shares = -(-outputs // some)
    parts = min(PARTIAL_BYTES // max(dw.size * dw.itemsize, 1), 16 // shares, source.blocks)
    parts = max(parts, 1)
    per_part = -(-source.blocks // parts)
    sums = memory.empty((parts, outputs, depth), x.dtype)
    line = source.width * source.channels * stride[1]
    b_lines = np.arange(source.lines, dtype=np.int64) * line
    limits, step = limits_of(dw.dtype), stride[2] * source.channels
    share(
        accumulate, parts * shares, 1,
        x, source.blocks, per_part, some, source.geometry, source.memory(), starts, b_lines, step,
        dy, groups, taps * dw.shape[1], sums, limits,
    )  # fmt: skip
    share(finish, outputs, FINISHED // max(parts * depth, 1), sums, dw, merge=True)
    return dw.reshape(outputs, -1, *kernel)


def _narrow_weight_grad(source: Lines, dy: Array, starts: Array, taps: int) -> Array:
    """Return the (O, C, taps) gradient; rows of the products are the few numbers of a run."""
    outputs, run_length = dy.shape[-1], taps * source.channels
    depth = len(starts) * run_length
    parts = max(min(source.blocks, 16), 1)
    per_part = -(-source.blocks // parts)
    sums = np.zeros((parts, depth, outputs), dy.dtype)
    step = source.stride[2] * source.channels
    a_lines = np.arange(source.lines) * (source.width * source.channels * source.stride[1])
    size = source.lines * dy.shape[3] * outputs + panel_width(dy.dtype)
    share(
        accumulate_narrow, parts, 1,
        source.x, source.blocks, per_part, source.geometry, source.memory(), starts, a_lines, step,
        dy, scratch(size, dy.dtype, 2), run_length, sums, limits_of(dy.dtype),
    )  # fmt: skip
    total = sums.sum(0).reshape(-1, source.channels, outputs)
    return np.ascontiguousarray(total.transpose(2, 1, 0))


@kernel
def accumulate_narrow(
    board, seat, first, last, x, blocks, per_part, geometry, memory, starts, a_lines, a_step, dy,
    gradients, run, sums, limits,
):  # fmt: skip
    """Add windows^T @ dy of a part of the blocks of lines to its ``sums`` (taps*C, outputs)."""
    if shared(board, seat):
        return
    depth_out, height, pixels, outputs = dy.shape[1:]
    gradient, c, width = dy.reshape(-1), sums[first].reshape(-1), PANEL_BYTES // dy.itemsize
    a, b = memory[seat], gradients[seat]
    b_lines = np.arange(len(a_lines)) * (pixels * outputs)
    for number in range(first * per_part, min(last * per_part, blocks)):
        image, sheet, top, lines = copy_block(x, number, geometry, a)
        start = ((image * depth_out + sheet) * height + top) * pixels * outputs
        # The last vector of a row is read to its end: past the end of dy, for its last row.
        copy_run(gradient, start, b, 0, lines * pixels * outputs)
        for s in range(len(starts)):
            for k in range(0, outputs, width):
                to = s * run * outputs + k
                rows_by_panel(
                    a, starts[s], 1, a_step, a_lines, b, k, outputs, b_lines,
                    c, to, outputs, c, to, outputs, run, lines, pixels, min(outputs - k, width),
                    limits,
                )  # fmt: skip


@kernel
def accumulate(
    board, seat, first, last, x, blocks, per_part, share, geometry, memory, starts, b_lines, b_row,
    dy, groups, run, sums, limits,
):  # fmt: skip
    """Write dy^T @ windows of a part of the blocks of lines, for a share of the outputs.

    ``sums`` is (parts, outputs, taps*C); shares are numbered within parts.
    """
    if shared(board, seat):
        return
    depth_out, height, pixels, outputs = dy.shape[1:]
    b, shares = memory[seat], -(-outputs // share)
    share_at, part = first % shares * share, first // shares
    total = sums[part, share_at : min(share_at + share, outputs)]
    begin, end = part * per_part, min((part + 1) * per_part, blocks)
    gradient, c, width = dy.reshape(-1), total.reshape(-1), PANEL_BYTES // dy.itemsize
    nothing = np.zeros(width, dy.dtype)
    rows, depth = total.shape[0] // groups, total.shape[1]
    a_lines = np.empty(len(b_lines), np.int64)
    for line in range(len(b_lines)):
        a_lines[line] = line * pixels * outputs
    if begin >= end:
        total[:] = 0
    for number in range(begin, end):
        image, sheet, top, lines = copy_block(x, number, geometry, b)
        start = ((image * depth_out + sheet) * height + top) * pixels * outputs + share_at
        new = number == begin
        for g in range(groups):
            for s in range(len(starts)):
                for k in range(0, run, width):
                    to = g * rows * depth + s * run + k
                    rows_by_panel(
                        gradient, start + g * rows, 1, outputs, a_lines,
                        b, starts[s] + g * run + k, b_row, b_lines,
                        nothing if new else c, 0 if new else to, 0 if new else depth,
                        c, to, depth, rows, lines, pixels, min(run - k, width), limits,
                    )  # fmt: skip


@kernel
def finish(board, seat, first, last, sums, dw):
    """Add up the parts (outputs, taps*C) in their order, and write (outputs, C, taps)."""
    if shared(board, seat):
        return
    channels, taps = dw.shape[1:]
    depth = channels * taps
    source, target = sums[0].reshape(-1), dw.reshape(-1)
    for part in range(1, sums.shape[0]):
        more = sums[part].reshape(-1)
        for i in range(first * depth, last * depth):
            source[np.uint64(i)] += more[np.uint64(i)]
    if taps == 1:
        for i in range(first * depth, last * depth):
            target[np.uint64(i)] = source[np.uint64(i)]
        return
    offsets = np.empty(channels, np.int64)
    for c in range(channels):
        offsets[c] = c * taps
    for o in range(first, last):
        transpose_all(source, o * depth, channels, taps, channels, target, o * depth, offsets, 0,
                      taps)  # fmt: skip
