"""The scan of recurrent cells against loops written with NumPy from the papers' formulas."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

import tinyconv as tc
from tinyconv.autograd import grad
from tinyconv.ops.sequences.recurrent import Gru, Lstm, RnnRelu, RnnTanh, recurrence

special = pytest.importorskip("scipy.special")
T, N, H = 3, 2, 4


def _elman(function):
    def step(x, a, h, c):
        return function(x + a), None

    return step


def _lstm(x, a, h, c):
    i, f, g, o = np.split(x + a, 4, 1)
    c = special.expit(f) * c + special.expit(i) * np.tanh(g)
    return special.expit(o) * np.tanh(c), c


def _gru(x, a, h, c):
    (x_r, x_z, x_n), (a_r, a_z, a_n) = np.split(x, 3, 1), np.split(a, 3, 1)
    z = special.expit(x_z + a_z)
    return (1 - z) * np.tanh(x_n + special.expit(x_r + a_r) * a_n) + z * h, None


def _oracle(step, backwards=False):
    """Return y, h and, where there is one, c after all steps."""

    def run(x, h, weight, bias=0.0, c=None, projection=None):
        outputs = {}
        for t in range(len(x))[:: -1 if backwards else 1]:
            h, c = step(x[t], h @ weight.T + bias, h, c)
            h = h if projection is None else h @ projection.T
            outputs[t] = h
        y = np.stack([outputs[t] for t in range(len(x))])
        return (y, h) if c is None else (y, h, c)

    return run


def _op(cell, backwards=False):
    def run(x, h, weight, bias=None, c=None, projection=None):
        y, (h, c) = recurrence(cell, x, (h, c), weight, bias, projection, backwards)
        return (y, h) if c is None else (y, h, c)

    return run


def _case(name, cell, step, gates, extra=(), backwards=False, h=H, **kwargs):
    shapes = [(T, N, gates * H), (N, h), (gates * H, h), *extra]
    return OpCase(name, _op(cell, backwards), shapes, _oracle(step, backwards), **kwargs)


_C = [(4 * H,), (N, H)]


class TestRecurrence(OpSuite):
    CASES = [
        _case("tanh", RnnTanh, _elman(np.tanh), 1),
        _case("tanh bias backwards", RnnTanh, _elman(np.tanh), 1, [(H,)], True),
        _case("relu", RnnRelu, _elman(lambda x: np.maximum(x, 0)), 1, [(H,)], rtol32=1e-4),
        _case("gru", Gru, _gru, 3, [(3 * H,)]),
        _case("gru without bias, backwards", Gru, _gru, 3, (), True),
        _case("lstm", Lstm, _lstm, 4, _C),
        _case("lstm backwards", Lstm, _lstm, 4, _C, True),
        _case("lstm projected", Lstm, _lstm, 4, [*_C, (3, H)], h=3),
        _case("lstm projected backwards", Lstm, _lstm, 4, [*_C, (3, H)], True, h=3),
    ]


@pytest.mark.parametrize("cell", [RnnTanh, RnnRelu, Gru])
def test_an_empty_batch(cell, backend):
    gates = 3 if cell is Gru else 1
    x = tensor(np.zeros((T, 0, gates * H)), requires_grad=True)
    weight = tensor(np.ones((gates * H, H)), requires_grad=True)
    y, (h, _) = recurrence(cell, x, (tensor(np.zeros((0, H))), None), weight)
    assert host(y).shape == (T, 0, H)
    (y.sum() + h.sum()).backward()
    assert not host(weight.grad).any()


@pytest.mark.filterwarnings("error")
def test_nan_and_infinities_spread_in_silence(backend):
    x = np.zeros((T, 3, 4 * H))
    x[0, 0], x[1, 1], x[0, 2] = np.nan, np.inf, -np.inf
    weight, zero = tensor(np.zeros((4 * H, H)), requires_grad=True), tensor(np.zeros((3, H)))
    y, (_, c) = recurrence(Lstm, tensor(x), (zero, zero), weight)
    y.sum().backward()
    expected = _oracle(_lstm)(x, np.zeros((3, H)), np.zeros((4 * H, H)), c=np.zeros((3, H)))
    np.testing.assert_array_equal(host(y), expected[0])
    np.testing.assert_array_equal(host(c), expected[2])


def test_only_the_gradients_that_are_asked_for(backend):
    x, h = tensor(np.ones((T, N, H)), requires_grad=True), tensor(np.ones((N, H)))
    weight = tensor(np.ones((H, H)))
    y, _ = recurrence(RnnTanh, x, (h, None), weight)
    y.sum().backward()
    assert weight.grad is None
    assert x.grad is not None


def test_a_second_backward_is_refused_and_a_changed_weight_is_seen():
    x, h = tc.ones(T, N, H), tc.ones(N, H)
    weight = tc.ones(H, H, requires_grad=True)
    y, _ = recurrence(RnnTanh, x, (h, None), weight)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    with pytest.raises(tc.errors.GradientError, match="retain_graph"):
        grad(y.sum(), weight)
    y, _ = recurrence(RnnTanh, x, (h, None), weight)
    with tc.no_grad():
        weight.mul_(2)
    with pytest.raises(tc.errors.InPlaceError, match="modified"):
        y.sum().backward()
