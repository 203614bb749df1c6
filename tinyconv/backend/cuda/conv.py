"""Convolution on a GPU, in all directions, as matrix products on channels-last memory.

    forward          rows are positions of the result, columns its channels, and the depth runs
                     over the taps and channels that a result reads; nothing is ever unfolded
    input gradient   the same with the weights turned around; with a stride, one such convolution
                     for each of the pixels that a stride leaves between two windows
    weight gradient  rows and columns are channels, and the depth runs over all positions; these
                     are many, so several blocks share a sum
    one tap          a plain product of matrices
    few channels     no product at all (:mod:`.convolution.direct`)

Sequences and images are volumes whose first sizes are 1. float32 is multiplied as TF32, unless
``config.float32_precision`` says "highest". Other dtypes, and 2**31 positions: the reference.
"""

from __future__ import annotations

from functools import partial
from itertools import product as grid_of
from math import prod
from typing import Any

from .. import reference
from ..reference.activation import Limits
from ..reference.norm import Norm, Prologue
from ..reference.windows import Ints, Padding, output_size
from .convolution import direct
from .convolution.correlating import (
    AXES,
    PADDED,
    Part,
    Window,
    correlate,
    is_padded,
    three,
    vector_of,
    volume,
    window_of,
)
from .convolution.folding import folded
from .convolution.phases import phases_of, taps_before
from .driver.launching import CTYPES, Kernel, name_of
from .elementwise import added
from .layout import Array, as_images, channels_first, channels_last, is_fast, is_plain, plain
from .loops.columns import merged
from .norm import as_rows, batch_norm, batch_statistics, moving
from .products.choice import TILES, Plan, Size
from .products.product import (
    MOST,
    Moments,
    Operand,
    Tiled,
    add_slices,
    arithmetic,
    is_odd,
    product,
    vector,
)
from .products.tuning import carry_out

FIELDS = " ".join(f"window.{name}:int32*3" for name in AXES)
CONV_WEIGHT = Tiled(
    "conv_weight.cu",
    "conv_weight",
    f"x dy dw part {FIELDS} window.pitch:int32 window.channels:int32 "
    "images:int32 outputs:int32 kept:int32 tiles:int32",
)
TURN = Kernel(
    "turn.cu",
    "turn",
    "w to outputs:int32 channels:int32 groups:int32 channels_last:int32 "
    "kernel:int32*3 step:int32*3",
    threads=256,
)
#: One of each kind that a program can reach; tests compile each for real GPUs.
VARIANTS = [TURN.of_name(dtype) for dtype in CTYPES]
VARIANTS += CONV_WEIGHT.variants({})
VARIANTS += [CONV_WEIGHT.variant("HALF", TILES["HALF"][-2], "bfloat16", (8, PADDED))]


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
    if prologue is not None:
        x = batch_norm(xp, x, *prologue.norm, None, prologue.limits)
    geometry = stride, padding, dilation, groups
    if norm is None:
        return _forward(xp, x, w, bias, *geometry, limits)
    if not is_fast(x, w):
        return reference.conv(xp, x, w, bias, *geometry, limits, norm, residual)
    if residual is not None and not _adds(x, w, bias, residual, *geometry):
        y = _forward(xp, x, w, bias, *geometry)
        return batch_norm(xp, y, *norm, residual, limits)
    w, bias = folded(xp, w, bias, norm)
    return _forward(xp, x, w, bias, *geometry, limits, residual=residual)


def _adds(
    x: Array, w: Array, bias: Array | None, residual: Array, stride: Ints, padding: Padding,
    dilation: Ints, groups: int,
) -> bool:  # fmt: skip
    """Return whether a product computes the convolution, and so can add a residual to it."""
    out = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    served = is_fast(x, residual) and _serves(x, w, bias, out, groups)
    return served and not direct.applies(w.shape[1], w.shape[0] // groups, groups)


def conv_with_statistics(
    xp: Any,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    prologue: Prologue | None = None,
    averages: tuple[Array, ...] | None = None,
    momentum: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Return the convolution, and mean and variance of its channels; see the reference kernel."""
    if prologue is not None:
        x = batch_norm(xp, x, *prologue.norm, None, prologue.limits)
    moments = Moments()
    y = _forward(xp, x, w, bias, stride, padding, dilation, groups, None, moments)
    if moments.parts is None:
        return y, *batch_statistics(xp, y, averages, momentum)
    find = partial(merged, xp, as_rows(xp, y), moments.parts, moments.step)
    return y, *moving(xp, y.shape, averages, momentum, find)


def _forward(
    xp: Any, x: Array, w: Array, bias: Array | None, stride: Ints, padding: Padding,
    dilation: Ints, groups: int, limits: Limits | None = None, moments: Moments | None = None,
    residual: Array | None = None,
) -> Array:  # fmt: skip
    """Convolve, add a residual, clip.

    ``moments`` gets those of the channels if a product computes them. Only products can add.
    """
    out = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    if is_fast(x, w) and x.shape[0] * prod(out) * w.shape[0] == 0:
        return xp.empty((x.shape[0], w.shape[0], *out), dtype=x.dtype)
    if not _serves(x, w, bias, out, groups):
        return reference.conv(xp, x, w, bias, stride, padding, dilation, groups, limits)
    images, outputs = x.shape[0], w.shape[0]
    y = xp.empty((images, *out, outputs), dtype=x.dtype)
    bias = bias if bias is None else plain(xp, bias)
    window = window_of(x.shape, w.shape, out, stride, padding, dilation)
    if direct.applies(w.shape[1], outputs // groups, groups):
        pixels = channels_last(xp, x)
        direct.forward(xp, pixels, w, bias, y, direct.Axes(*window[:6]), groups, limits)
        return channels_first(xp, y)
    addend = residual if residual is None else channels_last(xp, residual)
    if _is_pointwise(w.shape[2:], stride, padding):
        step, read = outputs // groups, w.shape[1]
        product(
            xp, Operand(channels_last(xp, x), True, x.shape[1], read),
            Operand(channels_last(xp, w), True, read, step * read),
            Operand(y, True, outputs, step), y.size // outputs, step, read,
            stack=groups, bias=bias, bias_step=step, limits=limits, moments=moments, addend=addend,
        )  # fmt: skip
        return channels_first(xp, y)
    if is_padded(x, groups):
        window = window._replace(pitch=PADDED, channels=PADDED)
    pixels, weights = channels_last(xp, x, window.pitch), channels_last(xp, w, window.channels)
    correlate(
        xp, [Part(window)], groups, pixels, weights, bias, y, limits, moments=moments, addend=addend
    )
    return channels_first(xp, y)


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
    geometry, channels = (stride, padding, dilation, groups), w.shape[1] * groups
    if _serves(dy, w, bias, spatial, groups):
        dx, add = _memory(xp, total, (dy.shape[0], *spatial, channels), dy.dtype)
        bias = bias if bias is None else plain(xp, bias)
        _input_grad(xp, dy, w, bias, dx, add, *geometry)
        return total if add else added(xp, channels_first(xp, dx), total)
    if is_fast(dy, w) and dy.size == 0:
        dx = xp.zeros((dy.shape[0], channels, *spatial), dtype=dy.dtype)
        dx = dx if bias is None else dx + bias.reshape(-1, *(1,) * len(spatial))
    else:
        dx = reference.conv_input_grad(xp, dy, w, spatial, *geometry, bias)
    return added(xp, dx, total)


def _memory(xp: Any, total: Array | None, shape: Ints, dtype: Any) -> tuple[Array, bool]:
    """Return memory (N, *S, C) for a result, and whether it is that of ``total``."""
    if total is not None and total.dtype == dtype and is_plain(last := as_images(xp, total)):
        return last, True
    return xp.empty(shape, dtype=dtype), False


def _input_grad(
    xp: Any, dy: Array, w: Array, bias: Array | None, dx: Array, add: bool, stride: Ints,
    padding: Padding, dilation: Ints, groups: int,
) -> None:  # fmt: skip
    """Write the gradient plus the bias into ``dx`` (N, *S, C), or ``add`` it to what is there."""
    outputs, read, spatial = dy.shape[1], w.shape[1], dx.shape[1:-1]
    pixels, step = channels_last(xp, dy), outputs // groups
    if direct.applies(read, step, groups):
        window = window_of((0, 0, *spatial), w.shape, dy.shape[2:], stride, padding, dilation)
        direct.input_grad(xp, pixels, w, bias, dx, direct.Axes(*window[:6]), groups, add)
        return
    if _is_pointwise(w.shape[2:], stride, padding) and dy.shape[2:] == spatial:
        product(
            xp, Operand(pixels, True, outputs, step),
            Operand(channels_last(xp, w), False, read, step * read),
            Operand(dx, True, read * groups, read), dx.size // dx.shape[-1], read, step,
            stack=groups, bias=bias, bias_step=read, addend=dx if add else None,
        )  # fmt: skip
        return
    every = not add or bias is not None  # each pixel is to be written, also where no tap reaches
    parts, steps = _phases(dy.shape, w.shape, spatial, stride, padding, dilation, groups, every)
    turned = _turn(xp, w, groups, steps)
    correlate(
        xp, parts, groups, pixels, turned, bias, dx, whole=three(spatial, 1),
        spread=three(stride, 1), addend=dx if add else None,
    )  # fmt: skip


def _phases(
    dy: Ints, w: Ints, spatial: Ints, stride: Ints, padding: Padding, dilation: Ints, groups: int,
    every: bool,
) -> tuple[list[Part], list[int]]:  # fmt: skip
    """Return the phases as convolutions, and steps of taps; those without taps if ``every``."""
    before = [before for before, _ in padding]
    settings = volume(w[2:], spatial, stride, before, dilation)
    axes = [phases_of(*axis) for axis in zip(*settings, strict=True)]
    step = dy[1] // groups
    parts = []
    for phases in grid_of(*axes):
        taps, start = tuple(p.taps for p in phases), 0
        if all(taps):
            start = taps_before(three(w[2:], 1), phases) * w[1] * dy[1]
        elif every:
            taps = (0, 1, 1)  # none
        else:
            continue
        window = Window(
            three(dy[2:], 1), tuple(p.length for p in phases), taps, (1, 1, 1),
            tuple(p.before for p in phases), tuple(p.dilation for p in phases), dy[1], step,
        )  # fmt: skip
        parts.append(Part(window, start, tuple(phase.shift for phase in phases)))
    return parts, [axis[0].step for axis in axes]


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
    if prologue is not None:
        x = batch_norm(xp, x, *prologue.norm, None, prologue.limits)
    out = dy.shape[2:]
    if is_fast(x, dy) and (x.size == 0 or dy.size == 0):
        return xp.zeros((dy.shape[1], x.shape[1] // groups, *kernel), dtype=x.dtype)
    if not (_serves(x, dy, None, out, groups) and prod(kernel) > 0):
        return reference.conv_weight_grad(xp, x, dy, kernel, stride, padding, dilation, groups)
    (images, outputs), read = dy.shape[:2], x.shape[1] // groups
    step, positions = outputs // groups, images * prod(out)
    gradient = channels_last(xp, dy)
    taps, shape = prod(kernel), (outputs, read, *kernel)
    dw = xp.empty(shape, dtype=x.dtype)
    window = window_of(x.shape, shape, out, stride, padding, dilation)
    if direct.applies(read, step, groups):
        pixels = channels_last(xp, x)
        direct.weight_grad(xp, pixels, gradient, dw, direct.Axes(*window[:6]), groups)
        return dw
    if _is_pointwise(kernel, stride, padding) and x.shape[2:] == out:
        product(
            xp, Operand(gradient, False, outputs, step),
            Operand(channels_last(xp, x), False, x.shape[1], read),
            Operand(dw, True, read, step * read), step, read, positions, stack=groups,
        )  # fmt: skip
        return dw
    if is_padded(x, groups):
        window = window._replace(pitch=PADDED, channels=PADDED)
    pixels = channels_last(xp, x, window.pitch)
    columns = taps * window.channels
    size, math = x.dtype.itemsize, arithmetic(x.dtype, False)
    vectors = vector(size, outputs, step), vector_of(size, window)
    whole = Size(math, step, columns, positions, size, groups, is_odd(size, vectors))

    def launch(plan: Plan) -> None:
        tile, slices, each = plan
        part = xp.empty((groups, slices, step, columns), dtype=xp.float32) if slices > 1 else None
        CONV_WEIGHT.variant(math, tile, name_of(x.dtype), vectors)(
            (tile.tiles(step, columns), 1, groups * slices), tile.threads,
            pixels, gradient, dw, part, *window, images, step, read, each,
            shared=tile.shared(size),
        )  # fmt: skip
        if part is not None:
            to = Operand(dw, True, read * taps, step * read * taps)
            add_slices(part, to, channels=window.channels)

    carry_out("conv_weight", whole, (name_of(x.dtype), vectors, tuple(window)), launch, sliced=True)
    return dw


def _serves(x: Array, w: Array, bias: Array | None, out: Ints, groups: int) -> bool:
    return (
        is_fast(*(a for a in (x, w, bias) if a is not None))
        and 3 <= x.ndim <= 5
        and x.size > 0
        and w.size > 0
        and 0 < x.shape[0] * prod(out) < MOST
        and x.size // x.shape[1] < MOST
        and groups <= 65535
    )


def _is_pointwise(kernel: Ints, stride: Ints, padding: Padding) -> bool:
    return prod(kernel) == 1 and set(stride) == {1} and not any(map(any, padding))


def _turn(xp: Any, w: Array, groups: int, steps: list[int]) -> Array:
    """Return the weights with inputs and outputs exchanged and taps in opposite order.

    For each class of taps (modulo ``steps``) a block of memory (groups * channels, taps, outputs).
    """
    outputs, channels = w.shape[0] // groups, w.shape[1]
    last = as_images(xp, w).flags.c_contiguous
    if not last:
        w = plain(xp, w)
    to, kernel = xp.empty((w.size,), dtype=w.dtype), three(w.shape[2:], 1)
    grid = (-(-channels * prod(kernel) // 32), min(-(-outputs // 32), 65535), groups)
    TURN.of(w.dtype)(grid, (32, 8), w, to, outputs, channels, groups, int(last), kernel, steps)
    return to
