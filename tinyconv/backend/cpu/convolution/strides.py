"""Kernels of one tap with a stride: the pixels that they read, without those between them.

What is left is a convolution of stride 1, a plain product of matrices. Its input gradient goes back
to the pixels that were read, and zeros between them, in one pass over memory.
"""

from __future__ import annotations

from math import prod

from ...reference.windows import Ints
from ..compiler.jit import kernel
from ..layout import Array
from ..memory import empty
from ..parallel.region import shared
from ..parallel.threads import share
from ..vectors.runs import clear_run, copy_run

#: Elements of lines that are worth a task.
TASK = 1 << 15


def applies(spatial: Ints, kernel: Ints, out: Ints, stride: Ints, before: Ints) -> bool:
    """Return whether only every so many pixels are read, from the first to the end."""
    if not prod(kernel) == 1 < prod(stride) or any(before):
        return False
    return all(-(-n // s) == o for n, s, o in zip(spatial, stride, out, strict=True))


def taken(pixels: Array, stride: Ints) -> Array:
    """Return the pixels (N, D, H, W, C) that a stride leaves."""
    size = [-(-n // s) for n, s in zip(pixels.shape[1:4], stride, strict=True)]
    y = empty((len(pixels), *size, pixels.shape[4]), pixels.dtype)
    lines = prod(y.shape[:3])
    share(take_lines, lines, TASK * lines // max(y.size, 1), pixels, stride, y, merge=True)
    return y


def spread(pixels: Array, spatial: Ints, stride: Ints) -> Array:
    """Return the pixels where a stride takes them from sizes ``spatial``, and zeros elsewhere."""
    y = empty((len(pixels), *spatial, pixels.shape[4]), pixels.dtype)
    lines = prod(y.shape[:3])
    share(spread_lines, lines, TASK * lines // max(y.size, 1), pixels, stride, y, merge=True)
    return y


@kernel
def take_lines(board, seat, first, last, x, stride, y):
    """Write the lines ``first`` to ``last`` of y."""
    if shared(board, seat):
        return
    deep, high, wide, channels = y.shape[1:]
    source, target = x.reshape(-1), y.reshape(-1)
    for line in range(first, last):
        h, d, n = line % high, line // high % deep, line // (high * deep)
        at = ((n * x.shape[1] + d * stride[0]) * x.shape[2] + h * stride[1]) * x.shape[3] * channels
        for w in range(wide):
            to = (line * wide + w) * channels
            copy_run(source, at + w * stride[2] * channels, target, to, channels)


@kernel
def spread_lines(board, seat, first, last, x, stride, y):
    """Write the lines ``first`` to ``last`` of y: pixels of x, and zeros between them."""
    if shared(board, seat):
        return
    deep, high, wide, channels = y.shape[1:]
    source, target = x.reshape(-1), y.reshape(-1)
    for line in range(first, last):
        h, d, n = line % high, line // high % deep, line // (high * deep)
        to = line * wide * channels
        if d % stride[0] or h % stride[1]:
            clear_run(target, to, wide * channels)
            continue
        at = (n * x.shape[1] + d // stride[0]) * x.shape[2] + h // stride[1]
        at *= x.shape[3] * channels
        for w in range(0, wide, stride[2]):
            copy_run(source, at, target, to + w * channels, channels)
            gap = min(stride[2], wide - w) - 1
            clear_run(target, to + (w + 1) * channels, gap * channels)
            at += channels
