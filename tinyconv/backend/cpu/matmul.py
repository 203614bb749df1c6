"""Matrix products on the tile of the convolutions: a linear layer is a convolution of one tap.

The same bits for any number of threads, and for a row alone or among others, which a BLAS does not
promise. Whichever way the operands lie in memory, one of three loops fits (:mod:`.pointwise`), so
that nothing is transposed:

    forward          x @ w^T       rows lie in memory, and so do the columns of the other
    input gradient   dy @ w        both lie by rows
    weight gradient  dy^T @ x      the first lies by columns

Operands that lie in another way, as broadcast ones do, are copied.
"""

from __future__ import annotations

from typing import Any

from .. import reference
from ..reference.activation import Limits
from .convolution import pointwise
from .layout import Array, is_fast, plain


def wide_matmul(xp: Any, a: Array, b: Array) -> Array:
    """Return ``a @ b`` of half-precision matrices in float32."""
    return reference.wide_matmul(xp, a, b)


def matmul(
    xp: Any, a: Array, b: Array, bias: Array | None = None, limits: Limits | None = None
) -> Array:
    """Return ``a @ b``, plus ``bias`` in each row, clipped; see the reference kernel."""
    if not (a.ndim == b.ndim == 2 and is_fast(a, b, bias) and a.size and b.size):
        return reference.matmul(xp, a, b, bias, limits)
    by_columns = b.flags.f_contiguous and not b.flags.c_contiguous
    if not by_columns:
        b = plain(b)
        if bias is limits is None and a.flags.f_contiguous and not a.flags.c_contiguous:
            return pointwise.weight_grad(b, a.T, 1)
    weights = b.T if by_columns else b
    return pointwise.correlate(plain(a), weights[:, :, None], not by_columns, 1, bias, limits)
