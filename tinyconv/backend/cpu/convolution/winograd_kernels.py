"""The kernels of Winograd's convolution: whole passes over tiles, panels and weights.

Each of the first ones is one region of pieces, made of :mod:`.winograd_loops`. The last four are
what :mod:`.winograd` calls: a shallow or a deep layer, or the sums of its weight gradient, are two
or three such regions.
"""

from __future__ import annotations

from ..compiler.jit import kernel
from ..parallel.region import another, shared
from ..vectors.runs import scale_columns
from .products import pack_panel
from .winograd_loops import (
    accumulate,
    add_parts,
    entries,
    multiply,
    packed,
    put_channels,
    put_outputs,
    taps_of,
    transform_grad,
    transform_input,
    transform_panel,
    transform_sums,
)


@kernel
def transform_weights(board, seat, first, last, block, w, turned, width, scale, columns, u):
    """Write U (panels, 36, C * width) of weights (O, C, taps), times a ``scale`` if given."""
    if shared(board, seat):
        return
    channels = w.shape[0 if turned else 1]
    own = packed(columns[seat], channels, block, width)
    for p in range(first, last):
        pack_panel(w, turned, False, p * width, 0, channels, own)
        if scale is not None:
            scale_columns(own, channels * taps_of(block), width, scale, p * width)
        transform_panel(block, own, u[p])


@kernel
def transform_inputs(board, seat, first, last, block, x, start, geometry, v):
    """Write V (1, 36, ...) of some tiles; that of tile ``start`` comes first."""
    if shared(board, seat):
        return
    transform_input(block, x, start + first, start + last, first, geometry, v, x.shape[3])


@kernel
def transform_grads(board, seat, first, last, block, dy, start, geometry, z, width):
    """Write Z (panels, 36, ...) of some tiles; that of tile ``start`` comes first."""
    if shared(board, seat):
        return
    transform_grad(block, dy, start + first, start + last, first, geometry, z, width)


@kernel
def correlate_blocks(
    board, seat, first, last, block, x, tiles, step, geometry, inputs, u, width, products, shift,
    limits, add, y,
):  # fmt: skip
    """Take blocks of ``step`` tiles from x to y."""
    if shared(board, seat):
        return
    channels = x.shape[3]
    v, m = entries(inputs[seat], 1, step * channels), entries(products[seat], 1, step * width)
    for number in range(first, last):
        begin, end = number * step, min((number + 1) * step, tiles)
        transform_input(block, x, begin, end, 0, geometry, v, channels)
        multiply(block, v, channels, 0, channels, u, 0, width, m[0], True, True, begin, end,
                 geometry, shift, limits, add, y)  # fmt: skip


@kernel
def correlate_panels(
    board, seat, first, last, block, v, w, turned, scale, chunk, columns, weights, products, start,
    stop, geometry, width, shift, limits, add, y,
):  # fmt: skip
    """Multiply V of the tiles ``start`` to ``stop`` by panels of weights, and write y."""
    if shared(board, seat):
        return
    channels, m = w.shape[0 if turned else 1], entries(products[seat], 1, (stop - start) * width)
    for p in range(first, last):
        for c in range(0, channels, chunk):
            depth = min(chunk, channels - c)
            own = packed(columns[seat], depth, block, width)
            u = entries(weights[seat], 1, depth * width)
            pack_panel(w, turned, False, p * width, c, depth, own)
            if scale is not None:
                scale_columns(own, depth * taps_of(block), width, scale, p * width)
            transform_panel(block, own, u[0])
            end = c + depth == channels
            multiply(block, v, channels, c, depth, u, p, width, m[0], c == 0, end, start, stop,
                     geometry, shift, limits, add, y)  # fmt: skip


@kernel
def sum_parts(
    board, seat, first, last, block, x, dy, tiles, per_part, step, geometry, turned, width,
    inputs, grads, sums,
):  # fmt: skip
    """Write dU (parts, panels, 36, ...), each of ``per_part`` tiles, ``step`` at a time.

    Its rows are the channels of x and its panels those of dy; if ``turned``, it is the other way.
    """
    if shared(board, seat):
        return
    channels, outputs, count = x.shape[3], dy.shape[3], sums.shape[1]
    rows, columns = (outputs, channels) if turned else (channels, outputs)
    x_width, dy_width = (width, outputs) if turned else (channels, width)
    v = entries(inputs[seat], count if turned else 1, step * x_width)
    z = entries(grads[seat], 1 if turned else count, step * dy_width)
    a, b = (z, v) if turned else (v, z)
    for part in range(first, last):
        for begin in range(part * per_part, min((part + 1) * per_part, tiles), step):
            end = min(begin + step, (part + 1) * per_part, tiles)
            transform_input(block, x, begin, end, 0, geometry, v, x_width)
            transform_grad(block, dy, begin, end, 0, geometry, z, dy_width)
            for p in range(count):
                accumulate(a[0], rows, 0, rows, b[p], width, min(columns - p * width, width),
                           end - begin, sums[part, p], begin == part * per_part)  # fmt: skip


@kernel
def finish_panels(board, seat, first, last, block, sums, turned, width, rows, taps, dw):
    """Add up the parts of dU, in their order, and write the weight gradient.

    Pieces are numbered by panels, and within a panel by ``rows`` rows.
    """
    if shared(board, seat):
        return
    outputs, channels = dw.shape[:2]
    length, lanes = (outputs, channels) if turned else (channels, outputs)
    chunks = -(-length // rows)
    for number in range(first, last):
        p, row = number // chunks, number % chunks * rows
        depth, columns = min(rows, length - row), min(lanes - p * width, width)
        add_parts(sums, p, row * width, (row + depth) * width)
        own = packed(taps[seat], depth, block, width)
        transform_sums(block, sums[0, p], row, own)
        if turned:
            put_channels(own, row, p * width, columns, dw)
        else:
            put_outputs(own, p * width, columns, row, dw, False)


@kernel
def sum_chunks(board, seat, first, last, block, v, z, width, chunk, tiles, sums, taps, dw, add):
    """Write the weight gradient of some (panel, chunk of channels) pairs, or add it to dw."""
    if shared(board, seat):
        return
    outputs, channels = dw.shape[:2]
    chunks = -(-channels // chunk)
    for number in range(first, last):
        p, c = number // chunks, number % chunks * chunk
        depth, columns = min(chunk, channels - c), min(outputs - p * width, width)
        total = entries(sums[seat], 1, depth * width)[0]
        own = packed(taps[seat], depth, block, width)
        accumulate(v[0], channels, c, depth, z[p], width, columns, tiles, total, True)
        transform_sums(block, total, 0, own)
        put_outputs(own, p * width, columns, c, dw, add)


@kernel
def correlate_shallow(
    board, seat, first, last, block, w, turned, scale, columns, x, tiles, step, geometry, inputs, u,
    width, products, shift, limits, add, y,
):  # fmt: skip
    """Write U, then take blocks of ``step`` tiles from x to y."""
    begin, end = another(seat, len(u), 1)
    transform_weights(board, seat, begin, end, block, w, turned, width, scale, columns, u)
    correlate_blocks(
        board, seat, first, last, block, x, tiles, step, geometry, inputs, u, width, products,
        shift, limits, add, y,
    )  # fmt: skip


@kernel
def correlate_deep(
    board, seat, first, last, block, x, step, v, w, turned, scale, chunk, columns, weights,
    products, start, stop, geometry, width, shift, limits, add, y,
):  # fmt: skip
    """Write V of the tiles ``start`` to ``stop``, ``step`` in a piece, then take panels to y."""
    begin, end = another(seat, stop - start, step)
    transform_inputs(board, seat, begin, end, block, x, start, geometry, v)
    correlate_panels(
        board, seat, first, last, block, v, w, turned, scale, chunk, columns, weights, products,
        start, stop, geometry, width, shift, limits, add, y,
    )  # fmt: skip


@kernel
def sum_shallow(
    board, seat, first, last, block, x, dy, tiles, per_part, step, geometry, turned, width, inputs,
    grads, sums, rows, taps, dw,
):  # fmt: skip
    """Write dU of all parts, then the weight gradient, ``rows`` rows of a panel in a piece."""
    sum_parts(
        board, seat, first, last, block, x, dy, tiles, per_part, step, geometry, turned, width,
        inputs, grads, sums,
    )  # fmt: skip
    length = dw.shape[0 if turned else 1]
    begin, end = another(seat, sums.shape[1] * ((length + rows - 1) // rows), 1)
    finish_panels(board, seat, begin, end, block, sums, turned, width, rows, taps, dw)


@kernel
def sum_deep(
    board, seat, first, last, block, x, dy, start, stop, step, geometry, v, z, width, chunk, sums,
    taps, dw,
):  # fmt: skip
    """Write V and Z of the tiles ``start`` to ``stop``, ``step`` in a piece, then sum over them."""
    begin, end = another(seat, stop - start, step)
    transform_inputs(board, seat, begin, end, block, x, start, geometry, v)
    transform_grads(board, seat, begin, end, block, dy, start, geometry, z, width)
    sum_chunks(
        board, seat, first, last, block, v, z, width, chunk, stop - start, sums, taps, dw,
        start > 0,
    )  # fmt: skip
