"""Kinks, extreme inputs, dtypes, in-place forms and errors of activation functions."""

from functools import partial

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, GradientError

NAN, INF = float("nan"), float("inf")
EXTREMES = np.array([0.0, -0.0, 1.0, -1.0, 6.0, -50.0, 50.0, -1000.0, 1000.0])
IN_PLACE = ("relu", "relu6", "leaky_relu", "elu", "selu", "silu", "mish", "hardtanh")
SMOOTH = ("gelu", "silu", "mish", "softplus", "logsigmoid", "elu", "selu", "leaky_relu")


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", sorted({*IN_PLACE, *SMOOTH}))
def test_kinks_and_extremes_are_pytorchs(name, oracle):
    """Values and gradients at the kinks and far out, silently."""
    theirs = getattr(oracle.torch.nn.functional, name)
    oracle.assert_same_gradients(getattr(ops, name), theirs, EXTREMES, rtol=1e-8)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "leaky_relu", "elu"])
def test_infinities_are_pytorchs(name, oracle):
    theirs = getattr(oracle.torch.nn.functional, name)
    oracle.assert_same_gradients(getattr(ops, name), theirs, np.array([INF, -INF]))


def _call(function, arguments, x):
    return function(x, *arguments)


def test_nan_stays_nan(backend):
    for name in ("relu6", "hardtanh", *SMOOTH, "relu"):
        assert np.isnan(getattr(ops, name)(ops.tensor([NAN])).item()), name


def test_arguments_are_pytorchs(oracle):
    functional = oracle.torch.nn.functional
    for name, arguments in (
        ("leaky_relu", (0.3,)), ("leaky_relu", (-0.3,)), ("leaky_relu", (0.0,)), ("elu", (2.0,)),
        ("elu", (-1.0,)), ("hardtanh", (-2.0, 0.5)), ("threshold", (0.5, 20.0)),
        ("threshold", (1.0, -3.0)), ("softplus", (2.0, 5.0)), ("softplus", (-1.0, 20.0)),
    ):  # fmt: skip
        oracle.assert_same_gradients(
            partial(_call, getattr(ops, name), arguments),
            partial(_call, getattr(functional, name), arguments), EXTREMES, rtol=1e-8,
        )  # fmt: skip
    for approximate in ("none", "tanh"):
        oracle.assert_same_gradients(
            lambda x, a=approximate: ops.gelu(x, approximate=a),
            lambda x, a=approximate: functional.gelu(x, approximate=a),
            np.linspace(-5, 5, 11), rtol=1e-8,
        )  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_writes_into_the_input(name, backend):
    function = getattr(ops, name)
    values = [-2.0, 0.5, 7.0]
    x = ops.tensor(values)
    expected, array = function(ops.tensor(values)), x.array
    assert function(x, inplace=True) is x
    assert x.array is array
    assert x.tolist() == expected.tolist()
    leaf = ops.tensor(values, requires_grad=True)
    with pytest.raises(GradientError, match="a leaf that requires gradients"):
        function(leaf, inplace=True)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_keeps_gradients(name, backend):
    values, grads = [-2.0, 0.5, 7.0], []
    for inplace in (False, True):
        x = ops.tensor(values, requires_grad=True)
        getattr(ops, name)(x * 1, inplace=inplace).sum().backward()
        grads.append(x.grad.tolist())
    assert grads[0] == grads[1]


def test_threshold_in_place(backend):
    x = ops.tensor([-1.0, 2.0])
    assert ops.threshold(x, 0.0, 9.0, inplace=True) is x
    assert x.tolist() == [9.0, 2.0]


def test_integers(backend):
    x = ops.tensor([1, -2, 8])
    assert ops.relu(x).tolist() == [1, 0, 8]
    assert ops.relu6(x).tolist() == [1, 0, 6]
    assert ops.hardtanh(x).tolist() == [1, -1, 1]
    assert ops.threshold(x, 0, 7).tolist() == [1, 7, 8]
    for name in SMOOTH:
        with pytest.raises(DTypeError, match=f"{name}: argument 'input' must be floating point"):
            getattr(ops, name)(x)


def test_bools_are_refused(backend):
    for name in ("relu", "hardtanh", "relu6"):
        with pytest.raises(DTypeError, match="bool"):
            getattr(ops, name)(ops.tensor([True]))


def test_arguments_that_make_no_sense(backend):
    with pytest.raises(ArgumentError, match=r"min_val=1 is above max_val=-1"):
        ops.hardtanh(ops.zeros(1), 1, -1)
    with pytest.raises(ArgumentError, match="approximate='erf'"):
        ops.gelu(ops.zeros(1), approximate="erf")


def test_relu_saves_its_output_not_its_input(backend):
    x = ops.tensor([-1.0, 2.0], requires_grad=True)
    inner = x * 1
    y = ops.relu(inner)
    inner.add_(5)
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_the_memory_layout_is_kept():
    channels_last = np.zeros((2, 4, 5, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    x = ops.from_numpy(channels_last).requires_grad_()
    for name in ("relu", "leaky_relu", "gelu", "silu", "elu", "sigmoid", "hardtanh"):
        y = getattr(ops, name)(x)
        assert y.array.strides == channels_last.strides
        x.grad = None
        y.backward(ops.from_numpy(np.ones_like(channels_last)))
        assert x.grad.array.strides == channels_last.strides


TWINS = {
    "celu_": (0.7,), "elu_": (0.7,), "hardtanh_": (-0.4, 1.5), "leaky_relu_": (0.3,), "relu_": (),
    "rrelu_": (0.1, 0.3), "selu_": (), "threshold_": (0.1, 20.0),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_functions_that_end_in_an_underscore_are_pytorchs(name, oracle):
    functions = getattr(tc.nn.functional, name), getattr(oracle.torch.nn.functional, name)
    for arguments in ((), TWINS[name]) if name != "threshold_" else (TWINS[name],):
        results = []
        for function, x in zip(functions, oracle.pair(EXTREMES, True), strict=True):
            inner = x * 1
            assert function(inner, *arguments) is inner
            inner.sum().backward()
            results.append((inner, x.grad))
        oracle.assert_same(*results)
    assert not hasattr(oracle.torch, name) or getattr(tc, name) is functions[0]


@pytest.mark.parametrize("name", TWINS)
def test_a_leaf_is_not_overwritten(name, backend):
    leaf = ops.tensor([-2.0, 0.5], requires_grad=True)
    with pytest.raises(GradientError, match=f"{name}: .*a leaf that requires gradients"):
        getattr(ops, name)(leaf, *TWINS[name])


def test_methods_of_activation_functions_are_pytorchs(oracle):
    oracle.assert_same_gradients(
        lambda x, w: x.prelu(w) + x.hardshrink(0.7), lambda x, w: x.prelu(w) + x.hardshrink(0.7),
        EXTREMES, np.array([0.3]),
    )  # fmt: skip
