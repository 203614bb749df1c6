"""All gradients at once: divided by the scale of the loss, their norm, scaled down to a norm.

Each of these takes a list of floating-point arrays of any shapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .half import is_half


def unscale(xp: Any, grads: Sequence[Any], scale: Any) -> Any:
    """Divide all gradients by ``scale``, 0-d float32, in place.

    Returns a 0-d float32 array: 1 if an element was not finite then, else 0.
    """
    inverse = xp.astype(1 / xp.astype(scale, xp.float64), xp.float32)
    finite = xp.ones((), dtype=xp.bool)
    for grad in grads:
        _multiply(xp, grad, inverse)
        finite = finite & xp.all(xp.isfinite(_wide(xp, grad)))
    return xp.astype(~finite, xp.float32)


def next_scale(
    xp: Any, scale: Any, tracker: Any, found: Any, growth: float, backoff: float, interval: int
) -> None:
    """Choose the next ``scale``, 0-d float32, and count steps in ``tracker``, 0-d int64; in place.

    Where ``found`` is not 0, the scale becomes ``backoff`` times as large; after ``interval`` steps
    without that ``growth`` times, if that is finite.
    """
    bad, steps = found != 0, tracker + 1
    full, larger = steps == interval, scale * growth
    larger = xp.where(full & xp.isfinite(larger), larger, scale)
    scale[...] = xp.where(bad, scale * backoff, larger)
    tracker[...] = xp.where(bad | full, xp.zeros_like(steps), steps)


def total_norm(xp: Any, arrays: Sequence[Any], order: float) -> Any:
    """Return the norm of all elements of arrays of one dtype, as one vector: 0-d, of that dtype.

    ``order`` is 1, 2 or infinity.
    """
    wide = [xp.abs(xp.reshape(_wide(xp, array), (-1,))) for array in arrays]
    if order == math.inf:
        parts = [xp.max(array) for array in wide if array.size]
        total = xp.max(xp.stack(parts)) if parts else xp.zeros((), dtype=wide[0].dtype)
    elif order == 1:
        total = xp.sum(xp.stack([xp.sum(array) for array in wide]))
    else:
        total = xp.sqrt(xp.sum(xp.stack([xp.vecdot(array, array) for array in wide])))
    return xp.astype(total, arrays[0].dtype)


def clip_to_norm(xp: Any, arrays: Sequence[Any], total: Any, limit: float) -> None:
    """Multiply all arrays by ``limit / total`` in place, if that is less than 1; NaN spreads."""
    factor = limit / (_wide(xp, total) + 1e-6)
    factor = xp.where(factor > 1, xp.ones_like(factor), factor)
    for array in arrays:
        _multiply(xp, array, factor)


def _wide(xp: Any, array: Any) -> Any:
    return xp.astype(array, xp.float32) if is_half(xp, array) else array


def _multiply(xp: Any, array: Any, factor: Any) -> None:
    wide = _wide(xp, array)
    array[...] = xp.astype(wide * xp.astype(factor, wide.dtype), array.dtype)
