"""2-D convolution as matrix products: copy the patches that windows see, then multiply.

    forward          patches(x) @ w                   (pixels, taps*C) @ (taps*C, O)
    input gradient   stride 1: the forward pass over dy with w turned by 180 degrees
                     else:     unpatches(dy @ w^T)    add each patch back where it came from
    weight gradient  dy^T @ patches(x)                (O, pixels) @ (pixels, taps*C)

In channels-last memory one line of a patch is ``kernel_width * C`` adjacent numbers, so making
patches is mostly copying runs. They are made for a block of output lines at a time, small enough
to stay in a core's cache until BLAS has read them, which also bounds the memory. Blocks are the
tasks of :mod:`.threads`. A 1x1 convolution of stride 1 needs no patches: its input is the matrix.

Groups are a batch axis of the products; with one channel a group (depthwise) there is nothing to
multiply as matrices, and :mod:`.depthwise` loops directly. Other ranks and dtypes: reference.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from ..reference.windows import Ints, Padding, output_size
from . import depthwise
from .layout import BLOCK_ELEMENTS, Array, channels_first, channels_last, is_fast, is_image
from .patches import Patches, unpatches
from .threads import run, workspace

#: Partial sums of a weight gradient that may exist at a time.
PARTIAL_BYTES = 64 << 20


def conv(
    xp: Any,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Return the convolution of ``x`` with ``w``; see the reference kernel."""
    if not (is_image(x, w) and is_fast(x, bias)):
        return reference.conv(xp, x, w, bias, stride, padding, dilation, groups)
    out = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    before = (padding[0][0], padding[1][0])
    pixels = channels_last(x)
    if depthwise.applies(w, groups):
        y = depthwise.forward(pixels, w, bias, out, stride, before, dilation)
    else:
        y = _correlate(
            pixels, _by_group(w, groups), bias, w.shape[2:], out, stride, before, dilation
        )
    return channels_first(y)


def conv_input_grad(
    xp: Any,
    dy: Array,
    w: Array,
    spatial: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Return the gradient with respect to the input; see the reference kernel."""
    if not is_image(dy, w):
        return reference.conv_input_grad(xp, dy, w, spatial, stride, padding, dilation, groups)
    before = (padding[0][0], padding[1][0])
    pixels = channels_last(dy)
    if depthwise.applies(w, groups):
        return channels_first(
            depthwise.input_grad(pixels, w, tuple(spatial), stride, before, dilation)
        )
    by_group = _by_group(w, groups)
    if tuple(stride) != (1, 1):
        return channels_first(
            _spread(pixels, by_group, w.shape[2:], tuple(spatial), stride, before, dilation)
        )
    turned = by_group[..., ::-1, ::-1].transpose(0, 2, 1, 3, 4)
    reach = tuple(d * (k - 1) - b for d, k, b in zip(dilation, w.shape[2:], before, strict=True))
    return channels_first(
        _correlate(pixels, turned, None, w.shape[2:], tuple(spatial), (1, 1), reach, dilation)
    )


def conv_weight_grad(
    xp: Any,
    x: Array,
    dy: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Return the gradient with respect to the weights; see the reference kernel."""
    if not is_image(x, dy):
        return reference.conv_weight_grad(xp, x, dy, kernel, stride, padding, dilation, groups)
    before = (padding[0][0], padding[1][0])
    pixels, gradient = channels_last(x), channels_last(dy)
    channels, out_channels = x.shape[1] // groups, dy.shape[1]
    if channels == 1 and groups == out_channels:
        return depthwise.weight_grad(pixels, gradient, tuple(kernel), stride, before, dilation)
    rows = gradient.reshape(-1, groups, out_channels // groups).transpose(1, 2, 0)
    source = Patches(pixels, groups, tuple(kernel), dy.shape[2:], stride, before, dilation)

    # The sum over all lines: blocks are added up in parts, then the parts in their order.
    blocks = -(-source.lines // source.step)
    shape = (groups, out_channels // groups, prod(kernel) * channels)
    most = PARTIAL_BYTES // max(prod(shape) * x.itemsize, 1)
    per_part = max(-(-blocks // max(min(most, 16), 1)), 1)
    partial = np.zeros((max(-(-blocks // per_part), 1), *shape), x.dtype)

    def part(number: int) -> None:
        for block in range(number * per_part, min((number + 1) * per_part, blocks)):
            start, stop = source.pixels_of(block)
            partial[number] += rows[:, :, start:stop] @ source.block(block)

    run(part, len(partial))
    for other in partial[1:]:
        partial[0] += other
    dw = partial[0].reshape(out_channels, *kernel, channels)
    return np.ascontiguousarray(dw.transpose(0, 3, 1, 2))


def _by_group(w: Array, groups: int) -> Array:
    """Return (O, C/groups, kh, kw) weights as (groups, O/groups, C/groups, kh, kw)."""
    return w.reshape(groups, w.shape[0] // groups, *w.shape[1:])


def _matrices(w: Array) -> Array:
    """Return (G, O, C, kh, kw) weights as (G, O, kh*kw*C) matrices: a row is a patch."""
    groups, out_channels = w.shape[:2]
    return w.transpose(0, 1, 3, 4, 2).reshape(groups, out_channels, prod(w.shape[2:]))


def _correlate(
    x: Array,
    w: Array,
    bias: Array | None,
    kernel: Ints,
    out: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
) -> Array:
    """Return the (N, *out, G*O) cross-correlation of (N, H, W, G*C) with (G, O, C, kh, kw)."""
    groups, out_channels = w.shape[:2]
    y = np.empty((x.shape[0], *out, groups * out_channels), x.dtype)
    by_group = y.reshape(-1, groups, out_channels).transpose(1, 0, 2)
    flat = y.reshape(-1, groups * out_channels)
    matrices = _matrices(w).transpose(0, 2, 1)
    source = Patches(x, groups, tuple(kernel), tuple(out), stride, before, dilation)

    def block(number: int) -> None:
        start, stop = source.pixels_of(number)
        np.matmul(source.block(number), matrices, out=by_group[:, start:stop])
        if bias is not None:
            flat[start:stop] += bias

    run(block, -(-source.lines // source.step))
    return y


def _spread(
    dy: Array,
    w: Array,
    kernel: Ints,
    spatial: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
) -> Array:
    """Return the (N, *spatial, G*C) sums of all patches ``dy @ w``; one image is one task."""
    groups, channels = w.shape[0], w.shape[2]
    batch, height, width = dy.shape[:3]
    dx = np.zeros((batch, *spatial, groups * channels), dy.dtype)
    matrices = _matrices(w)
    rows = dy.reshape(batch, height * width, groups, w.shape[1]).transpose(0, 2, 1, 3)
    step = max(BLOCK_ELEMENTS // max(width * groups * matrices.shape[2], 1), 1)

    def image(number: int) -> None:
        target = dx[number].reshape(spatial[0], spatial[1] * groups * channels)
        for line in range(0, height, step):
            start, stop = line * width, min(line + step, height) * width
            block = workspace((groups, stop - start, matrices.shape[2]), dy.dtype)
            np.matmul(rows[number, :, start:stop], matrices, out=block)
            unpatches(
                block.reshape(groups, stop - start, kernel[0], kernel[1] * channels),
                line, width, groups * channels, kernel[1], *stride, *before, *dilation, target,
            )  # fmt: skip

    run(image, batch)
    return dx
