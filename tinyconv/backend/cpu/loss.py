"""Softmax and cross-entropy: rows are read, exponentiated and divided while they are in cache.

The sum of a row is float64. Rows are independent, so blocks of rows are the tasks.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from .. import reference
from .jit import kernel
from .layout import Array, is_fast, plain
from .memory import empty
from .region import shared
from .softmax_loops import GROUP, LANES, row_sum, shifted_exponentials
from .threads import share

#: Elements of a task.
TASK = 1 << 13


def softmax_cross_entropy(xp: Any, logits: Array, target: Array) -> tuple[Array, Array]:
    """Return the loss of each row, and the probabilities; see the reference kernel."""
    if not is_fast(logits) or logits.shape[1] == 0:
        return reference.softmax_cross_entropy(xp, logits, target)
    rows, classes = plain(logits), plain(target.astype(np.int64, copy=False))
    loss, probabilities = np.empty(len(rows), logits.dtype), empty(rows.shape, logits.dtype)
    share(
        cross_entropy_rows, len(rows), max(TASK // rows.shape[1], 1),
        rows, classes, loss, probabilities, merge=True,
    )  # fmt: skip
    return loss, probabilities


def softmax_cross_entropy_grad(xp: Any, probabilities: Array, target: Array, g: Array) -> Array:
    """Return the gradient with respect to the logits; see the reference kernel."""
    if not is_fast(probabilities, g) or probabilities.shape[1] == 0:
        return reference.softmax_cross_entropy_grad(xp, probabilities, target, g)
    rows, classes = plain(probabilities), plain(target.astype(np.int64, copy=False))
    weights, gradient = plain(g), empty(rows.shape, rows.dtype)
    share(
        cross_entropy_grad_rows, len(rows), max(TASK // rows.shape[1], 1),
        rows, classes, weights, gradient, merge=True,
    )  # fmt: skip
    return gradient


@kernel
def cross_entropy_rows(board, seat, first, last, logits, target, loss, probabilities):
    """Write the loss and the probabilities of the rows ``first`` to ``last``."""
    if shared(board, seat):
        return
    classes = logits.shape[1]
    step = max(GROUP // classes, 1)
    largest, sums = np.empty(step, logits.dtype), np.empty(LANES, np.float64)
    for start in range(first, last, step):
        end = min(start + step, last)
        shifted_exponentials(logits, start, end, largest, probabilities)
        for i in range(start, end):
            row = probabilities[i]
            total = row_sum(row, sums)
            scale = row.dtype.type(1 / total)
            for k in range(classes):
                row[k] *= scale
            if target[i] < 0:
                loss[i] = 0
            else:
                loss[i] = log(total) - np.float64(logits[i, target[i]] - largest[i - start])


@kernel
def cross_entropy_grad_rows(board, seat, first, last, probabilities, target, g, gradient):
    """Write ``(p - onehot(target)) * g`` for the rows ``first`` to ``last``."""
    if shared(board, seat):
        return
    for i in range(first, last):
        row, result, factor = probabilities[i], gradient[i], g[i]
        if target[i] < 0:
            result[:] = 0
            continue
        for k in range(row.shape[0]):
            result[k] = row[k] * factor
        result[target[i]] = (row[target[i]] - row.dtype.type(1)) * factor
