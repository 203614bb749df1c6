"""The product of two matrices, or of stacks of matrices."""

from __future__ import annotations

from typing import Any

from .half import in_float32


@in_float32
def matmul(xp: Any, a: Any, b: Any, bias: Any = None) -> Any:
    """Return ``a @ b``, plus ``bias`` in each row.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    a, b : array (..., n, m) and (..., m, p)
        Stacks broadcast.
    bias : array (p,) or None
        Added to each row.

    Returns
    -------
    array (..., n, p)
    """
    y = xp.matmul(a, b)
    return y if bias is None else y + bias
