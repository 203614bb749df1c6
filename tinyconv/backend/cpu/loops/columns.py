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

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...reference.activation import Limits
from ..layout import Array
from ..memory import empty
from ..parallel.threads import scratch, share, workspace
from .column_loops import map_blocks, map_gradient_blocks, moments, sum_gradient_blocks

#: Fewest elements of a line.
LINE = 128
#: Fewest and most elements of a block: 512 kB of float32 are about half of a core's own cache.
LEAST, MOST = 1 << 14, 1 << 17
#: Blocks in all, where they would not be smaller or larger than that.
BLOCKS = 16
#: Fewest elements that are worth a thread.
TASK = 1 << 15


class Plan(NamedTuple):
    """How (samples, rows, channels) data is cut into blocks of lines."""

    #: The shape of the data, taken as (samples, rows * channels).
    flat: tuple[int, int]
    channels: int
    #: Elements of a line, of a block, and blocks of a sample.
    line: int
    step: int
    blocks: int
    #: The blocks of all samples, and how many of them are worth a thread.
    work: tuple[int, int]

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, samples: int, rows: int, channels: int) -> Plan:
        """Return the plan for a shape."""
        line, length = max(-(-LINE // max(channels, 1)), 1) * channels, rows * channels
        wanted = min(max(samples * length // BLOCKS, LEAST), MOST)
        step = max(wanted // max(line, 1), 1) * line
        blocks = -(-length // step) if length else 0
        work = samples * blocks, TASK // max(min(step, length), 1)
        return cls((samples, length), channels, line, step, blocks, work)

    def vectors(self, dtype: Any, *rows: Array | None) -> Array:
        """Return (samples, channels) vectors as the loops take them; ``None`` is left out."""
        channels, samples = max(self.channels, 1), self.flat[0]
        result = np.empty((samples, len(rows), self.line // channels, self.channels), dtype)
        for number, row in enumerate(rows):
            if row is not None:
                result[:, number] = row[:, None]
        return result.reshape(samples, len(rows), self.line)

    def sums(self, dtype: Any) -> tuple[Array, Array]:
        """Return memory for three lines of each seat, and for two in float64 of each block."""
        own = scratch(3 * self.line, dtype, 0)
        return own, workspace((self.flat[0], self.blocks, 2, self.line), np.float64, 1)

    def run(self, kernel: Any, *args: Any) -> None:
        """Have a shared kernel do the blocks of all samples, by their numbers."""
        share(kernel, *self.work, *args, merge=True)


def statistics(
    x: Array, plan: Plan, moved: tuple[Array, Array, float, float] | None = None
) -> tuple[Array, Array]:
    """Return mean and biased variance over the rows of (samples, rows, channels), in float64.

    ``moved`` are averages of the mean and of the variance, which are moved towards those of the
    first sample, then the momentum, and by what the variance is multiplied before.
    """
    made = np.empty if x.size else np.zeros
    mean, var = made((2, plan.flat[0], plan.channels))
    plan.run(moments, x.reshape(plan.flat), plan.step, *plan.sums(x.dtype), moved, mean, var)
    return mean, var


def map_columns(
    x: Array, centre: Array, scale: Array, shift: Array, other: Array | None, limits: Limits
) -> Array:
    """Return ``(x - centre) * scale + shift + other``, clipped."""
    plan = Plan.of(*x.shape)
    y = empty(x.shape, x.dtype)
    added = None if other is None else other.reshape(plan.flat)
    vectors, result = plan.vectors(x.dtype, centre, scale, shift), y.reshape(plan.flat)
    plan.run(map_blocks, x.reshape(plan.flat), added, plan.step, vectors, limits, result)
    return y


def gradient_sums(dy: Array, x: Array, centre: Array) -> Array:
    """Return sums over rows of ``dy`` and ``dy * (x - centre)``, (samples, 2, channels) float64."""
    plan = Plan.of(*x.shape)
    flat, gradient = x.reshape(plan.flat), dy.reshape(plan.flat)
    vectors, sums = plan.vectors(x.dtype, centre, None, None), np.zeros((len(x), 2, plan.channels))
    memory = plan.sums(x.dtype)
    plan.run(sum_gradient_blocks, gradient, flat, plan.step, vectors, *memory, sums)
    return sums


def gradient_map(
    dy: Array, x: Array, centre: Array, scale: Array, slope: Array, offset: Array
) -> Array:
    """Return ``scale * dy + slope * (x - centre) + offset``."""
    plan = Plan.of(*x.shape)
    dx = empty(x.shape, x.dtype)
    flat, gradient, target = (a.reshape(plan.flat) for a in (x, dy, dx))
    vectors = plan.vectors(x.dtype, centre, scale, None, slope, offset)
    rest = (None, None, plan.step, vectors, True, None, target)
    plan.run(map_gradient_blocks, gradient, flat, *rest)
    return dx
