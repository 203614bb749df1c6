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
from .short_rows import LONG, cross_entropy_short_rows
from .softmax_loops import WIDE, exponentials, largest_of
from .threads import share

#: Elements of a task.
TASK = 1 << 13
#: Elements of rows that are worked on together.
GROUP = 512


def softmax_cross_entropy(xp: Any, logits: Array, target: Array) -> tuple[Array, Array]:
    """Return the loss of each row, and the probabilities; see the reference kernel."""
    if not is_fast(logits) or logits.shape[1] == 0:
        return reference.softmax_cross_entropy(xp, logits, target)
    rows, classes = plain(logits), plain(target.astype(np.int64, copy=False))
    loss, probabilities = np.empty(len(rows), logits.dtype), empty(rows.shape, logits.dtype)
    kernel = cross_entropy_rows if rows.shape[1] >= LONG else cross_entropy_short_rows
    share(
        kernel, len(rows), max(TASK // rows.shape[1], 1),
        rows, classes, loss, probabilities, merge=True,
    )  # fmt: skip
    return loss, probabilities


def softmax_cross_entropy_grad(xp: Any, probabilities: Array, target: Array, g: Array) -> Array:
    """Return the gradient with respect to the logits; see the reference kernel."""
    if not is_fast(probabilities, g) or probabilities.shape[1] == 0:
        return reference.softmax_cross_entropy_grad(xp, probabilities, target, g)
    rows, classes = plain(probabilities), plain(target.astype(np.int64, copy=False))
    weights = plain(g if g.strides[0] else g[:1])
    gradient = empty(rows.shape, rows.dtype)
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
    room = np.empty((2, WIDE), logits.dtype)
    for i in range(first, last):
        row, result = logits[i], probabilities[i]
        top = largest_of(row)
        total = exponentials(row, top, result, room)
        scale = row.dtype.type(1 / total)
        for k in range(len(row)):
            result[k] *= scale
        if target[i] < 0:
            loss[i] = 0
        else:
            loss[i] = log(total) - np.float64(row[target[i]] - top)


@kernel
def cross_entropy_grad_rows(board, seat, first, last, probabilities, target, g, gradient):
    """Write ``(p - onehot(target)) * g`` for the rows ``first`` to ``last``.

    ``g`` is one number for each row, or for all.
    """
    if shared(board, seat):
        return
    classes, one = probabilities.shape[1], probabilities.dtype.type(1)
    source, result = probabilities.reshape(-1), gradient.reshape(-1)
    step = max(GROUP // classes, 1)
    for start in range(first, last, step):
        end = min(start + step, last)
        if len(g) == 1:
            piece = source[start * classes : end * classes]
            to, factor = result[start * classes : end * classes], g[0]
            for k in range(len(piece)):
                to[k] = piece[k] * factor
        else:
            for i in range(start, end):
                row, to, factor = probabilities[i], gradient[i], g[i]
                for k in range(classes):
                    to[k] = row[k] * factor
        for i in range(start, end):
            if target[i] < 0:
                gradient[i] = 0
            else:
                place = np.uint64(i * classes + target[i])
                result[place] = (source[place] - one) * g[min(i, len(g) - 1)]
