"""Kinks, NaN, infinities, randomness and errors of gates, shrinkage and random slopes."""

import numpy as np
import pytest

from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, GradientError, ShapeError

NAN, INF = float("nan"), float("inf")
KINKS = np.array([0.0, -0.0, 0.5, -0.5, 3.0, -3.0, 6.0, -6.0, 1.0, -1.0, 800.0, -800.0])
NAMES = ("celu", "rrelu", "hardshrink", "softshrink", "tanhshrink", "softsign", "hardsigmoid",
         "hardswish")  # fmt: skip
IN_PLACE = ("celu", "rrelu", "hardsigmoid", "hardswish")


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", NAMES)
def test_kinks_are_pytorchs(name, oracle):
    # PyTorch takes a float32 for 1/6 in the gradient of hardsigmoid.
    theirs = getattr(oracle.torch.nn.functional, name)
    oracle.assert_same_gradients(getattr(ops, name), theirs, KINKS, rtol=1e-7)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "softsign"])
def test_infinities_are_pytorchs(name, oracle):
    theirs = getattr(oracle.torch.nn.functional, name)
    oracle.assert_same_gradients(getattr(ops, name), theirs, np.array([INF, -INF]), rtol=1e-7)


def test_softsign_of_infinity(oracle):
    """As in PyTorch it is inf / inf; its slope is the limit, 0, where PyTorch has NaN."""
    x = ops.tensor([INF, -INF], requires_grad=True)
    y = ops.softsign(x)
    assert np.isnan(y.detach().numpy()).all()
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_the_slope_of_softsign_is_exact_far_out(backend):
    x = ops.tensor([1e6, -1e6, 1e30], requires_grad=True)
    ops.softsign(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1e-12, 1e-12, 0.0], rtol=3e-6)


def test_gradients_at_nan(backend):
    """NaN passes a threshold, as in PyTorch's scalar loops; a gate it would go through is NaN."""
    expected = {"rrelu": 11 / 48, "hardshrink": 1.0, "softshrink": 1.0, "hardsigmoid": 0.0}
    for name in NAMES:
        x = ops.tensor([NAN], requires_grad=True)
        y = getattr(ops, name)(x)
        assert np.isnan(y.item()), name
        y.sum().backward()
        np.testing.assert_allclose(x.grad.item(), expected.get(name, NAN), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_second_pass_of_a_recorded_gradient_is_the_same(name, backend):
    """The gradient recorded for a second derivative is the one computed without."""
    from tinyconv.autograd import grad

    x = ops.tensor([*KINKS.tolist(), NAN, INF], requires_grad=True)
    plain = grad(getattr(ops, name)(x).sum(), x)[0]
    recorded = grad(getattr(ops, name)(x).sum(), x, create_graph=True)[0]
    np.testing.assert_array_equal(plain.detach().numpy(), recorded.detach().numpy())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_are_kept(name, dtype, backend):
    if backend == "strict" and dtype == "float16":
        pytest.skip("array-api-strict has no float16")
    x = ops.tensor([-1.0, 0.25, 2.0]).to(dtype).requires_grad_()
    y = getattr(ops, name)(x)
    y.sum().backward()
    assert y.dtype is x.grad.dtype is x.dtype


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("tanhshrink", "softsign")])
def test_integers_are_refused(name, backend):
    with pytest.raises(DTypeError, match=f"{name}: argument 'input' must be floating point"):
        getattr(ops, name)(ops.tensor([1]))


def test_integers_become_floats(backend):
    assert ops.softsign(ops.tensor([1, -3])).tolist() == [0.5, -0.75]
    assert ops.tanhshrink(ops.tensor([0])).dtype.name == "float32"


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name, backend):
    function, values = getattr(ops, name), [-2.0, 0.5, 7.0]
    x = ops.tensor(values)
    expected, array = function(ops.tensor(values)).tolist(), x.array
    assert function(x, inplace=True) is x
    assert x.array is array
    assert x.tolist() == expected
    leaf = ops.tensor(values, requires_grad=True)
    with pytest.raises(GradientError, match=f"{name}_: a leaf that requires gradients"):
        function(leaf, inplace=True)
    grads = []
    for inplace in (False, True):
        leaf.grad = None
        function(leaf * 1, inplace=inplace).sum().backward()
        grads.append(leaf.grad.tolist())
    assert grads[0] == grads[1]


@pytest.mark.parametrize("name", ["hardshrink", "softshrink", "hardsigmoid", "hardswish", "celu"])
def test_large_arrays_are_computed_in_pieces(name):
    """Above a size the formula is evaluated in blocks; the result is that of small ones."""
    rng = np.random.default_rng(0)
    big = rng.uniform(-5, 5, (3, 1 << 16)).astype(np.float32)
    weights = rng.uniform(-1, 1, big.shape).astype(np.float32)
    x = ops.from_numpy(big).requires_grad_()
    y = getattr(ops, name)(x)
    y.backward(ops.from_numpy(weights))
    for cut in (slice(0, 50), slice(-50, None)):
        part = ops.from_numpy(np.ascontiguousarray(big[:, cut])).requires_grad_()
        expected = getattr(ops, name)(part)
        expected.backward(ops.from_numpy(np.ascontiguousarray(weights[:, cut])))
        np.testing.assert_array_equal(y.detach().numpy()[:, cut], expected.detach().numpy())
        np.testing.assert_array_equal(x.grad.numpy()[:, cut], part.grad.numpy())


# -- random slopes -------------------------------------------------------------------------------


def test_random_slopes_are_uniform_and_those_of_the_gradient(backend):
    from scipy import stats

    values = np.random.default_rng(0).choice([-1.0, 2.0, -0.0], 3000)
    x = ops.tensor(values.tolist(), requires_grad=True)
    y = ops.rrelu(x, 0.2, 0.6, training=True, generator=ops.Generator(5))
    y.sum().backward()
    slopes, result = x.grad.numpy(), y.detach().numpy()
    assert (slopes[values > 0] == 1).all()
    np.testing.assert_array_equal(result, (values * slopes).astype(np.float32))
    drawn = slopes[values <= 0]
    assert stats.kstest((drawn - 0.2) / 0.4, "uniform").pvalue > 1e-3


def test_random_slopes_follow_the_seed_on_every_backend(backend):
    from tinyconv import config

    x = ops.tensor([-1.0] * 20)
    draws = [
        ops.rrelu(x, training=True, generator=ops.Generator(seed)).tolist() for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    with config.override(backend="numpy", device="cpu"):
        y = ops.rrelu(ops.tensor([-1.0] * 20, device="cpu"), training=True,
                      generator=ops.Generator(1))  # fmt: skip
    assert y.tolist() == draws[0]
    x = ops.tensor([NAN, -INF])
    assert np.isnan(ops.rrelu(x, 1.0, 2.0, True).tolist()[0])
    assert ops.rrelu(x, 1.0, 2.0, True).tolist()[1] == -INF


# -- GLU and swish -------------------------------------------------------------------------------


def test_glu_is_pytorchs_at_the_extremes(oracle):
    x = np.array([NAN, 1.0, INF, INF, -INF, 2.0, 1.0, NAN, 1.0, -INF, INF, -INF])
    oracle.assert_same_gradients(ops.glu, oracle.torch.nn.functional.glu, x)


def test_swish_of_one_is_silu(oracle):
    x = np.array([*KINKS, NAN, INF, -INF])
    oracle.assert_same_gradients(
        lambda x: ops.swish(x[:12]), lambda x: oracle.torch.nn.functional.silu(x[:12]), x
    )
    oracle.assert_same(ops.swish(ops.from_numpy(x)),
                       oracle.torch.nn.functional.silu(oracle.torch.from_numpy(x)))  # fmt: skip


def test_swish_keeps_the_dtype_of_the_input(backend):
    beta = ops.tensor(0.5, dtype="float64", requires_grad=True)
    x = ops.ones(3, requires_grad=True)
    y = ops.swish(x, beta)
    y.sum().backward()
    assert (y.dtype.name, beta.grad.dtype.name, beta.grad.shape) == ("float32", "float64", ())


# -- errors --------------------------------------------------------------------------------------


def test_errors(backend):
    x = ops.ones(2, 3)
    with pytest.raises(ArgumentError, match="celu: alpha"):
        ops.celu(x, 0.0)
    for lambd in (-0.1, INF, NAN):
        with pytest.raises(ArgumentError, match="softshrink: lambd"):
            ops.softshrink(x, lambd)
    for bounds in ((0.5, 0.1), (0.5, INF), (NAN, 1.0)):
        for training in (False, True):
            with pytest.raises(ArgumentError, match="rrelu: the slopes must have finite bounds"):
                ops.rrelu(x, *bounds, training)
    with pytest.raises(ShapeError, match=r"glu: the size along dim=1 must be even, got 3"):
        ops.glu(x)
    with pytest.raises(ShapeError, match="glu: a tensor of 0 dimensions"):
        ops.glu(ops.tensor(1.0))
    with pytest.raises(DTypeError, match="swish: argument 'beta'"):
        ops.swish(x, ops.tensor(1))
