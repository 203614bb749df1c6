"""Convolution of volumes as convolution of images: the sheets around each one are its channels.

A kernel of K sheets reads, for a sheet of the output, K sheets of the input. Put side by side along
the channels, these are one image, and what is left is a convolution of images,

    Y[n, d] = X[n, d ... d + K - 1] * w        K * C channels, weights (O, K * C, kh, kw)

for which there is Winograd's algorithm. The copy is K times as large as the input; the sums are the
same. So it is with the gradient of the weights, and that of the input, which reads the gradients of
the K sheets of the output that have seen a sheet of the input.

The stride along the depth is 1.
"""

from __future__ import annotations

from math import prod

from ..compiler.jit import kernel
from ..layout import Array
from ..memory import empty
from ..parallel.region import shared
from ..parallel.threads import share
from ..vectors.runs import clear_run, copy_run

#: Elements of lines that are worth a task.
TASK = 1 << 15


def applies(x: tuple[int, ...], w: tuple[int, ...], stride: tuple[int, ...], groups: int) -> bool:
    """Return whether a convolution is one of volumes, whose sheets can be put side by side."""
    return len(x) == 5 and w[2] > 1 and stride[0] == groups == 1


def stack(x: Array, count: int, size: int, offset: int, apart: int) -> Array:
    """Return images (N * size, H, W, count * C) of the sheets of (N, D, H, W, C).

    Image d has sheets ``d + offset``, ``d + offset + apart`` ...: zeros where there is no such one.
    """
    y = empty((len(x) * size, *x.shape[2:4], count * x.shape[4]), x.dtype)
    lines = prod(y.shape[:2])
    step = TASK * lines // max(y.size, 1)
    share(stack_lines, lines, step, x, count, size, offset, apart, y, merge=True)
    return y


@kernel
def stack_lines(board, seat, first, last, x, count, size, offset, apart, y):
    """Write the lines ``first`` to ``last`` of all images."""
    if shared(board, seat):
        return
    deep, high, wide, channels = x.shape[1:]
    source, target = x.reshape(-1), y.reshape(-1)
    for line in range(first, last):
        h, d, n = line % high, line // high % size, line // (high * size)
        for k in range(count):
            sheet, to = d + offset + k * apart, (line * wide * count + k) * channels
            at = ((n * deep + sheet) * high + h) * wide * channels
            for w in range(wide):
                if 0 <= sheet < deep:
                    copy_run(source, at + w * channels, target, to, channels)
                else:
                    clear_run(target, to, channels)
                to += count * channels


def flat_weights(w: Array) -> Array:
    """Return weights (O, C, K, kh, kw) as (O, K * C, kh, kw)."""
    return w.swapaxes(1, 2).reshape(len(w), -1, *w.shape[3:])


def turned_weights(w: Array) -> Array:
    """Return weights (O, C, K, kh, kw) as (K * O, C, kh, kw), for the gradient of the input."""
    return w.transpose(2, 0, 1, 3, 4).reshape(-1, w.shape[1], *w.shape[3:])


def deep_weights(w: Array, count: int) -> Array:
    """Return weights (O, K * C, kh, kw) as (O, C, K, kh, kw)."""
    return w.reshape(len(w), count, -1, *w.shape[2:]).swapaxes(1, 2)
