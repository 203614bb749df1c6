"""Patches: what each window of a convolution sees, side by side, one row for each output pixel.

With channels last, one line of a patch is ``kernel_width * C`` adjacent numbers, so that making
patches is mostly copying runs, and adding them back is mostly adding runs. Known as im2col and
col2im.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..reference.windows import Ints
from .jit import kernel
from .layout import Array, lines_per_task
from .threads import workspace


class Patches:
    """The patches of an (N, H, W, C) input as (groups, pixels, taps*C/groups), block by block.

    ``before`` may be negative: the first window then starts inside the input.
    """

    def __init__(
        self,
        x: Array,
        groups: int,
        kernel: Ints,
        out: Ints,
        stride: Ints,
        before: Ints,
        dilation: Ints,
    ) -> None:
        batch, height, width, channels = x.shape
        self.x, self.groups, self.kernel, self.out = x, groups, kernel, out
        self.geometry = (*stride, *before, *dilation)
        self.depth = channels // groups
        self.lines = batch * out[0] if out[1] else 0
        self.step = lines_per_task(self.lines, out[1] * prod(kernel) * channels)
        self.is_input = (
            kernel == (1, 1)
            and tuple(stride) == (1, 1)
            and tuple(before) == (0, 0)
            and tuple(out) == (height, width)
        )

    def pixels_of(self, number: int) -> tuple[int, int]:
        """Return the first and the last-plus-one output pixel of a block."""
        first = number * self.step
        return first * self.out[1], min(first + self.step, self.lines) * self.out[1]

    def block(self, number: int) -> Array:
        """Return one block; it is valid until this thread asks for the next one."""
        start, stop = self.pixels_of(number)
        batch, height, width, channels = self.x.shape
        if self.is_input:
            rows = self.x.reshape(-1, self.groups, self.depth)
            return rows[start:stop].transpose(1, 0, 2)
        kh, kw = self.kernel
        block = workspace((self.groups, stop - start, kh, kw * self.depth), self.x.dtype)
        patches(
            self.x.reshape(batch, height, width * channels),
            number * self.step, *self.out, channels, kw, *self.geometry, block,
        )  # fmt: skip
        return block.reshape(self.groups, stop - start, kh * kw * self.depth)


@kernel
def patches(x, first, oh, ow, channels, kw, sh, sw, bh, bw, dh, dw, out):
    """Copy the patches of output lines from ``first`` on: out (groups, pixels, kh, kw*depth)."""
    groups, pixels, kh, run_length = out.shape
    height, width, depth = x.shape[1], x.shape[2] // channels, run_length // kw
    zero = x.dtype.type(0)
    for g in range(groups):
        for p in range(pixels):
            line = first + p // ow
            image, top, left = line // oh, (line % oh) * sh - bh, (p % ow) * sw - bw
            for th in range(kh):
                row = top + th * dh
                target = out[g, p, th]
                if row < 0 or row >= height:
                    target[:] = zero
                elif dw == 1 and groups == 1:
                    # Neighbouring taps are neighbours in memory: one run.
                    low = min(max(-left, 0), kw) * depth
                    high = max(min(kw, width - left) * depth, low)
                    source = x[image, row]
                    shift = left * depth
                    for i in range(low):
                        target[i] = zero
                    for i in range(low, high):
                        target[i] = source[np.uint64(shift + i)]
                    for i in range(high, run_length):
                        target[i] = zero
                else:
                    for tw in range(kw):
                        column = left + tw * dw
                        if column < 0 or column >= width:
                            target[tw * depth : (tw + 1) * depth] = zero
                        else:
                            start = column * channels + g * depth
                            for c in range(depth):
                                target[np.uint64(tw * depth + c)] = x[
                                    image, row, np.uint64(start + c)
                                ]


@kernel
def unpatches(cols, first, ow, channels, kw, sh, sw, bh, bw, dh, dw, dx):
    """Add patches (groups, pixels, kh, kw*depth) of lines from ``first`` on to dx (H, W*C)."""
    groups, pixels, kh, run_length = cols.shape
    height, width, depth = dx.shape[0], dx.shape[1] // channels, run_length // kw
    for g in range(groups):
        for p in range(pixels):
            top, left = (first + p // ow) * sh - bh, (p % ow) * sw - bw
            for th in range(kh):
                row = top + th * dh
                if row < 0 or row >= height:
                    continue
                for tw in range(kw):
                    column = left + tw * dw
                    if column < 0 or column >= width:
                        continue
                    start = column * channels + g * depth
                    for c in range(depth):
                        dx[row, np.uint64(start + c)] += cols[g, p, th, np.uint64(tw * depth + c)]
