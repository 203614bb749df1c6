"""Convolutions whose results read few channels: depthwise, small groups, images of few channels.

A matrix product of so little depth, or of so few columns a group, leaves tensor cores idle. Here a
thread adds up what its results read, in float32 whatever the precision that is set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...reference.activation import Limits
from ...reference.windows import Ints
from ..driver.launching import CTYPES, Kernel, blocks_for, runner
from ..layout import Array, channels_last, plain
from ..products.choice import WORKSPACE
from ..products.product import EVERYTHING, Operand, add_slices, vector

WINDOW = (
    "size:int32*3 out:int32*3 kernel:int32*3 stride:int32*3 before:int32*3 dilation:int32*3 "
    "images:int32 groups:int32 reads:int32 writes:int32 "
)
DIRECT = Kernel("direct.cu", "direct", f"x w bias y {WINDOW} low:float32 high:float32", threads=256)
DIRECT_WEIGHT = Kernel(
    "direct_weight.cu", "direct_weight", f"x dy part {WINDOW} each:int32", threads=256
)
#: All that a program can reach; tests compile each for real GPUs.
VARIANTS = [DIRECT_WEIGHT.of_name(dtype) for dtype in CTYPES]
VARIANTS += [
    DIRECT.of_name(dtype, BACKWARD=backward, ADD=add, VEC=width)
    for dtype in CTYPES
    for backward, add in ((0, 0), (1, 0), (1, 1))
    for width in (1, 4 if dtype == "float32" else 8)
]

#: Channels of a group from which on it is a matrix product.
FEW = 16
#: Channels of an image, and of the result, up to which this is taken without groups.
FEW_READ, FEW_WRITTEN = 4, 16
#: Taps and warps of a block in direct_weight.cu.
TAPS, ROWS = 9, 8


class Axes(NamedTuple):
    """What a convolution has along three axes, sizes of its input and of its result first."""

    size: Ints
    out: Ints
    kernel: Ints
    stride: Ints
    before: Ints
    dilation: Ints


def applies(reads: int, writes: int, groups: int) -> bool:
    """Return whether groups of ``reads`` and ``writes`` channels are too small for products."""
    if groups == 1:
        return reads <= FEW_READ and writes <= FEW_WRITTEN
    return min(reads, writes) < FEW


def forward(
    xp: Any, pixels: Array, w: Array, bias: Array | None, y: Array, axes: Axes, groups: int,
    limits: Limits | None,
) -> None:  # fmt: skip
    """Convolve (N, *S, C) pixels into ``y``, which is (N, *out, O)."""
    reads, writes = w.shape[1], w.shape[0] // groups
    if reads == 1:
        ordered = _taps_first(xp, w)
    else:
        ordered = plain(xp, xp.permute_dims(w, (*range(2, w.ndim), 1, 0)))
    _launch(pixels, ordered, bias, y, axes, groups, reads, writes, 0, limits)


def input_grad(
    xp: Any, gradient: Array, w: Array, bias: Array | None, dx: Array, axes: Axes, groups: int,
    add: bool,
) -> None:  # fmt: skip
    """Write the gradient with respect to the input, or ``add`` it to what stands in ``dx``.

    ``axes`` are those of the convolution.
    """
    reads, writes = w.shape[0] // groups, w.shape[1]
    if reads == 1:
        ordered = _taps_first(xp, w)
    else:
        by_group = xp.reshape(w, (groups, reads, *w.shape[1:]))
        ordered = plain(xp, xp.permute_dims(by_group, (*range(3, w.ndim + 1), 1, 0, 2)))
    axes = axes._replace(size=axes.out, out=axes.size)
    _launch(gradient, ordered, bias, dx, axes, groups, reads, writes, 1, None, add)


def _taps_first(xp: Any, w: Array) -> Array:
    """Return (O, C, *K) weights as (1, *K, O * C) ones."""
    return channels_last(xp, xp.reshape(w, (1, -1, *w.shape[2:])))


def weight_grad(
    xp: Any, pixels: Array, gradient: Array, dw: Array, axes: Axes, groups: int
) -> None:
    """Write the gradient with respect to the weights into ``dw``, which is (O, C/groups, *K)."""
    reads, taps = dw.shape[1], dw.size // (dw.shape[0] * dw.shape[1])
    places, weights = gradient.size // gradient.shape[-1], dw.shape[0] * reads
    columns, tap_groups = -(-weights // 32), -(-taps // TAPS)
    slices = min(
        -(-8 * runner().multiprocessors // (columns * tap_groups)),
        -(-places // (16 * ROWS)), max(1, WORKSPACE // dw.size), 65535,
    )  # fmt: skip
    each = -(-places // slices)
    slices = -(-places // each)
    part = xp.empty((1, slices, weights, taps), dtype=xp.float32)
    DIRECT_WEIGHT.of(dw.dtype)(
        (columns, tap_groups, slices), 32 * ROWS, pixels, gradient, part, *axes,
        pixels.shape[0], groups, reads, dw.shape[0] // groups, each,
    )  # fmt: skip
    add_slices(part, Operand(dw, True, taps))


def _launch(
    x: Array, w: Array, bias: Array | None, y: Array, axes: Axes, groups: int, reads: int,
    writes: int, backward: int, limits: Limits | None, add: bool = False,
) -> None:  # fmt: skip
    channels = groups * writes
    width = vector(x.itemsize, channels) if reads == writes == 1 else 1
    work = -(-y.size // (channels * (4 if width == 1 else 2))) * (channels // width)
    DIRECT.of(x.dtype, BACKWARD=backward, ADD=int(add), VEC=width)(
        blocks_for(work, 256, waves=32), 256, x, w, bias, y, *axes,
        x.shape[0], groups, reads, writes, *(EVERYTHING if limits is None else limits),
    )  # fmt: skip
