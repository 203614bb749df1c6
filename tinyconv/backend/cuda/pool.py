"""Max and sum pooling in one, two or three dimensions over channels-last memory.

Forward, each output looks at its window; backward, each *input* looks at the outputs whose windows
hold it and adds up their gradients in one order. Either way every number of a result is written
once, by one thread. Fewer than three dimensions are three, the first of size one.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .. import reference
from ..reference.windows import Ints, Padding
from .driver.launching import CTYPES, Kernel, Variant, blocks_for, name_of
from .layout import Array, channels_first, channels_last, is_fast

#: Ranks that the kernels know: (N, C) and one to three spatial dimensions.
RANKS = (3, 4, 5)
THREADS, LARGEST = 256, 1 << 31
FIELDS = """
x window y winner samples:int64 vectors:int32 channels:int32 divisor:float32
size:int32*3 out:int32*3 kernel:int32*3 stride:int32*3 before:int32*3 dilation:int32*3
"""
KERNELS = {
    name: Kernel("pool.cu", name, FIELDS, threads=THREADS, blocks=3)
    for name in ("max_pool", "max_pool_grad", "max_pool_take", "sum_pool", "sum_pool_grad")
}
#: C++ name of each dtype of winners; sum pooling has none, and takes the first.
INDICES = {"uint8": "uint8", "int32": "int"}
VARIANTS: list[Variant] = [
    kernel.variant(T=ctype, WIDTH=width, INDEX=index)
    for name, kernel in KERNELS.items()
    for ctype in CTYPES.values()
    for width in (4 if ctype == "float" else 8, 1)
    for index in (INDICES.values() if name.startswith("max") else ("uint8",))
]


def max_pool(
    xp: Any,
    x: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    out: Ints,
) -> tuple[Array, Array]:
    """Return the largest element of each window and its tap; see the reference kernel."""
    if not _applies(x, out):
        return reference.max_pool(xp, x, kernel, stride, padding, dilation, out)
    y = xp.empty((x.shape[0], *out, x.shape[1]), dtype=x.dtype)
    winner = xp.empty(y.shape, dtype=xp.uint8 if prod(kernel) <= 256 else xp.int32)
    spatial = x.shape[2:]
    _launch(
        "max_pool", channels_last(xp, x), y, spatial, out, kernel, stride, padding, dilation,
        winner=winner,
    )  # fmt: skip
    return channels_first(xp, y), channels_first(xp, winner)


def max_pool_grad(
    xp: Any,
    dy: Array,
    window: Array,
    spatial: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Array:
    """Return each output's gradient, added at its winner; see the reference kernel."""
    if not _applies(dy, spatial, window):
        return reference.max_pool_grad(xp, dy, window, spatial, kernel, stride, padding, dilation)
    dx = xp.empty((dy.shape[0], *spatial, dy.shape[1]), dtype=dy.dtype)
    _launch(
        "max_pool_grad", channels_last(xp, dy), dx, spatial, dy.shape[2:],
        kernel, stride, padding, dilation, window=channels_last(xp, window),
    )  # fmt: skip
    return channels_first(xp, dx)


def max_pool_take(
    xp: Any,
    g: Array,
    window: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Array:
    """Return the elements of ``g`` where the winners are; see the reference kernel."""
    if not _applies(g, window.shape[2:], window):
        return reference.max_pool_take(xp, g, window, kernel, stride, padding, dilation)
    out = window.shape[2:]
    y = xp.empty((g.shape[0], *out, g.shape[1]), dtype=g.dtype)
    _launch(
        "max_pool_take", channels_last(xp, g), y, g.shape[2:], out,
        kernel, stride, padding, dilation, window=channels_last(xp, window),
    )  # fmt: skip
    return channels_first(xp, y)


def sum_pool(
    xp: Any,
    x: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    out: Ints,
    divisor: float = 1,
) -> Array:
    """Return the sum of each window, divided; see the reference kernel."""
    if not _applies(x, out):
        return reference.sum_pool(xp, x, kernel, stride, padding, out, divisor)
    y, dense = xp.empty((x.shape[0], *out, x.shape[1]), dtype=x.dtype), (1,) * len(kernel)
    spatial = x.shape[2:]
    _launch(
        "sum_pool", channels_last(xp, x), y, spatial, out, kernel, stride, padding, dense,
        divisor=divisor,
    )  # fmt: skip
    return channels_first(xp, y)


def sum_pool_grad(
    xp: Any,
    dy: Array,
    spatial: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    divisor: float = 1,
) -> Array:
    """Return each output's gradient, divided, in its whole window; see the reference kernel."""
    if not _applies(dy, spatial):
        return reference.sum_pool_grad(xp, dy, spatial, kernel, stride, padding, divisor)
    dx, dense = xp.empty((dy.shape[0], *spatial, dy.shape[1]), dtype=dy.dtype), (1,) * len(kernel)
    _launch(
        "sum_pool_grad", channels_last(xp, dy), dx, spatial, dy.shape[2:],
        kernel, stride, padding, dense, divisor=divisor,
    )  # fmt: skip
    return channels_first(xp, dx)


def _applies(x: Array, target: Ints, window: Array | None = None) -> bool:
    """Return whether the kernels know dtypes and ranks, and 31 bits number an image's elements.

    ``target`` are the spatial sizes of the result.
    """
    images = max(prod(x.shape[1:]), x.shape[1] * prod(target)) < LARGEST
    return (
        x.ndim in RANKS
        and is_fast(x)
        and images
        and (window is None or name_of(window.dtype) in INDICES)
    )


def _launch(
    name: str,
    x: Array,
    result: Array,
    size: Ints,
    out: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    window: Array | None = None,
    winner: Array | None = None,
    divisor: float = 1,
) -> None:
    """Make a channels-last result of a channels-last array."""
    if not result.size:
        return
    channels = x.shape[-1]
    width = 16 // x.itemsize if channels * x.itemsize % 16 == 0 else 1
    indices = winner if window is None else window
    index = "uint8" if indices is None else INDICES[name_of(indices.dtype)]
    before = tuple(pair[0] for pair in padding)
    samples, vectors = len(result), prod(result.shape[1:]) // width
    threads = min(-(-vectors // 32) * 32, THREADS)
    grid = blocks_for(vectors, threads, waves=32), min(samples, 65535)
    sizes = (_three(v, 1) for v in (size, out, kernel, stride))
    KERNELS[name].of(x.dtype, WIDTH=width, INDEX=index)(
        grid, threads, x, window, result, winner, samples, vectors, channels, divisor,
        *sizes, _three(before, 0), _three(dilation, 1),
    )  # fmt: skip


def _three(numbers: Ints, fill: int) -> Ints:
    """Return one number for each of three dimensions."""
    return (*(fill,) * (3 - len(numbers)), *numbers)
