"""Convolution on the CPU: which algorithm does which part, and the way in and out of memory order.

    depthwise   one channel a group: direct loops, there are no matrices (:mod:`.depthwise`)
    pointwise   one tap: a matrix product (:mod:`.pointwise`), after :mod:`.strides`
    winograd    small square kernels of stride 1 in float32: fewer products (:mod:`.winograd`)
    narrow      a few output channels: pixels in lanes (:mod:`.narrow`)
    grouped     small groups: several in the lanes of a vector (:mod:`.grouped`)
    joined      a few output channels: neighbouring pixels are one (:mod:`.joined`)
    positions   maps of few positions: no work for the padding (:mod:`.positions`)
    sheets      volumes, as images of more channels (:mod:`.sheets`)
    direct      everything else: windows times weights (:mod:`.direct`)

:mod:`.choice` decides by an estimate of their times, and :mod:`.ways` keeps what was decided for a
shape. The tables at the end say what each algorithm does for each part. Sequences and volumes are
convolved like images, as arrays of three spatial dimensions. Other dtypes: reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import reference
from ..reference.activation import Limits
from ..reference.norm import Norm, Prologue
from ..reference.windows import Ints, Padding
from .convolution import (
    depthwise,
    direct,
    grouped,
    joined,
    narrow,
    pointwise,
    positions,
    sheets,
    strides,
    winograd,
)
from .convolution.ways import Way, thinned, volume, way_of
from .elementwise import accumulate
from .host import host
from .layout import CHANNELS_LAST, Array, channels_first, channels_last, is_fast, is_plain
from .norm import batch_norm, folded_vectors

#: Algorithms whose sums can begin with what is in memory already.
ADDING = ("winograd", "pointwise", "direct", "strided")


class Epilogue(NamedTuple):
    """What happens to a result before it is written: ``clip(scale * y + bias + residual)``."""

    bias: Array | None
    limits: Limits | None
    scale: Array | None
    residual: Array | None


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
    way = way_of("forward", x.shape, w.shape, stride, padding, dilation, groups, x.dtype)
    by_product = way.algorithm == "pointwise"
    if prologue is not None and not (by_product and groups == 1):
        x, prologue = batch_norm(xp, x, *prologue.norm, None, prologue.limits), None
    if norm is not None and residual is not None and not by_product:
        y = conv(xp, x, w, bias, stride, padding, dilation, groups)
        return batch_norm(xp, y, *norm, residual, limits)
    scale = None
    if norm is not None:
        scale, bias = folded_vectors(*norm, bias, x.dtype)
    pixels = channels_last(thinned(x, way))
    epilogue = Epilogue(bias, limits, scale, residual)
    y = FORWARD[way.algorithm](pixels, w, way, epilogue, prologue)
    return channels_first(y.reshape(len(x), *way.out, w.shape[0]))


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
    x_shape = (dy.shape[0], w.shape[1] * groups, *spatial)
    way = way_of(
        "input_grad", x_shape, w.shape, stride, padding, dilation, groups, dy.dtype, dy.shape[2:]
    )
    onto = None
    if total is not None:
        onto = total.transpose(CHANNELS_LAST[total.ndim])
        if bias is not None or way.algorithm not in ADDING or not is_plain(onto):
            dx = conv_input_grad(xp, dy, w, spatial, stride, padding, dilation, groups, bias)
            accumulate(xp, total, dx)
            return total
    dx = INPUT_GRAD[way.algorithm](channels_last(dy), w, way, bias, onto)
    return channels_first(dx.reshape(len(dy), *way.spatial, x_shape[1]))


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
    w_shape = (dy.shape[1], x.shape[1] // groups, *kernel)
    way = way_of(
        "weight_grad", x.shape, w_shape, stride, padding, dilation, groups, x.dtype, dy.shape[2:]
    )
    if prologue is not None and not (way.algorithm == "pointwise" and groups == 1):
        x, prologue = batch_norm(xp, x, *prologue.norm, None, prologue.limits), None
    pixels = channels_last(thinned(x, way))
    return WEIGHT_GRAD[way.algorithm](pixels, channels_last(dy), way, prologue).reshape(w_shape)


# -- forward ------------------------------------------------------------------------------------


def _depthwise(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    return depthwise.forward(
        x, w, end.bias, way.out, way.stride, way.before, way.dilation, end.limits, end.scale
    )


def _pointwise(x: Array, w: Array, way: Way, end: Epilogue, prologue: Prologue | None) -> Array:
    more = end.residual
    if more is not None:
        more = channels_last(more).reshape(-1, w.shape[0])
    return pointwise.correlate(
        x.reshape(-1, x.shape[-1]), w, False, way.groups, end.bias, end.limits, None, end.scale,
        more, prologue,
    )  # fmt: skip


def _winograd(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    return winograd.correlate(
        x, w, False, end.bias, way.out, way.before, way.dilation, end.limits, scale=end.scale
    )


def _narrow(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    weights = volume_weights(_scaled(w, end.scale))
    return narrow.correlate(volume(x), weights, False, end.bias, way.out3, way.before3, end.limits)


def _grouped(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    return grouped.correlate(
        x, w, way.groups, end.bias, way.out, way.stride, way.before, way.dilation, end.limits,
        end.scale,
    )  # fmt: skip


def _joined(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    padding = tuple(
        (b, o + k - 1 - n - b)
        for b, o, k, n in zip(way.before, way.out, way.kernel, way.spatial, strict=True)
    )
    return _convolve_joined(x, _scaled(w, end.scale), end.bias, way.out, padding, end.limits)


def _positions(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    return positions.correlate(
        x, w, False, way.groups, end.bias, way.out, way.stride, way.before, way.dilation,
        way.spatial, end.limits, end.scale,
    )  # fmt: skip


def _direct(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    return direct.correlate(
        volume(x), volume_weights(w), False, way.groups, end.bias, way.out3, way.stride3,
        way.before3, way.dilation3, end.limits, scale=end.scale,
    )  # fmt: skip


def _sheets(x: Array, w: Array, way: Way, end: Epilogue, _: Any) -> Array:
    images = sheets.stack(x, way.kernel[0], way.out[0], -way.before[0], way.dilation[0])
    weights = sheets.flat_weights(_scaled(w, end.scale))
    plane = way.stride[1:], plane_padding(way), way.dilation[1:], 1
    return channels_last(conv(np, channels_first(images), weights, end.bias, *plane, end.limits))


def plane_padding(way: Way) -> Padding:
    """Return the padding of the sheets of a volume in front of them and behind, in their plane."""
    sizes = zip(way.spatial, way.out, way.kernel, way.stride, way.before, way.dilation, strict=True)
    return tuple([(b, (o - 1) * s + d * (k - 1) + 1 - n - b) for n, o, k, s, b, d in sizes][1:])


def _scaled(w: Array, scale: Array | None) -> Array:
    """Return weights, of which there are but few, times the scale of their output."""
    return w if scale is None else w * scale.reshape(-1, *(1,) * (w.ndim - 1))


def _convolve_joined(
    x: Array, w: Array, bias: Array | None, out: Ints, padding: Any, limits: Limits | None = None
) -> Array:
    """Return a convolution of stride 1 whose pixels are put together."""
    together = joined.count(w.shape[0], out[-1], w.shape[-1], host().lanes(x.dtype))
    ones, wide = (1,) * len(out), joined.join_weights(w, together)
    more = None if bias is None else np.tile(bias, together)
    stride, image = (*ones[1:], together), channels_first(x)
    return channels_last(conv(np, image, wide, more, stride, padding, ones, 1, limits))


# -- gradient of the input ----------------------------------------------------------------------


def _depthwise_input(dy: Array, w: Array, way: Way, bias: Any, _: Any) -> Array:
    return depthwise.input_grad(dy, w, way.spatial, way.stride, way.before, way.dilation, bias=bias)


def _pointwise_input(dy: Array, w: Array, way: Way, bias: Any, onto: Array | None) -> Array:
    if onto is not None:
        onto = onto.reshape(-1, onto.shape[-1])
    rows = dy.reshape(-1, dy.shape[-1])
    return pointwise.correlate(rows, w, True, way.groups, bias, onto=onto)


def _strided_input(dy: Array, w: Array, way: Way, bias: Any, onto: Array | None) -> Array:
    none, ones = ((0, 0),) * len(way.out), (1,) * len(way.out)
    small = conv_input_grad(
        np, channels_first(dy), w, way.out, ones, none, way.dilation, way.groups
    )
    if onto is not None:
        read = (slice(None), *(slice(None, None, step) for step in way.stride))
        onto[read] += channels_last(small)
        return onto
    dx = strides.spread(volume(channels_last(small)), way.spatial3, way.stride3)
    if bias is not None:
        dx += bias
    return dx


def _winograd_input(dy: Array, w: Array, way: Way, bias: Any, onto: Array | None) -> Array:
    reach = tuple(
        d * (k - 1) - b for d, k, b in zip(way.dilation, way.kernel, way.before, strict=True)
    )
    return winograd.correlate(dy, w, True, bias, way.spatial, reach, way.dilation, onto=onto)


def _narrow_input(dy: Array, w: Array, way: Way, bias: Any, _: Any) -> Array:
    reach = tuple(k - 1 - b for k, b in zip(way.kernel3, way.before3, strict=True))
    return narrow.correlate(volume(dy), volume_weights(w), True, bias, way.spatial3, reach)


def _grouped_input(dy: Array, w: Array, way: Way, bias: Any, _: Any) -> Array:
    start = tuple(
        d * (k - 1) - b for d, k, b in zip(way.dilation, way.kernel, way.before, strict=True)
    )
    turned = grouped.turn(w, way.groups)
    return grouped.correlate(
        dy, turned, way.groups, bias, way.spatial, way.stride, start, way.dilation
    )


def _joined_input(dy: Array, w: Array, way: Way, bias: Any, _: Any) -> Array:
    around = joined.reach(way.spatial, way.out, way.kernel, way.before)
    return _convolve_joined(dy, joined.turn_weights(w), bias, way.spatial, around)


def _positions_input(dy: Array, w: Array, way: Way, bias: Any, _: Any) -> Array:
    return positions.correlate(
        dy, w, True, way.groups, bias, way.out, way.stride, way.before, way.dilation, way.spatial
    )


def _sheets_input(dy: Array, w: Array, way: Way, bias: Any, _: Any) -> Array:
    images = sheets.stack(dy, way.kernel[0], way.spatial[0], way.before[0], -way.dilation[0])
    plane = way.spatial[1:], way.stride[1:], plane_padding(way), way.dilation[1:], 1
    weights = sheets.turned_weights(w)
    return channels_last(conv_input_grad(np, channels_first(images), weights, *plane, bias))


def _direct_input(dy: Array, w: Array, way: Way, bias: Any, onto: Array | None) -> Array:
    return direct.input_grad(
        volume(dy), volume_weights(w), way.spatial3, way.stride3, way.before3, way.dilation3,
        way.groups, bias, None if onto is None else volume(onto),
    )  # fmt: skip


# -- gradient of the weights --------------------------------------------------------------------


def _depthwise_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    return depthwise.weight_grad(x, dy, way.kernel, way.stride, way.before, way.dilation)


def _pointwise_weights(x: Array, dy: Array, way: Way, prologue: Prologue | None) -> Array:
    rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return pointwise.weight_grad(*rows, way.groups, prologue)


def _winograd_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    return winograd.weight_grad(x, dy, way.kernel[0], way.before, way.dilation)


def _grouped_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    return grouped.weight_grad(x, dy, way.kernel, way.stride, way.before, way.dilation, way.groups)


def _joined_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    outputs, lanes = dy.shape[-1], host().lanes(x.dtype)
    together = joined.count(outputs, way.out[-1], way.kernel[-1], lanes)
    wide = channels_first(joined.join(dy, together))
    stride = (*way.stride[1:], together)
    kernel = (*way.kernel[:-1], way.kernel[-1] + together - 1)
    padding = tuple((before, 0) for before in way.before)
    dw = conv_weight_grad(
        np, channels_first(x), wide, kernel, stride, padding, way.dilation, way.groups
    )
    return joined.add_weights(dw, outputs, way.kernel[-1])


def _positions_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    return positions.weight_grad(
        x, dy, way.kernel, way.stride, way.before, way.dilation, way.groups
    )


def _sheets_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    images = sheets.stack(x, way.kernel[0], way.out[0], -way.before[0], way.dilation[0])
    plane = way.kernel[1:], way.stride[1:], plane_padding(way), way.dilation[1:], 1
    gradients = dy.reshape(-1, *dy.shape[2:])
    dw = conv_weight_grad(np, channels_first(images), channels_first(gradients), *plane)
    return sheets.deep_weights(dw, way.kernel[0])


def _direct_weights(x: Array, dy: Array, way: Way, _: Any) -> Array:
    return direct.weight_grad(
        volume(x), volume(dy), way.kernel3, way.stride3, way.before3, way.dilation3, way.groups
    )


def volume_weights(w: Array) -> Array:
    """Return (O, C, *K) weights as (O, C, kd, kh, kw)."""
    return w.reshape(*w.shape[:2], *(1,) * (5 - w.ndim), *w.shape[2:])


#: From channels-last input, weights, way, epilogue and prologue to channels-last output.
FORWARD: dict[str, Callable[..., Array]] = {
    "depthwise": _depthwise, "pointwise": _pointwise, "winograd": _winograd, "narrow": _narrow,
    "grouped": _grouped, "joined": _joined, "positions": _positions, "sheets": _sheets,
    "direct": _direct,
}  # fmt: skip
#: From channels-last gradient, weights, way, bias and what it is added onto to that of the input.
INPUT_GRAD: dict[str, Callable[..., Array]] = {
    "depthwise": _depthwise_input, "pointwise": _pointwise_input, "strided": _strided_input,
    "winograd": _winograd_input, "narrow": _narrow_input, "grouped": _grouped_input,
    "joined": _joined_input, "positions": _positions_input, "sheets": _sheets_input,
    "direct": _direct_input,
}  # fmt: skip
#: From channels-last input and gradient, way and prologue to the gradient of the weights. Narrow
#: products have none of their own.
WEIGHT_GRAD: dict[str, Callable[..., Array]] = {
    "depthwise": _depthwise_weights, "pointwise": _pointwise_weights,
    "winograd": _winograd_weights, "grouped": _grouped_weights, "joined": _joined_weights,
    "positions": _positions_weights, "sheets": _sheets_weights, "direct": _direct_weights,
}  # fmt: skip
