"""Depthwise 2-D convolution (one input channel a group) by direct loops.

Each channel is convolved with a small kernel of its own, so there is no matrix product to be had.
With channels last, "for each tap: y[channels] += x[channels] * w[tap, channels]" works on adjacent
numbers, and the sums of a pixel stay in registers from the first tap to the last. The gradient
with respect to the input is the same loop over the taps through which a pixel was read; for that
of the weights, fixed blocks of lines are summed and added up in order.
"""

from __future__ import annotations

import numpy as np

from ...reference.activation import Limits
from ...reference.windows import Ints
from ..layout import Array, lines_per_task, plain
from ..loops.spans import plan
from ..loops.window_loops import product_lines, weighted_lines
from ..memory import empty
from ..parallel.threads import share, workspace
from ..vectors.tile import limits_of


def applies(w: Array, groups: int, multiplier: bool = False) -> bool:
    """Return whether weights (O, C/groups, kh, kw) are those of a depthwise convolution.

    With ``multiplier``, a group may have several outputs; :func:`input_grad` then needs ``groups``.
    """
    if w.shape[1] != 1 or groups < 1:
        return False
    return w.shape[0] % groups == 0 if multiplier else w.shape[0] == groups


def _repeated(x: Array, outputs: int) -> Array:
    """Return x (N, H, W, C) with each channel as often as there are outputs of it."""
    times = outputs // max(x.shape[3], 1)
    return x if times <= 1 else np.repeat(x, times, axis=3)


def forward(
    x: Array,
    w: Array,
    bias: Array | None,
    out: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    limits: Limits | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the (N, *out, O) convolution of (N, H, W, C) with (O, 1, kh, kw), clipped.

    Each output is multiplied by its ``scale`` before the bias is added.
    """
    x = _repeated(x, len(w))
    start = np.zeros(len(w), x.dtype) if bias is None else np.array(bias, x.dtype)
    return _weighted(False, x, w, start, tuple(out), stride, before, dilation, limits, scale)


def input_grad(
    dy: Array,
    w: Array,
    spatial: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    groups: int = 0,
    bias: Array | None = None,
) -> Array:
    """Return the (N, *spatial, C) gradient with respect to the input; ``groups`` is C.

    A ``bias`` is added where each group has one output.
    """
    start = np.zeros(len(w), dy.dtype) if bias is None else np.array(bias, dy.dtype)
    dx = _weighted(True, dy, w, start, tuple(spatial), stride, before, dilation)
    if groups in (0, len(w)):
        return dx
    return dx.reshape(*dx.shape[:3], groups, -1).sum(axis=4, dtype=dx.dtype)


def _weighted(
    backward: bool,
    source: Array,
    w: Array,
    start: Array,
    target: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    limits: Limits | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the sums over the taps, of sizes ``target``."""
    channels, given = len(w), tuple(source.shape[1:3])
    spatial, out = (target, given) if backward else (given, target)
    result = empty((len(source), *target, channels), source.dtype)
    planes, rows, runs, steps, image = plan(
        backward, spatial, out, tuple(w.shape[2:]), tuple(stride), tuple(before), tuple(dilation),
        channels, tap_size=channels, strided=True,
    )  # fmt: skip
    lines, width, weights = len(source) * target[0], target[1], plain(w).reshape(channels, -1)
    taps, factors = workspace((w.size,), w.dtype, 0), None if scale is None else plain(scale)
    flat, written = source.reshape(-1), result.reshape(-1)
    ends = limits_of(result.dtype, limits)
    columns = (stride[1], 1) if backward else (1, stride[1])
    share(
        weighted_lines, lines, lines_per_task(lines, width * w.size),
        flat, weights, factors, taps, image, planes, rows, runs, steps, width, channels, columns,
        start, ends, written, merge=True,
    )  # fmt: skip
    return result


def weight_grad(
    x: Array, dy: Array, kernel: Ints, stride: Ints, before: Ints, dilation: Ints
) -> Array:
    """Return the (O, 1, kh, kw) gradient with respect to the weights."""
    batch, out_height, out_width, channels = dy.shape
    x = _repeated(x, channels)
    lines = batch * out_height
    # At most 64 lines' sums are added up in the precision of the input.
    step = max(min(lines_per_task(lines, out_width * kernel[0] * kernel[1] * channels), 64), 1)
    taps = kernel[0] * kernel[1]
    totals = workspace((-(-lines // step), taps * channels), x.dtype, 0)
    flat, gradient, x_shape = x.reshape(-1), dy.reshape(-1), x.shape[1:]
    geometry = [tuple(pair) for pair in (kernel, stride, before, dilation)]
    dw = (np.empty if lines else np.zeros)((channels, 1, *kernel), x.dtype)
    share(
        product_lines, lines, step,
        flat, gradient, x_shape, (out_height, out_width), *geometry, step, totals,
        workspace((channels,), np.float64, 1), dw.reshape(channels, taps),
    )  # fmt: skip
    return dw
