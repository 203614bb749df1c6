"""Accuracy of the special functions of the reference backend, and their values at the edges."""

import math
from math import inf, nan

import numpy as np
import pytest
from scipy import special

from tinyconv.backend.quiet import quiet
from tinyconv.backend.reference import bessel, gamma
from tinyconv.backend.reference import special as reference

ULP = 2.0**-52
EDGES = np.array([0.0, -0.0, -1.0, -2.0, inf, -inf, nan])


def relative(actual, expected, ulps):
    np.testing.assert_allclose(actual, expected, rtol=ulps * ULP)


def random(low, high, count=2000):
    return np.random.default_rng(3).uniform(low, high, count)


@pytest.mark.parametrize("x", [10.0 ** random(-300, 300), random(2.6, 30)], ids=["all", "small"])
def test_log_gamma(x):
    relative(gamma.lgamma(np, x), special.gammaln(x), 6)


def test_log_gamma_near_its_zeros():
    z = 10.0 ** random(-12, -3, 200)  # the first terms of the Taylor series at 1 and 2
    euler, z2, z3, z4 = 0.57721566490153286, np.pi**2 / 6, special.zeta(3), special.zeta(4)
    z5, z6 = special.zeta(5), special.zeta(6)
    for base, first, less in ((1.0, -euler, 0), (2.0, 1 - euler, 1)):
        d = base + z - base
        series = d * (first + d * ((z2 - less) / 2 + d * (-(z3 - less) / 3 + d * (
            (z4 - less) / 4 + d * (-(z5 - less) / 5 + d * (z6 - less) / 6)))))  # fmt: skip
        np.testing.assert_allclose(gamma.lgamma(np, base + z), series, rtol=1e-13)
    assert gamma.lgamma(np, np.array([1.0, 2.0])).tolist() == [0.0, 0.0]


def test_log_gamma_of_negative_numbers():
    x = random(-30, 0)
    expected = [math.lgamma(v) for v in x]
    np.testing.assert_allclose(gamma.lgamma(np, x), expected, rtol=1e-14, atol=1e-14)
    tiny = -(10.0 ** random(-300, -1))
    relative(gamma.lgamma(np, tiny), special.gammaln(tiny), 4)


def test_digamma():
    x = 10.0 ** random(-300, 300)
    np.testing.assert_allclose(gamma.digamma(np, x), special.digamma(x), rtol=6 * ULP, atol=4e-15)
    x = random(-20, 0)
    np.testing.assert_allclose(gamma.digamma(np, x), special.digamma(x), rtol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 12])
def test_polygamma(n):
    x = 10.0 ** random(-3, 4)
    relative(gamma.polygamma(np, x, n), special.polygamma(n, x), 10)
    x = random(-5, 0)  # the recurrence leads to positive numbers
    terms = [(x + k) ** -(n + 1.0) for k in range(6)]
    expected = special.polygamma(n, x + 6) + (-1) ** (n + 1) * math.factorial(n) * sum(terms)
    scale = math.factorial(n) * sum(map(abs, terms))
    assert np.all(np.abs(gamma.polygamma(np, x, n) - expected) < 1e-10 * scale)


def test_gamma_at_the_edges():
    at = lambda f, *n: quiet(f, np, EDGES, *n)  # noqa: E731
    np.testing.assert_array_equal(at(gamma.lgamma), [inf, inf, inf, inf, inf, inf, nan])
    np.testing.assert_array_equal(at(gamma.digamma), [-inf, inf, nan, nan, inf, nan, nan])
    np.testing.assert_array_equal(at(gamma.polygamma, 1), [inf, inf, inf, inf, 0, nan, nan])
    np.testing.assert_array_equal(at(gamma.polygamma, 2), [-inf, -inf, -inf, -inf, 0, nan, nan])


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_bessel(order):
    for x in (random(-20, 20), random(-600, 600), np.array([20.0, np.nextafter(20, 21)])):
        relative(bessel.bessel_i(np, x, order), special.iv(order, x), 16)
    edges = quiet(bessel.bessel_i, np, np.array([inf, -inf, nan, 5e4]), order)
    np.testing.assert_array_equal(edges, [inf, inf if order % 2 == 0 else -inf, nan, inf])


def test_bessel_is_finite_as_long_as_it_can_be():
    x = np.array([712.0])
    expected = 2 * np.log(special.i0e(x) ** 0.5) + x  # its logarithm
    np.testing.assert_allclose(np.log(bessel.bessel_i(np, x, 0)), expected, rtol=1e-14)


@pytest.mark.parametrize(
    "y",
    [random(-1, 1), 10.0 ** random(-300, 0), 1 - 10.0 ** random(-15, 0), np.array([0.5, -0.5])],
    ids=["all", "tiny", "near 1", "half"],
)
def test_erfinv(y):
    relative(reference.erfinv(np, y), special.erfinv(y), 8)


def test_erfinv_at_the_edges():
    y = np.array([0.0, 1.0, -1.0, 1.5, -2.0, inf, nan])
    result = quiet(reference.erfinv, np, y)
    np.testing.assert_array_equal(result, [0, inf, -inf, nan, nan, nan, nan])


def test_the_dtype_stays():
    x = np.array([0.5], np.float32)
    for result in (
        gamma.lgamma(np, x), gamma.digamma(np, x), gamma.polygamma(np, x, 2),
        bessel.bessel_i(np, x, 1), reference.erfinv(np, x),
    ):  # fmt: skip
        assert result.dtype == np.float32
