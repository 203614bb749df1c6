"""Window kernels over lines of a result: they look a pixel's taps up and hand them to a sweep.

Images are flat (N, D, H, W, C) memory, and a line is one row of pixels of the result. The tables
``planes``, ``rows``, ``runs`` and ``steps`` are those of :class:`~.spans.Plan`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ..compiler.jit import kernel
from ..parallel.region import calls, shared
from .sweep import element_of_winner, largest, spread_to_winner, total, total_of_winners
from .sweep_products import add_products, weighted


@register_jitable
def _place(line, image, planes, rows):
    """Return the source offset, first tap, planes and rows of a line's windows."""
    row = line % rows.shape[0]
    plane = line // rows.shape[0] % planes.shape[0]
    number = line // (rows.shape[0] * planes.shape[0])
    offset = number * image + planes[plane, 2] + rows[row, 2]
    return offset, planes[plane, 0] + rows[row, 0], planes[plane, 1], rows[row, 1]


@kernel
def max_lines(
    board, seat, first, last, x, image, planes, rows, runs, steps, width, channels, y, window
):  # fmt: skip
    """Write the largest elements, and their taps, of the lines ``first`` to ``last``."""
    if shared(board, seat):
        return
    for line in range(first, last):
        offset, tap, deep, high = _place(line, image, planes, rows)
        start = line * width * channels
        for r in range(runs.shape[0]):
            inside = deep * high * runs[r, 3] > 0  # else the window misses the input: tap 0
            largest(
                x, offset + runs[r, 4], tap + runs[r, 2] if inside else 0,
                (deep, high, runs[r, 3]), steps, y, window,
                start + runs[r, 0] * channels, runs[r, 1] * channels,
            )  # fmt: skip


@kernel
def max_grad_lines(
    board, seat, first, last, dy, window, image, planes, rows, runs, steps, width, channels, dx
):  # fmt: skip
    """Write the gradient of max pooling for the lines ``first`` to ``last``."""
    if shared(board, seat):
        return
    for line in range(first, last):
        offset, tap, deep, high = _place(line, image, planes, rows)
        start = line * width * channels
        for r in range(runs.shape[0]):
            total_of_winners(
                dy, window, offset + runs[r, 4], tap + runs[r, 2], (deep, high, runs[r, 3]), steps,
                dx, start + runs[r, 0] * channels, runs[r, 1] * channels,
            )  # fmt: skip


@kernel
def scatter_images(board, seat, first, last, dy, window, moves, stride, before, dx):
    """Write the gradient of 2-D max pooling for whole images, for a few channels.

    Outputs are visited in order, and each adds its gradient where its winner is: ``moves`` says
    how far tap ``t`` lies from the first. A winner that lies in the padding has no place.
    """
    if shared(board, seat):
        return
    _, out_height, out_width, channels = dy.shape
    _, height, width, _ = dx.shape
    for image in range(first, last):
        dx[image] = 0
        for oh in range(out_height):
            top = oh * stride[0] - before[0]
            for ow in range(out_width):
                left = ow * stride[1] - before[1]
                for c in range(channels):
                    tap = np.intp(window[image, oh, ow, c])
                    if tap < len(moves):
                        row, column = top + moves[tap, 0], left + moves[tap, 1]
                        if 0 <= row < height and 0 <= column < width:
                            dx[image, row, column, c] += dy[image, oh, ow, c]


@kernel
def spread_lines(board, seat, first, last, dy, window, width, channels, kernel, dx):
    """Write the gradient of 2-D max pooling for lines of windows that tile the input."""
    if shared(board, seat):
        return
    line = width * kernel[1] * channels
    for number in range(first, last):
        for pixel in range(width):
            at, to = (number * width + pixel) * channels, number * kernel[0] * line
            to += pixel * kernel[1] * channels
            spread_to_winner(dy, window, at, dx, to, kernel, line, channels)


@kernel
def max_take_lines(
    board, seat, first, last, g, window, image, planes, rows, runs, steps, width, channels, y
):  # fmt: skip
    """Write the elements at the winners for the lines ``first`` to ``last``."""
    if shared(board, seat):
        return
    for line in range(first, last):
        offset, tap, deep, high = _place(line, image, planes, rows)
        start = line * width * channels
        for r in range(runs.shape[0]):
            element_of_winner(
                g, window, offset + runs[r, 4], tap + runs[r, 2], (deep, high, runs[r, 3]), steps,
                y, start + runs[r, 0] * channels, runs[r, 1] * channels,
            )  # fmt: skip


@kernel
def sum_lines(
    board, seat, first, last, x, image, planes, rows, runs, steps, width, channels, divisor,
    inverse, y,
):  # fmt: skip
    """Write the sums of the windows, divided, for the lines ``first`` to ``last``."""
    if shared(board, seat):
        return
    for line in range(first, last):
        offset, tap, deep, high = _place(line, image, planes, rows)
        start = line * width * channels
        for r in range(runs.shape[0]):
            total(
                x, offset + runs[r, 4], tap + runs[r, 2], (deep, high, runs[r, 3]), steps, divisor,
                inverse, y, start + runs[r, 0] * channels, runs[r, 1] * channels,
            )  # fmt: skip


@kernel
def weighted_lines(
    board, seat, first, last, x, weights, factors, w, image, planes, rows, runs, steps, width,
    channels, columns, bias, limits, y,
):  # fmt: skip
    """Write the depthwise convolution of the lines ``first`` to ``last``.

    The pixels of a run are ``columns[0]`` columns apart in y, and ``columns[1]`` in x. ``w`` is
    memory for the ``weights`` (C, taps), times ``factors``, tap after tap.
    """
    if calls(board, seat):
        for t in range(weights.shape[1]):
            for c in range(channels):
                weight = weights[c, t]
                w[t * channels + c] = weight if factors is None else weight * factors[c]
    if shared(board, seat):
        return
    for line in range(first, last):
        offset, tap, deep, high = _place(line, image, planes, rows)
        start = line * width * channels
        for r in range(runs.shape[0]):
            weighted(
                x, w, offset + runs[r, 4], tap + runs[r, 2], (deep, high, runs[r, 3]), steps,
                columns[1] * channels, bias, y, start + runs[r, 0] * channels,
                columns[0] * channels, runs[r, 1], channels, limits,
            )  # fmt: skip


@kernel
def product_lines(
    board, seat, first, last, x, dy, x_shape, dy_shape, kernel, stride, before, dilation, block,
    totals, sums, dw,
):  # fmt: skip
    """Add up the products of inputs and output gradients, in ``dw`` (C, taps).

    The lines of a piece are a block, and have a row of ``totals``; ``sums`` is memory for one tap.
    """
    if not shared(board, seat):
        total = totals[first // block]
        total[:] = 0
        add_lines(first, last, x, dy, x_shape, dy_shape, kernel, stride, before, dilation, total)
    if calls(board, seat):
        channels, taps = dw.shape
        for t in range(taps):
            sums[:] = 0
            for b in range(len(totals)):
                for c in range(channels):
                    sums[c] += totals[b, t * channels + c]
            for c in range(channels):
                dw[c, t] = sums[c]


@register_jitable
def add_lines(
    first, last, x, dy, x_shape, dy_shape, kernel, stride, before, dilation, total
):  # fmt: skip
    """Add the products of some lines to ``total`` (taps * C).

    For one tap, the pixels of a line that do not meet the padding follow each other in even steps.
    Three taps share those pixels that none of them loses to the padding.
    """
    height, width, channels = x_shape
    out_height, out_width = dy_shape
    step = stride[1] * channels
    for line in range(first, last):
        image, oh = line // out_height, line % out_height
        gradient = line * out_width
        for th in range(kernel[0]):
            row = oh * stride[0] - before[0] + th * dilation[0]
            if row < 0 or row >= height:
                continue
            start = (image * height + row) * width
            tw = 0
            while tw < kernel[1]:
                taps = 3 if tw + 3 <= kernel[1] else 1
                left = tw * dilation[1] - before[1]
                low, high = _inside(left, stride[1], width, out_width)
                if taps == 3:
                    high = _inside(left + 2 * dilation[1], stride[1], width, out_width)[1]
                if taps == 3 and low < high:
                    add_products(
                        3, x, (start + left + low * stride[1]) * channels, dilation[1] * channels,
                        step, dy, (gradient + low) * channels, channels, high - low,
                        total, (th * kernel[1] + tw) * channels, channels, channels,
                    )  # fmt: skip
                    joint = (low, high)
                else:
                    joint = (out_width, out_width)
                for t in range(tw, tw + taps):
                    left = t * dilation[1] - before[1]
                    low, high = _inside(left, stride[1], width, out_width)
                    for a, b in ((low, min(high, joint[0])), (max(low, joint[1]), high)):
                        if a < b:
                            add_products(
                                1, x, (start + left + a * stride[1]) * channels, 0,
                                step, dy, (gradient + a) * channels, channels, b - a,
                                total, (th * kernel[1] + t) * channels, channels, channels,
                            )  # fmt: skip
                tw += taps


@register_jitable
def _inside(left, stride, width, out_width):
    """Return the range of outputs for which ``left + stride * output`` is inside a line."""
    low = max(-(left // stride), 0)
    return low, max(min(-((left - width) // stride), out_width), 0)
