"""The line search: its conditions hold, and it goes PyTorch's way."""

import math

import numpy as np
import pytest

from tinyconv.optim.line_search import Point, cubic_minimum, ratio, strong_wolfe

LINES = {
    "quadratic": (lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1)),
    "far": (lambda t: (t - 300) ** 2, lambda t: 2 * (t - 300)),
    "near": (lambda t: (t - 1e-3) ** 2, lambda t: 2 * (t - 1e-3)),
    "wavy": (lambda t: math.sin(3 * t) - t + t * t / 9,
             lambda t: 3 * math.cos(3 * t) - 1 + t / 4.5),
    "steep": (lambda t: math.exp(min(5 * t, 600)) - 50 * t,
              lambda t: 5 * math.exp(min(5 * t, 600)) - 50),
    "kink": (lambda t: abs(t - 2), lambda t: math.copysign(1, t - 2)),
    "linear": (lambda t: -t, lambda t: -1.0),
    "wall": (lambda t: -t if t < 0.7 else math.inf, lambda t: -1.0 if t < 0.7 else math.nan),
    "more's": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
}  # fmt: skip
SMOOTH = ["quadratic", "far", "near", "steep", "more's"]
FIRST = [1e-3, 0.1, 1.0, 10.0, 1000.0]


def search(name, first, most=25):
    loss, slope = LINES[name]
    tried = []

    def evaluate(step):
        tried.append(step)
        return Point(step, loss(step), None, slope(step))

    start = Point(0.0, loss(0.0), None, slope(0.0))
    return start, strong_wolfe(evaluate, start, first, 1.0, most), tried


@pytest.mark.parametrize("first", FIRST[:4])
@pytest.mark.parametrize("name", SMOOTH)
def test_conditions_hold(name, first):
    start, point, tried = search(name, first)
    assert point.loss <= start.loss + 1e-4 * point.step * start.slope
    assert abs(point.slope) <= 0.9 * abs(start.slope)
    assert len(tried) < 20


@pytest.mark.parametrize("most", [-1, 0, 1, 3, 25])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("name", LINES)
def test_never_ends_higher(name, first, most):
    start, point, tried = search(name, first, most)
    assert point.loss <= start.loss
    assert 1 <= len(tried) <= max(most, 0) + 1
    assert point.step in [0.0, *tried]


@pytest.mark.parametrize("most", [1, 3, 25])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("name", LINES)
def test_tries_what_pytorch_tries(name, first, most):
    torch = pytest.importorskip("torch")
    if (name, first) == ("steep", 1000.0):
        pytest.skip("PyTorch's step is NaN, as squares overflow")
    from torch.optim.lbfgs import _strong_wolfe

    loss, slope = LINES[name]
    tried = []

    def gradient(t):
        return torch.tensor([slope(float(t))], dtype=torch.float64)

    def evaluate(x, t, d):
        tried.append(float(t))
        return loss(float(t)), gradient(t)

    d = torch.ones(1, dtype=torch.float64)
    g = gradient(0.0)
    value, _, step, _ = _strong_wolfe(evaluate, 0.0, first, d, loss(0.0), g, g.dot(d), max_ls=most)
    _, point, ours = search(name, first, most)
    np.testing.assert_allclose(ours, tried, rtol=1e-9)
    assert point.step == pytest.approx(float(step), rel=1e-9)
    assert point.loss == pytest.approx(value, rel=1e-9)


def test_minimum_of_a_cubic():
    def point(x):  # x**3 - 3 * x, lowest at 1
        return Point(x, x**3 - 3 * x, None, 3 * x * x - 3)

    for a, b in ((0.0, 3.0), (3.0, 0.0), (0.5, 1.5)):
        assert cubic_minimum(point(a), point(b), 0, 3) == pytest.approx(1)
    assert cubic_minimum(point(0.0), point(3.0), 1.5, 3) == 1.5
    assert cubic_minimum(point(0.0), point(3.0), 0, 0.5) == 0.5
    # x**3 + x has no minimum
    rising = [Point(x, x**3 + x, None, 3 * x * x + 1) for x in (-1.0, 1.0)]
    assert cubic_minimum(*rising, -1, 1) == 0


def test_ratio_is_that_of_arrays():
    values = [0.0, -0.0, 1.0, -2.0, math.inf, -math.inf, math.nan]
    for a in values:
        for b in values:
            with np.errstate(all="ignore"):
                expected = float(np.float64(a) / np.float64(b))
            found = ratio(a, b)
            assert found == expected or (math.isnan(found) and math.isnan(expected)), (a, b)
