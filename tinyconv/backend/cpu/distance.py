"""Distances of all vectors of one set to all of another, without an array of all differences.

Forward, a vector is compared with a tile of others, whose elements lie side by side, so that each
number of a vector register belongs to another distance. Backward, registers hold elements of one
gradient. Sums are made of runs, so that float32 keeps its digits.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np
from numba.extending import register_jitable

from .. import reference
from .compiler.jit import kernel
from .layout import Array, is_fast, lines_per_task, plain
from .parallel.threads import run_ranges

#: Vectors of a tile, and terms of a run.
TILE, RUN = 128, 64
#: The kinds of distance that have loops of their own; any other exponent is POWER.
COUNT, SUM, EUCLID, LARGEST, POWER = range(5)
KINDS = {0: COUNT, 1: SUM, 2: EUCLID, inf: LARGEST}


def distances(xp: Any, a: Array, b: Array, p: float) -> Array:
    """Return the distances of all vectors to all others; see the reference kernel."""
    if not is_fast(a, b):
        return reference.distances(xp, a, b, p)
    rows, others = plain(a), plain(b.transpose(0, 2, 1))
    result = np.empty((*a.shape[:2], b.shape[1]), a.dtype)
    kind, power = KINDS.get(p, POWER), a.dtype.type(p)
    _over_rows(lambda i, j: measure(rows, others, kind, power, i, j, result), a, b)
    return result


def distances_grad(xp: Any, grad: Array, a: Array, b: Array, distance: Array, p: float) -> Array:
    """Return the gradient with respect to the first set; see the reference kernel."""
    if not is_fast(grad, a, b, distance):
        return reference.distances_grad(xp, grad, a, b, distance, p)
    arrays = [plain(array) for array in (grad, distance, a, b)]
    result = np.empty(a.shape, a.dtype)
    kind, power = KINDS.get(p, POWER), a.dtype.type(p - 1)
    _over_rows(lambda i, j: measure_grad(*arrays, kind, power, i, j, result), a, b)
    return result


def _over_rows(task: Any, a: Array, b: Array) -> None:
    """Share out the rows of the first set."""
    rows = a.shape[0] * a.shape[1]
    run_ranges(task, rows, lines_per_task(rows, b.shape[1] * max(a.shape[2], 1)), merge=True)


@kernel
def measure(a, b, kind, power, first, last, result):
    """Write the distances of some rows of a (N, P, M) to all columns of b (N, M, R)."""
    number, size, others = a.shape[1], a.shape[2], b.shape[2]
    total, run = np.empty(TILE, a.dtype), np.empty(TILE, a.dtype)
    for place in range(first, last):
        n, i = place // number, place % number
        for start in range(0, others, TILE):
            width = min(TILE, others - start)
            total[:] = 0
            for begin in range(0, size, RUN):
                run[:] = 0
                for k in range(begin, min(begin + RUN, size)):
                    add_terms(a[n, i, k], b[n, k, start : start + width], kind, power, run)
                for j in range(width):
                    total[j] = max_of(total[j], run[j]) if kind == LARGEST else total[j] + run[j]
            target = result[n, i, start : start + width]
            for j in range(width):
                target[j] = total[j]
                if kind == EUCLID:
                    target[j] = sqrt(total[j])
                elif kind == POWER:
                    target[j] = total[j] ** (1 / power)


@register_jitable
def max_of(x, y):
    """Return the larger of two numbers, or NaN."""
    return y if (y > x) | (y != y) else x


@register_jitable
def add_terms(value, others, kind, power, run):
    """Add the terms of one element to the sums (or, for the largest, compare)."""
    if kind == SUM:
        for j in range(len(others)):
            run[j] += abs(value - others[j])
    elif kind == EUCLID:
        for j in range(len(others)):
            difference = value - others[j]
            run[j] += difference * difference
    elif kind == LARGEST:
        for j in range(len(others)):
            run[j] = max_of(run[j], abs(value - others[j]))
    elif kind == COUNT:
        for j in range(len(others)):
            difference = value - others[j]
            run[j] += np.sign(difference) * np.sign(difference)
    else:
        for j in range(len(others)):
            run[j] += abs(value - others[j]) ** power


@kernel
def measure_grad(grad, distance, a, b, kind, power, first, last, result):
    """Write the gradients of some rows of a (N, P, M), compared with all rows of b (N, R, M)."""
    number, size, others = a.shape[1], a.shape[2], b.shape[1]
    run = np.empty(size, a.dtype)
    for place in range(first, last):
        n, i = place // number, place % number
        row, target = a[n, i], result[n, i]
        target[:] = 0
        for begin in range(0, others, RUN):
            run[:] = 0
            for j in range(begin, min(begin + RUN, others)):
                if distance[n, i, j] != 0:  # so that NaN passes
                    add_slopes(row, b[n, j], grad[n, i, j], distance[n, i, j], kind, power, run)
            for k in range(size):
                target[k] += run[k]


@register_jitable
def add_slopes(row, other, grad, distance, kind, power, run):
    """Add the gradient that comes from one distance."""
    if kind == SUM:
        for k in range(len(row)):
            run[k] += grad * np.sign(row[k] - other[k])
    elif kind == EUCLID:
        weight = grad / distance
        for k in range(len(row)):
            run[k] += weight * (row[k] - other[k])
    elif kind == LARGEST:
        ties = 0
        for k in range(len(row)):
            ties += abs(row[k] - other[k]) == distance
        if ties == 0:  # the distance is NaN
            run += distance
        weight = grad / row.dtype.type(max(ties, 1))
        for k in range(len(row)):
            difference = row[k] - other[k]
            if abs(difference) == distance:
                run[k] += weight * np.sign(difference)
    else:
        for k in range(len(row)):
            difference = row[k] - other[k]
            if difference != 0:
                slope = (abs(difference) / distance) ** power
                run[k] += grad * np.sign(difference) * slope
