"""Convolution on the CPU: which algorithm does which part, and the way in and out of memory order.

    depthwise   one channel a group: direct loops, there are no matrices (:mod:`.depthwise`)
    pointwise   one tap: a matrix product (:mod:`.pointwise`), after :mod:`.strides`
    winograd    small square kernels of stride 1 in float32: fewer products (:mod:`.winograd`)
    narrow      a few output channels: pixels in lanes (:mod:`.narrow`)
    grouped     small groups: several in the lanes of a vector (:mod:`.grouped`)
    joined      a few output channels: neighbouring pixels are one (:mod:`.joined`)
    positions   maps of few positions: no work for the padding (:mod:`.positions`)
    direct      everything else: windows times weights (:mod:`.direct`)

:mod:`.choice` decides by an estimate of their times. Sequences and volumes
are convolved like images, as arrays of three spatial dimensions. Other dtypes: reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from ..reference.activation import Limits
from ..reference.norm import Norm, Prologue
from ..reference.windows import Ints, Padding, output_size
from . import depthwise, direct, grouped, joined, narrow, pointwise, positions, strides, winograd
from .choice import choose
from .elementwise import accumulate
from .host import host
from .layout import Array, channels_first, channels_last, is_fast, is_plain
from .norm import batch_norm, folded_vectors

#: Algorithms whose sums can begin with what is in memory already.
ADDING = ("winograd", "pointwise", "direct", "strided")


def conv(
    xp: Any,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    limits: Limits | None = None,
    norm: Norm | None = None,
    residual: Array | None = None,
    prologue: Prologue | None = None,
) -> Array:
    """Return the convolution, normalised and clipped if so wanted; see the reference kernel."""
    if not (is_fast(x, w, bias, residual) and x.ndim <= 5):
        return reference.conv(
            xp, x, w, bias, stride, padding, dilation, groups, limits, norm, residual, prologue
        )
    out = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    before, algorithm = tuple(pair[0] for pair in padding), "depthwise"
    if strides.applies(x.shape[2:], w.shape[2:], out, stride, before):
        x, stride = _thinned(x, stride), (1,) * len(stride)
    if not depthwise.applies(w, groups) or x.ndim != 4:
        algorithm = choose(
            "forward", x.shape, w.shape, out, stride, before, dilation, groups, x.dtype
        )
    if prologue is not None and not (algorithm == "pointwise" and groups == 1):
        x, prologue = batch_norm(xp, x, *prologue.norm, None, prologue.limits), None
    if norm is not None and residual is not None and algorithm != "pointwise":
        y = conv(xp, x, w, bias, stride, padding, dilation, groups)
        return batch_norm(xp, y, *norm, residual, limits)
    scale = None
    if norm is not None:
        scale, bias = folded_vectors(*norm, bias, x.dtype)
    pixels = channels_last(x)
    if algorithm == "depthwise":
        y = depthwise.forward(pixels, w, bias, out, stride, before, dilation, limits, scale)
        return channels_first(y)
    if algorithm == "winograd":
        y = winograd.correlate(pixels, w, False, bias, out, before, dilation, limits, scale=scale)
        return channels_first(y)
    if algorithm == "pointwise":
        rows = pixels.reshape(-1, x.shape[1])
        more = None if residual is None else channels_last(residual).reshape(-1, w.shape[0])
        y = pointwise.correlate(rows, w, False, groups, bias, limits, None, scale, more, prologue)
        return channels_first(y.reshape(x.shape[0], *out, w.shape[0]))
    if algorithm in ("joined", "narrow") and scale is not None:  # there are but few weights
        w = w * scale.reshape(-1, *(1,) * (w.ndim - 1))
    if algorithm == "joined":
        return _joined(xp, x, w, bias, out, padding, limits)
    if algorithm == "grouped":
        y = grouped.correlate(
            pixels, w, groups, bias, out, stride, before, dilation, limits, scale
        )  # fmt: skip
        return channels_first(y)
    if algorithm == "narrow":
        y = narrow.correlate(
            volume(pixels), volume_weights(w), False, bias, lift(out, 1), lift(before, 0), limits
        )
        return channels_first(y.reshape(x.shape[0], *out, w.shape[0]))
    if algorithm == "positions":
        y = positions.correlate(
            pixels, w, False, groups, bias, out, stride, before, dilation, x.shape[2:], limits,
            scale,
        )  # fmt: skip
        return channels_first(y)
    y = direct.correlate(
        volume(pixels), volume_weights(w), False, groups, bias,
        *lifted(out, stride, before, dilation), limits, scale=scale,
    )  # fmt: skip
    return channels_first(y.reshape(x.shape[0], *out, w.shape[0]))


def conv_input_grad(
    xp: Any,
    dy: Array,
    w: Array,
    spatial: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    bias: Array | None = None,
    total: Array | None = None,
) -> Array:
    """Return the gradient with respect to the input; see the reference kernel."""
    if not (is_fast(dy, w, bias, total) and dy.ndim <= 5):
        return reference.conv_input_grad(
            xp, dy, w, spatial, stride, padding, dilation, groups, bias, total
        )
    before, spatial = tuple(pair[0] for pair in padding), tuple(spatial)
    algorithm, shape = "depthwise", (dy.shape[0], w.shape[1] * groups, *spatial)
    if strides.applies(spatial, w.shape[2:], dy.shape[2:], stride, before):
        algorithm = "strided"
    elif not depthwise.applies(w, groups) or dy.ndim != 4:
        algorithm = choose(
            "input_grad", shape, w.shape, dy.shape[2:], stride, before, dilation, groups, dy.dtype
        )
    onto = None
    if total is not None:
        onto = total.transpose(0, *range(2, total.ndim), 1)
        if algorithm not in ADDING or bias is not None or not is_plain(onto):
            dx = conv_input_grad(xp, dy, w, spatial, stride, padding, dilation, groups, bias)
            accumulate(xp, total, dx)
            return total
    if algorithm == "strided":
        none, ones = ((0, 0),) * len(stride), (1,) * len(stride)
        small = conv_input_grad(xp, dy, w, dy.shape[2:], ones, none, dilation, groups)
        if total is not None:
            read: Any = (..., *(slice(None, None, s) for s in stride))
            total[read] += small
            return total
        dx = strides.spread(volume(channels_last(small)), lift(spatial, 1), lift(stride, 1))
        if bias is not None:
            dx += bias
        return channels_first(dx.reshape(len(dx), *spatial, dx.shape[-1]))
    if algorithm == "joined":
        around = joined.reach(spatial, dy.shape[2:], w.shape[2:], before)
        return _joined(xp, dy, joined.turn_weights(w), bias, spatial, around)
    pixels = channels_last(dy)
    if algorithm == "grouped":
        start = tuple(
            d * (k - 1) - b for d, k, b in zip(dilation, w.shape[2:], before, strict=True)
        )
        turned = grouped.turn(w, groups)
        dx = grouped.correlate(pixels, turned, groups, bias, spatial, stride, start, dilation)
        return channels_first(dx)
    if algorithm == "depthwise":
        dx = depthwise.input_grad(pixels, w, spatial, stride, before, dilation, bias=bias)
        return channels_first(dx)
    if algorithm == "winograd":
        reach = tuple(d * (w.shape[2] - 1) - b for d, b in zip(dilation, before, strict=True))
        dx = winograd.correlate(pixels, w, True, bias, spatial, reach, dilation, onto=onto)
        return channels_first(dx)
    if algorithm == "pointwise":
        onto = None if onto is None else onto.reshape(-1, shape[1])
        dx = pointwise.correlate(pixels.reshape(-1, dy.shape[1]), w, True, groups, bias, onto=onto)
        return channels_first(dx.reshape(dy.shape[0], *spatial, shape[1]))
    if algorithm == "narrow":
        reach = tuple(k - 1 - b for k, b in zip(w.shape[2:], before, strict=True))
        dx = narrow.correlate(
            volume(pixels), volume_weights(w), True, bias, lift(spatial, 1), lift(reach, 0)
        )
        return channels_first(dx.reshape(dy.shape[0], *spatial, shape[1]))
    if algorithm == "positions":
        dx = positions.correlate(
            pixels, w, True, groups, bias, dy.shape[2:], stride, before, dilation, spatial
        )
        return channels_first(dx)
    dx = direct.input_grad(
        volume(pixels), volume_weights(w),
        *lifted(spatial, stride, before, dilation), groups, bias,
        None if onto is None else volume(onto),
    )  # fmt: skip
    return channels_first(dx.reshape(dy.shape[0], *spatial, shape[1]))


def conv_weight_grad(
    xp: Any,
    x: Array,
    dy: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    prologue: Prologue | None = None,
) -> Array:
    """Return the gradient with respect to the weights; see the reference kernel."""
    if not (is_fast(x, dy) and x.ndim <= 5):
        return reference.conv_weight_grad(
            xp, x, dy, kernel, stride, padding, dilation, groups, prologue
        )
    before, kernel = tuple(pair[0] for pair in padding), tuple(kernel)
    if strides.applies(x.shape[2:], kernel, dy.shape[2:], stride, before):
        x, stride = _thinned(x, stride), (1,) * len(stride)
    channels, outputs = x.shape[1] // groups, dy.shape[1]
    shape, algorithm = (outputs, channels, *kernel), "depthwise"
    if not (channels == 1 and groups == outputs and x.ndim == 4):
        algorithm = choose(
            "weight_grad", x.shape, shape, dy.shape[2:], stride, before, dilation, groups, x.dtype
        )
    if prologue is not None and not (algorithm == "pointwise" and groups == 1):
        x, prologue = batch_norm(xp, x, *prologue.norm, None, prologue.limits), None
    pixels, gradient = channels_last(x), channels_last(dy)
    if algorithm == "depthwise":
        return depthwise.weight_grad(pixels, gradient, kernel, stride, before, dilation)
    if algorithm == "winograd":
        return winograd.weight_grad(pixels, gradient, kernel[0], before, dilation)
    if algorithm == "pointwise":
        rows = pixels.reshape(-1, x.shape[1]), gradient.reshape(-1, outputs)
        return pointwise.weight_grad(*rows, groups, prologue).reshape(shape)
    if algorithm == "grouped":
        return grouped.weight_grad(pixels, gradient, kernel, stride, before, dilation, groups)
    if algorithm == "positions":
        return positions.weight_grad(pixels, gradient, kernel, stride, before, dilation, groups)
    if algorithm == "joined":
        together = joined.count(outputs, dy.shape[-1], kernel[-1], host().lanes(x.dtype))
        dy = channels_first(joined.join(gradient, together))
        stride, kernel = (*stride[1:], together), (*kernel[:-1], kernel[-1] + together - 1)
        wide = conv_weight_grad(xp, x, dy, kernel, stride, padding, dilation, groups)
        return joined.add_weights(wide, outputs, shape[-1])
    dw = direct.weight_grad(
        volume(pixels), volume(gradient),
        *lifted(kernel, stride, before, dilation), groups,
    )  # fmt: skip
    return dw.reshape(shape)


def _joined(
    xp: Any, x: Array, w: Array, bias: Array | None, out: Ints, padding: Any, limits: Any = None
) -> Array:
    """Return a convolution of stride 1 whose pixels are put together."""
    together = joined.count(w.shape[0], out[-1], w.shape[-1], host().lanes(x.dtype))
    wide = joined.join_weights(w, together)
    ones = (1,) * len(out)
    more = None if bias is None else np.tile(bias, together)
    y = conv(xp, x, wide, more, (*ones[1:], together), padding, ones, 1, limits)
    return channels_first(channels_last(y).reshape(len(x), *out, w.shape[0]))


def _thinned(x: Array, stride: Ints) -> Array:
    """Return the pixels of (N, C, *S) that a kernel of one tap reads."""
    few = strides.taken(volume(channels_last(x)), lift(stride, 1))
    size = [-(-n // s) for n, s in zip(x.shape[2:], stride, strict=True)]
    return channels_first(few.reshape(len(few), *size, x.shape[1]))


def lift(values: Any, filler: int) -> Ints:
    """Return one number a dimension for three dimensions; missing ones come first."""
    return (filler,) * (3 - len(values)) + tuple(values)


def lifted(size: Any, stride: Any, before: Any, dilation: Any) -> tuple[Ints, Ints, Ints, Ints]:
    """Return all that is given for each dimension, for three."""
    return lift(size, 1), lift(stride, 1), lift(before, 0), lift(dilation, 1)


def volume(pixels: Array) -> Array:
    """Return an (N, *S, C) array as (N, D, H, W, C)."""
    return pixels.reshape(pixels.shape[0], *lift(pixels.shape[1:-1], 1), pixels.shape[-1])


def volume_weights(w: Array) -> Array:
    """Return (O, C, *K) weights as (O, C, kd, kh, kw)."""
    return w.reshape(*w.shape[:2], *lift(w.shape[2:], 1))
