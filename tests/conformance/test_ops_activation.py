"""Activation functions against their formulas, written with NumPy and SciPy."""

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops

special = pytest.importorskip("scipy.special")
stats = pytest.importorskip("scipy.stats")


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def _halves(x, axis=-1):
    value, gate = np.split(x, 2, axis)
    return value * special.expit(gate)


def _case(name, oracle, op=None, **kwargs):
    return OpCase(name, op or getattr(ops, name), [(2, 5)], oracle, distinct=True,
                  zero_size=True, low=-3.0, high=3.0, **kwargs)  # fmt: skip


class TestActivation(OpSuite):
    CASES = [
        _case("relu", lambda x: x * (x > 0)),
        _case("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
        _case("leaky_relu steep", lambda x: np.where(x > 0, x, 1.5 * x),
              lambda x: ops.leaky_relu(x, 1.5)),
        _case("leaky_relu downwards", lambda x: np.where(x > 0, x, -0.5 * x),
              lambda x: ops.leaky_relu(x, negative_slope=-0.5)),
        _case("hardtanh", lambda x: np.clip(x, -1, 1)),
        _case("hardtanh wide", lambda x: np.clip(x, -2, 0.5), lambda x: ops.hardtanh(x, -2, 0.5)),
        _case("threshold", lambda x: np.where(x > 0.1, x, 20), lambda x: ops.threshold(x, 0.1, 20)),
        _case("elu", _elu),
        _case("elu alpha", lambda x: _elu(x, 0.7), lambda x: ops.elu(x, 0.7)),
        _case("selu", lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772)),
        _case("gelu", lambda x: x * stats.norm.cdf(x)),
        _case("gelu tanh", lambda x: x / 2 * (
            1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        ), lambda x: ops.gelu(x, approximate="tanh")),
        _case("silu", lambda x: x / (1 + np.exp(-x))),
        _case("mish", lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
        _case("softplus", lambda x: np.log(1 + np.exp(x))),
        _case("softplus beta", lambda x: np.where(2 * x > 3.3, x, np.log(1 + np.exp(2 * x)) / 2),
              lambda x: ops.softplus(x, beta=2, threshold=3.3)),
        _case("logsigmoid", special.log_expit),
        _case("celu", _elu),
        _case("celu alpha", lambda x: np.where(x > 0, x, 0.7 * (np.exp(x / 0.7) - 1)),
              lambda x: ops.celu(x, 0.7)),
        _case("celu upside down", lambda x: np.where(x > 0, x, -2 * (np.exp(x / -2) - 1)),
              lambda x: ops.celu(x, -2.0)),
        _case("rrelu", lambda x: np.where(x > 0, x, x * 11 / 48)),
        _case("rrelu training", lambda x: np.where(x > 0, x, 0.3 * x),
              lambda x: ops.rrelu(x, 0.3, 0.3, training=True)),
        _case("hardshrink", lambda x: x * (abs(x) > 0.5)),
        _case("hardshrink wide", lambda x: x * (abs(x) > 1.3), lambda x: ops.hardshrink(x, 1.3)),
        _case("softshrink", lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0)),
        _case("softshrink wide", lambda x: np.sign(x) * np.maximum(abs(x) - 1.3, 0),
              lambda x: ops.softshrink(x, 1.3)),
        _case("tanhshrink", lambda x: x - np.tanh(x)),
        _case("softsign", lambda x: x / (1 + abs(x))),
        _case("swish", lambda x: x * special.expit(x)),
        _case("swish steep", lambda x: x * special.expit(3 * x), lambda x: ops.swish(x, 3)),
        OpCase("hardsigmoid", ops.hardsigmoid, [(2, 7)], lambda x: np.clip(x / 6 + 0.5, 0, 1),
               distinct=True, low=-5.0, high=5.0, zero_size=True),
        OpCase("hardswish", ops.hardswish, [(2, 7)], lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
               distinct=True, low=-5.0, high=5.0, zero_size=True),
        OpCase("swish learnt", ops.swish, [(2, 3, 4), ()], lambda x, b: x * special.expit(b * x)),
        OpCase("swish a channel", lambda x, b: ops.swish(x, b.reshape(3, 1)), [(2, 3, 4), (3,)],
               lambda x, b: x * special.expit(b[:, None] * x)),
        OpCase("glu", ops.glu, [(3, 2, 4)], _halves, zero_size=True),
        OpCase("glu of channels", lambda x: ops.glu(x, 1), [(3, 4, 5)], lambda x: _halves(x, 1),
               zero_size=True),
        OpCase("relu6", ops.relu6, [(2, 5)], lambda x: np.clip(x, 0, 6), distinct=True, low=-9.0,
               high=9.0),
        OpCase("relu 0-d", ops.relu, [()], lambda x: x, low=0.5),
        OpCase("elu 0-d", ops.elu, [()], _elu, high=-0.5),
        OpCase("gelu 0-d", ops.gelu, [()], lambda x: x * stats.norm.cdf(x)),
        OpCase("relu channels last", lambda x: ops.relu(x.permute(0, 3, 1, 2)), [(2, 3, 3, 2)],
               lambda x: (x * (x > 0)).transpose(0, 3, 1, 2), distinct=True),
    ]  # fmt: skip
