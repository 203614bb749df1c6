"""Counts, waiting times and other draws: distributions, reproducibility, limits, errors."""

import numpy as np
import pytest
from scipy import stats
from suite import host, tensor

import tinyconv as tc
from tinyconv import config, ops
from tinyconv.errors import ArgumentError, DTypeError

N = 4000


@pytest.fixture(autouse=True)
def seeded():
    state = ops.get_rng_state()
    ops.manual_seed(99)
    yield
    ops.set_rng_state(state)


def fits(sample, distribution):
    """Return whether counts of whole numbers agree with those expected, by a chi-square test."""
    values, counts = np.unique(sample, return_counts=True)
    low, high = distribution.ppf(0.001), distribution.ppf(0.999)
    edges = np.unique(np.round(np.linspace(low, high, 30)))
    cells = np.diff(np.concatenate([[0], distribution.cdf(edges), [1]]))
    found = np.histogram(np.repeat(values, counts), np.concatenate([[-1], edges, [np.inf]]) + 0.5)
    expected = cells * len(sample)
    keep = expected > 5
    expected, found = expected[keep], found[0][keep]
    return stats.chisquare(found, expected * found.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("rate", [0.01, 0.7, 5.0, 9.99, 10.0, 33.3, 1000.0, 1e6])
def test_poisson(rate, backend):
    sample = host(ops.poisson(tensor(np.full(40 * N, rate))))
    assert (sample == np.floor(sample)).all()
    assert sample.min() >= 0
    assert fits(sample, stats.poisson(rate))


def test_poisson_of_mixed_rates(backend):
    rates = np.array([[0.0, 1e5, 3.0], [200.0, 0.0, 1e3]])
    sample = ops.poisson(tensor(rates).float())
    assert sample.dtype is tc.float32
    np.testing.assert_array_less(abs(host(sample) - rates), 6 * np.sqrt(rates) + 1e-9)
    assert ops.poisson(ops.zeros(0)).tolist() == []
    assert ops.poisson(ops.tensor(4.0)).ndim == 0
    log_factorials = host(ops.poisson(tensor(np.full(3, 1e12))))
    np.testing.assert_allclose(log_factorials, 1e12, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_continuous(dtype, device):
    def empty():
        return ops.empty(N, dtype=dtype, device=device)

    for sample, distribution in (
        (empty().exponential_(), stats.expon()),
        (empty().exponential_(2.5), stats.expon(scale=1 / 2.5)),
        (empty().log_normal_(), stats.lognorm(s=2, scale=np.e)),
        (empty().log_normal_(0.5, 0.25), stats.lognorm(s=0.25, scale=np.exp(0.5))),
        (empty().cauchy_(), stats.cauchy()),
        (empty().cauchy_(3, 0.5), stats.cauchy(3, 0.5)),
    ):
        assert sample.dtype is tc.backend.as_dtype(dtype)
        assert stats.kstest(host(sample), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.97])
def test_geometric(p, dtype, device):
    sample = host(ops.empty(N, dtype=dtype, device=device).geometric_(p))
    assert sample.min() == 1
    assert fits(sample, stats.geom(p))


def test_random_integers(device):
    sample = host(ops.empty(N, dtype="int64", device=device).random_(-3, 4))
    assert set(sample) == set(range(-3, 4))
    assert stats.chisquare(np.bincount(sample + 3)).pvalue > 1e-3
    assert set(host(ops.empty(200, device=device).random_(3))) == {0.0, 1.0, 2.0}
    assert set(host(ops.empty(200, device=device).random_(to=2))) == {0.0, 1.0}
    assert set(host(ops.empty(200, device=device).random_(1, to=3))) == {1.0, 2.0}
    assert set(host(ops.empty(200, device=device).random_(**{"from": 5, "to": 6}))) == {5.0}
    flags = host(ops.empty(200, dtype="bool", device=device).random_())
    assert 50 < flags.sum() < 150


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [("uint8", 255), ("int8", 127), ("int32", 2**31 - 1), ("int64", 2**63 - 1),
     ("float32", 2**24), ("float64", 2**53)],
)  # fmt: skip
def test_random_without_bounds_fills_the_dtype(dtype, largest, device):
    sample = host(ops.empty(N, dtype=dtype, device=device).random_()).astype(np.float64)
    assert 0 <= sample.min() < 0.01 * largest
    assert 0.99 * largest < sample.max() <= largest
    above = host(ops.empty(N, dtype=dtype, device=device).random_(largest // 2, None))
    assert above.min() >= largest // 2


def test_a_seed_fixes_the_draws_on_every_backend(device, backend):
    def draws(device):
        ops.manual_seed(5)
        e = ops.empty(7, device=device)
        return [
            host(t)
            for t in (
                ops.poisson(ops.full((5,), 3.0, device=device)),
                ops.poisson(ops.full((5,), 30.0, device=device)),
                e.clone().exponential_(), e.clone().geometric_(0.3), e.clone().log_normal_(),
                e.clone().cauchy_(), e.clone().random_(100),
                ops.rand_like(e), ops.randint_like(e, 9),
            )
        ]  # fmt: skip

    here = draws(device)
    with config.override(backend="numpy", device="cpu"):
        there = draws("cpu")
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_generator_of_your_own():
    state = ops.get_rng_state()

    def draws():
        g, e = ops.Generator(3), ops.empty(4)
        return [
            ops.poisson(ops.full((4,), 20.0), generator=g),
            ops.poisson(ops.full((4,), 2.0), g),
            e.clone().exponential_(generator=g), e.clone().geometric_(0.5, generator=g),
            e.clone().log_normal_(generator=g), e.clone().cauchy_(generator=g),
            e.clone().random_(generator=g), ops.rand_like(e, generator=g),
            ops.randn_like(e, generator=g), ops.randint_like(e, 50, generator=g),
            ops.normal(0.0, 1.0, (4,), generator=g), e.abs().add(1).multinomial(2, generator=g),
        ]  # fmt: skip

    for a, b in zip(draws(), draws(), strict=True):
        np.testing.assert_array_equal(host(a), host(b))
    assert ops.get_rng_state() == state


def test_draws_cut_a_tensor_off_from_what_it_was():
    a = ops.ones(3, requires_grad=True)
    for name, args in (("exponential_", ()), ("cauchy_", ()), ("random_", (5,))):
        y = a * 2
        getattr(y, name)(*args)
        a.grad = None
        y.sum().backward()
        assert a.grad.tolist() == [0.0, 0.0, 0.0]


def test_like_takes_dtype_device_and_grad(device):
    x = ops.zeros(2, 3, dtype="float64", device=device)
    for found in (ops.rand_like(x), ops.randn_like(x), ops.randint_like(x, 2, 5)):
        assert (found.dtype, found.device, found.shape) == (x.dtype, x.device, x.shape)
    found = ops.randn_like(x, dtype="float32", device="cpu", requires_grad=True)
    assert (found.dtype, found.device.type, found.requires_grad) == (tc.float32, "cpu", True)
    assert ops.randint_like(x, 5, dtype="int64").dtype is tc.int64


def test_normal_of_numbers_takes_dtype(device):
    x = ops.normal(2, 0.5, (N,), dtype="float64", device=device, requires_grad=True)
    assert (x.dtype, x.is_leaf, x.requires_grad) == (tc.float64, True, True)
    assert stats.kstest(host(x), stats.norm(2, 0.5).cdf).pvalue > 1e-3
    with pytest.raises(ArgumentError, match="go with a mean and std that are numbers"):
        ops.normal(x, 1.0, (N,))


E = ops.empty


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.poisson(ops.tensor([-1.0])), ArgumentError, "finite and at least 0"),
        (lambda: ops.poisson(ops.tensor([float("nan")])), ArgumentError, "finite"),
        (lambda: ops.poisson(ops.tensor([1])), DTypeError, "floating"),
        (lambda: E(2).exponential_(0), ArgumentError, "lambd must be above 0, got 0"),
        (lambda: E(2, dtype="int64").exponential_(), DTypeError, "floating"),
        (lambda: E(2).geometric_(1.0), ArgumentError, r"p must be above 0 and below 1, got 1\.0"),
        (lambda: E(2).geometric_(0), ArgumentError, "p must be"),
        (lambda: E(2, dtype="bool").geometric_(0.5), DTypeError, "bool"),
        (lambda: E(2).log_normal_(std=0), ArgumentError, "std must be above 0"),
        (lambda: E(2, dtype="int64").log_normal_(), DTypeError, "floating"),
        (lambda: E(2).cauchy_(sigma=-1), ArgumentError, "sigma must be above 0"),
        (lambda: E(2, dtype="int64").cauchy_(), DTypeError, "floating"),
        (lambda: E(2).random_(3, 3), ArgumentError, "from=3 must be less than to=3"),
        (lambda: E(2).random_(5.5), DTypeError, "bounds must be integers"),
        (lambda: E(2).random_(1, 2, 3), ArgumentError, "call it as"),
        (lambda: E(2).random_(1, 2, to=3), ArgumentError, "call it as"),
        (lambda: E(2).random_(low=3), ArgumentError, "call it as"),
        (lambda: E(2, dtype="int8").random_(0, 300), ArgumentError, "0 to 300 leave .* -128 to 12"),
        (lambda: E(2, dtype="uint8").random_(-1, 3), ArgumentError, "leave the range"),
    ],
)  # fmt: skip
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
