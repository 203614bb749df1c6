"""Convolution to a few channels: neighbouring pixels of a line count as one pixel of more channels.

Six output channels leave ten of sixteen lanes empty. In channels-last memory, P pixels that lie
side by side are one pixel of P * 6 channels, and a convolution with such outputs is an ordinary
one: its windows move P pixels at a time, and are wide enough for all P of the old ones,

    W[(p, o), c, h, p + t] = w[o, c, h, t]        kernel width k + P - 1, stride P, zeros elsewhere

Some products are with zeros, but fewer than there were empty lanes. Only the weights are copied.
Stride and dilation along the line are 1, and P divides its length.
"""

from __future__ import annotations

import numpy as np

from ...reference.windows import Ints, Padding
from ..layout import Array

#: Numbers of pixels that may be put together.
COUNTS = (2, 4)


def count(outputs: int, line: int, kernel: int, lanes: int) -> int:
    """Return how many pixels to join, 1 for none: the number that costs the fewest products."""
    options = [n for n in COUNTS if line % n == 0 and n * outputs <= lanes]
    return min([1, *options], key=lambda n: (kernel + n - 1) / n)


def join_weights(w: Array, joined: int) -> Array:
    """Return the weights (joined * O, C, ..., k + joined - 1) of weights (O, C, ..., k)."""
    wide = np.zeros((joined, *w.shape[:-1], w.shape[-1] + joined - 1), w.dtype)
    for p in range(joined):
        wide[p, ..., p : p + w.shape[-1]] = w
    return wide.reshape(-1, *wide.shape[2:])


def add_weights(wide: Array, outputs: int, kernel: int) -> Array:
    """Return the gradient (O, C, ..., k) of weights from that of the joined ones."""
    parts = wide.reshape(-1, outputs, *wide.shape[1:])
    total = parts[0, ..., :kernel].copy()
    for p in range(1, len(parts)):
        total += parts[p, ..., p : p + kernel]
    return total


def turn_weights(w: Array) -> Array:
    """Return the weights (C, O, ...) with which a gradient (N, O, ...) is convolved."""
    return np.flip(w, tuple(range(2, w.ndim))).swapaxes(0, 1)


def join(pixels: Array, joined: int) -> Array:
    """Return an (N, ..., W, C) array as (N, ..., W / joined, joined * C)."""
    *outer, line, channels = pixels.shape
    return pixels.reshape(*outer, line // joined, joined * channels)


def reach(spatial: Ints, out: Ints, kernel: Ints, before: Ints) -> Padding:
    """Return the padding with which a gradient of sizes ``out`` makes one of sizes ``spatial``."""
    pairs = zip(spatial, out, kernel, before, strict=True)
    return tuple([(k - 1 - b, s + b - o) for s, o, k, b in pairs])
