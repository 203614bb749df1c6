"""Softmax and cross-entropy: every row is read, exponentiated and divided while it is in cache.

The sum of a row is float64. Rows are independent, so blocks of rows are the tasks.
"""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np

from .. import reference
from .jit import kernel
from .layout import Array, is_fast, lines_per_task, plain
from .threads import run_ranges


def softmax_cross_entropy(xp: Any, logits: Array, target: Array) -> tuple[Array, Array]:
    """Return the loss of each row, and the probabilities; see the reference kernel."""
    if not is_fast(logits):
        return reference.softmax_cross_entropy(xp, logits, target)
    rows, classes = plain(logits), plain(target.astype(np.int64, copy=False))
    loss, probabilities = np.empty(len(rows), logits.dtype), np.empty(rows.shape, logits.dtype)
    run_ranges(
        lambda a, b: cross_entropy_rows(rows, classes, a, b, loss, probabilities),
        len(rows),
        lines_per_task(*rows.shape),
    )
    return loss, probabilities


def softmax_cross_entropy_grad(xp: Any, probabilities: Array, target: Array, g: Array) -> Array:
    """Return the gradient with respect to the logits; see the reference kernel."""
    if not is_fast(probabilities, g):
        return reference.softmax_cross_entropy_grad(xp, probabilities, target, g)
    rows, classes = plain(probabilities), plain(target.astype(np.int64, copy=False))
    weights, gradient = plain(g), np.empty(rows.shape, rows.dtype)
    run_ranges(
        lambda a, b: cross_entropy_grad_rows(rows, classes, weights, a, b, gradient),
        len(rows),
        lines_per_task(*rows.shape),
    )
    return gradient


@kernel
def cross_entropy_rows(logits, target, first, last, loss, probabilities):
    """Write the loss and the probabilities of the rows ``first`` to ``last``."""
    classes = logits.shape[1]
    for i in range(first, last):
        row, result = logits[i], probabilities[i]
        largest = row[0]
        for k in range(classes):
            largest = max(largest, row[k])
        total = 0.0
        for k in range(classes):
            result[k] = exp(row[k] - largest)
            total += result[k]
        for k in range(classes):
            result[k] = result[k] / total
        loss[i] = 0.0 if target[i] < 0 else log(total) - (row[target[i]] - largest)


@kernel
def cross_entropy_grad_rows(probabilities, target, g, first, last, gradient):
    """Write ``(p - onehot(target)) * g`` for the rows ``first`` to ``last``."""
    for i in range(first, last):
        row, result = probabilities[i], gradient[i]
        if target[i] < 0:
            result[:] = 0
            continue
        for k in range(row.shape[0]):
            result[k] = row[k] * g[i]
        result[target[i]] = (row[target[i]] - row.dtype.type(1)) * g[i]
