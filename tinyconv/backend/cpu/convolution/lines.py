"""The input of a convolution, a block of output lines at a time, with its padding in place.

Along an output line, windows move by ``stride * C`` elements of a channels-last input line, and a
window's own lines are runs of ``kernel_width * C`` adjacent numbers. So the windows of a line are
a matrix whose rows overlap in memory, and nothing has to be copied to multiply it; but for the
padding. A *block* is therefore a copy of the input lines that a few output lines need, with zeros
around, small enough to stay in a core's cache.

Everything has three spatial dimensions here; an image is a volume of depth 1.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
from numba.extending import register_jitable

from ...reference.windows import Ints
from ..layout import Array
from ..parallel.threads import scratch
from ..vectors.runs import clear_run, copy_run

#: Bytes of a block: it shares a core's cache with the weights.
BLOCK_BYTES = 192 << 10


class Lines:
    """The lines of an (N, D, H, W, C) input, block by block, and where windows find their taps.

    ``before`` may be negative: the first window then starts inside the input. ``slack`` is how
    many elements after the last one of a block can be read.
    """

    def __init__(
        self, x: Array, kernel: Ints, out: Ints, stride: Ints, before: Ints, dilation: Ints,
        slack: int = 0,
    ) -> None:  # fmt: skip
        self.x, self.kernel, self.out, self.stride = x, kernel, out, stride
        self.before, self.dilation, self.slack = before, dilation, slack
        self.channels = x.shape[-1]
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        self.width = (out[2] - 1) * stride[2] + reach[2]
        self.sheets, self.reach = reach[0], reach[1]
        #: Planes of output, (image, depth) pairs, and lines of each in a block.
        self.planes = x.shape[0] * out[0]
        line = max(self.width * self.channels * self.sheets * x.itemsize, 1)
        fitting = max(BLOCK_BYTES // line - self.reach, 0) // stride[1] + 1
        self.lines = max(min(fitting, out[1]), 1)
        self.lines = -(-out[1] // max(-(-out[1] // self.lines), 1)) if out[1] else 1
        self.blocks_a_plane = -(-out[1] // self.lines)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.planes * self.blocks_a_plane if prod(self.out) else 0

    @property
    def rows(self) -> int:
        """The number of input lines of a block, in each of its sheets."""
        return (self.lines - 1) * self.stride[1] + self.reach

    def segments(self) -> tuple[Array, int]:
        """Return where in a block the runs of the first window begin, and their taps.

        A run has the taps of a line if they are neighbours, else one tap.
        """
        return _segments(self.rows, self.width, self.channels, self.kernel, self.dilation)

    @property
    def geometry(self) -> Ints:
        """The scalars that :func:`copy_block` takes."""
        return (
            self.out[0], self.blocks_a_plane, self.lines, self.out[1],
            self.stride[0], self.stride[1], *self.before, self.sheets, self.rows, self.width,
        )  # fmt: skip

    def memory(self) -> Array:
        """Return memory for a block of each seat, valid until this thread asks again."""
        size = self.sheets * self.rows * self.width * self.channels
        return scratch(size + self.slack, self.x.dtype, 3)


@lru_cache(maxsize=1024)
def _segments(
    rows: int, width: int, channels: int, kernel: Ints, dilation: Ints
) -> tuple[Array, int]:
    line, whole = width * channels, dilation[2] == 1
    steps = rows * line * dilation[0], line * dilation[1], channels * dilation[2]
    counts = (*kernel[:2], 1 if whole else kernel[2])
    starts = [
        sum(i * step for i, step in zip(index, steps, strict=True)) for index in np.ndindex(*counts)
    ]
    return np.array(starts, np.int64), kernel[2] if whole else 1


@register_jitable
def copy_block(x, number, geometry, out):
    """Copy a block of padded input lines; return its image, depth, first output line and lines."""
    (depth, blocks_a_plane, most, height, stride_d, stride_h, before_d, before_h, before_w,
     sheets, rows, width) = geometry  # fmt: skip
    plane, first = number // blocks_a_plane, number % blocks_a_plane * most
    image, sheet = plane // depth, plane % depth
    copy_box(x, image, sheet * stride_d - before_d, first * stride_h - before_h, -before_w,
             sheets, rows, width, out)  # fmt: skip
    return image, sheet, first, min(most, height - first)


@register_jitable
def copy_box(x, image, front, top, left, sheets, rows, width, out):
    """Copy a box of pixels, whose corner may be outside of the input; outside are zeros."""
    deep, height, across, channels = x.shape[1:]
    source = x.reshape(-1)
    low = min(max(-left, 0), width)
    high = max(min(width, across - left), low)
    to = 0
    for d in range(front, front + sheets):
        for h in range(top, top + rows):
            if d < 0 or d >= deep or h < 0 or h >= height:
                clear_run(out, to, width * channels)
            else:
                start = (((image * deep + d) * height + h) * across + left + low) * channels
                clear_run(out, to, low * channels)
                copy_run(source, start, out, to + low * channels, (high - low) * channels)
                clear_run(out, to + high * channels, (width - high) * channels)
            to += width * channels
