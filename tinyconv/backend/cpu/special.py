"""The error function and its inverse, element by element; see :mod:`.exponential`."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from numba.extending import register_jitable

from .. import reference
from ..reference.special import (
    INVERSE_BORDER,
    INVERSE_FAR,
    INVERSE_FAR_BORDER,
    INVERSE_FARTHEST,
    INVERSE_NEAR,
    ROOT_HALF,
)
from .activation import _is_dense, _map
from .compiler.jit import kernel
from .layout import Array, is_fast, plain
from .parallel.region import shared
from .parallel.threads import run_ranges
from .vectors.exponential import error_function


def erf(xp: Any, x: Array) -> Array:
    """Return the error function of each element; see the reference kernel."""
    if not is_fast(x):
        return reference.erf(xp, x)
    y = np.empty_like(x)  # keeps the order of the axes in memory, so "K" below is the same order
    source, target = plain(x.ravel(order="K")), y.ravel(order="K")
    run_ranges(lambda a, b: erf_range(source, a, b, target), x.size, 1 << 14, merge=True)
    return y


@kernel
def erf_range(x, first, last, y):
    """Write the elements ``first`` to ``last``."""
    for i in range(first, last):
        y[i] = error_function(x[i])


#: Elements of a block: it is still in cache when its rare elements are looked for.
BLOCK = 1 << 11


def erfinv(xp: Any, y: Array) -> Array:
    """Return the inverse of the error function; see the reference kernel."""
    return _map(erfinv_loop, y) if _is_dense(y) else reference.erfinv(xp, y)


@kernel
def erfinv_loop(board, seat, first, last, y, x):
    """Write the inverse of erf: near 0 without a branch, so in vectors, then what is not near."""
    if shared(board, seat):
        return
    y, x = y[first:last], x[first:last]
    for start in range(0, len(y), BLOCK):
        end = min(start + BLOCK, len(y))
        for i in range(start, end):
            value = np.float64(y[i])
            near = ratio(INVERSE_NEAR, 0.180625 - value * value * 0.25)
            x[i] = value * (0.5 * ROOT_HALF) * near
        for i in range(start, end):
            value = np.float64(y[i])
            if not abs(value) <= INVERSE_BORDER:
                x[i] = inverse_far(value)


@register_jitable
def inverse_far(y):
    """Return erfinv(y) for a y that is not near 0."""
    if abs(y) == 1:
        return y * np.inf
    root = sqrt(-log((1 - abs(y)) * 0.5))
    if root <= INVERSE_FAR_BORDER:
        x = ratio(INVERSE_FAR, root - 1.6)
    else:
        x = ratio(INVERSE_FARTHEST, root - 5)
    return ROOT_HALF * (-x if y < 0 else x)


@register_jitable
def ratio(coefficients, x):
    """Return one polynomial of degree 7 divided by another, each by Horner's rule."""
    a, b = coefficients
    top = ((((((a[0] * x + a[1]) * x + a[2]) * x + a[3]) * x + a[4]) * x + a[5]) * x + a[6]) * x
    bottom = ((((((b[0] * x + b[1]) * x + b[2]) * x + b[3]) * x + b[4]) * x + b[5]) * x + b[6]) * x
    return (top + a[7]) / (bottom + b[7])
