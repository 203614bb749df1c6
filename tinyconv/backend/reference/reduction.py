"""Sums over axes."""

from __future__ import annotations

from typing import Any

from .half import in_float32


@in_float32
def total(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Return the sum over axes, which are left out of the shape; in the dtype of ``x``.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        Any shape and numeric dtype. float16 is summed in float32 and rounded once.
    axes : tuple of int
        From 0; all different.
    """
    return xp.sum(x, axis=axes, dtype=x.dtype)
