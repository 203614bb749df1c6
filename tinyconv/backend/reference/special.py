"""The error function and its complement, which the array-API standard lacks and GELU needs.

    erf(x) = 2/sqrt(pi) * integral from 0 to x of exp(-t^2) dt

Rational approximations by W. J. Cody, "Rational Chebyshev approximations for the error function",
Mathematics of Computation 23 (1969): near 0 ``erf(x) = x * R(x^2)``, farther out
``erf(x) = 1 - exp(-x^2) * S(x)``. Beyond 6 the result is 1 to the last bit of float64.
"""

from __future__ import annotations

from math import pi
from typing import Any

from .half import in_float32

# Numerator and denominator, highest power first.
NEAR = (
    (
        1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
        3.77485237685302021e2, 3.20937758913846947e3,
    ),
    (
        1.0, 2.36012909523441209e1, 2.44024637934444173e2,
        1.28261652607737228e3, 2.84423683343917062e3,
    ),
)  # fmt: skip
FAR = (
    (
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
        6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
        1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
    ),
    (
        1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
        1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
        3.43936767414372164e3, 1.23033935480374942e3,
    ),
)  # fmt: skip
# In 1/x^2, for the asymptotic form exp(-x^2)/x * (1/sqrt(pi) - F(1/x^2)/x^2).
FARTHEST = (
    (
        1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
        1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4,
    ),
    (
        1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
        6.05183413124413191e-2, 2.33520497626869185e-3,
    ),
)  # fmt: skip
BORDER, FAR_BORDER = 0.46875, 4.0


@in_float32
def erf(xp: Any, x: Any) -> Any:
    """Return the error function of each element, computed in float64.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        Floating-point, any shape.

    Returns
    -------
    array
        Shape and dtype of ``x``, in [-1, 1]; NaN stays NaN.
    """
    wide = xp.astype(x, xp.float64)
    size = xp.abs(wide)
    size = xp.where(size > 6, xp.full_like(size, 6.0), size)
    near = xp.where(size > BORDER, xp.zeros_like(size), wide)
    near = near * _ratio(NEAR, near * near)
    far = 1 - xp.exp(-(size * size)) * _ratio(FAR, size)
    far = xp.where(wide < 0, -far, far)
    return xp.astype(xp.where(size <= BORDER, near, far), x.dtype)


def erfc(xp: Any, x: Any) -> Any:
    """Return ``1 - erf(x)`` with all its digits, also where it is tiny; computed in float64.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        Floating-point, any shape.

    Returns
    -------
    array
        Shape and dtype of ``x``, in [0, 2]; NaN stays NaN.
    """
    wide = xp.astype(x, xp.float64)
    size = xp.abs(wide)
    near = xp.where(size > BORDER, xp.zeros_like(size), wide)
    near = 1 - near * _ratio(NEAR, near * near)
    middle = _ratio(FAR, xp.minimum(size, FAR_BORDER))
    far = xp.clip(size, FAR_BORDER, 30.0)  # erfc(30) is 0 in float64
    inverse = 1 / (far * far)
    farthest = (pi**-0.5 - inverse * _ratio(FARTHEST, inverse)) / far
    tail = xp.exp(-size * size) * xp.where(size > FAR_BORDER, farthest, middle)
    tail = xp.where(wide < 0, 2 - tail, tail)
    return xp.astype(xp.where(size <= BORDER, near, tail), x.dtype)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    """Return one polynomial divided by another, each by Horner's rule."""
    top, bottom = (0 * x + c[0] for c in coefficients)
    for a, b in zip(coefficients[0][1:], coefficients[1][1:], strict=True):
        top, bottom = top * x + a, bottom * x + b
    return top / bottom


def erfinv(xp: Any, y: Any) -> Any:
    """Return the inverse of :func:`erf`, computed in float64.

    A formula by S. Winitzki, "A handy approximation for the error function and its inverse"
    (2008), right to 0.2 percent, is mended by two steps of Halley's method.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    y : array
        Floating-point, any shape.

    Returns
    -------
    array
        Shape and dtype of ``y``: infinite at -1 and 1, NaN beyond.
    """
    wide = xp.astype(y, xp.float64)
    size = xp.abs(wide)
    inside = xp.where(size < 1, size, 0.5)
    a = 0.147
    slope = xp.log1p(-inside) + xp.log1p(inside)
    middle = 2 / (pi * a) + slope / 2
    x = xp.sqrt(-slope / a / (xp.sqrt(middle * middle - slope / a) + middle))
    for _ in range(2):
        # Near 1 the distance from 1 keeps the digits that erf(x) would lose.
        error = xp.where(inside < 0.5, erf(xp, x) - inside, (1 - inside) - erfc(xp, x))
        step = error * (0.5 * pi**0.5) * xp.exp(x * x)
        x = x - step / (1 + x * step)
    x = xp.where(wide < 0, -x, x)
    x = xp.where(size < 1, x, xp.where(size == 1, wide * xp.inf, xp.nan))
    return xp.astype(x, y.dtype)
