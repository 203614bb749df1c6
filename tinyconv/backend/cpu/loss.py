"""Softmax and cross-entropy: rows are read, exponentiated and divided while they are in cache.

The sum of a row is float64. Rows are independent, so blocks of rows are the tasks.
"""

from __future__ import annotations

from math import log, nan
from typing import Any

import numpy as np
from numba.extending import register_jitable

from .. import reference
from .compiler.jit import kernel
from .layout import Array, is_fast, plain
from .loops.short_rows import LONG, cross_entropy_short_rows, read_labels, total_of
from .loops.softmax_loops import WIDE, exponentials, largest_of
from .memory import empty
from .parallel.region import calls, shared
from .parallel.threads import share

INT64 = np.dtype(np.int64)
#: Elements of a task.
TASK = 1 << 13
#: Elements of rows that are worked on together.
GROUP = 512


def softmax_cross_entropy(xp: Any, logits: Array, target: Array) -> tuple[Array, Array]:
    """Return the loss of each row, and the probabilities; see the reference kernel."""
    if not is_fast(logits) or logits.shape[1] == 0:
        return reference.softmax_cross_entropy(xp, logits, target)
    losses, probabilities, *_ = _losses(logits, target, -1, False)
    return losses, probabilities


def mean_cross_entropy(
    xp: Any, logits: Array, labels: Array, ignored: int, mean: bool
) -> tuple[Array, Array, Array, Array]:
    """Return loss, probabilities, labels and their number; see the reference kernel."""
    if not is_fast(logits) or logits.size == 0:
        return reference.mean_cross_entropy(xp, logits, labels, ignored, mean)
    _, probabilities, target, loss, count = _losses(logits, labels, ignored, mean)
    return loss, probabilities, target, count


def _losses(logits: Array, labels: Array, ignored: int, mean: bool) -> tuple[Array, ...]:
    """Return the loss of each row, probabilities, checked labels, loss and number of labels."""
    rows, classes = plain(logits), plain(labels.astype(np.int64, copy=False))
    dtype, size = rows.dtype, len(rows)
    losses, probabilities = np.empty(size, dtype), empty(rows.shape, dtype)
    target, loss, count = np.empty(size, INT64), np.empty((), dtype), np.empty((), INT64)
    kernel = cross_entropy_rows if rows.shape[1] >= LONG else cross_entropy_short_rows
    share(
        kernel, size, max(TASK // rows.shape[1], 1),
        rows, classes, ignored, mean, target, losses, probabilities, loss, count, merge=True,
    )  # fmt: skip
    return losses, probabilities, target, loss, count


def softmax_cross_entropy_grad(
    xp: Any, probabilities: Array, target: Array, g: Array, count: Array | None = None
) -> Array:
    """Return the gradient with respect to the logits; see the reference kernel."""
    if not is_fast(probabilities, g) or probabilities.shape[1] == 0:
        return reference.softmax_cross_entropy_grad(xp, probabilities, target, g, count)
    rows, classes = plain(probabilities), plain(target.astype(np.int64, copy=False))
    if count is not None:
        g = g / g.dtype.type(count if count >= 0 else nan)
    weights = plain(g if g.strides[0] or len(g) == 1 else g[:1])
    gradient = empty(rows.shape, rows.dtype)
    share(
        cross_entropy_grad_rows, len(rows), max(TASK // rows.shape[1], 1),
        rows, classes, weights, gradient, merge=True,
    )  # fmt: skip
    return gradient


@kernel
def cross_entropy_rows(
    board, seat, first, last, logits, labels, ignored, mean, target, losses, probabilities, loss,
    count,
):  # fmt: skip
    """Write the losses and the probabilities of the rows ``first`` to ``last``, and the total."""
    if calls(board, seat):
        count[()] = read_labels(labels, ignored, logits.shape[1], target)
    if not shared(board, seat):
        fill_rows(first, last, logits, target, losses, probabilities)
    if calls(board, seat):
        loss[()] = total_of(losses, count[()], mean)


@register_jitable
def fill_rows(first, last, logits, target, loss, probabilities):
    """Write the losses and the probabilities of some rows."""
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
