"""Softmax along any axis: a group of rows is read, exponentiated and divided while it is in cache.

Data is (outer, classes, inner). With ``inner`` = 1 a row of classes lies side by side, as in the
logits of a classifier or the channels-last ones of a segmentation; short ones are turned around
first, see :mod:`.short_rows`. Otherwise loops run along ``inner``, a group of columns at a time.
Groups do not depend on each other: they are the tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .. import reference
from .layout import Array, is_fast, plain
from .loops.short_rows import LONG, log_softmax_short_rows, softmax_short_rows
from .loops.softmax_loops import (
    log_softmax_columns,
    log_softmax_grad_columns,
    log_softmax_grad_rows,
    log_softmax_rows,
    softmax_columns,
    softmax_grad_columns,
    softmax_grad_rows,
    softmax_rows,
)
from .memory import empty
from .parallel.threads import run_ranges

#: Elements of a task.
TASK = 1 << 13


def softmax(xp: Any, x: Array, axis: int) -> Array:
    """Return ``exp(x) / sum(exp(x))``; see the reference kernel."""
    rows = softmax_rows if x.shape[axis] >= LONG else softmax_short_rows
    result = _along(rows, softmax_columns, axis, x)
    return reference.softmax(xp, x, axis) if result is None else result


def softmax_grad(xp: Any, dy: Array, y: Array, axis: int) -> Array:
    """Return the gradient of softmax; see the reference kernel."""
    result = _along(softmax_grad_rows, softmax_grad_columns, axis, y, dy)
    return reference.softmax_grad(xp, dy, y, axis) if result is None else result


def log_softmax(xp: Any, x: Array, axis: int) -> Array:
    """Return ``x - log(sum(exp(x)))``; see the reference kernel."""
    rows = log_softmax_rows if x.shape[axis] >= LONG else log_softmax_short_rows
    result = _along(rows, log_softmax_columns, axis, x)
    return reference.log_softmax(xp, x, axis) if result is None else result


def log_softmax_grad(xp: Any, dy: Array, y: Array, axis: int) -> Array:
    """Return the gradient of log_softmax; see the reference kernel."""
    result = _along(log_softmax_grad_rows, log_softmax_grad_columns, axis, y, dy)
    return reference.log_softmax_grad(xp, dy, y, axis) if result is None else result


def _along(
    rows: Callable[..., None], columns: Callable[..., None], axis: int, x: Array, *more: Array
) -> Array | None:
    """Run a loop over arrays of one shape; ``None`` if the loops do not know them."""
    if x.size == 0 or not is_fast(x, *more) or any(a.shape != x.shape for a in more):
        return None
    if axis == x.ndim - 1 and all(a.flags.c_contiguous and a.flags.writeable for a in (x, *more)):
        result = empty(x.shape, x.dtype)
        return _along_rows(rows, x.shape[-1], x.size, *(x, *more), result)
    order = sorted(range(x.ndim), key=lambda i: -x.strides[i])
    if not x.transpose(order).flags.c_contiguous:
        order = list(range(x.ndim))
    sizes, place = [x.shape[i] for i in order], order.index(axis)
    outer, classes, inner = prod(sizes[:place]), sizes[place], prod(sizes[place + 1 :])
    result = empty(tuple(sizes), x.dtype)
    arrays = [plain(a.transpose(order)) for a in (x, *more)]
    if inner == 1:
        _along_rows(rows, classes, x.size, *arrays, result)
    else:
        cubes = [a.reshape(outer, classes, inner) for a in (*arrays, result)]
        columns_per_task = -(-max(TASK // classes, 1) // 64) * 64
        blocks = -(-inner // columns_per_task)

        def part(first: int, last: int) -> None:
            for number in range(first, last):
                i, block = divmod(number, blocks)
                start = block * columns_per_task
                columns(*cubes, i, start, min(start + columns_per_task, inner))

        run_ranges(part, outer * blocks, max(TASK // (classes * inner), 1), merge=True)
    return result.transpose(np.argsort(order))


def _along_rows(rows: Callable[..., None], classes: int, size: int, *arrays: Array) -> Array:
    """Run a loop over the rows of contiguous arrays; return the last of them, the result."""
    flat = [a if a.ndim == 2 else a.reshape(-1, classes) for a in arrays]
    if size <= TASK:
        rows(*flat, 0, size // classes)
    else:
        run_ranges(
            lambda i, j: rows(*flat, i, j), size // classes, max(TASK // classes, 1), merge=True
        )
    return arrays[-1]
