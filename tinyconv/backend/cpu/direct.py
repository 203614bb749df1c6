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

from ..reference.activation import Limits
from ..reference.windows import Ints
from . import memory
from .host import VECTORS
from .jit import kernel
from .layout import Array, plain
from .lines import Lines, copy_block
from .products import (
    ROWS,
    VECTOR_BYTES,
    pack_panel,
    panel_width,
    panels,
    rows_by_panel,
    transpose_all,
)
from .runs import copy_run
from .threads import run, run_ranges, workspace
from .tile import limits_of

#: Bytes of partial sums of a weight gradient that may exist at a time.
PARTIAL_BYTES = 16 << 20
#: Elements of a weight gradient from which on tasks share it instead of having one each.
SHARED_WEIGHTS = 1 << 18
PANEL_BYTES = VECTORS * VECTOR_BYTES
ONES = (1, 1, 1)


class Packed(NamedTuple):
    """Weights of all groups in panels, with a bias to begin with."""

    panels: Array
    bias: Array
    columns: int

    @classmethod
    def of(cls, w: Array, turned: bool, groups: int, bias: Array | None = None) -> Packed:
        """Pack the weights (O, C/groups, *kernel) of all groups; see :func:`~.pack_panel`."""
        outputs, inputs, taps = w.shape[0] // groups, w.shape[1], prod(w.shape[2:])
        columns, channels = (inputs, outputs) if turned else (outputs, inputs)
        count, width = panels(columns, w.dtype), panel_width(w.dtype)
        by_group = plain(w).reshape(groups, outputs, inputs, taps)
        packed = memory.empty((groups, count, taps * channels, width), w.dtype)
        start = np.zeros((groups, count * width), w.dtype)
        if bias is not None:
            start[:, :columns] = bias.reshape(groups, columns)

        def some(first: int, last: int) -> None:
            for number in range(first, last):
                g, p = divmod(number, count)
                pack_panel(by_group[g], turned, True, p * width, 0, channels, packed[g, p])

        step = max((1 << 16) // (taps * channels * width), 1)
        run_ranges(some, groups * count, step, merge=True)
        return cls(packed, start, columns)


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
) -> Array:
    """Return the (N, *out, O) correlation with weights (O, C/groups, *kernel).

    ``turned``: with the weights of the input gradient, (C, O/groups, *kernel) turned around.
    Results are clipped to ``limits``: (0, inf) for a ReLU.
    """
    weights = Packed.of(w, turned, groups, bias)
    y = memory.empty((x.shape[0], *out, weights.columns * groups), x.dtype)
    source = Lines(x, w.shape[2:], tuple(out), stride, before, dilation)
    _multiply_all(source, weights, groups, limits, y, (0, 0, 0), ONES)
    return y


def _multiply_all(
    source: Lines,
    weights: Packed,
    groups: int,
    limits: Limits | None,
    y: Array,
    first: Ints,
    every: Ints,
) -> None:
    """Write a convolution to the pixels of y that begin at ``first``, ``every`` so many."""
    starts, taps = source.segments()
    depth = taps * source.channels // groups
    at = np.arange(len(starts), dtype=np.int64) * (depth * weights.panels.shape[-1])
    line = source.width * source.channels * source.stride[1]
    # With groups, the taps of a run are not neighbours for one group.
    if groups > 1 and taps > 1:
        starts = (starts[:, None] + np.arange(taps) * source.channels).reshape(-1)
        depth //= taps
        at = np.arange(len(starts), dtype=np.int64) * (depth * weights.panels.shape[-1])
    place = (
        y.shape[1:], first, every, (source.stride[2] * source.channels, line), source.out[2], depth
    )  # fmt: skip
    flat, ends = y.reshape(-1), limits_of(y.dtype, limits)

    def blocks(begin: int, end: int) -> None:
        multiply(source.x, begin, end, source.geometry, source.memory(), starts, at, weights.panels,
                 weights.bias, weights.columns, flat, *place, ends)  # fmt: skip

    run_ranges(blocks, source.blocks, 1, merge=True)


@kernel
def multiply(
    x, begin, end, geometry, a, starts, at, panels, bias, columns, y, shape, first, every, a_steps,
    pixels, depth, limits,
):  # fmt: skip
    """Write the products of the windows of some blocks of lines and the panels of all groups."""
    groups, count, length, width = panels.shape
    b, init = panels.reshape(-1), bias.reshape(-1)
    y_row = every[2] * shape[3]
    y_line = every[1] * shape[2] * shape[3]
    for number in range(begin, end):
        image, sheet, top, lines = copy_block(x, number, geometry, a)
        to = (image * shape[0] + sheet * every[0] + first[0]) * shape[1]
        to = ((to + top * every[1] + first[1]) * shape[2] + first[2]) * shape[3]
        for g in range(groups):
            for p in range(count):
                for line in range(lines):
                    rows_by_panel(
                        a, line * a_steps[1] + g * depth, a_steps[0], 1, starts,
                        b, (g * count + p) * length * width, width, at,
                        init, (g * count + p) * width, 0,
                        y, to + line * y_line + g * columns + p * width, y_row,
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
    dy: Array, w: Array, spatial: Ints, stride: Ints, before: Ints, dilation: Ints, groups: int
) -> Array:
    """Return the (N, *spatial, C) gradient with respect to the input."""
    kernel = w.shape[2:]
    if prod(stride) == 1:
        reach = tuple(d * (k - 1) - b for d, k, b in zip(dilation, kernel, before, strict=True))
        return correlate(dy, w, True, groups, None, spatial, ONES, reach, dilation)
    options = [
        _phases(*dimension)
        for dimension in zip(spatial, kernel, stride, before, dilation, strict=True)
    ]
    covered = all(
        len(found) == min(s, size) for found, s, size in zip(options, stride, spatial, strict=True)
    )
    make = memory.empty if covered else memory.zeros
    dx = make((dy.shape[0], *spatial, w.shape[1] * groups), dy.dtype)
    for phase in product(*options):
        selection: Any = (..., *(p.taps for p in phase))
        weights = Packed.of(w[selection], True, groups)
        taps = tuple(len(range(k)[p.taps]) for k, p in zip(kernel, phase, strict=True))
        source = Lines(
            dy, taps, tuple(p.size for p in phase), ONES, tuple(p.before for p in phase),
            tuple(p.dilation for p in phase),
        )  # fmt: skip
        _multiply_all(source, weights, groups, None, dx, tuple(p.first for p in phase), stride)
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
    dw = np.empty((outputs, x.shape[-1] // groups, prod(kernel)), x.dtype)
    starts, taps = source.segments()
    if groups == 1 and taps * source.channels < width:
        return _narrow_weight_grad(source, dy, starts, taps).reshape(outputs, -1, *kernel)
    if groups > 1 and taps > 1:
        starts = (starts[:, None] + np.arange(taps) * source.channels).reshape(-1)
        taps = 1
    depth = dw.shape[1] * dw.shape[2]
    share = outputs
    if groups == 1 and dw.size >= SHARED_WEIGHTS:
        share = max(-(-outputs // (16 * ROWS)), 1) * ROWS
    shares = -(-outputs // share)
    parts = min(PARTIAL_BYTES // max(dw.size * dw.itemsize, 1), 16 // shares, source.blocks)
    parts = max(parts, 1)
    per_part = -(-source.blocks // parts)
    sums = memory.empty((parts, outputs, depth), x.dtype)
    line = source.width * source.channels * stride[1]
    b_lines = np.arange(source.lines, dtype=np.int64) * line
    limits, step = limits_of(dw.dtype), stride[2] * source.channels

    def part(number: int) -> None:
        share_at, number = number % shares * share, number // shares
        target = sums[number, share_at : min(share_at + share, outputs)]
        begin = number * per_part
        accumulate(x, begin, min(begin + per_part, source.blocks), source.geometry, source.memory(),
                   starts, b_lines, step, dy, share_at, groups, taps * dw.shape[1], target,
                   limits)  # fmt: skip

    run(part, parts * shares)
    run_ranges(lambda a, b: finish(sums, a, b, dw), outputs, max(-(-outputs // 8), 1))
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

    def part(number: int) -> None:
        size = source.lines * dy.shape[3] * outputs + panel_width(dy.dtype)
        accumulate_narrow(source.x, number * per_part, min((number + 1) * per_part, source.blocks),
                          source.geometry, source.memory(), starts, a_lines, step, dy,
                          workspace((size,), dy.dtype, 2), run_length, sums[number],
                          limits_of(dy.dtype))  # fmt: skip

    run(part, parts)
    total = sums.sum(0).reshape(-1, source.channels, outputs)
    return np.ascontiguousarray(total.transpose(2, 1, 0))


@kernel
def accumulate_narrow(
    x, begin, end, geometry, a, starts, a_lines, a_step, dy, b, run, sums, limits
):  # fmt: skip
    """Add windows^T @ dy of some blocks of lines to ``sums`` (taps*C, outputs)."""
    depth_out, height, pixels, outputs = dy.shape[1:]
    gradient, c, width = dy.reshape(-1), sums.reshape(-1), PANEL_BYTES // dy.itemsize
    b_lines = np.arange(len(a_lines)) * (pixels * outputs)
    for number in range(begin, end):
        image, sheet, top, lines = copy_block(x, number, geometry, a)
        first = ((image * depth_out + sheet) * height + top) * pixels * outputs
        # The last vector of a row is read to its end: past the end of dy, for its last row.
        copy_run(gradient, first, b, 0, lines * pixels * outputs)
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
    x, begin, end, geometry, b, starts, b_lines, b_row, dy, share_at, groups, run, sums, limits
):  # fmt: skip
    """Write dy^T @ windows of some blocks of lines; ``sums`` (rows, taps*C)."""
    depth_out, height, pixels, outputs = dy.shape[1:]
    gradient, c, width = dy.reshape(-1), sums.reshape(-1), PANEL_BYTES // dy.itemsize
    nothing = np.zeros(width, dy.dtype)
    rows, depth = sums.shape[0] // groups, sums.shape[1]
    a_lines = np.empty(len(b_lines), np.int64)
    for line in range(len(b_lines)):
        a_lines[line] = line * pixels * outputs
    if begin >= end:
        sums[:] = 0
    for number in range(begin, end):
        image, sheet, top, lines = copy_block(x, number, geometry, b)
        first = ((image * depth_out + sheet) * height + top) * pixels * outputs + share_at
        new = number == begin
        for g in range(groups):
            for s in range(len(starts)):
                for k in range(0, run, width):
                    to = g * rows * depth + s * run + k
                    rows_by_panel(
                        gradient, first + g * rows, 1, outputs, a_lines,
                        b, starts[s] + g * run + k, b_row, b_lines,
                        nothing if new else c, 0 if new else to, 0 if new else depth,
                        c, to, depth, rows, lines, pixels, min(run - k, width), limits,
                    )  # fmt: skip


@kernel
def finish(sums, first, last, dw):
    """Add up the parts (outputs, taps*C) in their order, and write (outputs, C, taps)."""
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
