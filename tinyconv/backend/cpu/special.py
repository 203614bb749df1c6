"""The error function, element by element; see :mod:`.exponential`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import reference
from .exponential import error_function
from .jit import kernel
from .layout import Array, is_fast, plain
from .threads import run_ranges


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
