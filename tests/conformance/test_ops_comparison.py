"""Comparisons and logic against NumPy."""

import numpy as np
from suite import OpCase, OpSuite

from tinyconv import ops

X = np.array([[1.0, -2.0, 0.0], [0.5, np.nan, np.inf]])
Y = np.array([[1.0, 2.0, -0.0], [-np.inf, np.nan, np.inf]])
M, N = np.array([5, -3, 0]), np.array([3, -3, 6])
P, Q = np.array([True, False, True, False]), np.array([True, True, False, False])


def _all_dtypes(name, oracle):
    op = getattr(ops, name)
    return [
        OpCase(f"{name} {kind}", op, [a, b], oracle, gradient=False, zero_size=kind == "float")
        for kind, a, b in (("float", X, Y), ("int", M, N), ("bool", P, Q))
    ] + [OpCase(f"{name} broadcast", op, [(2, 3), (3,)], oracle, gradient=False)]


def _of_one(name, oracle, array):
    return OpCase(f"{name} {array.dtype.kind}", getattr(ops, name), [array], oracle, gradient=False)


class TestComparison(OpSuite):
    CASES = [
        *_all_dtypes("eq", np.equal),
        *_all_dtypes("ne", np.not_equal),
        *_all_dtypes("lt", np.less),
        *_all_dtypes("le", np.less_equal),
        *_all_dtypes("gt", np.greater),
        *_all_dtypes("ge", np.greater_equal),
        *_all_dtypes("logical_and", np.logical_and),
        *_all_dtypes("logical_or", np.logical_or),
        *_all_dtypes("logical_xor", np.logical_xor),
        *[_of_one("isnan", np.isnan, a) for a in (X, M)],
        *[_of_one("isinf", np.isinf, a) for a in (X, M, P)],
        *[_of_one("isfinite", np.isfinite, a) for a in (X, M, P)],
        *[_of_one("logical_not", np.logical_not, a) for a in (X, M, P)],
        *[_of_one("bitwise_not", np.invert, a) for a in (M, P)],
        OpCase("less than a number", lambda x: x < 0.5, [X], lambda x: x < 0.5, gradient=False),
        OpCase("a number below", lambda x: x > 0.5, [X], lambda x: x > 0.5, gradient=False),
        OpCase("isclose", ops.isclose, [X, Y], np.isclose, gradient=False),
        OpCase("isclose nan", lambda a, b: ops.isclose(a, b, equal_nan=True), [X, Y],
               lambda a, b: np.isclose(a, b, equal_nan=True), gradient=False),
        OpCase("isclose tolerances", lambda a, b: ops.isclose(a, b, rtol=0.2, atol=0.3),
               [(5, 5), (5, 5)], lambda a, b: np.isclose(a, b, 0.2, 0.3), gradient=False),
        *[
            OpCase(f"bitwise_{name} {kind}", getattr(ops, f"bitwise_{name}"), [a, b],
                   getattr(np, f"bitwise_{name}"), gradient=False)
            for name in ("and", "or", "xor")
            for kind, a, b in (("int", M, N), ("bool", P, Q))
        ],
        OpCase("left shift", lambda x: ops.bitwise_left_shift(x, 2), [M], lambda x: x << 2,
               gradient=False),
        OpCase("right shift", lambda x: ops.bitwise_right_shift(x, 1), [M], lambda x: x >> 1,
               gradient=False),
    ]  # fmt: skip
