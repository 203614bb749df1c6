"""exp and erf for float32 as short polynomials, which the compiler turns into vector code.

A call of the C library stops a loop from being vectorised. These functions have neither calls nor
branches; both are right to about one unit in the last place. For float64, where vectors are half as
long and polynomials twice, the C library serves.

    exp(x) = 2^n * exp(r),  n = round(x / log 2),  r = x - n * log 2

Adding 1.5 * 2^23 to a small float32 rounds it, and leaves the integer in the lowest bits. log 2 is
split into two numbers, of which the first has few digits, so that ``n`` times it is exact (Cody and
Waite 1980). The result is scaled by 2^n in two steps, so that it may be subnormal or infinite.
"""

from __future__ import annotations

from math import erf as c_erf
from math import exp as c_exp
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

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
