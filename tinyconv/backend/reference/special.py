"""The error function, its complement and its inverse, which the array-API standard lacks.

    erf(x) = 2/sqrt(pi) * integral from 0 to x of exp(-t^2) dt

Rational approximations by W. J. Cody, "Rational Chebyshev approximations for the error function",
Mathematics of Computation 23 (1969): near 0 ``erf(x) = x * R(x^2)``, farther out
``erf(x) = 1 - exp(-x^2) * S(x)``. Beyond 6 the result is 1 to the last bit of float64.
"""

from __future__ import annotations

from math import pi, sqrt
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


# Of erfinv, highest power first: in 0.180625 - y^2/4 near 0, and in the root t of minus the
# logarithm of (1 - |y|)/2 elsewhere, t - 1.6 and t - 5.
INVERSE_NEAR = (
    (
        2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
        4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
        1.3314166789178437745e2, 3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
        2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
        4.2313330701600911252e1, 1.0,
    ),
)  # fmt: skip
INVERSE_FAR = (
    (
        7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
        1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
        4.63033784615654529590e0, 1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
        1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
        2.05319162663775882187e0, 1.0,
    ),
)  # fmt: skip
INVERSE_FARTHEST = (
    (
        2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
        2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
        5.46378491116411436990e0, 6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
        7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
        5.99832206555887937690e-1, 1.0,
    ),
)  # fmt: skip
INVERSE_BORDER, INVERSE_FAR_BORDER = 0.85, 5.0
ROOT_HALF = sqrt(0.5)


def erfinv(xp: Any, y: Any) -> Any:
    """Return the inverse of :func:`erf`, computed in float64.

    Rational approximations by M. J. Wichura, "Algorithm AS 241: the percentage points of the
    normal distribution", Applied Statistics 37 (1988); right to four roundings.

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
    near = wide * (ROOT_HALF / 2) * _ratio(INVERSE_NEAR, 0.180625 - wide * wide / 4)
    root = xp.sqrt(-xp.log((1 - size) / 2))
    middle = _ratio(INVERSE_FAR, xp.where(root <= INVERSE_FAR_BORDER, root, 1.6) - 1.6)
    farthest = _ratio(INVERSE_FARTHEST, root - 5)
    far = xp.where(root <= INVERSE_FAR_BORDER, middle, farthest) * ROOT_HALF
    far = xp.where(size == 1, xp.full_like(size, xp.inf), far)
    x = xp.where(size <= INVERSE_BORDER, near, xp.where(wide < 0, -far, far))
    return xp.astype(x, y.dtype)
