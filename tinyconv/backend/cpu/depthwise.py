"""Depthwise 2-D convolution (one input and one output channel a group) by direct loops.

Each channel is convolved with a small kernel of its own, so there is no matrix product to be had.
With channels last, "for each tap: y[all channels] += x[all channels] * w[tap, all channels]" is
a loop over adjacent numbers. Tasks are output lines; for the weight gradient, blocks of lines,
whose float64 sums are added in order.
"""

from __future__ import annotations

import numpy as np

from ..reference.windows import Ints
from .jit import kernel
from .layout import Array, lines_per_task
from .threads import run_ranges


def applies(w: Array, groups: int) -> bool:
    """Return whether weights (O, C/groups, kh, kw) are those of a depthwise convolution."""
    return w.shape[1] == 1 and w.shape[0] == groups


def _taps(w: Array) -> Array:
    """Return (C, 1, kh, kw) weights as a (kh, kw, C) array."""
    return np.ascontiguousarray(w[:, 0].transpose(1, 2, 0))


def forward(
    x: Array, w: Array, bias: Array | None, out: Ints, stride: Ints, before: Ints, dilation: Ints
) -> Array:
    """Return the (N, *out, C) convolution of (N, H, W, C) with (C, 1, kh, kw)."""
    y = np.zeros((x.shape[0], *out, x.shape[3]), x.dtype)
    if bias is not None:
        y += bias
    geometry, by_tap = (*stride, *before, *dilation), _taps(w)
    lines = x.shape[0] * out[0]

    def part(first: int, last: int) -> None:
        depthwise(x, by_tap, first, last, *geometry, y)

    run_ranges(part, lines, lines_per_task(lines, out[1] * w.size))
    return y


def input_grad(
    dy: Array, w: Array, spatial: Ints, stride: Ints, before: Ints, dilation: Ints
) -> Array:
    """Return the (N, *spatial, C) gradient with respect to the input."""
    dx = np.zeros((dy.shape[0], *spatial, dy.shape[3]), dy.dtype)
    geometry, by_tap = (*stride, *before, *dilation), _taps(w)
    lines = dy.shape[0] * spatial[0]

    def part(first: int, last: int) -> None:
        depthwise_input_grad(dy, by_tap, first, last, *geometry, dx)

    run_ranges(part, lines, lines_per_task(lines, spatial[1] * w.size))
    return dx


def weight_grad(
    x: Array, dy: Array, kernel: Ints, stride: Ints, before: Ints, dilation: Ints
) -> Array:
    """Return the (C, 1, kh, kw) gradient with respect to the weights."""
    batch, out_height, out_width, channels = dy.shape
    lines = batch * out_height
    step = max(
        lines_per_task(lines, out_width * kernel[0] * kernel[1] * channels), -(-lines // 16), 1
    )
    partial = np.zeros((-(-lines // step), *kernel, channels), np.float64)
    geometry = (*stride, *before, *dilation)

    def part(first: int, last: int) -> None:
        depthwise_weight_grad(x, dy, first, last, *geometry, partial[first // step])

    run_ranges(part, lines, step)
    total = partial.sum(axis=0).astype(x.dtype)
    return np.ascontiguousarray(total.transpose(2, 0, 1)[:, None])


@kernel
def depthwise(x, w, first, last, sh, sw, bh, bw, dh, dw, y):
    """Add to the lines ``first`` to ``last`` of y (N, OH, OW, C), which hold the bias."""
    height, width, channels = x.shape[1:]
    for line in range(first, last):
        image, oh = line // y.shape[1], line % y.shape[1]
        for ow in range(y.shape[2]):
            target = y[image, oh, ow]
            for th in range(w.shape[0]):
                row = oh * sh - bh + th * dh
                if row < 0 or row >= height:
                    continue
                for tw in range(w.shape[1]):
                    column = ow * sw - bw + tw * dw
                    if column < 0 or column >= width:
                        continue
                    source, weight = x[image, row, column], w[th, tw]
                    for c in range(channels):
                        target[c] += source[c] * weight[c]


@kernel
def depthwise_input_grad(dy, w, first, last, sh, sw, bh, bw, dh, dw, dx):
    """Add to the lines ``first`` to ``last`` of dx: each pixel asks which outputs have read it."""
    out_height, out_width, channels = dy.shape[1:]
    for line in range(first, last):
        image, row = line // dx.shape[1], line % dx.shape[1]
        for column in range(dx.shape[2]):
            target = dx[image, row, column]
            for th in range(w.shape[0]):
                top = row + bh - th * dh
                oh = top // sh
                if top < 0 or top != oh * sh or oh >= out_height:
                    continue
                for tw in range(w.shape[1]):
                    left = column + bw - tw * dw
                    ow = left // sw
                    if left < 0 or left != ow * sw or ow >= out_width:
                        continue
                    source, weight = dy[image, oh, ow], w[th, tw]
                    for c in range(channels):
                        target[c] += source[c] * weight[c]


@kernel
def depthwise_weight_grad(x, dy, first, last, sh, sw, bh, bw, dh, dw, total):
    """Add the lines ``first`` to ``last`` of dy to total (kh, kw, C) in float64."""
    height, width, channels = x.shape[1:]
    for line in range(first, last):
        image, oh = line // dy.shape[1], line % dy.shape[1]
        for th in range(total.shape[0]):
            row = oh * sh - bh + th * dh
            if row < 0 or row >= height:
                continue
            for tw in range(total.shape[1]):
                target = total[th, tw]
                for ow in range(dy.shape[2]):
                    column = ow * sw - bw + tw * dw
                    if column < 0 or column >= width:
                        continue
                    source, gradient = x[image, row, column], dy[image, oh, ow]
                    for c in range(channels):
                        target[c] += np.float64(source[c]) * np.float64(gradient[c])
