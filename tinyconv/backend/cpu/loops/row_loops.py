"""The loops of :mod:`.layer_norm`, along rows: a sum is a sum of neighbours.

As in :mod:`.columns`, numbers are taken relative to a centre near the mean, and short spans are
summed in the dtype of the data before they are added up in float64.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ..compiler.jit import kernel
from ..parallel.region import shared
from .column_loops import flush

#: Elements that are summed in the dtype of the data.
SPAN = 2048
#: Rows whose contributions to weight and bias are summed in the dtype of the data.
RUN = 64
#: ``reassoc`` lets a sum of neighbours be taken in several partial sums side by side, as a vector
#: register holds them; which ones follows from the length alone.
SUMS = {"contract", "reassoc"}


@register_jitable(fastmath=SUMS)
def span_sums(row, centre):
    """Return the sums of ``x - centre`` and of its square."""
    plain = square = row.dtype.type(0)
    for j in range(len(row)):
        d = row[j] - centre
        plain += d
        square += d * d
    return plain, square


@register_jitable(fastmath=SUMS)
def span_products(dy, x, scale, centre):
    """Return the sums of ``g = dy * scale`` and of ``g * (x - centre)``."""
    plain = product = x.dtype.type(0)
    for j in range(len(x)):
        g = dy[j] * scale[j]
        plain += g
        product += g * (x[j] - centre)
    return plain, product


@register_jitable
def mean_and_variance(row):
    """Return the mean and the biased variance of a row, in float64."""
    zero = row.dtype.type(0)
    sample = max(len(row) // 8, 1)
    total = 0.0
    for start in range(0, sample, SPAN):
        total += span_sums(row[start : min(start + SPAN, sample)], zero)[0]
    centre = row.dtype.type(total / sample)
    if not abs(centre) < np.inf:
        centre = zero
    total, squares = 0.0, 0.0
    for start in range(0, len(row), SPAN):
        plain, square = span_sums(row[start : min(start + SPAN, len(row))], centre)
        total += plain
        squares += square
    shift = total / len(row)
    variance = squares / len(row) - shift * shift
    return centre + shift, 0.0 if variance < 0.0 else variance


@kernel
def normalise_rows(board, seat, first, last, x, scale, shift, eps, y, mean, var):
    """Normalise the rows ``first`` to ``last``, and note their means and variances."""
    if shared(board, seat):
        return
    for i in range(first, last):
        row, out = x[i], y[i]
        mean[i], var[i] = mean_and_variance(row)
        inverse = 1.0 / np.sqrt(var[i] + eps)
        centre, factor = x.dtype.type(mean[i]), x.dtype.type(inverse)
        rest = x.dtype.type((np.float64(centre) - mean[i]) * inverse)
        for j in range(len(row)):
            out[j] = ((row[j] - centre) * factor + rest) * scale[j] + shift[j]


@kernel
def gradient_rows(board, seat, first, last, dy, x, mean, inverse, scale, dx, step, parts):
    """Write dx, and the gradients of weight and bias, for a block of ``step`` rows."""
    if shared(board, seat):
        return
    size, sums = x.shape[1], parts[first // step]
    weight, bias = np.zeros(size, x.dtype), np.zeros(size, x.dtype)
    run = 0
    for i in range(first, last):
        row, gradient, out = x[i], dy[i], dx[i]
        centre, factor = x.dtype.type(mean[i]), x.dtype.type(inverse[i])
        rest = np.float64(centre) - mean[i]
        total, products = 0.0, 0.0
        for start in range(0, size, SPAN):
            end = min(start + SPAN, size)
            plain, product = span_products(
                gradient[start:end], row[start:end], scale[start:end], centre
            )
            total += plain
            products += product
        fall = -(products + rest * total) * inverse[i] ** 3 / size
        slope = x.dtype.type(fall)
        offset = x.dtype.type(fall * rest - total * inverse[i] / size)
        shift = x.dtype.type(rest * inverse[i])
        for j in range(size):
            out[j] = gradient[j] * scale[j] * factor + ((row[j] - centre) * slope + offset)
        for j in range(size):
            weight[j] += gradient[j] * ((row[j] - centre) * factor + shift)
            bias[j] += gradient[j]
        run += 1
        if run == RUN:
            flush(weight, sums[0])
            flush(bias, sums[1])
            run = 0
    flush(weight, sums[0])
    flush(bias, sums[1])
