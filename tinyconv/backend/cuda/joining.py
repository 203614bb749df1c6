"""Joining arrays along an axis; the result lies in memory as the first array does.

So channels-last images stay channels-last. Cutting apart makes views, as in the reference.
"""

from __future__ import annotations

from typing import Any

from .layout import Array


def concat(xp: Any, axis: int, *arrays: Array) -> Array:
    """Return arrays of one dtype, one behind the other along ``axis``."""
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda a: (-first.strides[a], a))
    shape = list(first.shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    memory = xp.empty(tuple(shape[a] for a in order), dtype=first.dtype)
    out = xp.permute_dims(memory, tuple(order.index(a) for a in range(first.ndim)))
    before, start = (slice(None),) * axis, 0
    for array in arrays:
        end = start + array.shape[axis]
        out[(*before, slice(start, end))] = array
        start = end
    return out
