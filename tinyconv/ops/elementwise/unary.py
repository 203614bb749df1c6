"""Functions of each element alone, as a table: name, what it is, its gradient.

The columns are those of :func:`unary_function`. Rules for gradients are tensor operations, so they
can be differentiated again. Where a function is undefined its value is NaN or inf, as IEEE 754
says, and there is no warning.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from ...autograd import Function
from ...backend.dtypes import wide
from ...backend.reference.special import erfc as reference_erfc
from .._operands import as_floating, cast, check_not_bool, check_tensor
from ._unary_function import unary_function as _unary

# -- exponentials and logarithms ----------------------------------------------------------------

exp = _unary("exp", "e to the power of each element.", y=lambda g, y: g * y)
exp2 = _unary(
    "exp2", "2 to the power of each element.",
    array=lambda xp, a: 2.0**a, y=lambda g, y: g * (y * math.log(2)),
)  # fmt: skip
expm1 = _unary(
    "expm1", "``exp(input) - 1``, accurate near 0.", y=lambda g, y: g * (y + 1)
)  # fmt: skip
log = _unary("log", "the natural logarithm.", x=lambda g, x: g / x)
log1p = _unary("log1p", "``log(1 + input)``, accurate near 0.", x=lambda g, x: g / (x + 1))
log2 = _unary("log2", "the logarithm to base 2.", x=lambda g, x: g / (x * math.log(2)))
log10 = _unary("log10", "the logarithm to base 10.", x=lambda g, x: g / (x * math.log(10)))
sigmoid = _unary(
    "sigmoid", "the logistic function, ``1 / (1 + exp(-input))``.",
    kernel="sigmoid", y=lambda g, y: g * (y * (1 - y)),
)  # fmt: skip

# -- roots and inverses -------------------------------------------------------------------------

sqrt = _unary("sqrt", "the square root.", y=lambda g, y: g / (y * 2))
rsqrt = _unary(
    "rsqrt", "``1 / sqrt(input)``.",
    array=lambda xp, a: 1 / xp.sqrt(a), y=lambda g, y: g * (y * y * y * -0.5),
)  # fmt: skip
reciprocal = _unary(
    "reciprocal", "``1 / input``.", array=lambda xp, a: 1 / a, y=lambda g, y: -g * (y * y)
)  # fmt: skip

# -- trigonometric and hyperbolic functions, angles in radians ----------------------------------

sin = _unary("sin", "the sine of angles in radians.", x=lambda g, x: g * x.cos())
cos = _unary("cos", "the cosine of angles in radians.", x=lambda g, x: -g * x.sin())
tan = _unary("tan", "the tangent of angles in radians.", y=lambda g, y: g * (y * y + 1))
asin = _unary(
    "asin", "the arcsine in radians, in [-pi/2, pi/2].", x=lambda g, x: g * (1 - x * x).rsqrt()
)
acos = _unary(
    "acos", "the arccosine in radians, in [0, pi].", x=lambda g, x: -g * (1 - x * x).rsqrt()
)
atan = _unary(
    "atan", "the arctangent in radians, in [-pi/2, pi/2].", x=lambda g, x: g / (x * x + 1)
)
sinh = _unary("sinh", "the hyperbolic sine.", x=lambda g, x: g * x.cosh())
cosh = _unary("cosh", "the hyperbolic cosine.", x=lambda g, x: g * x.sinh())
tanh = _unary("tanh", "the hyperbolic tangent.", y=lambda g, y: g * (1 - y * y))
asinh = _unary("asinh", "the inverse hyperbolic sine.", x=lambda g, x: g * (x * x + 1).rsqrt())
acosh = _unary("acosh", "the inverse hyperbolic cosine.", x=lambda g, x: g * (x * x - 1).rsqrt())
atanh = _unary("atanh", "the inverse hyperbolic tangent.", x=lambda g, x: g / (1 - x * x))

deg2rad = _unary(
    "deg2rad", "angles in degrees as radians.",
    array=lambda xp, a: a * (math.pi / 180), y=lambda g, y: g * (math.pi / 180),
)  # fmt: skip
rad2deg = _unary(
    "rad2deg", "angles in radians as degrees.",
    array=lambda xp, a: a * (180 / math.pi), y=lambda g, y: g * (180 / math.pi),
)  # fmt: skip

# -- size, sign and rounding --------------------------------------------------------------------

abs = _unary("abs", "the absolute value; the gradient at 0 is 0.", x=lambda g, x: g * x.sign(),
             keeps_integers=True)  # fmt: skip
sign = _unary(
    "sign", "-1, 0 or 1, the sign of each element; 0 for NaN.", keeps_integers=True,
    array=lambda xp, a: xp.astype(a > 0, a.dtype) - xp.astype(a < 0, a.dtype),
)  # fmt: skip
floor = _unary("floor", "the largest whole number not above each element.", keeps_integers=True)
ceil = _unary("ceil", "the smallest whole number not below each element.", keeps_integers=True)
trunc = _unary("trunc", "each element rounded towards zero.", keeps_integers=True)
frac = _unary(
    "frac", "the part behind the point, with the sign of the element.",
    array=lambda xp, a: a - xp.trunc(a), y=lambda g, y: g,
)  # fmt: skip
_round = _unary("round", "each element rounded to the nearest whole number.", keeps_integers=True)


def positive(input: Any) -> Any:
    """Return ``input`` itself; a bool tensor raises ``DTypeError``."""
    check_not_bool("positive", check_tensor("positive", "input", input))
    return input


def round(input: Any, *, decimals: int = 0) -> Any:
    """Return each element rounded to the nearest multiple of ``10 ** -decimals``.

    Half-way cases go to the even neighbour, as in Python; the gradient is 0.

    Parameters
    ----------
    input : Tensor
        Any shape; integers stay integers.
    decimals : int, default 0
        Digits behind the point; negative counts in front of it.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.round(tc.tensor([0.5, 1.5, -2.6]))
    tensor([ 0.,  2., -3.])
    """
    if decimals == 0 or not check_tensor("round", "input", input).dtype.is_floating_point:
        return _round(input)
    scale, x = 10.0 ** builtins.abs(decimals), cast(input, wide(input.dtype))
    rounded = _round(x * scale) / scale if decimals > 0 else _round(x / scale) * scale
    return cast(rounded, input.dtype)


# -- error function -----------------------------------------------------------------------------


class Erf(Function):
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.wrap(x.device.backend.erf(x.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * ((-x * x).exp() * (2 / math.sqrt(math.pi)))


def erf(input: Any) -> Any:
    """Return the error function, ``2/sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.erf(tc.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    return Erf.apply(as_floating("erf", input))


erfc = _unary(
    "erfc",
    "``1 - erf(input)``, precise also where it is tiny.",
    array=reference_erfc,
    x=lambda g, x: g * ((-x * x).exp() * (-2 / math.sqrt(math.pi))),
)
