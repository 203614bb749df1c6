"""All gradients at once: divided by the scale of the loss, their norm, scaled down to a norm.

NumPy's own loops, in place and without copies; what is of half precision goes to the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import reference
from .layout import Array

Arrays = Sequence[Array]
FAST = ("float32", "float64")


def unscale(xp: Any, grads: Arrays, scale: Array) -> Array:
    """Divide all gradients by the scale; return whether one was not finite."""
    if not _known(grads):
        return reference.unscale(xp, grads, scale)
    inverse = np.float32(1 / np.float64(scale))
    finite = True
    for grad in grads:
        np.multiply(grad, inverse, out=grad)
        finite = finite and bool(np.isfinite(grad).all())
    return np.full((), not finite, np.float32)


def next_scale(
    xp: Any, scale: Array, tracker: Array, found: Array, growth: float, backoff: float,
    interval: int,
) -> None:  # fmt: skip
    """Choose the next scale of the loss, in place."""
    reference.next_scale(xp, scale, tracker, found, growth, backoff, interval)


def total_norm(xp: Any, arrays: Arrays, order: float) -> Array:
    """Return the norm of all elements of all arrays."""
    if order != 2 or not _known(arrays):
        return reference.total_norm(xp, arrays, order)
    total = math.sqrt(sum(float(np.vdot(array, array)) for array in arrays))
    return np.full((), total, arrays[0].dtype)


def clip_to_norm(xp: Any, arrays: Arrays, total: Array, limit: float) -> None:
    """Scale all arrays by ``limit / total`` in place, if that is less than 1."""
    factor = limit / (float(total) + 1e-6)
    if not _known(arrays):
        reference.clip_to_norm(xp, arrays, total, limit)
    elif not factor >= 1:  # NaN spreads
        for array in arrays:
            np.multiply(array, array.dtype.type(factor), out=array)


def _known(arrays: Arrays) -> bool:
    return all(array.dtype.name in FAST for array in arrays)
