"""Convolution of small maps: one position at a time, of all images together.

Where a map has few positions, most taps of most windows lie in the padding: of 3x3 windows on a
2x2 map, five of nine. Here nothing is done for them. The rows of a product are images, and its sum
runs over the taps that hit the map at this position:

    forward          y[:, q]  = sum over hits (q, t, p) of  x[:, p] @ w[t]
    input gradient   dx[:, p] = sum over hits (q, t, p) of  dy[:, q] @ w[t]^T
    weight gradient  dw[t]    = sum over hits (q, t, p) of  dy[:, q]^T @ x[:, p]

A *hit* (q, t, p) says that tap t of the window of output position q lies on input position p: any
stride, padding, dilation and dimension is nothing but another list of hits.

Arrays are channels-last, (N, D, H, W, C); groups are a batch of products.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from ...reference.activation import Limits
from ...reference.windows import Ints
from .. import memory
from ..compiler.jit import kernel
from ..layout import Array
from ..parallel.region import shared
from ..parallel.threads import share
from ..vectors.tile import limits_of
from .direct import FINISHED, PANEL_BYTES, finish
from .products import Packed, panel_width, panels, rows_by_panel

#: Images are this far apart in memory at least, so that they fall into different sets of a cache.
LINE, PAGE = 64, 4096


def count_hits(
    spatial: Ints, kernel: Ints, out: Ints, stride: Ints, before: Ints, dilation: Ints
) -> int:
    """Return how many taps of all windows lie on the map."""
    return prod(
        sum(0 <= q * s + t * d - b < size for q in range(o) for t in range(k))
        for size, k, o, s, b, d in zip(spatial, kernel, out, stride, before, dilation, strict=True)
    )


@lru_cache(maxsize=1024)
def hits(
    order: str, spatial: Ints, kernel: Ints, out: Ints, stride: Ints, before: Ints, dilation: Ints
) -> tuple[Array, dict[str, Array]]:
    """Return the hits as int64 arrays of their q, t and p, sorted by the one that ``order`` names.

    First comes where the hits of each value of that one begin, and where the last ones end.
    """
    q = np.indices(out).reshape(len(out), -1, 1)
    t = np.indices(kernel).reshape(len(out), 1, -1)
    s, b, d, size = (np.reshape(v, (-1, 1, 1)) for v in (stride, before, dilation, spatial))
    p = q * s + t * d - b
    at, tap = np.nonzero(((p >= 0) & (p < size)).all(0))
    inside = np.ravel_multi_index(tuple(p[:, at, tap]), spatial)
    found = {"q": at, "t": tap, "p": inside}
    sequence = np.argsort(found[order], kind="stable")
    found = {name: values[sequence].astype(np.int64) for name, values in found.items()}
    count = {"q": prod(out), "t": prod(kernel), "p": prod(spatial)}[order]
    return np.searchsorted(found[order], np.arange(count + 1)).astype(np.int64), found


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    groups: int,
    bias: Array | None,
    out: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    spatial: Ints,
    limits: Limits | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the (N, *out, O) forward result, or from dy the (N, *spatial, C) gradient if turned.

    ``spatial`` and ``out`` are the sizes of the input and of the output of the convolution.
    Results are multiplied by the ``scale`` of each output, get its bias, and are clipped to
    ``limits``.
    """
    target, source = ("p", "q") if turned else ("q", "p")
    begins, found = hits(target, spatial, w.shape[2:], out, stride, before, dilation)
    taps, size = prod(w.shape[2:]), spatial if turned else out
    tap = taps - 1 - found["t"] if turned else found["t"]  # Packed has the last tap first
    weights = Packed.of(w, turned, groups, bias, scale)
    channels, width = x.shape[-1], weights.panels.shape[-1]
    depth, count, positions = channels // groups, weights.panels.shape[1], prod(size)
    a_at, b_at = found[source] * channels, tap * (depth * width)
    images, ends = by_image(x), limits_of(x.dtype, limits)
    y = memory.empty((x.shape[0], *size, weights.columns * groups), x.dtype)
    # A task has all positions of a panel of weights, or some: of its columns, if there are few.
    share(
        multiply, groups * count * positions, positions if groups * count >= 8 else 1,
        images, begins, a_at, b_at, depth, weights.panels, weights.bias, weights.columns,
        y.reshape(len(y), positions * y.shape[-1]), ends,
    )  # fmt: skip
    return y


def by_image(x: Array, slack: int = 0) -> Array:
    """Return x as a matrix with a row for each image; ``slack`` elements follow the last one.

    Rows that are whole pages apart would take turns in the same few lines of a cache.
    """
    n, length = x.shape[0], prod(x.shape[1:])
    if not slack and length * x.itemsize % PAGE:
        return x.reshape(n, length)
    line = LINE // x.itemsize
    step = (-(-length // line) | 1) * line
    rows = memory.empty((n * step + slack,), x.dtype)[: n * step].reshape(n, step)
    rows[:, :length] = x.reshape(n, length)
    return rows


@kernel
def multiply(
    board, seat, first, last, x, begins, a_at, b_at, depth, panels, bias, columns, y, limits
):  # fmt: skip
    """Write the products of (group, panel, position) numbers ``first`` to ``last``."""
    if shared(board, seat):
        return
    groups, count, length, width = panels.shape
    a, b, init, c = x.reshape(-1), panels.reshape(-1), bias.reshape(-1), y.reshape(-1)
    positions, outputs = len(begins) - 1, groups * columns
    for number in range(first, last):
        number, q = number // positions, number % positions
        g, p = number // count, number % count
        low, high = begins[q], begins[q + 1]
        rows_by_panel(
            a, g * depth, x.shape[1], 1, a_at[low:high],
            b, number * length * width, width, b_at[low:high],
            init, number * width, 0,
            c, q * outputs + g * columns + p * width, y.shape[1],
            len(x), high - low, depth, min(columns - p * width, width), limits,
        )  # fmt: skip


def weight_grad(
    x: Array, dy: Array, kernel: Ints, stride: Ints, before: Ints, dilation: Ints, groups: int
) -> Array:
    """Return the (O, C/groups, *kernel) gradient with respect to the weights."""
    begins, found = hits("t", x.shape[1:-1], kernel, dy.shape[1:-1], stride, before, dilation)
    taps, channels, outputs = prod(kernel), x.shape[-1], dy.shape[-1]
    depth = channels // groups
    images = by_image(x, panel_width(x.dtype))  # a panel is read to its end
    gradient, limits = by_image(dy), limits_of(x.dtype)
    sums = memory.empty((1, outputs, taps * depth), x.dtype)
    at = found["q"] * outputs, found["p"] * channels
    count = groups * panels(depth, x.dtype) * taps
    share(
        accumulate, count, 1,
        gradient, images, begins, *at, groups, depth, sums[0], limits, merge=True,
    )  # fmt: skip
    dw = memory.empty((outputs, depth, taps), x.dtype)
    share(finish, outputs, FINISHED // max(taps * depth, 1), sums, dw, merge=True)
    return dw.reshape(outputs, depth, *kernel)


@kernel
def accumulate(
    board, seat, first, last, dy, x, begins, a_at, b_at, groups, depth, sums, limits
):  # fmt: skip
    """Write dy^T @ x of (group, panel, tap) numbers ``first`` to ``last``; sums (O, taps*C)."""
    if shared(board, seat):
        return
    a, b, c = dy.reshape(-1), x.reshape(-1), sums.reshape(-1)
    taps, rows = len(begins) - 1, len(sums) // groups
    width = PANEL_BYTES // x.itemsize
    nothing = np.zeros(width, x.dtype)
    count = -(-depth // width)
    for number in range(first, last):
        number, t = number // taps, number % taps
        g, k = number // count, number % count * width
        low, high = begins[t], begins[t + 1]
        rows_by_panel(
            a, g * rows, 1, dy.shape[1], a_at[low:high],
            b, g * depth + k, x.shape[1], b_at[low:high],
            nothing, 0, 0,
            c, g * rows * sums.shape[1] + t * depth + k, sums.shape[1],
            rows, high - low, len(x), min(depth - k, width), limits,
        )  # fmt: skip
