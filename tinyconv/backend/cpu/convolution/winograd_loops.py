"""Winograd's convolution, loop by loop: tiles transformed, multiplied, and transformed back.

See :mod:`.winograd` for the algorithm, and :mod:`.winograd_kernels` for who calls these. ``block``
is a tuple whose length says how many outputs a tile has in one dimension. The length of a tuple is
part of its type: to the compiler it is a constant, and so are the matrices that follow from it.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ..host import VECTORS, host
from ..vectors.tile import limits_of
from ..vectors.transpose import transpose_all
from .products import rows_by_panel
from .sandwich import GRAD, IN, INPUT, ONTO, OUTPUT, WEIGHT, WEIGHT_GRAD, sandwich

#: Elements of a cache line, and most columns of a panel; Winograd is for float32 only.
LINE, PANEL = 16, VECTORS * host().vector_bytes // 4
#: Entries of a transformed tile.
ENTRIES = IN * IN
#: A tile's pixels are fetched into the cache while the one so many places before is transformed.
AHEAD = 2
#: Limits that clip nothing.
ANY = limits_of(np.dtype(np.float32))


@register_jitable
def step_of(length):
    """Return the distance of two entries that each have ``length`` elements.

    An odd number of cache lines: the 36 entries of a tile, which are read and written together,
    then fall into different sets of the cache.
    """
    return (-(-length // LINE) | 1) * LINE


@register_jitable
def taps_of(block):
    """Return the taps of a kernel, in both dimensions together."""
    return (IN + 1 - len(block)) ** 2


@register_jitable
def place_of(t, block, high, wide, apart_h, apart_w):
    """Return the image of tile t, and the row and column of its first output.

    With dilation, the outputs of a tile are ``apart``: an image has ``apart_h * apart_w`` phases,
    each of ``high * wide`` tiles.
    """
    number, tile = t // (high * wide), t % (high * wide)
    row, column = tile // wide * len(block), tile % wide * len(block)
    if apart_h == apart_w == 1:  # a division takes long
        return number, row, column
    image, phase = number // (apart_h * apart_w), number % (apart_h * apart_w)
    return image, row * apart_h + phase // apart_w, column * apart_w + phase % apart_w


@register_jitable
def ahead_of(t, block, high, wide, apart_h, apart_w, images, lines, columns):
    """Return how many elements there are from tile t to the one that is fetched meanwhile."""
    image, top, left = place_of(t, block, high, wide, apart_h, apart_w)
    other, below, right = place_of(t + AHEAD, block, high, wide, apart_h, apart_w)
    return (other - image) * images + (below - top) * lines + (right - left) * columns


@register_jitable
def distances(pixels):
    """Return how many elements images, lines and pixels (N, H, W, C) are apart.

    Taken from the strides: of a product of sizes, the compiler would make other products.
    """
    image, line, pixel, _ = pixels.strides
    return image // pixels.itemsize, line // pixels.itemsize, pixel // pixels.itemsize


@register_jitable
def transform_panel(block, columns, u):
    """Write U (36, C * width) of packed weights (C, taps, width)."""
    source, target, width = columns.reshape(-1), u.reshape(-1), columns.shape[2]
    taps, step = columns.shape[1], u.shape[1]
    line = (IN + 1 - len(block)) * width
    for c in range(columns.shape[0]):
        sandwich(WEIGHT, block, source, c * taps * width, line, width,
                 target, c * width, IN * step, step, 0, 0, 0, 0, 0, 0, 0, source, 0, ANY,
                 width)  # fmt: skip


@register_jitable
def transform_input(block, x, first, last, at, geometry, v, width):
    """Write V (panels, 36, ...) of the tiles ``first`` to ``last`` from place ``at`` on."""
    high, wide, before_h, before_w, apart_h, apart_w = geometry
    height, line, channels = x.shape[1:]
    images, lines, columns = distances(x)
    pixels, target, step = x.reshape(-1), v.reshape(-1), v.shape[2]
    for p in range(v.shape[0]):
        lanes = min(channels - p * width, width)
        for t in range(first, last):
            image, top, left = place_of(t, block, high, wide, apart_h, apart_w)
            top, left = top - before_h, left - before_w
            start = image * images + top * lines + left * columns + p * width
            ahead = ahead_of(t, block, high, wide, apart_h, apart_w, images, lines, columns)
            to = p * ENTRIES * step + (at + t - first) * width
            sandwich(INPUT, block, pixels, start, apart_h * lines, apart_w * columns,
                     target, to, IN * step, step, ahead, top, left, apart_h, apart_w, height, line,
                     pixels, 0, ANY, lanes)  # fmt: skip


@register_jitable
def transform_grad(block, dy, first, last, at, geometry, z, width):
    """Write Z (panels, 36, ...) of the tiles ``first`` to ``last`` from place ``at`` on."""
    high, wide, _, _, apart_h, apart_w = geometry
    height, line, channels = dy.shape[1:]
    images, lines, columns = distances(dy)
    pixels, target, step = dy.reshape(-1), z.reshape(-1), z.shape[2]
    for t in range(first, last):
        image, top, left = place_of(t, block, high, wide, apart_h, apart_w)
        start = image * images + top * lines + left * columns
        ahead = ahead_of(t, block, high, wide, apart_h, apart_w, images, lines, columns)
        for p in range(z.shape[0]):
            to = p * ENTRIES * step + (at + t - first) * width
            sandwich(GRAD, block, pixels, start + p * width, apart_h * lines, apart_w * columns,
                     target, to, IN * step, step, ahead, top, left, apart_h, apart_w, height, line,
                     pixels, 0, ANY, min(channels - p * width, width))  # fmt: skip


@register_jitable
def multiply(block, v, channels, c0, depth, u, p0, width, m, begin, end, first, last, geometry,
             shift, limits, add, y):  # fmt: skip
    """Multiply V by panels of U, from p0 on, over ``depth`` channels; at the ``end`` write y.

    Or ``add`` to what is there.
    """
    high, wide, _, _, apart_h, apart_w = geometry
    height, line, outputs = y.shape[1:]
    images, lines, pixel = distances(y)
    a, b, c, pixels = v.reshape(-1), u.reshape(-1), m.reshape(-1), y.reshape(-1)
    v_step, u_step, m_step = v.shape[2], u.shape[2], m.shape[1]
    nothing, start_of = np.zeros(PANEL, np.float32), np.zeros(1, np.int64)
    for p in range(u.shape[0]):
        columns = min(outputs - (p0 + p) * width, width)
        for e in range(ENTRIES):
            rows_by_panel(
                a, e * v_step + c0, channels, 1, start_of, b, (p * ENTRIES + e) * u_step,
                width, start_of,
                nothing if begin else c, 0 if begin else e * m_step, 0 if begin else width,
                c, e * m_step, width, last - first, 1, depth, columns, ANY,
            )  # fmt: skip
        if not end:
            continue
        for t in range(first, last):
            image, top, left = place_of(t, block, high, wide, apart_h, apart_w)
            start = image * images + top * lines + left * pixel + (p0 + p) * width
            ahead = ahead_of(t, block, high, wide, apart_h, apart_w, images, lines, pixel)
            if add:
                sandwich(ONTO, block, c, (t - first) * width, IN * m_step, m_step,
                         pixels, start, apart_h * lines, apart_w * pixel, ahead,
                         top, left, apart_h, apart_w, height, line,
                         shift, (p0 + p) * width, limits, columns)  # fmt: skip
            else:
                sandwich(OUTPUT, block, c, (t - first) * width, IN * m_step, m_step,
                         pixels, start, apart_h * lines, apart_w * pixel, ahead,
                         top, left, apart_h, apart_w, height, line,
                         shift, (p0 + p) * width, limits, columns)  # fmt: skip


@register_jitable
def accumulate(a, channels, c0, depth, b, width, columns, tiles, sums, begin):
    """Write a^T b of a panel b for ``depth`` channels of a, or add it to what is there."""
    rows, panel, c = a.reshape(-1), b.reshape(-1), sums.reshape(-1)
    nothing, start_of = np.zeros(PANEL, np.float32), np.zeros(1, np.int64)
    for e in range(ENTRIES):
        to = e * sums.shape[1]
        rows_by_panel(
            rows, e * a.shape[1] + c0, 1, channels, start_of, panel, e * b.shape[1], width,
            start_of, nothing if begin else c, 0 if begin else to, 0 if begin else width,
            c, to, width, depth, 1, tiles, columns, ANY,
        )  # fmt: skip


@register_jitable
def packed(row, depth, block, width):
    """Return memory as (depth, taps, width)."""
    taps = taps_of(block)
    return row[: depth * taps * width].reshape(depth, taps, width)


@register_jitable
def entries(row, count, length):
    """Return memory as ``count`` matrices with a row for each entry, of ``length`` numbers."""
    step = step_of(length)
    return row[: count * ENTRIES * step].reshape(count, ENTRIES, step)


@register_jitable
def add_parts(sums, p, start, stop):
    """Add the partial sums of panel p from ``start`` to ``stop``, in their order, to the first."""
    for part in range(1, sums.shape[0]):
        for e in range(ENTRIES):
            total, more = sums[0, p, e], sums[part, p, e]
            for i in range(start, stop):
                total[np.uint64(i)] += more[np.uint64(i)]


@register_jitable
def transform_sums(block, sums, first, taps):
    """Write the gradient (rows, taps, width) of the rows of dU from ``first`` on."""
    source, target, step, width = sums.reshape(-1), taps.reshape(-1), sums.shape[1], taps.shape[2]
    line, length = (IN + 1 - len(block)) * width, taps.shape[1] * width
    for i in range(taps.shape[0]):
        sandwich(WEIGHT_GRAD, block, source, (first + i) * width, IN * step, step,
                 target, i * length, line, width, 0, 0, 0, 0, 0, 0, 0, source, 0, ANY,
                 width)  # fmt: skip


@register_jitable
def put_outputs(taps, o0, columns, c0, dw, add):
    """Write ``taps`` (C, taps, outputs) to dw (O, C, taps) from c0 and o0 on, or add it."""
    channels, source, result = dw.shape[1], taps.reshape(-1), dw.reshape(-1)
    length, width = taps.shape[0] * taps.shape[1], taps.shape[2]
    offsets = np.empty(width, np.int64)
    for o in range(width):
        offsets[o] = ((o0 + o) * channels + c0) * taps.shape[1]
    if add:
        for o in range(columns):
            for i in range(length):
                result[offsets[o] + i] += source[i * width + o]
        return
    transpose_all(source, 0, width, length, columns, result, 0, offsets, 0, length)


@register_jitable
def put_channels(taps, o0, c0, columns, dw):
    """Write ``taps`` (O, taps, channels) to dw (O, C, taps) from o0 and c0 on."""
    channels, source, result = dw.shape[1], taps.reshape(-1), dw.reshape(-1)
    rows, length, width = taps.shape
    offsets = np.empty(width, np.int64)
    for o in range(rows):
        for c in range(width):
            offsets[c] = ((o0 + o) * channels + c0 + c) * length
        transpose_all(source, o * length * width, width, length, columns, result, 0, offsets, 0,
                      length)  # fmt: skip
