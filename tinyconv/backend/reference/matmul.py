"""The product of two matrices, or of stacks of matrices."""

from __future__ import annotations

from typing import Any

from .activation import Limits, hardtanh
from .half import in_float32, is_half


def wide_matmul(xp: Any, a: Any, b: Any) -> Any:
    """Return ``a @ b`` of half-precision matrices, or of stacks of them, in float32.

    Their products are exact in float32, and so is what they are added up in: nothing is rounded to
    half precision.
    """
    return xp.matmul(*[xp.astype(x, xp.float32) if is_half(xp, x) else x for x in (a, b)])


@in_float32
def matmul(xp: Any, a: Any, b: Any, bias: Any = None, limits: Limits | None = None) -> Any:
    """Return ``a @ b``, plus ``bias`` in each row, clipped.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    a, b : array (..., n, m) and (..., m, p)
        Stacks broadcast.
    bias : array (p,) or None
        Added to each row.
    limits : tuple of float, optional
        Least and largest value of the result.

    Returns
    -------
    array (..., n, p)
    """
    y = xp.matmul(a, b)
    if bias is not None:
        y = y + bias
    return y if limits is None else hardtanh(xp, y, *limits)
