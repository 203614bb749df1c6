"""exp, log and erf as short polynomials, which the compiler turns into vector code.

A call of the C library stops a loop from being vectorised. These functions have neither calls nor
branches; all are right to about one unit in the last place. exp and erf are for float32; for
float64, where vectors are half as long and polynomials twice, the C library serves.

    exp(x) = 2^n * exp(r),  n = round(x / log 2),  r = x - n * log 2

Adding 1.5 * 2^23 to a small float32 rounds it, and leaves the integer in the lowest bits. log 2 is
split into two numbers, of which the first has few digits, so that ``n`` times it is exact (Cody and
Waite 1980). The result is scaled by 2^n in two steps, so that it may be subnormal or infinite.

    log(x) = n * log 2 + 2 * artanh(s),  x = 2^n * m,  s = (m - 1) / (m + 1)

With m between the root of 1/2 and that of 2, s is small, and ten terms of its series are enough.
"""

from __future__ import annotations

from math import erf as c_erf
from math import exp as c_exp
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload, register_jitable

ROUNDER = np.float32(12582912.0)
LOG2_E = np.float32(1.44269504088896341)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
LEAST, MOST = np.float32(-104.0), np.float32(89.0)
#: Of the Taylor-like series of exp, from the highest power on (Moshier, Cephes).
E6, E5, E4, E3, E2, E1 = (
    np.float32(c)
    for c in (
        1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
        4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
    )
)  # fmt: skip
ONE = np.float32(1)


@intrinsic
def _scaled(typingctx, value, rounded):
    """Return ``value * 2**n``, where ``rounded`` is ``ROUNDER + n``."""
    signature = types.float32(types.float32, types.float32)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integer, single = ir.IntType(32), ir.FloatType()
        bits = builder.bitcast(args[1], integer)
        n = builder.sub(bits, integer(0x4B400000))
        half = builder.ashr(n, integer(1))
        result = args[0]
        for power in (half, builder.sub(n, half)):
            factor = builder.shl(builder.add(power, integer(127)), integer(23))
            result = builder.fmul(result, builder.bitcast(factor, single))
        return result

    return signature, generate


def exponential(x: Any) -> Any:
    """Return e to the power of a number, in compiled code."""
    raise NotImplementedError("only compiled code can call this")


@overload(exponential, inline="always")
def _exponential(x):
    if x != types.float32:
        return lambda x: c_exp(x)

    def single(x):
        # Comparisons with NaN are false, so that NaN passes.
        x = LEAST if x < LEAST else x
        x = MOST if x > MOST else x
        rounded = x * LOG2_E + ROUNDER
        n = rounded - ROUNDER
        r = x - n * LN2_HIGH
        r = r - n * LN2_LOW
        p = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + E1
        return _scaled(p * (r * r) + r + ONE, rounded)

    return single


#: The exponent from which on 2^n is a normal number.
NORMAL = np.float32(-87.3)


@intrinsic
def _power(typingctx, rounded):
    """Return ``2**n`` for ``ROUNDER + n``, where it is a normal number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        n = builder.sub(builder.bitcast(args[0], integer), integer(0x4B400000))
        bits = builder.shl(builder.add(n, integer(127)), integer(23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), generate


def decay(x: Any) -> Any:
    """Return e to the power of a number of at most 0, or 0 below the normal numbers.

    A third faster than :func:`exponential`. For compiled code.
    """
    raise NotImplementedError("only compiled code can call this")


@overload(decay, inline="always")
def _decay(x):
    if x != types.float32:
        return lambda x: c_exp(x)

    def single(x):
        y = NORMAL if x < NORMAL else x
        rounded = y * LOG2_E + ROUNDER
        n = rounded - ROUNDER
        r = y - n * LN2_HIGH
        r = r - n * LN2_LOW
        p = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + E1
        value = (p * (r * r) + r + ONE) * _power(rounded)
        return np.float32(0) if x < NORMAL else value

    return single


#: The bits of the root of 1/2, and by how much those of 1 are more.
ROOT = 0x3FE6A09E667F3BCD
FROM_ROOT = 0x3FF0000000000000 - ROOT
LN2 = 0.6931471805599453
#: 2 / (2 k + 1), from the highest power on.
L9, L8, L7, L6, L5, L4, L3, L2, L1, L0 = (2 / (2 * k + 1) for k in range(9, -1, -1))


@intrinsic
def _exponent_and_rest(typingctx, value):
    """Return n and m of a positive normal number ``2**n * m``."""
    signature = types.UniTuple(types.float64, 2)(types.float64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integer, double = ir.IntType(64), ir.DoubleType()
        bits = builder.bitcast(args[0], integer)
        biased = builder.lshr(builder.add(bits, integer(FROM_ROOT)), integer(52))
        rest = builder.sub(bits, builder.shl(builder.sub(biased, integer(1023)), integer(52)))
        # An integer in the lowest bits of 2^52 becomes a float64 without a conversion.
        large = builder.bitcast(builder.or_(biased, integer(0x4330000000000000)), double)
        n = builder.fsub(large, double(2.0**52 + 1023))
        return context.make_tuple(builder, sig.return_type, (n, builder.bitcast(rest, double)))

    return signature, generate


@register_jitable
def logarithm(x):
    """Return the natural logarithm of a float64 that is positive and normal, or NaN."""
    n, m = _exponent_and_rest(x)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    low = (((L4 * t + L3) * t + L2) * t + L1) * t + L0
    high = (((L9 * t + L8) * t + L7) * t + L6) * t + L5
    t2 = t * t
    result = n * LN2 + s * (high * (t2 * t2 * t) + low)
    return result if x == x else x


#: Of erf near 0, and of the exponent of its complement (Juffa, "erff", 2014).
NEAR = tuple(
    np.float32(c)
    for c in (
        -5.96761703e-4, 4.99119423e-3, -2.67681349e-2,
        1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
    )
)  # fmt: skip
N0, N1, N2, N3, N4, N5 = NEAR
FAR = tuple(
    np.float32(c)
    for c in (
        -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2,
        -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
    )
)  # fmt: skip
F0, F1, F2, F3, F4, F5, F6 = FAR
BORDER = np.float32(0.927734375)


def error_function(x: Any) -> Any:
    """Return erf of a number, in compiled code."""
    raise NotImplementedError("only compiled code can call this")


@overload(error_function, inline="always")
def _error_function(x):
    if x != types.float32:
        return lambda x: c_erf(x)

    def single(x):
        t, s = abs(x), x * x
        near = ((((N0 * s + N1) * s + N2) * s + N3) * s + N4) * s + N5
        near = near * x + x
        t = np.float32(4) if t > np.float32(4) else t  # where erf is 1; NaN passes
        s = t * t
        p = (F0 * t + F1) * s + (F2 * t + F3)
        p = ((p * t + F4) * t + F5) * t + F6
        far = ONE - exponential(p * t - t)
        far = -far if x < np.float32(0) else far
        return far if t > BORDER else near

    return single
