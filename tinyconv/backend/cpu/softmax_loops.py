"""The loops of :mod:`.softmax` and :mod:`.loss`: along rows, and across groups of columns."""

from __future__ import annotations

from math import log

import numpy as np
from numba.extending import register_jitable

from .exponential import exponential
from .jit import kernel

#: Numbers that are worked on together.
GROUP = 512
#: Independent sums of a row: as many as a vector has lanes.
LANES = 16
#: Columns that are worked on together.
COLUMNS = 64


@register_jitable
def shifted_exponentials(x, first, last, largest, y):
    """Write ``exp(x - max)`` of the rows ``first`` to ``last`` to y, and the maxima."""
    classes = x.shape[1]
    for i in range(first, last):
        row, result = x[i], y[i]
        top = row[0]
        if classes >= 2 * LANES:
            tops = result[:LANES]
            for j in range(LANES):
                tops[j] = row[j]
            whole = classes // LANES
            for k in range(1, whole):
                part = row[k * LANES : (k + 1) * LANES]
                for j in range(LANES):
                    tops[j] = part[j] if part[j] > tops[j] else tops[j]
            top = tops[0]
            for j in range(1, LANES):
                top = tops[j] if tops[j] > top else top
            for k in range(whole * LANES, classes):
                top = row[k] if row[k] > top else top
        else:
            top = short_maximum(row)
        largest[i - first] = top
        for k in range(classes):
            result[k] = row[k] - top
    flat = y[first:last].reshape(-1)
    for k in range(len(flat)):
        flat[k] = exponential(flat[k])


@register_jitable
def short_maximum(row):
    """Return the largest number of a row of a few; what it returns for NaN does not matter."""
    a = b = c = d = row[0]
    last = len(row) - len(row) % 4
    for k in range(0, last, 4):
        a = row[k] if row[k] > a else a
        b = row[k + 1] if row[k + 1] > b else b
        c = row[k + 2] if row[k + 2] > c else c
        d = row[k + 3] if row[k + 3] > d else d
    for k in range(last, len(row)):
        a = row[k] if row[k] > a else a
    a, c = b if b > a else a, d if d > c else c
    return c if c > a else a


@register_jitable
def row_sum(row, sums):
    """Return the sum of a row in float64; ``sums`` is room for ``LANES`` numbers."""
    classes, total = len(row), 0.0
    whole = classes // LANES
    if whole > 1:
        for j in range(LANES):
            sums[j] = row[j]
        for k in range(1, whole):
            part = row[k * LANES : (k + 1) * LANES]
            for j in range(LANES):
                sums[j] += part[j]
        for j in range(LANES):
            total += sums[j]
        for k in range(whole * LANES, classes):
            total += row[k]
        return total
    # Four sums side by side: an addition need not wait for the one before it.
    a = b = c = d = 0.0
    last = classes - classes % 4
    for k in range(0, last, 4):
        a += row[k]
        b += row[k + 1]
        c += row[k + 2]
        d += row[k + 3]
    for k in range(last, classes):
        a += row[k]
    return (a + b) + (c + d)


@kernel
def softmax_rows(x, y, first, last):
    """Write the softmax of the rows ``first`` to ``last``."""
    classes = x.shape[1]
    step = max(GROUP // classes, 1)
    largest, sums = np.empty(step, x.dtype), np.empty(LANES, np.float64)
    for start in range(first, last, step):
        end = min(start + step, last)
        shifted_exponentials(x, start, end, largest, y)
        for i in range(start, end):
            row = y[i]
            scale = x.dtype.type(1 / row_sum(row, sums))
            for k in range(classes):
                row[k] *= scale


@kernel
def log_softmax_rows(x, y, first, last):
    """Write the log of the softmax of the rows ``first`` to ``last``."""
    classes = x.shape[1]
    step = max(GROUP // classes, 1)
    largest, sums = np.empty(step, x.dtype), np.empty(LANES, np.float64)
    for start in range(first, last, step):
        end = min(start + step, last)
        shifted_exponentials(x, start, end, largest, y)
        for i in range(start, end):
            row, result = x[i], y[i]
            logarithm, top = x.dtype.type(log(row_sum(result, sums))), largest[i - start]
            for k in range(classes):
                result[k] = (row[k] - top) - logarithm


@kernel
def softmax_grad_rows(y, dy, dx, first, last):
    """Write ``y * (dy - sum(dy * y))`` for the rows ``first`` to ``last``."""
    classes, sums = y.shape[1], np.empty(LANES, np.float64)
    for i in range(first, last):
        row, gradient, result = y[i], dy[i], dx[i]
        for k in range(classes):
            result[k] = gradient[k] * row[k]
        total = y.dtype.type(row_sum(result, sums))
        for k in range(classes):
            result[k] -= row[k] * total


@kernel
def log_softmax_grad_rows(y, dy, dx, first, last):
    """Write ``dy - exp(y) * sum(dy)`` for the rows ``first`` to ``last``."""
    classes, sums = y.shape[1], np.empty(LANES, np.float64)
    step = max(GROUP // classes, 1)
    for start in range(first, last, step):
        end = min(start + step, last)
        flat, source = dx[start:end].reshape(-1), y[start:end].reshape(-1)
        for k in range(len(flat)):
            flat[k] = exponential(source[k])
        for i in range(start, end):
            gradient, result = dy[i], dx[i]
            total = y.dtype.type(row_sum(gradient, sums))
            for k in range(classes):
                result[k] = gradient[k] - result[k] * total


@register_jitable
def column_exponentials(x, start, end, largest, total, y):
    """Write ``exp(x - max)`` down columns of (classes, inner) data, the maxima and the sums."""
    for c in range(start, end):
        largest[c - start], total[c - start] = x[0, c], 0
    for k in range(1, x.shape[0]):
        row = x[k, start:end]
        for c in range(end - start):
            largest[c] = row[c] if row[c] > largest[c] else largest[c]
    for k in range(x.shape[0]):
        row, result = x[k, start:end], y[k, start:end]
        for c in range(end - start):
            value = exponential(row[c] - largest[c])
            result[c] = value
            total[c] += value


@kernel
def softmax_columns(x, y, sample, first, last):
    """Write the softmax down the columns ``first`` to ``last`` of one sample."""
    largest, total = np.empty(COLUMNS, x.dtype), np.empty(COLUMNS, np.float64)
    scale = np.empty(COLUMNS, x.dtype)
    for start in range(first, last, COLUMNS):
        end = min(start + COLUMNS, last)
        column_exponentials(x[sample], start, end, largest, total, y[sample])
        for c in range(end - start):
            scale[c] = 1 / total[c]
        for k in range(x.shape[1]):
            result = y[sample, k, start:end]
            for c in range(end - start):
                result[c] *= scale[c]


@kernel
def log_softmax_columns(x, y, sample, first, last):
    """Write the log of the softmax down the columns ``first`` to ``last`` of one sample."""
    largest, total = np.empty(COLUMNS, x.dtype), np.empty(COLUMNS, np.float64)
    logarithm = np.empty(COLUMNS, x.dtype)
    for start in range(first, last, COLUMNS):
        end = min(start + COLUMNS, last)
        column_exponentials(x[sample], start, end, largest, total, y[sample])
        for c in range(end - start):
            logarithm[c] = log(total[c])
        for k in range(x.shape[1]):
            row, result = x[sample, k, start:end], y[sample, k, start:end]
            for c in range(end - start):
                result[c] = (row[c] - largest[c]) - logarithm[c]


@kernel
def softmax_grad_columns(y, dy, dx, sample, first, last):
    """Write ``y * (dy - sum(dy * y))`` down the columns ``first`` to ``last`` of one sample."""
    total = np.empty(COLUMNS, y.dtype)
    for start in range(first, last, COLUMNS):
        end = min(start + COLUMNS, last)
        total[:] = 0
        for k in range(y.shape[1]):
            row, gradient = y[sample, k, start:end], dy[sample, k, start:end]
            for c in range(end - start):
                total[c] += row[c] * gradient[c]
        for k in range(y.shape[1]):
            row, gradient = y[sample, k, start:end], dy[sample, k, start:end]
            result = dx[sample, k, start:end]
            for c in range(end - start):
                result[c] = row[c] * (gradient[c] - total[c])


@kernel
def log_softmax_grad_columns(y, dy, dx, sample, first, last):
    """Write ``dy - exp(y) * sum(dy)`` down the columns ``first`` to ``last`` of one sample."""
    total = np.empty(COLUMNS, y.dtype)
    for start in range(first, last, COLUMNS):
        end = min(start + COLUMNS, last)
        total[:] = 0
        for k in range(y.shape[1]):
            gradient = dy[sample, k, start:end]
            for c in range(end - start):
                total[c] += gradient[c]
        for k in range(y.shape[1]):
            row, gradient = y[sample, k, start:end], dy[sample, k, start:end]
            result = dx[sample, k, start:end]
            for c in range(end - start):
                result[c] = gradient[c] - exponential(row[c]) * total[c]
