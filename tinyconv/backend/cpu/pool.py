"""2-D max and sum pooling over channels-last memory.

The inner loops run over the channels of a pixel, which are adjacent in memory, and have no
branches that differ between channels, so that the compiler makes them vector instructions.
Forward, each output looks at its window. Backward, each *input* pixel asks which windows hold it
and adds up their gradients, always in the order of the taps; so lines of the result can be shared
out among threads.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from ..reference.windows import Ints, Padding
from .jit import kernel
from .layout import Array, channels_first, channels_last, is_image, lines_per_task
from .threads import run_ranges


def max_pool(
    xp: Any,
    x: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    out: Ints,
) -> tuple[Array, Array]:
    """Return the largest element of each window and its tap; see the reference kernel."""
    if not is_image(x):
        return reference.max_pool(xp, x, kernel, stride, padding, dilation, out)
    pixels = channels_last(x)
    y = np.empty((x.shape[0], *out, x.shape[1]), x.dtype)
    window = np.empty(y.shape, np.uint8 if prod(kernel) <= 256 else np.int32)
    geometry = _geometry(kernel, stride, padding, dilation)
    _by_line(lambda a, b: max_pool_lines(pixels, a, b, *geometry, y, window), y, kernel)
    return channels_first(y), channels_first(window)


def max_pool_grad(
    xp: Any,
    dy: Array,
    window: Array,
    spatial: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Array:
    """Return each output's gradient, added at its winner; see the reference kernel."""
    if not is_image(dy):
        return reference.max_pool_grad(xp, dy, window, spatial, kernel, stride, padding, dilation)
    gradient, winner = channels_last(dy), channels_last(window)
    dx = np.zeros((dy.shape[0], *spatial, dy.shape[1]), dy.dtype)
    geometry = _geometry(kernel, stride, padding, dilation)
    _by_line(lambda a, b: max_pool_grad_lines(gradient, winner, a, b, *geometry, dx), dx, kernel)
    return channels_first(dx)


def max_pool_take(
    xp: Any,
    g: Array,
    window: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Array:
    """Return the elements of ``g`` at the winners; see the reference kernel."""
    if not is_image(g):
        return reference.max_pool_take(xp, g, window, kernel, stride, padding, dilation)
    pixels, winner = channels_last(g), channels_last(window)
    y = np.zeros(winner.shape, g.dtype)
    geometry = _geometry(kernel, stride, padding, dilation)
    _by_line(lambda a, b: max_pool_take_lines(pixels, winner, a, b, *geometry, y), y, kernel)
    return channels_first(y)


def sum_pool(xp: Any, x: Array, kernel: Ints, stride: Ints, padding: Padding, out: Ints) -> Array:
    """Return the sum of each window; see the reference kernel."""
    if not is_image(x):
        return reference.sum_pool(xp, x, kernel, stride, padding, out)
    pixels = channels_last(x)
    y = np.empty((x.shape[0], *out, x.shape[1]), x.dtype)
    geometry = _geometry(kernel, stride, padding, (1, 1))
    _by_line(lambda a, b: sum_pool_lines(pixels, a, b, *geometry, y), y, kernel)
    return channels_first(y)


def sum_pool_grad(
    xp: Any, dy: Array, spatial: Ints, kernel: Ints, stride: Ints, padding: Padding
) -> Array:
    """Return each output's gradient, added to its whole window; see the reference kernel."""
    if not is_image(dy):
        return reference.sum_pool_grad(xp, dy, spatial, kernel, stride, padding)
    gradient = channels_last(dy)
    dx = np.zeros((dy.shape[0], *spatial, dy.shape[1]), dy.dtype)
    geometry = _geometry(kernel, stride, padding, (1, 1))
    _by_line(lambda a, b: sum_pool_grad_lines(gradient, a, b, *geometry, dx), dx, kernel)
    return channels_first(dx)


def _geometry(kernel: Ints, stride: Ints, padding: Padding, dilation: Ints) -> Ints:
    """Return kh, kw, sh, sw, bh, bw, dh, dw: the scalars that every loop below takes."""
    return (*kernel, *stride, padding[0][0], padding[1][0], *dilation)


def _by_line(task: Any, result: Array, kernel: Ints) -> None:
    """Call ``task(first, last)`` over the lines of an (N, H, W, C) result."""
    lines = result.shape[0] * result.shape[1]
    run_ranges(task, lines, lines_per_task(lines, result[0, 0].size * prod(kernel) if lines else 1))


@kernel
def max_pool_lines(x, first, last, kh, kw, sh, sw, bh, bw, dh, dw, y, window):
    """Write the lines ``first`` to ``last`` of y and window (N, OH, OW, C)."""
    height, width, channels = x.shape[1:]
    for line in range(first, last):
        image, oh = line // y.shape[1], line % y.shape[1]
        for ow in range(y.shape[2]):
            best, winner = y[image, oh, ow], window[image, oh, ow]
            best[:] = -np.inf
            winner[:] = 0
            found = False
            for th in range(kh):
                row = oh * sh - bh + th * dh
                if row < 0 or row >= height:
                    continue
                for tw in range(kw):
                    column = ow * sw - bw + tw * dw
                    if column < 0 or column >= width:
                        continue
                    value, tap = x[image, row, column], window.dtype.type(th * kw + tw)
                    if not found:
                        found = True
                        for c in range(channels):
                            best[c] = value[c]
                            winner[c] = tap
                    else:
                        for c in range(channels):
                            v, b = value[c], best[c]
                            wins = (v > b) | ((v != v) & (b == b))
                            best[c] = v if wins else b
                            winner[c] = tap if wins else winner[c]


@kernel
def max_pool_grad_lines(dy, window, first, last, kh, kw, sh, sw, bh, bw, dh, dw, dx):
    """Add to the lines ``first`` to ``last`` of dx (N, H, W, C)."""
    out_height, out_width, channels = dy.shape[1:]
    zero = dy.dtype.type(0)
    for line in range(first, last):
        image, row = line // dx.shape[1], line % dx.shape[1]
        for column in range(dx.shape[2]):
            target = dx[image, row, column]
            for th in range(kh):
                top = row + bh - th * dh
                oh = top // sh
                if top < 0 or top != oh * sh or oh >= out_height:
                    continue
                for tw in range(kw):
                    left = column + bw - tw * dw
                    ow = left // sw
                    if left < 0 or left != ow * sw or ow >= out_width:
                        continue
                    source, winner = dy[image, oh, ow], window[image, oh, ow]
                    tap = window.dtype.type(th * kw + tw)
                    for c in range(channels):
                        target[c] += source[c] if winner[c] == tap else zero


@kernel
def max_pool_take_lines(g, window, first, last, kh, kw, sh, sw, bh, bw, dh, dw, y):
    """Write the lines ``first`` to ``last`` of y (N, OH, OW, C), which is zero before."""
    height, width, channels = g.shape[1:]
    for line in range(first, last):
        image, oh = line // y.shape[1], line % y.shape[1]
        for ow in range(y.shape[2]):
            target, winner = y[image, oh, ow], window[image, oh, ow]
            for th in range(kh):
                row = oh * sh - bh + th * dh
                if row < 0 or row >= height:
                    continue
                for tw in range(kw):
                    column = ow * sw - bw + tw * dw
                    if column < 0 or column >= width:
                        continue
                    source, tap = g[image, row, column], window.dtype.type(th * kw + tw)
                    for c in range(channels):
                        target[c] = source[c] if winner[c] == tap else target[c]


@kernel
def sum_pool_lines(x, first, last, kh, kw, sh, sw, bh, bw, dh, dw, y):
    """Write the lines ``first`` to ``last`` of y (N, OH, OW, C); sums are float64."""
    height, width, channels = x.shape[1:]
    total = np.empty(channels, np.float64)
    for line in range(first, last):
        image, oh = line // y.shape[1], line % y.shape[1]
        for ow in range(y.shape[2]):
            total[:] = 0.0
            for th in range(kh):
                row = oh * sh - bh + th * dh
                if row < 0 or row >= height:
                    continue
                for tw in range(kw):
                    column = ow * sw - bw + tw * dw
                    if column < 0 or column >= width:
                        continue
                    source = x[image, row, column]
                    for c in range(channels):
                        total[c] += source[c]
            target = y[image, oh, ow]
            for c in range(channels):
                target[c] = total[c]


@kernel
def sum_pool_grad_lines(dy, first, last, kh, kw, sh, sw, bh, bw, dh, dw, dx):
    """Add to the lines ``first`` to ``last`` of dx (N, H, W, C)."""
    out_height, out_width, channels = dy.shape[1:]
    for line in range(first, last):
        image, row = line // dx.shape[1], line % dx.shape[1]
        for column in range(dx.shape[2]):
            target = dx[image, row, column]
            for th in range(kh):
                top = row + bh - th * dh
                oh = top // sh
                if top < 0 or top != oh * sh or oh >= out_height:
                    continue
                for tw in range(kw):
                    left = column + bw - tw * dw
                    ow = left // sw
                    if left < 0 or left != ow * sw or ow >= out_width:
                        continue
                    source = dy[image, oh, ow]
                    for c in range(channels):
                        target[c] += source[c]
