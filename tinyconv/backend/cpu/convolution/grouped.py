"""Convolution in many small groups: the lanes of a vector hold outputs of several groups.

With 4 channels a group, a panel of the direct algorithm has 4 columns, and the rest of its vectors
is empty. Here 16 outputs, of whatever groups, share a vector, and each lane reads the channels of
its own group: for the i-th channel of every group, lane o gets number (o's group) * C + i. So a
line of the input is first *spread*, a vector for each i; what remains are sums channel by channel,

    y[pixel, o] = sum over taps t, i < C of  spread[i, pixel + t, o] * w[o, i, t]

which is a depthwise convolution of a volume whose depth is i. Images only, (N, H, W, C).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...reference.activation import Limits
from ...reference.windows import Ints
from .. import memory
from ..compiler.jit import jitable, kernel
from ..host import host
from ..layout import Array
from ..loops.sweep_products import add_products, weighted
from ..parallel.region import shared
from ..parallel.threads import scratch, share
from ..vectors.spread import spread_lines
from ..vectors.tile import limits_of

#: Bytes of spread lines that a task holds in its core's cache.
SPREAD_BYTES = 256 << 10

#: Lines whose sums are added up in the precision of the input.
LINES = 64


@lru_cache(maxsize=256)
def sources(outputs: int, channels: int, groups: int, lanes: int) -> tuple[Array, Array] | None:
    """Return which channel each lane reads: the first of each vector, and the distances from it.

    ``None`` if those of a vector do not fit in a vector, or a group fills one. There are
    ``outputs`` of all groups, and ``channels`` of one.
    """
    group = np.arange(-(-outputs // lanes) * lanes) // (outputs // groups)
    first = np.minimum(group, groups - 1).reshape(-1, lanes) * channels
    order = first - first[:, :1]
    if max(order.max(), channels, outputs // groups) >= lanes:
        return None
    return np.ascontiguousarray(first[:, 0]), order.astype(np.int32)


def turn(w: Array, groups: int) -> Array:
    """Return the weights with which the gradient of an output is convolved."""
    taps = w.shape[2:]
    by_group = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return by_group.reshape(-1, by_group.shape[2], *taps)[..., ::-1, ::-1]


def correlate(
    x: Array,
    w: Array,
    groups: int,
    bias: Array | None,
    out: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    limits: Limits | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the (N, *out, O) correlation of (N, H, W, C) with (O, C/groups, kh, kw), clipped.

    Before a bias is added, each output is multiplied by its ``scale``.
    """
    outputs, channels, high, wide = w.shape
    lanes = host().lanes(x.dtype)
    found = sources(outputs, channels, groups, lanes)
    assert found is not None
    first, order = found
    weights = np.zeros((len(first) * lanes, high, wide, channels), x.dtype)
    weights[:outputs] = w.transpose(0, 2, 3, 1)
    if scale is not None:
        weights[:outputs] *= scale.reshape(-1, 1, 1, 1)
    weights = weights.reshape(len(first), lanes, -1).swapaxes(1, 2)
    start = np.zeros(len(first) * lanes, x.dtype)
    if bias is not None:
        start[:outputs] = bias
    blocks, lines, rows, width = blocking(x, (high, wide), out, stride, dilation, channels)
    pixel = channels * lanes
    moves = (lanes, dilation[0] * width * pixel, dilation[1] * pixel)  # of i, and of the taps
    steps = (*moves, lanes, wide * pixel, pixel)
    y = memory.empty((x.shape[0], *out, outputs), x.dtype)
    share(
        multiply, x.shape[0] * len(first) * blocks, 1,
        x, first, order, (blocks, lines, rows, width), (*stride, *before),
        scratch(rows * width * pixel, x.dtype, 0), np.ascontiguousarray(weights).reshape(-1),
        (channels, high, wide), steps, start, y, limits_of(x.dtype, limits), merge=True,
    )  # fmt: skip
    return y


def blocking(
    x: Array, kernel: Ints, out: Ints, stride: Ints, dilation: Ints, channels: int
) -> tuple[int, int, int, int]:
    """Return the blocks of an image, their lines of output, lines of input, and width."""
    high, width = (d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    width += (out[1] - 1) * stride[1]
    line = max(width * channels * host().vector_bytes, 1)
    fitting = max(SPREAD_BYTES // line - high, 0) // stride[0] + 1
    blocks = -(-out[0] // fitting)
    lines = -(-out[0] // max(blocks, 1))
    return blocks, lines, (lines - 1) * stride[0] + high, width


@kernel
def multiply(
    board, seat, first, last, x, bases, order, blocking, moves, memory, w, counts, steps, start, y,
    limits,
):  # fmt: skip
    """Write some blocks of lines of vectors of outputs, numbered (image, vector, block)."""
    if shared(board, seat):
        return
    spread, target = memory[seat], y.reshape(-1)
    blocks, most, rows, width = blocking
    vectors, lanes = order.shape
    height, across, outputs = y.shape[1:]
    pixel = counts[0] * lanes
    for number in range(first, last):
        block, vector = number % blocks, number // blocks % vectors
        image, top = number // (blocks * vectors), block * most
        lines = min(most, height - top)
        if lines <= 0:
            continue
        needed = rows - (most - lines) * moves[0]
        spread_lines(x, image, top * moves[0] - moves[2], -moves[3], needed, width, bases[vector],
                     order, vector, counts[0], spread)  # fmt: skip
        o = vector * lanes
        for line in range(lines):
            to = ((image * height + top + line) * across) * outputs + o
            weighted(
                spread, w, line * moves[0] * width * pixel, o * counts[0] * counts[1] * counts[2],
                counts, steps, moves[1] * pixel, start[o : o + lanes], target, to, outputs, across,
                min(outputs - o, lanes), limits,
            )  # fmt: skip


def weight_grad(
    x: Array, dy: Array, kernel: Ints, stride: Ints, before: Ints, dilation: Ints, groups: int
) -> Array:
    """Return the (O, C/groups, kh, kw) gradient with respect to the weights."""
    outputs, channels = dy.shape[3], x.shape[3] // groups
    lanes = host().lanes(x.dtype)
    found = sources(outputs, channels, groups, lanes)
    assert found is not None
    first, order = found
    blocks, lines, rows, width = blocking(x, kernel, dy.shape[1:3], stride, dilation, channels)
    count = x.shape[0] * blocks
    parts = min(max(16, count * lines // LINES), max(count, 1))
    per_part = -(-count // parts)
    sums = np.zeros((parts, len(first), *kernel, channels, lanes), x.dtype)
    share(
        accumulate, parts * len(first), 1,
        x, dy, first, order, per_part, (blocks, lines, rows, width), (*stride, *before),
        dilation, tuple(kernel), channels, scratch(rows * width * channels * lanes, x.dtype, 0),
        sums.reshape(parts * len(first), -1), merge=True,
    )  # fmt: skip
    total = sums.sum(0, np.float64).astype(x.dtype).transpose(0, 4, 3, 1, 2)
    return np.ascontiguousarray(total.reshape(-1, channels, *kernel)[:outputs])


def _products_of(taps: int) -> Any:
    """Return a function that adds the products of so many vectors of a run at a time."""

    def products(
        k, run, lanes, spread, xo, x_step, gradient, do, dy_step, count, total, at, channels
    ):
        while k + taps <= run:
            add_products(
                taps, spread, xo + k * lanes, lanes, x_step, gradient, do, dy_step, count,
                total, at + k * lanes, lanes, channels,
            )  # fmt: skip
            k += taps
        return k

    return jitable(products, taps)


_by_six, _by_three, _by_one = (_products_of(taps) for taps in (6, 3, 1))


@kernel
def accumulate(
    board, seat, first, last, x, dy, bases, order, per_part, blocking, moves, dilation, kernel,
    channels, memory, sums,
):  # fmt: skip
    """Add the products of some (part, vector) numbers to their rows of ``sums``.

    A row has the sums of (kh, kw, C/groups) vectors: in ``spread`` lie the channels of a pixel side
    by side, and those of the next one beside them, so a line of taps is one run.
    """
    if shared(board, seat):
        return
    spread, gradient = memory[seat], dy.reshape(-1)
    blocks, most, rows, width = blocking
    vectors, lanes = order.shape
    height, across, outputs = dy.shape[1:]
    pixel = channels * lanes
    taps, run = (1, kernel[1] * channels) if dilation[1] == 1 else (kernel[1], channels)
    for number in range(first, last):
        part, vector = number // vectors, number % vectors
        o, total = vector * lanes, sums[number]
        few = min(outputs - o, lanes)
        for block in range(part * per_part, min((part + 1) * per_part, len(x) * blocks)):
            image, top = block // blocks, block % blocks * most
            lines = min(most, height - top)
            spread_lines(x, image, top * moves[0] - moves[2], -moves[3],
                         rows - (most - lines) * moves[0], width, bases[vector],
                         order, vector, channels, spread)  # fmt: skip
            for line in range(lines):
                do = ((image * height + top + line) * across) * outputs + o
                for th in range(kernel[0]):
                    begin = (line * moves[0] + th * dilation[0]) * width * pixel
                    for tw in range(taps):
                        xo, at = begin + tw * dilation[1] * pixel, (th * taps + tw) * run
                        rest = (
                            run, lanes, spread, xo, moves[1] * pixel, gradient, do, outputs, across,
                            total, at * lanes, few,
                        )  # fmt: skip
                        k = _by_six(0, *rest)
                        k = _by_three(k, *rest)
                        _by_one(k, *rest)
