"""Element-wise functions against NumPy and SciPy."""

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops

special = pytest.importorskip("scipy.special")


# Six steps of 0.7 from -1.55 on: no whole or half numbers, where staircases jump.
STEPS = {"distinct": True, "low": -1.9, "high": 2.3}


def _case(name, oracle, shape=(2, 3), op=None, **kwargs):
    return OpCase(name, op or getattr(ops, name), [shape], oracle, zero_size=True, **kwargs)


class TestUnary(OpSuite):
    CASES = [
        _case("exp", np.exp),
        _case("exp2", np.exp2),
        _case("expm1", np.expm1),
        _case("log", np.log, low=0.1, high=3.0),
        _case("log1p", np.log1p, low=-0.9),
        _case("log2", np.log2, low=0.1, high=3.0),
        _case("log10", np.log10, low=0.1, high=3.0),
        _case("sigmoid", special.expit, low=-6.0, high=6.0),
        _case("sqrt", np.sqrt, low=0.1, high=3.0),
        _case("rsqrt", lambda x: x**-0.5, low=0.1, high=3.0),
        _case("reciprocal", lambda x: x**-1.0, low=0.2, high=3.0),
        _case("sin", np.sin, low=-6.0, high=6.0),
        _case("cos", np.cos, low=-6.0, high=6.0),
        _case("tan", np.tan, low=-1.4, high=1.4, rtol32=1e-4),
        _case("asin", np.arcsin, low=-0.9, high=0.9),
        _case("acos", np.arccos, low=-0.9, high=0.9),
        _case("atan", np.arctan),
        _case("sinh", np.sinh),
        _case("cosh", np.cosh),
        _case("tanh", np.tanh),
        _case("asinh", np.arcsinh),
        _case("acosh", np.arccosh, low=1.2, high=4.0),
        _case("atanh", np.arctanh, low=-0.9, high=0.9),
        _case("erf", special.erf, (3, 7), low=-4.0, high=4.0),
        _case("erfc", special.erfc, low=-3.0, high=3.0),
        _case("abs", np.abs, **STEPS),
        _case("sign", np.sign, **STEPS),
        _case("floor", np.floor, **STEPS),
        _case("ceil", np.ceil, **STEPS),
        _case("trunc", np.trunc, **STEPS),
        _case("frac", lambda x: np.modf(x)[0], **STEPS),
        _case("round", np.round, **STEPS),
        _case("square", np.square),
        _case("neg", np.negative),
        OpCase("exp of a 0-d tensor", ops.exp, [()], np.exp),
        OpCase("tanh of a 0-d tensor", ops.tanh, [()], np.tanh),
        OpCase("abs of a 0-d tensor", ops.abs, [()], np.abs, low=0.5),
        OpCase("neg of a 0-d tensor", ops.neg, [()], np.negative),
        OpCase("erf of a 0-d tensor", ops.erf, [()], special.erf),
        OpCase("sin in four dimensions", ops.sin, [(2, 2, 3, 2)], np.sin),
        OpCase(
            "round to one digit", lambda x: ops.round(x, decimals=1), [(2, 3)],
            lambda x: np.round(x, 1), distinct=True, low=-1.93,
        ),
        OpCase(
            "round to tens", lambda x: ops.round(x, decimals=-1), [(2, 3)],
            lambda x: np.round(x, -1), distinct=True, low=-43.0, high=50.0,
        ),
    ]  # fmt: skip
