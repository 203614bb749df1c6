"""The loops of :mod:`.softmax` and :mod:`.loss`: along rows, and across groups of columns."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import make_array

from ..compiler.jit import kernel
from ..vectors.exponential import decay, exponential
from ..vectors.runs import copy_run
from ..vectors.vector import INDEX, Emitter

#: Numbers that are worked on together.
GROUP = 512
#: Independent sums of a row: as many as a vector has lanes.
LANES = 16
#: Numbers of a row that are worked on together.
WIDE = 64
#: Columns that are worked on together.
COLUMNS = 64
#: Lets a sum of neighbours be taken in several partial sums side by side; see :mod:`.row_loops`.
SUMS = {"contract", "reassoc"}


@intrinsic
def largest_of(typingctx, row):
    """Return the largest number of a row; what it returns for NaN does not matter."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit, least = Emitter(context, builder, row), float("-inf")
        begin = emit.pointer(row, args[0], INDEX(0))
        count = make_array(row)(context, builder, args[0]).nitems

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        done, best = INDEX(0), [emit.constant(least)] * 4
        for vectors in (4, 1):

            def step(carried: Any, vectors: int = vectors) -> Any:
                at, *tops = carried
                start = emit.at(begin, at)
                for j in range(vectors):
                    tops[j] = larger(emit.load(emit.at(start, j * emit.lanes)), tops[j])
                return [builder.add(at, INDEX(vectors * emit.lanes)), *tops]

            times = builder.udiv(builder.sub(count, done), INDEX(vectors * emit.lanes))
            done, *best = emit.loop(times, [done, *best], step)
        mask = emit.mask(builder.sub(count, done), 0)
        rest = builder.select(mask, emit.load(emit.at(begin, done), mask), emit.constant(least))
        top = larger(larger(larger(best[0], best[1]), larger(best[2], best[3])), rest)
        half = emit.lanes // 2
        while half:
            order = [(lane + half) % emit.lanes for lane in range(emit.lanes)]
            kind = ir.VectorType(ir.IntType(32), emit.lanes)
            top = larger(top, builder.shuffle_vector(top, top, ir.Constant(kind, order)))
            half //= 2
        return builder.extract_element(top, ir.IntType(32)(0))

    return row.dtype(row), generate


@register_jitable
def exponentials(row, top, result, room):
    """Write ``exp(x - top)`` of a row; return their sum in float64. ``room`` is (2, WIDE)."""
    whole = len(row) - len(row) % WIDE
    total = sum_of_exponentials(row, top, whole // WIDE, result)
    if whole == len(row):
        return total
    # A loop over a rest would take its elements one by one: so the rest is filled up.
    rest, powers = room[0], room[1]
    rest[:] = -np.inf
    copy_run(row, whole, rest, 0, len(row) - whole)
    total += sum_of_exponentials(rest, top, 1, powers)
    copy_run(powers, 0, result, whole, len(row) - whole)
    return total


@register_jitable(fastmath=SUMS)
def sum_of_exponentials(row, top, blocks, result):
    """Write ``exp(x - top)`` for blocks of numbers; return their sum in float64."""
    total = 0.0
    for k in range(blocks * WIDE):
        value = decay(row[k] - top)
        result[k] = value
        total += np.float64(value)
    return total


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
    room = np.empty((2, WIDE), x.dtype)
    for i in range(first, last):
        result = y[i]
        scale = x.dtype.type(1 / exponentials(x[i], largest_of(x[i]), result, room))
        for k in range(len(result)):
            result[k] *= scale


@kernel
def log_softmax_rows(x, y, first, last):
    """Write the log of the softmax of the rows ``first`` to ``last``."""
    room = np.empty((2, WIDE), x.dtype)
    for i in range(first, last):
        row, result = x[i], y[i]
        top = largest_of(row)
        logarithm = x.dtype.type(log(exponentials(row, top, result, room)))
        for k in range(len(row)):
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
            value = decay(row[c] - largest[c])
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
