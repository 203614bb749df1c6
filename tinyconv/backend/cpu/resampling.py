"""Resampling along one axis of an image in whatever order it lies in memory.

All that lies inside the axis is a run of adjacent numbers (with channels last, the channels of a
pixel, or all pixels of a line), and a result is a weighted sum of a few such runs.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .compiler.jit import kernel
from .layout import Array, is_fast, plain
from .memory import empty
from .parallel.threads import run_ranges

#: Elements of the smallest task.
TASK = 1 << 14


def resample(xp: Any, x: Array, axis: int, starts: Array, places: Array, factors: Array) -> Array:
    """Return weighted sums along an axis; see the reference kernel."""
    order = sorted(range(x.ndim), key=lambda a: -x.strides[a])
    whole = x.transpose(order)
    if not (is_fast(x, factors) and whole.flags.c_contiguous and x.flags.aligned):
        order, whole = list(range(x.ndim)), plain(x)
    if not is_fast(whole, factors):
        return reference.resample(xp, x, axis, starts, places, factors)
    place, outputs = order.index(axis), len(starts) - 1
    inner = prod(whole.shape[place + 1 :])
    y = empty((*whole.shape[:place], outputs, *whole.shape[place + 1 :]), x.dtype)
    lines = prod(whole.shape[:place]) * outputs
    source, target = plain(whole).reshape(-1), y.reshape(-1)
    run_ranges(
        lambda a, b: weighted_runs(
            source, a, b, whole.shape[place], inner, starts, places, factors, target
        ),
        lines,
        max(TASK // max(inner, 1), 1),
        merge=True,
    )
    return y.transpose(np.argsort(order))


@kernel
def weighted_runs(x, first, last, size, inner, starts, places, factors, y):
    """Write the runs number ``first`` to ``last`` of the result."""
    outputs = len(starts) - 1
    for line in range(first, last):
        o, base = line % outputs, line // outputs * size
        target = y[line * inner : (line + 1) * inner]
        begin, end = starts[o], starts[o + 1]
        if begin == end:
            target[:] = 0
        for e in range(begin, end):
            at, factor = (base + places[e]) * inner, factors[e]
            run = x[at : at + inner]
            if e == begin:
                for j in range(inner):
                    target[j] = factor * run[j]
            else:
                for j in range(inner):
                    target[j] += factor * run[j]
