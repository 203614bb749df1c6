"""Convolution to a few channels: the lanes of a vector hold pixels, because channels fill none.

With six output channels, a vector of sixteen channels is mostly empty. Here an image is turned
around in cache: a *plane* has all padded pixels of one channel. One product per tap

    out[o, pixel] += w[o, tap, c] * plane[c, pixel + offset of the tap]

has a few rows and many columns; at the end of each padded line are some columns that belong to no
pixel, and are dropped. The first layers of small networks are of this kind, and so is the gradient
with respect to an image, which adversarial attacks ask for.

Stride 1, one group, images (1, H, W) only; arrays are channels-last, (N, 1, H, W, C).
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ...reference.activation import Limits
from ...reference.windows import Ints
from .. import memory
from ..compiler.jit import kernel
from ..host import VECTORS, host
from ..layout import Array
from ..parallel.region import shared
from ..parallel.threads import scratch, share
from ..vectors.runs import clear_run, copy_run
from ..vectors.tile import limits_of, product_of
from ..vectors.transpose import transpose_all, transpose_few

#: Output channels up to which this may be better than channels in lanes.
FEW_CHANNELS = 8
VECTOR_BYTES = host().vector_bytes
#: Vectors of pixels in a tile of six channels: as many as the registers hold.
WIDE = 2 * VECTORS if host().rows >= 12 else VECTORS

_product = product_of((6, 3, 2, 1), WIDE)


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    bias: Array | None,
    out: Ints,
    before: Ints,
    limits: Limits | None = None,
) -> Array:
    """Return the (N, *out, O) correlation with weights (O, C, 1, kh, kw).

    ``turned``: with the weights of the input gradient, (C, O, 1, kh, kw) turned around.
    Results are clipped to ``limits``.
    """
    w = w[:, :, 0]
    weights = w[:, :, ::-1, ::-1].transpose(1, 2, 3, 0) if turned else w.transpose(0, 2, 3, 1)
    weights = np.ascontiguousarray(weights)
    outputs, high, wide, channels = weights.shape
    height, across = out[1] + high - 1, out[2] + wide - 1
    starts = np.arange(high)[:, None] * across + np.arange(wide)
    if channels == 1:  # neighbouring taps make longer sums
        starts, depth, b_k = starts[:, :1], wide, 1
    else:
        depth, b_k = channels, height * across
    b_at = np.ascontiguousarray(starts.reshape(-1), np.int64)
    a_at = np.arange(len(b_at)) * depth
    width = WIDE * VECTOR_BYTES // x.itemsize
    start = np.zeros((outputs, width), x.dtype)
    if bias is not None:
        start[:] = bias[:, None]
    pixels = -(-out[1] * across // width) * width
    y = memory.empty((x.shape[0], *out, outputs), x.dtype)
    planes = scratch(channels * height * across + pixels + wide, x.dtype, 0)
    results = scratch(outputs * pixels, x.dtype, 1)
    share(
        multiply, x.shape[0], 1,
        x, weights, a_at, planes, (height, across, *before[1:]), b_at, b_k, depth, start, results,
        pixels, y, limits_of(x.dtype, limits), merge=True,
    )  # fmt: skip
    return y


@register_jitable
def fill_planes(x, image, padded, offsets, planes):
    """Write the planes of an image, which begin at ``offsets``, with its padding."""
    _, high, wide, channels = x.shape[1:]
    height, across, above, left = padded
    source = x.reshape(-1)
    low, first = max(left, 0), max(-left, 0)
    inside = max(min(wide - first, across - low), 0)
    for h in range(height):
        line = h - above
        full = inside if 0 <= line < high else 0
        for c in range(channels):
            to = offsets[c] + h * across
            clear_run(planes, to, low if full else across)
            if full:
                clear_run(planes, to + low + full, across - low - full)
        if not full:
            continue
        start = ((image * high + line) * wide + first) * channels
        if channels == 1:
            copy_run(source, start, planes, h * across + low, full)
        else:
            transpose_all(source, start, channels, full, channels, planes, h * across + low,
                          offsets, 0, full)  # fmt: skip


@kernel
def multiply(
    board, seat, first, last, x, weights, a_at, planes, padded, b_at, b_k, depth, start, results,
    pixels, y, limits,
):  # fmt: skip
    """Write the results of some images."""
    if shared(board, seat):
        return
    own, result = planes[seat], results[seat]
    _, high, wide, outputs = y.shape[1:]
    a, init, target = weights.reshape(-1), start.reshape(-1), y.reshape(-1)
    width, a_row, segments = start.shape[1], a_at.size * depth, len(b_at)
    lanes, offsets = width // WIDE, np.arange(x.shape[4]) * (padded[0] * padded[1])
    for image in range(first, last):
        fill_planes(x, image, padded, offsets, own)
        for p in range(0, pixels, width):
            _product(
                a, 0, a_row, 1, a_at, own, p, b_k, b_at, init, 0, width, result, p, pixels,
                outputs, segments, depth, width, limits,
            )  # fmt: skip
        for h in range(high):
            to, line = (image * high + h) * wide, h * padded[1]
            for j in range(0, wide, lanes):
                for o in range(0, outputs, lanes // 2):
                    transpose_few(
                        result, o * pixels + line + j, pixels, min(outputs - o, lanes // 2),
                        min(wide - j, lanes), target, (to + j) * outputs + o, outputs,
                    )  # fmt: skip
