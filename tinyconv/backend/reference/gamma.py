"""The logarithm of the gamma function and its derivatives, the digamma and polygamma functions.

They follow from their asymptotic series (DLMF 5.11 and 25.11), which are exact to the last bits of
float64 for large arguments; recurrences lead small arguments there, and reflection formulas
(DLMF 5.5 and 5.15) negative ones. Near its zeros at 1 and 2, log gamma is a Taylor series. All is
computed in float64 and rounded once.
"""

from __future__ import annotations

from math import factorial, inf, log, pi
from typing import Any

# The Bernoulli numbers B2, B4, ... B20.
BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
    -174611 / 330,
)  # fmt: skip
#: Arguments are moved up by this many steps before the asymptotic series is summed.
STEPS = 16
#: log gamma is summed by its asymptotic series from here on.
FAR = 9.0


def _zeta(s: int, x: Any) -> Any:
    """Return the Hurwitz zeta function, the sum of ``(x + k) ** -s`` for k = 0, 1, 2 ...; x > 0.

    The first terms are added up; the Euler-Maclaurin formula gives the rest.
    """
    y = x + STEPS
    rest = y ** (1 - s) / (s - 1) + y**-s * 0.5
    factor = 1.0  # s (s + 1) ... (s + 2j - 2) / (2j)!
    for j, bernoulli in enumerate(BERNOULLI, start=1):
        factor = s / 2 if j == 1 else factor * (s + 2 * j - 3) * (s + 2 * j - 2) / (2 * j - 1)
        factor = factor if j == 1 else factor / (2 * j)
        rest = rest + bernoulli * factor * y ** (1 - s - 2 * j)
    for k in reversed(range(STEPS)):
        rest = rest + (x + k) ** -s
    return rest


# log gamma(2 + z) = z * (SERIES[0] + z * (SERIES[1] + ...)), with 1 - Euler's constant first.
SERIES = (0.42278433509846713939, *((-1) ** k * _zeta(k, 2.0) / k for k in range(2, 28)))


def lgamma(xp: Any, x: Any) -> Any:
    """Return ``log(abs(gamma(x)))`` of each element; inf at 0, -1, -2 ... and at both infinities.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        Floating-point, any shape.

    Returns
    -------
    array
        Shape and dtype of ``x``; NaN stays NaN.
    """
    wide = xp.astype(x, xp.float64)
    negative = wide < 0
    size = xp.abs(wide)
    positive = _log_gamma(xp, xp.where(negative, size + 1, size))
    # gamma(-x) gamma(1 + x) = -pi / sin(pi x)
    sine = xp.abs(xp.sin(pi * (wide - xp.round(wide))))
    reflected = log(pi) - xp.log(xp.where(negative, sine, 1.0)) - positive
    result = xp.where(negative, reflected, positive)
    return xp.astype(xp.where(xp.isinf(wide), inf, result), x.dtype)


def _log_gamma(xp: Any, x: Any) -> Any:
    """Return log gamma for x >= 0."""
    low, product = xp.minimum(x, FAR), xp.ones_like(x)
    for _ in range(7):  # down to at most 2.5, by gamma(x) = (x - 1) gamma(x - 1)
        above = low > 2.5
        low = xp.where(above, low - 1, low)
        product = xp.where(above, product * low, product)
    z = xp.where(low < 0.5, low, xp.where(low < 1.5, low - 1, low - 2))
    near = 0 * z
    for coefficient in reversed(SERIES):
        near = (near + coefficient) * z
    near = near + xp.log(product) - xp.where(low < 1.5, xp.log1p(z), 0.0)
    near = near - xp.where(low < 0.5, xp.log(low), 0.0)
    y = xp.maximum(x, FAR)
    far = (y - 0.5) * (xp.log(y) - 1) + 0.5 * (log(2 * pi) - 1)
    for j in reversed(range(1, len(BERNOULLI) + 1)):
        far = far + BERNOULLI[j - 1] / (2 * j * (2 * j - 1)) * y ** (1 - 2 * j)
    return xp.where(x > FAR, far, near)


def digamma(xp: Any, x: Any) -> Any:
    """Return the derivative of :func:`lgamma`.

    It is -inf at 0 and inf at -0, which is where it comes from, and NaN at -1, -2 ..., where it
    jumps. Arguments as :func:`lgamma`.
    """
    wide = xp.astype(x, xp.float64)
    negative = wide < 0
    up = xp.where(negative, 1 - wide, wide)
    y = up + STEPS
    rest = 0.5 / y
    for j, bernoulli in enumerate(BERNOULLI, start=1):
        rest = rest + bernoulli / (2 * j) * y ** (-2 * j)
    for k in reversed(range(STEPS)):
        rest = rest + 1 / (up + k)
    result = xp.log(y) - rest
    whole = wide == xp.round(wide)
    cotangent = _cotangent(xp, xp.where(negative & ~whole, wide, 0.5))
    result = xp.where(negative, result - pi * cotangent, result)
    result = xp.where(negative & whole, xp.nan, result)
    return xp.astype(xp.where(wide == 0, -1 / wide, result), x.dtype)


def polygamma(xp: Any, x: Any, n: int) -> Any:
    """Return derivative ``n`` of :func:`digamma`, n >= 1; infinite at 0, -1, -2 ....

    Other arguments as :func:`lgamma`.
    """
    wide = xp.astype(x, xp.float64)
    negative = wide < 0
    sign = -1.0 if n % 2 == 0 else 1.0
    result = sign * factorial(n) * _zeta(n + 1, xp.where(negative, 1 - wide, wide))
    whole = (wide == xp.round(wide)) & ~xp.isinf(wide)
    c = _cotangent(xp, xp.where(negative & ~whole, wide, 0.5))
    reflected = -sign * result - pi * _cotangent_derivative(c, n)
    result = xp.where(negative, reflected, result)
    return xp.astype(xp.where((wide <= 0) & whole, sign * inf, result), x.dtype)


def _cotangent(xp: Any, x: Any) -> Any:
    """Return cot(pi x)."""
    angle = pi * (x - xp.round(x))
    return xp.cos(angle) / xp.sin(angle)


def _cotangent_derivative(c: Any, n: int) -> Any:
    """Return derivative n of cot(pi x), a polynomial in its value c, since c' = -pi (1 + c^2)."""
    powers = [0.0, 1.0]  # coefficients of 1, c, c^2 ...
    for _ in range(n):
        slope = [k * powers[k] for k in range(1, len(powers))]
        padded = [*slope, 0.0, 0.0]
        shifted = [0.0, 0.0, *slope]
        powers = [-pi * (a + b) for a, b in zip(padded, shifted, strict=True)]
    result = 0 * c
    for coefficient in reversed(powers):
        result = result * c + coefficient
    return result
