"""Max and sum pooling in one, two or three dimensions over channels-last memory.

The channels of a pixel are adjacent, so one vector instruction serves many of them. Forward, each
output looks at its window; backward, each *input* looks at the outputs whose windows hold it and
adds up their gradients in one order. Either way every number of a result is written once, by one
task. :mod:`.spans` says which taps a pixel has, :mod:`.sweep` visits them.
"""

from __future__ import annotations

from math import frexp, prod
from typing import Any

import numpy as np

from .. import reference
from ..reference.windows import Ints, Padding
from .layout import Array, channels_first, channels_last, is_fast, lines_per_task
from .loops.spans import Plan, plan
from .loops.window_loops import (
    max_grad_lines,
    max_lines,
    max_take_lines,
    scatter_images,
    spread_lines,
    sum_lines,
)
from .memory import empty
from .parallel.threads import share

#: Ranks that the loops know: (N, C) and one to three spatial dimensions.
RANKS = (3, 4, 5)
#: With fewer channels than this, a vector of one pixel is mostly empty.
FEW = 16


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
    if not _applies(x):
        return reference.max_pool(xp, x, kernel, stride, padding, dilation, out)

    pixels = channels_last(x)
    y = empty((x.shape[0], *out, x.shape[1]), x.dtype)
    window = empty(y.shape, np.uint8 if prod(kernel) <= 256 else np.int32)
    tables = _plan(False, x, out, kernel, stride, padding, dilation)
    _by_line(max_lines, (pixels,), tables, y, kernel, window)
    return channels_first(y), channels_first(window)


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
    if not _applies(dy):
        return reference.max_pool_grad(xp, dy, window, spatial, kernel, stride, padding, dilation)

    dx = empty((dy.shape[0], *spatial, dy.shape[1]), dy.dtype)
    if dy.ndim == 4 and _tiles(spatial, dy.shape[2:], kernel, stride, padding, dilation):
        _spread(channels_last(dy), channels_last(window), dx, kernel)
        return channels_first(dx)
    if dy.ndim == 4 and len(dy) > 1 and dy.shape[1] < FEW and min(stride) > 1:
        _scatter(channels_last(dy), channels_last(window), dx, kernel, stride, padding, dilation)
        return channels_first(dx)
    tables = _plan(True, dy, spatial, kernel, stride, padding, dilation)
    _by_line(max_grad_lines, (channels_last(dy), channels_last(window)), tables, dx, kernel)
    return channels_first(dx)


def max_pool_take(
    xp: Any,
    g: Array,
    window: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Array:
    """Return the elements of ``g`` at the winners; see the reference kernel."""
    if not _applies(g):
        return reference.max_pool_take(xp, g, window, kernel, stride, padding, dilation)

    winner = channels_last(window)
    y = empty(winner.shape, g.dtype)
    tables = _plan(False, g, window.shape[2:], kernel, stride, padding, dilation)
    _by_line(max_take_lines, (channels_last(g), winner), tables, y, kernel)
    return channels_first(y)


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
    if not _applies(x):
        return reference.sum_pool(xp, x, kernel, stride, padding, out, divisor)

    y = empty((x.shape[0], *out, x.shape[1]), x.dtype)
    tables = _plan(False, x, out, kernel, stride, padding, (1,) * len(kernel))
    _by_line(sum_lines, (channels_last(x),), tables, y, kernel, divisor=divisor)
    return channels_first(y)


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
    if not _applies(dy):
        return reference.sum_pool_grad(xp, dy, spatial, kernel, stride, padding, divisor)

    dx = empty((dy.shape[0], *spatial, dy.shape[1]), dy.dtype)
    tables = _plan(True, dy, spatial, kernel, stride, padding, (1,) * len(kernel))
    _by_line(sum_lines, (channels_last(dy),), tables, dx, kernel, divisor=divisor)
    return channels_first(dx)


def _tiles(
    spatial: Ints, out: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> bool:
    """Return whether each input is in one window, and in no other."""
    whole = all(n * k == size for n, k, size in zip(out, kernel, spatial, strict=True))
    apart = tuple(kernel) == tuple(stride) and prod(dilation) == 1
    return whole and apart and not any(pair[0] for pair in padding)


def _spread(gradient: Array, winner: Array, dx: Array, kernel: Ints) -> None:
    """Write each output's gradient at its winner, and 0 in the rest of its window."""
    batch, height, width, channels = gradient.shape
    lines = batch * height
    share(
        spread_lines, lines, lines_per_task(lines, width * channels * prod(kernel)),
        gradient.reshape(-1), winner.reshape(-1), width, channels, tuple(kernel), dx.reshape(-1),
        merge=True,
    )  # fmt: skip


def _scatter(
    gradient: Array,
    winner: Array,
    dx: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> None:
    """Add each output's gradient at its winner, image by image."""
    taps = np.arange(prod(kernel))
    moves = np.stack((taps // kernel[1] * dilation[0], taps % kernel[1] * dilation[1]), axis=1)
    before = (padding[0][0], padding[1][0])
    share(
        scatter_images, len(dx), lines_per_task(len(dx), 4 * prod(gradient.shape[1:])),
        gradient, winner, moves, tuple(stride), before, dx, merge=True,
    )  # fmt: skip


def _applies(x: Array) -> bool:
    return x.ndim in RANKS and is_fast(x)


def _plan(
    backward: bool,
    source: Array,
    target: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Plan:
    """Return the tables for reading ``source`` (N, C, ...) to make a result of sizes ``target``."""
    given, made = tuple(source.shape[2:]), tuple(target)
    spatial, out = (made, given) if backward else (given, made)
    before = tuple([pair[0] for pair in padding])
    return plan(backward, spatial, out, kernel, stride, before, dilation, source.shape[1])


def _divisor(divisor: float, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return a divisor and its inverse, or 0 for one that is not exact: of no power of two."""
    exact = abs(frexp(divisor)[0]) == 0.5
    return dtype.type(divisor), dtype.type(1 / divisor if exact else 0)


def _by_line(
    loop: Any,
    sources: tuple[Array, ...],
    tables: Plan,
    result: Array,
    kernel: Ints,
    *others: Array,
    divisor: float | None = None,
) -> None:
    """Run a loop over the lines of an (N, ..., W, C) result, in tasks."""
    width, channels = result.shape[-2:]
    lines = prod(result.shape[:-2])
    flat = [source.reshape(-1) for source in sources]
    numbers = () if divisor is None else _divisor(divisor, result.dtype)
    results = [array.reshape(-1) for array in (result, *others)]
    planes, rows, runs, steps, image = tables
    share(
        loop, lines, lines_per_task(lines, width * channels * prod(kernel)),
        *flat, image, planes, rows, runs, steps, width, channels, *numbers, *results, merge=True,
    )  # fmt: skip
