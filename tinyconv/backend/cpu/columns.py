"""Work on columns: what batch, group and instance normalisation do with channels-last memory.

The memory of an image is a matrix: a row a pixel, a column a channel. Statistics are sums down the
columns, the normalisation is one map a column, so that the inner loop runs along a row, over
adjacent numbers. Rows are short where there are few channels; then several are taken as one *line*
of at least ``LINE`` elements, and the vectors that belong to the columns are repeated as often.

A sum of many float32 numbers loses digits. Therefore numbers are taken relative to a centre near
the mean, short runs are summed in float32 (in vector registers), and runs are added up in float64.
Blocks of lines follow from the shape alone, so the bits do not depend on the threads. Their means
and sums of squares are merged by the formula of Chan, Golub and LeVeque (1983):

    mean = sum(n_i * mean_i) / n        M2 = sum(M2_i + n_i * (mean_i - mean)^2)        var = M2 / n
"""

from __future__ import annotations

from math import inf, nan
from typing import Any, NamedTuple

import numpy as np

from ..reference.activation import Limits
from .column_loops import (
    block_moments,
    map_blocks,
    map_gradient_blocks,
    sum_gradient_blocks,
)
from .layout import Array
from .memory import empty
from .norm_vectors import add_parts, merge_moments
from .threads import share

#: Fewest elements of a line.
LINE = 128
#: Elements of a block: 512 kB of float32, about half of a core's own cache.
BLOCK = 1 << 17
#: Fewest elements that are worth a thread.
TASK = 1 << 18


class Matrices:
    """How (samples, rows, channels) data is cut into blocks of lines.

    Parameters
    ----------
    x : array (samples, rows, channels)
        C-ordered; its shape counts.
    """

    def __init__(self, x: Array) -> None:
        self.samples, self.rows, self.channels = x.shape
        self.repeats = max(-(-LINE // max(self.channels, 1)), 1)
        self.line = self.repeats * self.channels
        self.length = self.rows * self.channels
        self.step = max(BLOCK // max(self.line, 1), 1) * self.line
        self.blocks = -(-self.length // self.step) if self.length else 0

    def flat(self, x: Array) -> Array:
        """Return the data as (samples, rows * channels)."""
        return x.reshape(self.samples, self.length)

    def vectors(self, values: Array, dtype: Any) -> Array:
        """Return vectors (samples, channels) repeated to the length of a line."""
        values = np.ascontiguousarray(values, dtype)
        return values if self.repeats == 1 else np.concatenate([values] * self.repeats, axis=1)

    def run(self, kernel: Any, *args: Any) -> None:
        """Have a shared kernel do the blocks of all samples, by their numbers."""
        at_once = TASK // max(min(self.step, self.length), 1)
        share(kernel, self.samples * self.blocks, at_once, *args, merge=True)


class Mask(NamedTuple):
    """Where a gradient counts as 0: where a result ``y`` that was clipped is at one of the limits.

    Without ``y``, the result was ``(x - centre) * scale + shift``, and is computed again: a pass
    over memory takes longer.
    """

    limits: Limits
    y: Array | None
    scale: Array
    shift: Array


def statistics(x: Array) -> tuple[Array, Array]:
    """Return mean and biased variance over the rows of (samples, rows, channels), in float64."""
    plan = Matrices(x)
    flat = plan.flat(x)
    parts = np.zeros((plan.samples, plan.blocks, 2, plan.channels), np.float64)
    plan.run(block_moments, flat, plan.step, plan.line, parts)
    mean, var = np.zeros((2, plan.samples, plan.channels))
    if plan.blocks:
        merge_moments(parts, plan.step // plan.channels, plan.rows, mean, var)
    return mean, var


def map_columns(
    x: Array, centre: Array, scale: Array, shift: Array, other: Array | None, limits: Limits
) -> Array:
    """Return ``(x - centre) * scale + shift + other``, clipped."""
    plan = Matrices(x)
    y = empty(x.shape, x.dtype)
    flat, result = plan.flat(x), plan.flat(y)
    added = None if other is None else plan.flat(other)
    centre, scale, shift = (plan.vectors(v, x.dtype) for v in (centre, scale, shift))
    low, high = (x.dtype.type(limit) for limit in limits)
    plan.run(map_blocks, flat, plan.step, centre, scale, shift, added, low, high, result)
    return y


def gradient_sums(dy: Array, x: Array, mask: Mask | None, centre: Array) -> Array:
    """Return sums over rows of ``dy`` and ``dy * (x - centre)``, (samples, 2, channels) float64.

    Where ``mask`` says so, ``dy`` counts as 0.
    """
    plan = Matrices(x)
    flat, gradient = plan.flat(x), plan.flat(dy)
    centre = plan.vectors(centre, x.dtype)
    parts = np.zeros((plan.samples, plan.blocks, 2, plan.line), np.float64)
    hidden = _parts_of(mask, plan, x.dtype)
    plan.run(sum_gradient_blocks, gradient, flat, *hidden, plan.step, centre, parts)
    sums = np.zeros((plan.samples, 2, plan.channels))
    add_parts(parts, plan.repeats, sums)
    return sums


def gradient_map(
    dy: Array,
    x: Array,
    mask: Mask | None,
    centre: Array,
    scale: Array,
    slope: Array,
    offset: Array,
    onto: Array | None = None,
) -> Array:
    """Return ``scale * dy + slope * (x - centre) + offset``, ``dy`` with its mask.

    If it is to be added ``onto`` an array, it is written there.
    """
    plan = Matrices(x)
    dx = empty(x.shape, x.dtype) if onto is None else onto
    flat, gradient, target = plan.flat(x), plan.flat(dy), plan.flat(dx)
    vectors = [plan.vectors(v, x.dtype) for v in (centre, scale, slope, offset)]
    hidden = _parts_of(mask, plan, x.dtype)
    add = onto is not None
    plan.run(map_gradient_blocks, gradient, flat, *hidden, plan.step, *vectors, add, target)
    return dx


def _parts_of(mask: Mask | None, plan: Matrices, dtype: Any) -> tuple[Any, ...]:
    """Return y, scales, shifts, low and high, as the loops take them."""
    if mask is None:
        return None, None, None, dtype.type(0), dtype.type(0)
    low, high = mask.limits
    # Infinity is no limit: nothing equals NaN.
    ends = dtype.type(low), dtype.type(nan if high == inf else high)
    if mask.y is not None:
        return plan.flat(mask.y), None, None, *ends
    return None, plan.vectors(mask.scale, dtype), plan.vectors(mask.shift, dtype), *ends
