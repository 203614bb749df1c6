"""Special functions, and functions of parts of numbers, against SciPy and NumPy."""

from functools import partial

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops

special = pytest.importorskip("scipy.special")

A, B = (2, 3), (3,)
WHOLE = np.array([[12, -18, 0], [-7, 5, 8]])
OTHERS = np.array([[18, 12, 5], [0, -10, 6]])
STEPS = {"distinct": True, "low": -1.9, "high": 2.3}  # no zeros


def _case(name, oracle, shape=A, **kwargs):
    return OpCase(name, getattr(ops, name), [shape], oracle, zero_size=True, **kwargs)


def _pair(name, oracle, **kwargs):
    op = getattr(ops, name)
    return [
        OpCase(name, op, [A, A], oracle, zero_size=True, **kwargs),
        OpCase(f"{name} broadcast", op, [A, B], oracle, **kwargs),
        OpCase(f"{name} column and row", op, [(2, 1), (1, 3)], oracle, **kwargs),
        OpCase(f"{name} 0-d", op, [(), ()], oracle, layouts=False, **kwargs),
    ]


class TestSpecial(OpSuite):
    CASES = [
        _case("erfinv", special.erfinv, (3, 7), low=-0.95, high=0.95, rtol32=1e-4),
        _case("lgamma", special.gammaln, (3, 7), low=0.05, high=12.0),
        OpCase("lgamma of negative numbers", ops.lgamma, [(7,)], special.gammaln, low=-4.9,
               high=-0.1, distinct=True, rtol32=1e-4),
        _case("digamma", special.digamma, (3, 7), low=0.2, high=12.0),
        OpCase("digamma of negative numbers", ops.digamma, [(7,)], special.digamma, low=-4.9,
               high=-0.1, distinct=True, rtol32=1e-4),
        *[
            OpCase(f"polygamma {n}", partial(ops.polygamma, n), [(3, 5)],
                   partial(special.polygamma, n), low=0.4, high=9.0, zero_size=True)
            for n in (0, 1, 2, 5)
        ],
        OpCase("trigamma of negative numbers", partial(ops.polygamma, 1), [(7,)],
               lambda x: (np.pi / np.sin(np.pi * x))**2 - special.polygamma(1, 1 - x),
               low=-4.9, high=-0.1, distinct=True, rtol32=1e-4),
        _case("i0", special.i0, (3, 7), low=-8.0, high=8.0),
        OpCase("i0 of large numbers", ops.i0, [(5,)], special.i0, low=17.0, high=23.0,
               rtol32=1e-4),
        _case("sinc", np.sinc, (3, 7), low=-3.0, high=3.0),
        OpCase("sinc near 0", ops.sinc, [np.array([0.0, 1e-9, -1e-4, 0.05, 0.0999, 0.11])],
               np.sinc),
        _case("logit", special.logit, low=0.02, high=0.98),
        OpCase("logit eps", partial(ops.logit, eps=0.2), [np.array([-1.0, 0.1, 0.3, 0.7, 0.9, 3])],
               lambda x: special.logit(np.clip(x, 0.2, 0.8))),
        _case("deg2rad", np.deg2rad, low=-360.0, high=360.0),
        _case("rad2deg", np.rad2deg),
        *_pair("xlogy", special.xlogy, low=0.1),
        OpCase("xlogy with a number", lambda x: ops.xlogy(2, x), [A],
               lambda x: special.xlogy(2, x), low=0.1),
        OpCase("xlogy by a number", lambda x: ops.xlogy(x, 2.5), [A],
               lambda x: special.xlogy(x, 2.5)),
        *_pair("logaddexp", np.logaddexp),
        *_pair("logaddexp2", np.logaddexp2),
    ]  # fmt: skip


class TestParts(OpSuite):
    CASES = [
        *_pair("copysign", np.copysign, distinct=True, low=-1.9, high=2.3),
        OpCase("copysign of a number", lambda x: ops.copysign(x, -3), [A],
               lambda x: np.copysign(x, -3), **STEPS),
        *_pair("ldexp", lambda a, b: a * 2**b),
        OpCase("ldexp integers", ops.ldexp, [A, WHOLE], lambda a, b: a * 2.0**b),
        OpCase("ldexp far", lambda x: ops.ldexp(x, ops.tensor([100, -70])), [(2,)],
               lambda x: np.ldexp(x, [100, -70])),
        OpCase("nan_to_num", ops.nan_to_num, [np.array([1.0, np.nan, -2.0])], np.nan_to_num,
               gradient=False),
        OpCase("nan_to_num of numbers", ops.nan_to_num, [A], lambda x: x, zero_size=True),
        OpCase("nan_to_num by others", lambda x: ops.nan_to_num(x, 1.5, 7, -8),
               [np.array([np.inf, np.nan, -np.inf, 2.0])], lambda x: np.array([7, 1.5, -8, 2.0]),
               gradient=False),
        OpCase("signbit", ops.signbit, [np.array([-0.0, 0.0, -np.inf, np.nan, -3.0])], np.signbit,
               gradient=False),
        OpCase("signbit of integers", ops.signbit, [WHOLE], lambda x: x < 0, gradient=False),
        OpCase("isposinf", ops.isposinf, [np.array([np.inf, -np.inf, np.nan, 1.0])], np.isposinf,
               gradient=False),
        OpCase("isneginf", ops.isneginf, [np.array([np.inf, -np.inf, np.nan, 1.0])], np.isneginf,
               gradient=False),
        OpCase("heaviside", ops.heaviside, [np.array([-1.0, 0.0, 2.0]), B],
               np.heaviside, gradient=False),
        OpCase("gcd", ops.gcd, [WHOLE, OTHERS], np.gcd, gradient=False, zero_size=True),
        OpCase("gcd broadcast", ops.gcd, [WHOLE, OTHERS[0]], np.gcd, gradient=False),
        OpCase("lcm", ops.lcm, [WHOLE, OTHERS], np.lcm, gradient=False, zero_size=True),
        OpCase("positive", ops.positive, [A], lambda x: x),
        OpCase("clamp_min", lambda x: ops.clamp_min(x, 0.1), [A], lambda x: np.maximum(x, 0.1),
               **STEPS),
        OpCase("clamp_max", ops.clamp_max, [A, B], np.minimum, **STEPS),
        OpCase("rsub", lambda a, b: ops.rsub(a, b, alpha=2), [A, B], lambda a, b: b - 2 * a),
    ]  # fmt: skip
