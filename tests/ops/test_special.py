"""Dtypes, edges, gradients and errors of special functions and of parts of numbers."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import ops
from tinyconv.autograd import grad, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, GradientError

NAN, INF = float("nan"), float("inf")
EDGES = np.array([-0.0, 0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.5, 30.0, INF, -INF, NAN])
UNARY = ["erfinv", "lgamma", "digamma", "i0", "sinc", "logit", "deg2rad", "rad2deg",
         "nan_to_num", "signbit", "isposinf", "isneginf", "sgn"]  # fmt: skip
BINARY = ["xlogy", "logaddexp", "logaddexp2", "copysign", "ldexp", "heaviside", "gcd", "lcm",
          "nextafter", "float_power"]  # fmt: skip


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


def other_pairs(oracle):
    for a in oracle.DTYPES:
        for b in oracle.DTYPES:
            x, tx = oracle.pair(np.array([0, 1, 1]).astype(a))
            y, ty = oracle.pair(np.array([1, 0, 1]).astype(b))
            yield x, y, tx, ty


@pytest.mark.parametrize("name", UNARY)
def test_dtypes_are_pytorchs(name, oracle):
    checked = 0
    for dtype in oracle.DTYPES:
        x, tx = oracle.pair(np.array([0, 1, 1]).astype(dtype))
        if name == "sgn" and dtype == "bool":
            continue  # bool has no sign; tinyconv refuses
        try:
            expected = getattr(oracle.torch, name)(tx)
        except (RuntimeError, NotImplementedError):
            continue
        oracle.assert_same(getattr(tc, name)(x), expected, rtol=2e-3, atol=1e-3)
        checked += 1
    assert checked >= 8


@pytest.mark.parametrize("name", BINARY)
def test_mixed_dtypes_are_pytorchs(name, oracle):
    checked = 0
    for x, y, tx, ty in other_pairs(oracle):
        try:
            expected = getattr(oracle.torch, name)(tx, ty)
        except (RuntimeError, NotImplementedError):
            continue
        oracle.assert_same(getattr(ops, name)(x, y), expected, rtol=2e-3, atol=1e-3)
        checked += 1
    assert checked >= 9


def assert_gradients(oracle, ours, theirs, *arrays):
    oracle.assert_same_gradients(ours, theirs, *arrays, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["erfinv", "sinc", "logit", "deg2rad", "nan_to_num", "lgamma"])
def test_edges_of_the_domain_are_pytorchs(name, oracle):
    """Values and gradients; at the poles of lgamma the slope of PyTorch is a matter of rounding."""
    x = {"lgamma": EDGES[(EDGES > 0) | (np.abs(EDGES) == 0.5)], "logit": EDGES[1:]}.get(name, EDGES)
    assert_gradients(oracle, getattr(ops, name), getattr(oracle.torch, name), x)


@pytest.mark.parametrize("name", ["digamma", "i0"])
def test_values_at_edges_are_pytorchs(name, oracle):
    x, tx = oracle.pair(EDGES[np.isfinite(EDGES)] if name == "i0" else EDGES)
    oracle.assert_same(getattr(ops, name)(x), getattr(oracle.torch, name)(tx), rtol=1e-12)
    assert ops.i0(ops.tensor([INF, -INF])).tolist() == [INF, INF]  # PyTorch has NaN


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5, 0.6])
def test_logit_of_a_narrower_interval(eps, oracle):
    x = np.array([0.0, 0.05, 0.1, 0.2, 0.5, 0.7, 0.9, 1.0, 2.0, -1.0, NAN])
    assert_gradients(oracle, lambda x: ops.logit(x, eps), lambda x: oracle.torch.logit(x, eps), x)


@pytest.mark.parametrize("name", ["xlogy", "copysign", "logaddexp"])
def test_pairs_of_edges_are_pytorchs(name, oracle):
    # Of copysign(inf) PyTorch's gradient is NaN, of inf / inf.
    first = EDGES[~np.isinf(EDGES)] if name == "copysign" else EDGES
    a, b = (m.ravel() for m in np.meshgrid(first, EDGES))
    assert_gradients(oracle, getattr(ops, name), getattr(oracle.torch, name), a, b)


def test_logaddexp2_at_the_edges(oracle):
    a, b = (m.ravel() for m in np.meshgrid(EDGES, EDGES))
    x, tx = oracle.pair(a)
    y, ty = oracle.pair(b)
    oracle.assert_same(ops.logaddexp2(x, y), oracle.torch.logaddexp2(tx, ty))


def test_xlogy_of_numbers(oracle):
    x, tx = oracle.pair(EDGES)
    for number in (0, 2, 0.0, -1.5, NAN):
        oracle.assert_same(ops.xlogy(x, number), oracle.torch.xlogy(tx, number))
        oracle.assert_same(ops.xlogy(number, x), oracle.torch.xlogy(number, tx))


def test_float_power_of_numbers(oracle):
    for array in (np.array([1, 2]), np.array([0.5, 2], np.float32)):
        x, tx = oracle.pair(array)
        oracle.assert_same(ops.float_power(x, 2), oracle.torch.float_power(tx, 2))
        oracle.assert_same(ops.float_power(3, x), oracle.torch.float_power(3, tx))
    assert_gradients(
        oracle, ops.float_power, oracle.torch.float_power, np.array([0.5, 2]), np.array([2.0, -1])
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_largest_numbers_stand_for_infinities(dtype, oracle):
    x, tx = oracle.pair(np.array([NAN, INF, -INF, 1, -0.0]).astype(dtype))
    for arguments in ((), (2.0,), (None, 3.0), (0.5, None, -4.0)):
        expected = oracle.torch.nan_to_num(tx, *arguments)
        oracle.assert_same(ops.nan_to_num(x, *arguments), expected)


def test_signs_and_steps(oracle):
    x, tx = oracle.pair(EDGES)
    oracle.assert_same(ops.signbit(x), oracle.torch.signbit(tx))
    half = oracle.torch.tensor([0.5], dtype=oracle.torch.float64)
    oracle.assert_same(
        ops.heaviside(x, ops.tensor([0.5], dtype="float64")), oracle.torch.heaviside(tx, half)
    )
    assert ops.heaviside(ops.tensor([True, False]), ops.tensor([True])).tolist() == [True, True]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neighbours(dtype, oracle):
    a, b = (m.ravel() for m in np.meshgrid(EDGES, EDGES))
    x, tx = oracle.pair(a.astype(dtype))
    y, ty = oracle.pair(b.astype(dtype))
    oracle.assert_same(ops.nextafter(x, y), oracle.torch.nextafter(tx, ty), rtol=0, atol=0)


def test_second_gradients_at_zero(backend):
    x = ops.tensor([0.0, 1e-3, 0.099, 0.101], dtype="float64", requires_grad=True)
    assert gradgradcheck(ops.sinc, [x])
    (first,) = grad(ops.sinc(x).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    np.testing.assert_allclose(second[0].item(), -(np.pi**2) / 3, rtol=1e-12)
    x = ops.tensor([0.0, 25.0, -2.0], dtype="float64", requires_grad=True)
    (first,) = grad(ops.i0(x).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x, create_graph=True)
    (third,) = grad(second.sum(), x)
    assert second[0].item() == 0.5
    assert third[0].item() == 0.0
    special = pytest.importorskip("scipy.special")
    np.testing.assert_allclose(third.tolist(), special.ivp(0, [0.0, 25, -2], 3), rtol=1e-12)


def test_the_slope_of_lgamma_is_digamma(backend):
    x = ops.tensor([0.5, 3.0, -1.5], dtype="float64", requires_grad=True)
    values = x
    for n in range(4):
        values = ops.lgamma(x) if n == 0 else grad(values.sum(), x, create_graph=True)[0]
        if n:
            assert tc.equal(values.detach(), ops.polygamma(n - 1, x.detach()))


def test_digamma_and_polygamma_agree_as_methods(backend):
    x = ops.tensor([0.5, 3.0])
    assert x.polygamma(2).tolist() == ops.polygamma(2, x).tolist()
    assert x.clone().polygamma_(2).tolist() == ops.polygamma(2, x).tolist()
    assert x.polygamma(0).tolist() == x.digamma().tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_common_divisors(dtype, oracle):
    a, b = (m.ravel() for m in np.meshgrid(np.arange(13), np.arange(13)))
    for sign in (1, -1) if dtype != "uint8" else (1,):
        x, tx = oracle.pair(a.astype(dtype))
        y, ty = oracle.pair((sign * b).astype(dtype))
        oracle.assert_same(ops.gcd(x, y), oracle.torch.gcd(tx, ty))
        oracle.assert_same(ops.lcm(x, y), oracle.torch.lcm(tx, ty))


def test_large_arrays_are_computed_in_pieces(backend):
    if backend == "strict":
        pytest.skip("array-api-strict computes in one piece")
    special = pytest.importorskip("scipy.special")
    x = np.linspace(0.1, 9, 1 << 17)
    for name, expected in (("lgamma", special.gammaln), ("digamma", special.digamma),
                           ("i0", special.i0), ("sinc", np.sinc)):  # fmt: skip
        result = getattr(ops, name)(ops.from_numpy(x)).numpy()
        np.testing.assert_allclose(result, expected(x), rtol=1e-12, atol=1e-14)
    result = ops.polygamma(3, ops.from_numpy(x)).numpy()
    np.testing.assert_allclose(result, special.polygamma(3, x), rtol=1e-12)


@pytest.mark.parametrize("name", ["erfinv", "deg2rad", "lgamma", "i0", "sinc", "logit"])
def test_gradients_of_large_arrays_are_those_of_small_ones(name):
    x = np.linspace(0.05, 0.95, 1 << 17, dtype=np.float32)
    gradients = []
    for array in (x, x[::1000].copy()):
        leaf = ops.from_numpy(array).requires_grad_()
        getattr(ops, name)(leaf).sum().backward()
        gradients.append(leaf.grad.numpy())
    np.testing.assert_allclose(gradients[0][::1000], gradients[1], rtol=1e-6)


def test_positive_returns_its_input():
    x = ops.tensor([1.0])
    assert ops.positive(x) is x


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: ops.polygamma(-1, x), ArgumentError, "polygamma: n=-1"),
        (lambda x: ops.polygamma(1.5, x), TypeError, "float"),
        (lambda x: ops.xlogy(1, 2), DTypeError, "xlogy: argument 'input' must be a Tensor"),
        (lambda x: ops.copysign(1.0, x), DTypeError, "copysign: argument 'input'"),
        (lambda x: ops.logaddexp(x, 1.0), DTypeError, "logaddexp: argument 'other'"),
        (lambda x: ops.ldexp(x, 1), DTypeError, "ldexp: argument 'other'"),
        (lambda x: ops.gcd(x, x), DTypeError, "gcd: needs integers, got"),
        (lambda x: ops.lcm(x.int(), x), DTypeError, "lcm: needs integers, got"),
        (lambda x: ops.gcd(x > 0, x > 0), DTypeError, "gcd: needs integers, got"),
        (lambda x: ops.heaviside(x, x.double()), DTypeError, "must have one dtype, got"),
        (lambda x: ops.nextafter(x.int(), x.int()), DTypeError, "nextafter: needs floating-point"),
        (lambda x: ops.heaviside(x, x).sum().backward(), GradientError, "heaviside: the function"),
        (lambda x: ops.nextafter(x, x).sum().backward(), GradientError, "nextafter: the function"),
        (lambda x: ops.positive(x > 0), DTypeError, "positive: bool"),
        (lambda x: ops.lgamma(1.0), DTypeError, "lgamma: argument 'input' must be a Tensor"),
        (lambda x: ops.nan_to_num(1.0), DTypeError, "nan_to_num: argument 'input'"),
    ],
)  # fmt: skip
def test_errors(call, error, match, backend):
    with pytest.raises(error, match=match):
        call(ops.tensor([1.0, 2.0], requires_grad=True))


ALIASES = {
    "absolute": "abs", "negative": "neg", "sgn": "sign", "fix": "trunc", "subtract": "sub",
    "multiply": "mul", "divide": "div", "greater": "gt", "greater_equal": "ge", "less": "lt",
    "less_equal": "le", "not_equal": "ne", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
}  # fmt: skip


OF_TWO = ("sub", "mul", "div", "gt", "ge", "lt", "le", "ne", "atan2")


@pytest.mark.parametrize("alias", ALIASES)
def test_other_names(alias):
    name = ALIASES[alias]
    assert getattr(tc, alias) is getattr(tc.Tensor, alias) is getattr(ops, name)
    arguments = (ops.tensor([0.2, 1.0]),) if name in OF_TWO else ()
    results = [getattr(ops.tensor([1.0, 0.5]), f"{n}_")(*arguments) for n in (alias, name)]
    np.testing.assert_array_equal(results[0].numpy(), results[1].numpy())


@pytest.mark.parametrize("name", [*UNARY, *BINARY, "clamp_min", "clamp_max", "positive"])
def test_each_is_a_method_too(name):
    assert getattr(tc.Tensor, name) is getattr(tc, name)
