"""The modified Bessel functions of the first kind and whole order, I0, I1, I2 ....

Near 0 they are the sum of a power series whose terms are all positive (DLMF 10.25.2), farther out
of their asymptotic series (DLMF 10.40.1); both are exact to the last bits of float64 where they
meet.
"""

from __future__ import annotations

from math import factorial, pi
from typing import Any

#: Where the asymptotic series takes over, and the number of terms of the two series.
BORDER, NEAR_TERMS, FAR_TERMS = 20.0, 48, 30


def bessel_i(xp: Any, x: Any, order: int) -> Any:
    """Return the modified Bessel function of each element, computed in float64.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        Floating-point, any shape.
    order : int
        From 0 to about 8.

    Returns
    -------
    array
        Shape and dtype of ``x``; NaN stays NaN.
    """
    wide = xp.astype(x, xp.float64)
    size = xp.abs(wide)
    half = xp.minimum(size, BORDER) / 2
    square, near = half * half, 0 * half
    for k in range(NEAR_TERMS, -1, -1):
        near = near * square + 1 / (factorial(k) * factorial(k + order))
    near = near * half**order
    y = xp.clip(size, BORDER, 2000.0)  # farther out the exponential is infinite
    far = xp.ones_like(y)
    for k in range(FAR_TERMS, 0, -1):
        far = 1 - far * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * y)
    growth = xp.exp(y / 2)  # twice, since its square overflows before the result does
    far = growth * (far / xp.sqrt(2 * pi * y)) * growth
    result = xp.where(size > BORDER, far, near)
    if order % 2:
        result = xp.where(wide < 0, -result, result)
    return xp.astype(result, x.dtype)
