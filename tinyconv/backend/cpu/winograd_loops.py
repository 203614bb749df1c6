"""Winograd's convolution, loop by loop: tiles transformed, multiplied, and transformed back.

See :mod:`.winograd` for the algorithm, and for which of these are run when.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from .host import VECTORS, host
from .jit import kernel
from .products import pack_panel, rows_by_panel, transpose_all
from .region import shared
from .runs import scale_rows
from .sandwich import GRAD, INPUT, OUTPUT, WEIGHT, WEIGHT_GRAD, sandwich
from .tile import limits_of

#: Elements of a cache line and columns of a panel; Winograd is for float32 only.
LINE, PANEL = 16, VECTORS * host().vector_bytes // 4
#: Outputs and inputs of a tile in one dimension, and entries of a transformed tile.
OUT, IN, ENTRIES = 4, 6, 36
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
def transform_panel(columns, u):
    """Write U (36, C, panel) of packed weights (C, 9, panel)."""
    source, target, step = columns.reshape(-1), u.reshape(-1), columns.shape[0] * PANEL
    for c in range(columns.shape[0]):
        sandwich(WEIGHT, 0, source, c * 9 * PANEL, 3 * PANEL, PANEL, 0, 3, 0, 3,
                 target, c * PANEL, IN * step, step, 0, 0, source, 0, ANY, PANEL)  # fmt: skip


@register_jitable
def transform_input(x, first, last, at, tiles_high, tiles_wide, before_h, before_w, v):
    """Write V of the tiles ``first`` to ``last`` from place ``at`` on."""
    height, width, channels = x.shape[1:]
    pixels, target, step = x.reshape(-1), v.reshape(-1), v.shape[1]
    for t in range(first, last):
        image, place = t // (tiles_high * tiles_wide), t % (tiles_high * tiles_wide)
        top = place // tiles_wide * OUT - before_h
        left = place % tiles_wide * OUT - before_w
        start, to = ((image * height + top) * width + left) * channels, (at + t - first) * channels
        if top >= 0 and left >= 0 and top + IN <= height and left + IN <= width:
            sandwich(INPUT, 0, pixels, start, width * channels, channels, 0, 0, 0, 0,
                     target, to, IN * step, step, 0, 0, pixels, 0, ANY, channels)  # fmt: skip
        else:
            sandwich(INPUT, 1, pixels, start, width * channels, channels,
                     -top, height - top, -left, width - left,
                     target, to, IN * step, step, 0, 0, pixels, 0, ANY, channels)  # fmt: skip


@register_jitable
def transform_grad(dy, first, last, at, tiles_high, tiles_wide, before_h, before_w, z):
    """Write Z (panels, 36, ...) of the tiles ``first`` to ``last`` from place ``at`` on."""
    height, width, channels = dy.shape[1:]
    pixels, target, step = dy.reshape(-1), z.reshape(-1), z.shape[2]
    for t in range(first, last):
        image, place = t // (tiles_high * tiles_wide), t % (tiles_high * tiles_wide)
        top, left = place // tiles_wide * OUT, place % tiles_wide * OUT
        start = ((image * height + top) * width + left) * channels
        for p in range(z.shape[0]):
            sandwich(GRAD, 1, pixels, start + p * PANEL, width * channels, channels,
                     0, height - top, 0, width - left,
                     target, p * ENTRIES * step + (at + t - first) * PANEL, IN * step, step, 0, 0,
                     pixels, 0, ANY, min(channels - p * PANEL, PANEL))  # fmt: skip


@register_jitable
def multiply(v, channels, c0, depth, u, p0, m, begin, end, first, last,
             tiles_high, tiles_wide, before_h, before_w, shift, limits, add, y):  # fmt: skip
    """Multiply V by panels of U, from p0 on, over ``depth`` channels; at the ``end`` write y.

    Or ``add`` to what is there.
    """
    tiles = last - first
    height, width, outputs = y.shape[1:]
    a, b, c, pixels = v.reshape(-1), u.reshape(-1), m.reshape(-1), y.reshape(-1)
    v_step, m_step = v.shape[1], m.shape[1]
    nothing, start_of = np.zeros(PANEL, np.float32), np.zeros(1, np.int64)
    for p in range(u.shape[0]):
        columns = min(outputs - (p0 + p) * PANEL, PANEL)
        for e in range(ENTRIES):
            rows_by_panel(
                a, e * v_step + c0, channels, 1, start_of, b, (p * ENTRIES + e) * depth * PANEL,
                PANEL, start_of,
                nothing if begin else c, 0 if begin else e * m_step, 0 if begin else PANEL,
                c, e * m_step, PANEL, tiles, 1, depth, columns, ANY,
            )  # fmt: skip
        if not end:
            continue
        for t in range(first, last):
            image, place = t // (tiles_high * tiles_wide), t % (tiles_high * tiles_wide)
            top, left = place // tiles_wide * OUT, place % tiles_wide * OUT
            start = ((image * height + top) * width + left) * outputs + (p0 + p) * PANEL
            if add:
                sandwich(OUTPUT, 3, c, (t - first) * PANEL, IN * m_step, m_step, 0, 0, 0, 0,
                         pixels, start, width * outputs, outputs, height - top, width - left,
                         shift, (p0 + p) * PANEL, limits, columns)  # fmt: skip
            else:
                sandwich(OUTPUT, 2, c, (t - first) * PANEL, IN * m_step, m_step, 0, 0, 0, 0,
                         pixels, start, width * outputs, outputs, height - top, width - left,
                         shift, (p0 + p) * PANEL, limits, columns)  # fmt: skip


@register_jitable
def accumulate(v, channels, c0, depth, z, columns, tiles, sums, begin):
    """Write V^T Z of one panel for ``depth`` channels, or add it to what is there."""
    a, b, c = v.reshape(-1), z.reshape(-1), sums.reshape(-1)
    nothing, start_of = np.zeros(PANEL, np.float32), np.zeros(1, np.int64)
    for e in range(ENTRIES):
        to = e * sums.shape[1]
        rows_by_panel(
            a, e * v.shape[1] + c0, 1, channels, start_of, b, e * z.shape[1], PANEL, start_of,
            nothing if begin else c, 0 if begin else to, 0 if begin else PANEL,
            c, to, PANEL, depth, 1, tiles, columns, ANY,
        )  # fmt: skip


@kernel
def transform_weights(board, seat, first, last, w, turned, scale, columns, u):
    """Write U (panels, 36, C, panel) of weights (O, C, 9), times a ``scale`` if there is one."""
    if shared(board, seat):
        return
    channels = u.shape[2]
    own = columns[seat][: channels * 9 * PANEL].reshape(channels, 9, PANEL)
    for p in range(first, last):
        pack_panel(w, turned, False, p * PANEL, 0, channels, own)
        if scale is not None:
            scale_rows(own, channels * 9, scale, p * PANEL)
        transform_panel(own, u[p])


@kernel
def transform_inputs(board, seat, first, last, x, start, geometry, v):
    """Write V of some tiles; that of tile ``start`` comes first."""
    if shared(board, seat):
        return
    transform_input(x, start + first, start + last, first, *geometry, v)


@kernel
def transform_grads(board, seat, first, last, dy, start, geometry, z):
    """Write Z (panels, 36, ...) of some tiles; that of tile ``start`` comes first."""
    if shared(board, seat):
        return
    transform_grad(dy, start + first, start + last, first, *geometry, z)


@kernel
def correlate_blocks(
    board, seat, first, last, x, tiles, step, geometry, inputs, u, products, shift, limits, add, y
):  # fmt: skip
    """Take blocks of ``step`` tiles from x to y."""
    if shared(board, seat):
        return
    channels = x.shape[3]
    v, m = entries(inputs[seat], step * channels), entries(products[seat], step * PANEL)
    for number in range(first, last):
        begin, end = number * step, min((number + 1) * step, tiles)
        transform_input(x, begin, end, 0, *geometry, v)
        multiply(v, channels, 0, channels, u, 0, m, True, True, begin, end, *geometry,
                 shift, limits, add, y)  # fmt: skip


@kernel
def correlate_panels(
    board, seat, first, last, v, w, turned, scale, chunk, columns, weights, products, start, stop,
    geometry, shift, limits, add, y,
):  # fmt: skip
    """Multiply V of the tiles ``start`` to ``stop`` by panels of weights, and write y."""
    if shared(board, seat):
        return
    channels, m = w.shape[0 if turned else 1], entries(products[seat], (stop - start) * PANEL)
    for p in range(first, last):
        for c in range(0, channels, chunk):
            depth = min(chunk, channels - c)
            own = columns[seat][: depth * 9 * PANEL].reshape(depth, 9, PANEL)
            u = weights[seat][: ENTRIES * depth * PANEL].reshape(1, ENTRIES, depth, PANEL)
            pack_panel(w, turned, False, p * PANEL, c, depth, own)
            if scale is not None:
                scale_rows(own, depth * 9, scale, p * PANEL)
            transform_panel(own, u[0])
            multiply(v, channels, c, depth, u, p, m, c == 0, c + depth == channels,
                     start, stop, *geometry, shift, limits, add, y)  # fmt: skip


@kernel
def sum_parts(
    board, seat, first, last, x, dy, tiles, per_part, step, geometry, inputs, grads, sums
):
    """Write dU (parts, panels, 36, ...), each of ``per_part`` tiles, ``step`` at a time."""
    if shared(board, seat):
        return
    channels, columns, count = x.shape[3], dy.shape[3], sums.shape[1]
    v, z_step = entries(inputs[seat], step * channels), step_of(step * PANEL)
    z = grads[seat][: count * ENTRIES * z_step].reshape(count, ENTRIES, z_step)
    for part in range(first, last):
        for begin in range(part * per_part, min((part + 1) * per_part, tiles), step):
            end = min(begin + step, (part + 1) * per_part, tiles)
            transform_input(x, begin, end, 0, *geometry, v)
            transform_grad(dy, begin, end, 0, *geometry, z)
            for p in range(count):
                accumulate(v, channels, 0, channels, z[p], min(columns - p * PANEL, PANEL),
                           end - begin, sums[part, p], begin == part * per_part)  # fmt: skip


@kernel
def finish_panels(board, seat, first, last, sums, taps, dw):
    """Add up the parts of dU of some panels, in their order, and write the weight gradient."""
    if shared(board, seat):
        return
    outputs, channels = dw.shape[:2]
    own = taps[seat][: channels * 9 * PANEL].reshape(channels, 9, PANEL)
    for p in range(first, last):
        add_parts(sums, p, min(outputs - p * PANEL, PANEL))
        finish_weight_grad(sums[0, p], p, 0, own, dw, False)


@kernel
def sum_chunks(board, seat, first, last, v, z, chunk, tiles, sums, taps, dw, add):
    """Write the weight gradient of some (panel, chunk of channels) pairs, or add it to dw."""
    if shared(board, seat):
        return
    outputs, channels = dw.shape[:2]
    chunks = -(-channels // chunk)
    for number in range(first, last):
        p, c = number // chunks, number % chunks * chunk
        depth = min(chunk, channels - c)
        total = entries(sums[seat], depth * PANEL)
        own = taps[seat][: depth * 9 * PANEL].reshape(depth, 9, PANEL)
        accumulate(v, channels, c, depth, z[p], min(outputs - p * PANEL, PANEL), tiles, total, True)
        finish_weight_grad(total, p, c, own, dw, add)


@register_jitable
def entries(row, length):
    """Return memory as a matrix with a row for each entry of a tile, of ``length`` numbers."""
    step = step_of(length)
    return row[: ENTRIES * step].reshape(ENTRIES, step)


@register_jitable
def add_parts(sums, p, columns):
    """Add the partial sums of dU of panel p, in their order, to the first."""
    for part in range(1, sums.shape[0]):
        for e in range(ENTRIES):
            total, more = sums[0, p, e], sums[part, p, e]
            for start in range(0, total.size - PANEL + 1, PANEL):
                for i in range(columns):
                    total[np.uint64(start + i)] += more[np.uint64(start + i)]


@register_jitable
def finish_weight_grad(sums, p, c0, taps, dw, add):
    """Write the weight gradient of panel p and the channels of ``taps`` (C, 9, panel) from dU."""
    depth, step, outputs, channels = taps.shape[0], sums.shape[1], dw.shape[0], dw.shape[1]
    source, target, result = sums.reshape(-1), taps.reshape(-1), dw.reshape(-1)
    columns = min(outputs - p * PANEL, PANEL)
    for c in range(depth):
        sandwich(WEIGHT_GRAD, 0, source, c * PANEL, IN * step, step, 0, 0, 0, 0,
                 target, c * 9 * PANEL, 3 * PANEL, PANEL, 0, 0, source, 0, ANY,
                 PANEL)  # fmt: skip
    if add:
        for o in range(columns):
            for i in range(depth * 9):
                result[((p * PANEL + o) * channels + c0) * 9 + i] += target[i * PANEL + o]
        return
    offsets = np.empty(PANEL, np.int64)
    for o in range(PANEL):
        offsets[o] = ((p * PANEL + o) * channels + c0) * 9
    transpose_all(target, 0, PANEL, depth * 9, columns, result, 0, offsets, 0, depth * 9)
