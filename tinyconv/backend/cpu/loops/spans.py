"""Where a sliding window reads, tabulated once for each geometry.

Every window kernel answers the same question for each position of its result: which taps of the
window are inside the source, and where does the first of them lie? Along one dimension the answer
is three numbers, ``tap, count, position``, because both the taps and the positions that they read
are arithmetic progressions:

    forward, output o     taps t, t+1, ...      read  o*s - b + t*d, then d further each
    backward, input i     taps t with i = o*s - b + t*d for some output o: every (s/g)-th one,
                          and o goes back by d/g each, with g = gcd(s, d)

So a pass forward and a pass backward are one loop with two tables, and neither needs a branch for
the border. Positions in even steps that have the same taps form a *run*: the kernels treat one of
neighbours as one long pixel, or let its pixels share what they read.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

import numpy as np

from ...reference.windows import Ints
from ..layout import Array

#: Taps, how many of them, and the source position of the first, for each position of a dimension.
Span = list[tuple[int, int, int]]


class Plan(NamedTuple):
    """What a window kernel needs to know; offsets count elements of (N, D, H, W, C) memory."""

    #: (tap, count, source offset) for each plane and row of the result.
    planes: Array
    rows: Array
    #: (column, columns, tap, count, source offset) for each run of columns.
    runs: Array
    #: How far the source offset and the tap move from one tap to the next: first the offset for
    #: each dimension (two, or three of a volume), then the tap.
    steps: Ints
    #: Elements of an image of the source.
    image: int


def forward_span(size: int, out: int, k: int, s: int, before: int, d: int) -> Span:
    """Return for each output the taps that lie inside the input."""
    span = []
    for o in range(out):
        start = o * s - before
        low = max(-(start // d), 0)
        count = max(min(-((start - size) // d), k) - low, 0)
        span.append((low, count, start + low * d) if count else (0, 0, 0))
    return span


def backward_span(size: int, out: int, k: int, s: int, before: int, d: int) -> Span:
    """Return for each input the taps through which an output has read it."""
    span = []
    for i in range(size):
        places = [(t, i + before - t * d) for t in range(k)]
        found = [(t, p // s) for t, p in places if p % s == 0 and 0 <= p < out * s]
        span.append((found[0][0], len(found), found[0][1]) if found else (0, 0, 0))
    return span


Run = tuple[int, int, int, int, int]


def long_pixels(span: Span) -> list[Run]:
    """Put neighbours together that have the same taps and read side by side."""
    return _runs(span, range(len(span)), 1)


def strided_runs(span: Span, step: int, source_step: int) -> list[Run]:
    """Put pixels together that lie ``step`` apart, have the same taps, and read in even steps."""
    return [
        run
        for phase in range(step)
        for run in _runs(span, range(phase, len(span), step), source_step)
    ]


def _runs(span: Span, pixels: range, source_step: int) -> list[Run]:
    runs: list[Run] = []
    for i in pixels:
        tap, count, position = span[i]
        if runs:
            first, length, *rest = runs[-1]
            if rest == [tap, count, position - length * source_step * (count > 0)]:
                runs[-1] = (first, length + 1, *runs[-1][2:])
                continue
        runs.append((i, 1, tap, count, position))
    return runs


@lru_cache(maxsize=512)
def plan(
    backward: bool,
    spatial: Ints,
    out: Ints,
    kernel: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    channels: int,
    tap_size: int = 1,
    strided: bool = False,
) -> Plan:
    """Return the tables of a window.

    Parameters
    ----------
    backward : bool
        Whether the result has the size of the input, and the source that of the output.
    spatial, out : tuple of int
        Sizes of the input and the output; one to three dimensions, like all that follow.
    kernel, stride, before, dilation : tuple of int
        The window, and the padding in front.
    channels : int
        Elements of a pixel.
    tap_size : int, default 1
        By how much the number of a tap grows from one tap to the next.
    strided : bool, default False
        Whether the pixels of a run lie ``stride`` apart in the input, and need not be adjacent.
    """
    fill = 3 - len(kernel)
    spatial, out = (1,) * fill + spatial, (1,) * fill + out
    kernel, stride = (1,) * fill + kernel, (1,) * fill + stride
    before, dilation = (0,) * fill + before, (1,) * fill + dilation
    source = out if backward else spatial
    tables: list[list[tuple[int, ...]]] = []
    offset_steps, tap_steps = [], []
    for axis, geometry in enumerate(
        zip(spatial, out, kernel, stride, before, dilation, strict=True)
    ):
        span = (backward_span if backward else forward_span)(*geometry)
        pixel = prod(source[axis + 1 :]) * channels
        tap = prod(kernel[axis + 1 :]) * tap_size
        s, d = stride[axis], dilation[axis]
        common = gcd(s, d)
        offset_steps.append((-d // common if backward else d) * pixel)
        tap_steps.append((s // common if backward else 1) * tap)
        if axis < 2:
            tables.append([(t * tap, n, p * pixel) for t, n, p in span])
        else:
            ends = (s, 1) if backward else (1, s)
            runs = strided_runs(span, *ends) if strided else long_pixels(span)
            tables.append([(i, m, t * tap, n, p * pixel) for i, m, t, n, p in runs])
    planes, rows, columns = (
        np.array(table, np.int64).reshape(-1, width)
        for table, width in zip(tables, (3, 3, 5), strict=True)
    )
    skip = 1 if fill else 0  # of an image, the plane
    steps = (*offset_steps[skip:], *tap_steps[skip:])
    return Plan(planes, rows, columns, steps, prod(source) * channels)
