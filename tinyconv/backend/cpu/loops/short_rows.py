"""Softmax of many rows that are shorter than a vector or two: the lanes of vectors hold rows.

The pixels of a segmentation have ten classes or twenty, and a row of them fills no vector. Here a
block of rows is turned around in cache; then its classes are lines, each vector has one class of
many rows, and maximum, sum and logarithm of all of them cost as much as those of one.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from ..compiler.jit import kernel
from ..parallel.region import calls, shared
from ..vectors.exponential import decay, logarithm
from ..vectors.transpose import transpose_all

#: Classes from which on rows are taken as they are.
LONG = 48
#: Rows of a block, and sums of losses that grow together.
ROWS, SUMS = 64, 16


@register_jitable
def turn(x, start, rows, lines):
    """Write rows as the columns of ``lines``; columns for which there is no row are 0."""
    classes = x.shape[1]
    offsets = np.arange(classes) * ROWS
    transpose_all(x.reshape(-1), start * classes, classes, rows, classes, lines.reshape(-1), 0,
                  offsets, 0, ROWS)  # fmt: skip


@register_jitable
def turn_back(lines, start, rows, y):
    """Write the columns of ``lines`` as rows."""
    classes = y.shape[1]
    offsets = np.arange(rows) * classes
    transpose_all(lines.reshape(-1), 0, ROWS, classes, rows, y.reshape(-1), start * classes,
                  offsets, 0, classes)  # fmt: skip


@register_jitable
def exponentials(lines, largest, total, powers):
    """Write the largest element of each column, ``exp(x - largest)``, and the sums of these."""
    for c in range(ROWS):
        largest[c], total[c] = lines[0, c], 0
    for k in range(1, lines.shape[0]):
        line = lines[k]
        for c in range(ROWS):
            largest[c] = line[c] if line[c] > largest[c] else largest[c]
    for k in range(lines.shape[0]):
        line, power = lines[k], powers[k]
        for c in range(ROWS):
            power[c] = decay(line[c] - largest[c])
        for c in range(ROWS):
            total[c] += power[c]


@register_jitable
def divide(lines, total, scale):
    """Divide all of each column by its sum."""
    for c in range(ROWS):
        scale[c] = 1 / total[c]
    for k in range(lines.shape[0]):
        line = lines[k]
        for c in range(ROWS):
            line[c] *= scale[c]


@kernel
def softmax_short_rows(x, y, first, last):
    """Write the softmax of the rows ``first`` to ``last``."""
    lines, powers = np.empty((x.shape[1], ROWS), x.dtype), np.empty((x.shape[1], ROWS), x.dtype)
    largest, total = np.empty(ROWS, x.dtype), np.empty(ROWS, np.float64)
    for start in range(first, last, ROWS):
        rows = min(ROWS, last - start)
        turn(x, start, rows, lines)
        exponentials(lines, largest, total, powers)
        divide(powers, total, largest)
        turn_back(powers, start, rows, y)


@kernel
def log_softmax_short_rows(x, y, first, last):
    """Write the log of the softmax of the rows ``first`` to ``last``."""
    lines, powers = np.empty((x.shape[1], ROWS), x.dtype), np.empty((x.shape[1], ROWS), x.dtype)
    largest, total = np.empty(ROWS, x.dtype), np.empty(ROWS, np.float64)
    for start in range(first, last, ROWS):
        rows = min(ROWS, last - start)
        turn(x, start, rows, lines)
        exponentials(lines, largest, total, powers)
        for c in range(ROWS):
            total[c] = logarithm(total[c])
        for k in range(x.shape[1]):
            line = lines[k]
            for c in range(ROWS):
                line[c] = (line[c] - largest[c]) - x.dtype.type(total[c])
        turn_back(lines, start, rows, y)


@register_jitable
def read_labels(labels, ignored, classes, target):
    """Write labels, -1 where ignored; return how many are not, or -1 if one is no class."""
    count, wrong = 0, 0
    for i in range(len(labels)):  # without a branch, so that it becomes vector instructions
        label = labels[i]
        counts, exists = np.int64(label != ignored), np.int64(0 <= label < classes)
        count += counts
        wrong += counts & (1 - exists)
        target[i] = label if counts & exists else -1
    return -1 if wrong else count


@register_jitable
def total_of(losses, count, mean):
    """Return the sum of losses, or their mean: of as many sums as keep an adder busy.

    NaN if the count says that a label is no class.
    """
    sums, whole = np.zeros(SUMS), len(losses) // SUMS * SUMS
    for i in range(0, whole, SUMS):
        for k in range(SUMS):
            sums[k] += losses[i + k]
    for i in range(whole, len(losses)):
        sums[i - whole] += losses[i]
    if count < 0:
        return np.nan
    return sums.sum() / (count if mean else 1)


@kernel
def cross_entropy_short_rows(
    board, seat, first, last, logits, labels, ignored, mean, target, losses, probabilities, loss,
    count,
):  # fmt: skip
    """Write the losses and the probabilities of the rows ``first`` to ``last``, and the total."""
    if calls(board, seat):
        count[()] = read_labels(labels, ignored, logits.shape[1], target)
    if not shared(board, seat):
        fill_short_rows(first, last, logits, target, losses, probabilities)
    if calls(board, seat):
        loss[()] = total_of(losses, count[()], mean)


@register_jitable
def fill_short_rows(first, last, logits, target, loss, probabilities):
    """Write the losses and the probabilities of some rows."""
    dtype, size = logits.dtype, (logits.shape[1], ROWS)
    lines, powers, total = np.empty(size, dtype), np.empty(size, dtype), np.empty(ROWS, np.float64)
    largest, scale = np.empty(ROWS, dtype), np.empty(ROWS, dtype)
    for start in range(first, last, ROWS):
        rows = min(ROWS, last - start)
        turn(logits, start, rows, lines)
        exponentials(lines, largest, total, powers)
        divide(powers, total, scale)
        turn_back(powers, start, rows, probabilities)
        for c in range(ROWS):
            total[c] = logarithm(total[c])
        for i in range(rows):
            label = target[start + i]
            if label < 0:
                loss[start + i] = 0
            else:
                loss[start + i] = total[i] - np.float64(lines[label, i] - largest[i])
