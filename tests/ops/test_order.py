"""Dtypes, ties, NaN, gradients and errors of order statistics, running results and differences."""

import math
import warnings

import numpy as np
import pytest

from tinyconv import ops
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

NAN, INF = float("nan"), float("inf")
TIES = np.array([[1.0, 3.0, 3.0, 1.0], [2.0, 2.0, 2.0, 5.0]])
NANS = np.array([[1.0, NAN, 3.0, NAN], [4.0, 2.0, 0.5, NAN], [NAN, NAN, NAN, NAN]])
REDUCTIONS = {
    "median": (), "nanmedian": (), "mode": (), "aminmax": (), "nansum": (), "nanmean": (),
    "kthvalue": (2,), "quantile": (0.3,), "nanquantile": (0.3,), "cumprod": (0,), "cummax": (0,),
    "cummin": (0,), "logcumsumexp": (0,), "diff": (), "cov": (), "trapezoid": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", REDUCTIONS)
def test_dtypes_are_pytorchs(name, oracle):
    checked = 0
    for dtype in oracle.DTYPES:
        x, tx = oracle.pair(np.array([0, 1, 1]).astype(dtype))
        try:
            expected = getattr(oracle.torch, name)(tx, *REDUCTIONS[name])
        except (RuntimeError, NotImplementedError):
            continue
        result = getattr(ops, name)(x, *REDUCTIONS[name])
        if name in ("kthvalue", "median", "nanmedian"):  # which of equal elements is left open
            result = result.values if isinstance(result, tuple) else result
            expected = expected.values if isinstance(expected, tuple) else expected
        tolerance = 2e-3 if dtype == "float16" else 1e-6
        if name == "cummax" and dtype == "bool":
            result, expected = result[0], expected[0]  # PyTorch keeps the first of equal bools
        oracle.assert_same(result, expected, rtol=tolerance)
        checked += 1
    assert checked >= (2 if "quantile" in name else 3)


@pytest.mark.parametrize("array", [TIES, NANS], ids=["ties", "nan"])
@pytest.mark.parametrize("name", ["median", "nanmedian", "nansum", "nanmean"])
def test_gradients_over_all_elements(name, array, oracle):
    ours, theirs = getattr(ops, name), getattr(oracle.torch, name)
    oracle.assert_same_gradients(ours, theirs, array)
    oracle.assert_same_gradients(ours, theirs, array[:1])


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", ["median", "nanmedian", "kthvalue", "mode"])
def test_values_along_a_dimension(name, dim, oracle):
    arguments = (2, dim) if name == "kthvalue" else (dim,)
    # What PyTorch's mode finds among NaN depends on how it sorts them.
    for array in (TIES,) if name == "mode" else (TIES, NANS):
        x, tx = oracle.pair(array)
        values, indices = getattr(ops, name)(x, *arguments)
        expected = getattr(oracle.torch, name)(tx, *arguments)
        oracle.assert_same(values, expected.values)
        picked = x.gather(dim, indices.unsqueeze(dim)).squeeze(dim)
        oracle.assert_same(picked, expected.values)
    distinct = np.random.default_rng(0).permutation(20.0 * np.arange(20)).reshape(4, 5)
    oracle.assert_same_gradients(
        lambda x: getattr(ops, name)(x, *arguments).values,
        lambda x: getattr(oracle.torch, name)(x, *arguments).values, distinct,
    )  # fmt: skip
    x, tx = oracle.pair(distinct)
    oracle.assert_same(
        getattr(ops, name)(x, *arguments), getattr(oracle.torch, name)(tx, *arguments)
    )


def test_nan_is_a_value_of_its_own_for_mode(backend):
    assert ops.mode(ops.tensor([NAN, 1.0, NAN, 0.0])).values.item() == 0
    assert ops.mode(ops.tensor([NAN, 1.0, NAN, 1.0])).indices.item() == 3
    assert math.isnan(ops.mode(ops.tensor([NAN, NAN])).values.item())


def test_median_of_nothing(oracle):
    assert math.isnan(ops.median(ops.zeros(0)).item())
    assert math.isnan(ops.nanmedian(ops.zeros(2, 0)).item())
    assert ops.median(ops.zeros(0, 3), 1).values.shape == (0,)


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extrema_of_ties_and_nan(name, oracle):
    infinities = np.array([[-INF, INF, -INF, NAN, INF], [NAN, 1, 1, NAN, 0]])
    for array in (TIES, NANS, infinities):
        for dim in (0, 1):
            x, tx = oracle.pair(array)
            oracle.assert_same(getattr(ops, name)(x, dim), getattr(oracle.torch, name)(tx, dim))
            oracle.assert_same_gradients(
                lambda x, d=dim: getattr(ops, name)(x, d).values,
                lambda x, d=dim: getattr(oracle.torch, name)(x, d).values, array,
            )  # fmt: skip


def weighted(function, torch=None):
    """The result times 1, 2, 3 ...: its gradient is not the same at each place."""

    def run(x):
        y = function(x)
        weights = np.arange(1.0, y.shape[-1] + 1)
        return y * (torch.tensor(weights) if torch else ops.tensor(weights.tolist()).double())

    return run


@pytest.mark.parametrize("array", [[1.0, 0, 2, 0, 3], [0.0, 2, 3, 0.5], [0.0, 0, 0], [2.0]])
def test_gradient_of_cumprod_with_zeros(array, oracle):
    array = np.array([array, array[::-1]])
    oracle.assert_same_gradients(
        weighted(lambda x: ops.cumprod(x, 1)),
        weighted(lambda x: oracle.torch.cumprod(x, 1), oracle.torch), array,
    )  # fmt: skip


def test_gradient_of_cumprod_whose_products_vanish(backend):
    x = ops.tensor([1e-200, 1e-200, 3.0, 1e300], dtype="float64", requires_grad=True)
    y = ops.cumprod(x, 0)
    y[3].backward()
    assert y[1].item() == 0  # by rounding; PyTorch then takes the gradient for 0
    np.testing.assert_allclose(x.grad.tolist(), [3e100, 3e100, 0, 0], rtol=1e-14)


def test_second_gradient_of_cumprod_with_zeros(oracle):
    x, tx = oracle.pair(np.array([1.0, 0, 2, 0, 1]), requires_grad=True)
    (first,) = grad(ops.cumprod(x, 0).sum(), x, create_graph=True)
    (expected,) = oracle.torch.autograd.grad(
        oracle.torch.cumprod(tx, 0).sum(), tx, create_graph=True
    )
    oracle.assert_same(first, expected)
    weights = np.array([1.0, -2, 3, 0.5, 4])
    (second,) = grad((first * oracle.pair(weights)[0]).sum(), x)
    (expected,) = oracle.torch.autograd.grad((expected * oracle.pair(weights)[1]).sum(), tx)
    oracle.assert_same(second, expected)


def test_logcumsumexp_far_apart(oracle):
    array = np.array([[0.0, 800, -800, 1, 801], [-INF, 2, -INF, 3, 1]])
    ours = lambda x: ops.logcumsumexp(x, 1)  # noqa: E731
    theirs = lambda x: oracle.torch.logcumsumexp(x, 1)  # noqa: E731
    oracle.assert_same_gradients(weighted(ours), weighted(theirs, oracle.torch), array[:1])
    x, tx = oracle.pair(array)
    oracle.assert_same(ours(x), theirs(tx))
    x = ops.tensor([-INF, 2.0, -INF, 3.0], requires_grad=True)  # PyTorch's gradient holds NaN
    ours(x.reshape(1, 4))[0, 3].backward()
    np.testing.assert_allclose(x.grad.tolist(), [0, 1 / (1 + np.e), 0, np.e / (1 + np.e)], 1e-6)


def test_logcumsumexp_of_infinities(backend):
    result = ops.logcumsumexp(ops.tensor([-INF, -INF, 1.0, INF, NAN, 2.0]), 0).tolist()
    assert result[:4] == [-INF, -INF, 1.0, INF]
    assert all(map(math.isnan, result[4:]))


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles_of_ties_and_nan(name, method, oracle):
    ours, theirs = getattr(ops, name), getattr(oracle.torch, name)
    for array in (TIES, NANS):
        for q in (0.0, 0.25, 0.5, 0.7, 1.0):
            for dim, keepdim in ((None, False), (0, True), (1, False)):
                oracle.assert_same_gradients(
                    lambda x, a=(q, dim, keepdim): ours(x, *a, interpolation=method),
                    lambda x, a=(q, dim, keepdim): theirs(x, *a, interpolation=method), array,
                )  # fmt: skip


def test_shapes_of_quantiles(oracle):
    x, tx = oracle.pair(TIES)
    for shares in (np.array([0.2, 0.9]), np.array([]), np.array(0.4)):
        q, tq = oracle.pair(shares)
        for dim in (None, 0, -1):
            for keepdim in (False, True):
                expected = oracle.torch.quantile(tx, tq, dim, keepdim)
                oracle.assert_same(ops.quantile(x, q, dim, keepdim), expected)


def test_quantiles_among_infinities(backend):
    x = ops.tensor([-INF, 1.0, INF, INF])  # PyTorch has NaN for those that are infinite
    assert ops.quantile(x, ops.tensor([0.0, 1 / 3, 0.9, 1.0])).tolist() == [-INF, 1.0, INF, INF]


def test_quantile_of_float16():
    x = ops.arange(4001).half()
    assert ops.quantile(x, 0.5).item() == 2000
    assert ops.quantile(x, 0.5).dtype.name == "float16"


@pytest.mark.parametrize("dim", [None, 1])
def test_aminmax_shares_the_gradient_of_ties(dim, oracle):
    for k in (0, 1):
        oracle.assert_same_gradients(
            lambda x, k=k: ops.aminmax(x, dim=dim)[k],
            lambda x, k=k: oracle.torch.aminmax(x, dim=dim)[k], TIES,
        )  # fmt: skip


def test_results_have_names(backend):
    x = ops.tensor([3.0, 1.0, 2.0])
    assert (x.aminmax().min.item(), x.aminmax().max.item()) == (1, 3)
    for result in (x.median(0), x.nanmedian(0), x.kthvalue(2), x.cummax(0), x.mode()):
        assert result.values.tolist() == result[0].tolist()
        assert result.indices.dtype.name == "int64"
        assert not result.indices.requires_grad


def test_renorm_and_its_gradient(oracle):
    array = np.array([[1.0, 2.0], [0.0, 0.0], [0.1, 0.1]])
    for p in (1, 2, INF):
        oracle.assert_same_gradients(
            lambda x, p=p: ops.renorm(x, p, 0, 1), lambda x, p=p: oracle.torch.renorm(x, p, 0, 1),
            array,
        )  # fmt: skip


def test_covariance_at_the_edges(oracle):
    for array in (np.zeros((2, 0)), np.zeros((0, 2)), np.array(1.0), np.ones((2, 1))):
        x, tx = oracle.pair(array)
        for correction in (0, 1, 5):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch says that there is nothing to estimate
                expected = oracle.torch.cov(tx, correction=correction)
            oracle.assert_same(ops.cov(x, correction=correction), expected)
    x, tx = oracle.pair(np.array([[1.0, 2, 4], [3, 3, 3]]))
    oracle.assert_same(ops.corrcoef(x), oracle.torch.corrcoef(tx))


def test_trapezoids_at_the_edges(oracle):
    for name in ("trapezoid", "cumulative_trapezoid"):
        for shape in ((2, 0), (2, 1), (1,)):
            x, tx = oracle.pair(np.ones(shape))
            oracle.assert_same(getattr(ops, name)(x), getattr(oracle.torch, name)(tx))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.median(ops.tensor([True])), DTypeError, "median: bool"),
        (lambda: ops.median(ops.zeros(0, 2), 0), ArgumentError, r"median: .*\(0, 2\)"),
        (lambda: ops.median(ops.zeros(0).long()), ArgumentError, "median: .*no elements"),
        (lambda: ops.nanmedian(ops.ones(2), 1), IndexRangeError, "nanmedian: dim=1"),
        (lambda: ops.mode(ops.zeros(0, 2), 0), ArgumentError, "mode: .*no elements"),
        (lambda: ops.kthvalue(ops.ones(3), 4), ArgumentError, "kthvalue: k=4 must be from 1 to 3"),
        (lambda: ops.kthvalue(ops.ones(3), 0), ArgumentError, "kthvalue: k=0"),
        (lambda: ops.kthvalue(ops.tensor([True]), 1), DTypeError, "kthvalue: bool"),
        (lambda: ops.quantile(ops.ones(2), 1.5), ArgumentError, "quantile: q must .* got 1.5"),
        (lambda: ops.quantile(ops.ones(2), NAN), ArgumentError, "quantile: q must"),
        (lambda: ops.quantile(ops.ones(2), ops.ones(1).double()), DTypeError, "quantile: q must"),
        (lambda: ops.quantile(ops.ones(2), ops.ones(1, 1)), ShapeError, "0 or 1 dimensions"),
        (lambda: ops.quantile(ops.arange(2), 0.5), DTypeError, "quantile: argument 'input'"),
        (lambda: ops.quantile(ops.ones(0), 0.5), ArgumentError, "quantile: .*no elements"),
        (lambda: ops.nanquantile(ops.ones(2), 0.5, interpolation="cubic"), ArgumentError,
         "interpolation='cubic' is unknown; choose linear, lower"),
        (lambda: ops.aminmax(ops.zeros(0)), ArgumentError, "aminmax: .*no elements"),
        (lambda: ops.aminmax(ops.ones(2, 2), dim=(0, 1)), DTypeError, "aminmax: dim must be"),
        (lambda: ops.cumprod(ops.ones(2), 1), IndexRangeError, "cumprod: dim=1"),
        (lambda: ops.cummax(ops.ones(2), 1), IndexRangeError, "cummax: dim=1"),
        (lambda: ops.logcumsumexp(ops.arange(2), 0), DTypeError, "logcumsumexp: argument"),
        (lambda: ops.nanmean(ops.arange(2)), DTypeError, "nanmean: argument"),
        (lambda: ops.diff(ops.tensor(1.0)), ShapeError, "diff: expected at least 1 dim"),
        (lambda: ops.diff(ops.ones(2), -1), ArgumentError, "diff: n=-1"),
        (lambda: ops.diff(ops.ones(2, 3), append=ops.ones(1, 1)), ShapeError, "diff: append of"),
        (lambda: ops.diff(ops.ones(2), prepend=ops.ones(())), ShapeError, "diff: prepend of"),
        (lambda: ops.trapezoid(ops.tensor(1.0)), ShapeError, "trapezoid: expected at least 1"),
        (lambda: ops.trapezoid(ops.ones(2), ops.ones(2), dx=1), ArgumentError, "x or dx=1"),
        (lambda: ops.trapezoid(ops.ones(2, 3), ops.ones(2)), ShapeError, "must have 3 elements"),
        (lambda: ops.trapezoid(ops.tensor([True])), DTypeError, "trapezoid: bool"),
        (lambda: ops.cov(ops.ones(2, 2, 2)), ShapeError, "cov: expected at most 2"),
        (lambda: ops.corrcoef(ops.ones(2, 2, 2)), ShapeError, "corrcoef: expected at most 2"),
        (lambda: ops.cov(ops.tensor([True])), DTypeError, "cov: bool"),
        (lambda: ops.cov(ops.ones(2), fweights=ops.ones(2)), DTypeError, "fweights must hold int"),
        (lambda: ops.cov(ops.ones(2), aweights=ops.arange(2)), DTypeError, "aweights must hold"),
        (lambda: ops.cov(ops.ones(2), aweights=ops.ones(3)), ShapeError, "for each of 2 obs"),
        (lambda: ops.cov(ops.ones(2), fweights=ops.tensor([1, -1])), ArgumentError, "negative"),
        (lambda: ops.cov(ops.ones(2), aweights=ops.zeros(2)), ArgumentError, "sum to 0"),
        (lambda: ops.renorm(ops.ones(2), 2, 0, 1), ShapeError, "renorm: expected at least 2"),
        (lambda: ops.renorm(ops.ones(2, 2), 0, 0, 1), ArgumentError, "renorm: p=0"),
        (lambda: ops.renorm(ops.ones(2, 2), 2, 0, -1), ArgumentError, "renorm: maxnorm=-1"),
        (lambda: ops.renorm(ops.ones(2, 2).long(), 2, 0, 1), DTypeError, "renorm: argument"),
    ],
)  # fmt: skip
def test_errors(call, error, match, backend):
    with pytest.raises(error, match=match):
        call()
