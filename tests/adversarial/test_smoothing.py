"""Randomized smoothing: exact statistics, closed forms, coverage, and independence of batches."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from attack_cases import small_net
from scipy import stats

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import SmoothedClassifier
from tinyconv.adversarial.defences import binomial
from tinyconv.errors import ArgumentError, DTypeError, ShapeError


@pytest.mark.parametrize("trials", [1, 7, 100, 10_000, 100_000])
@pytest.mark.parametrize("alpha", [1e-6, 0.001, 0.05, 0.6])
def test_lower_bound_is_that_of_clopper_and_pearson(trials, alpha):
    for share in (0, 0.01, 0.3, 0.5, 0.9, 0.999, 1):
        count = round(share * trials)
        expected = stats.beta.ppf(alpha, count, trials - count + 1) if count else 0.0
        assert binomial.lower_bound(count, trials, alpha) == pytest.approx(expected, rel=1e-8)


def test_fair_coin_is_the_binomial_test():
    for heads, tosses in [
        (0, 0),
        (0, 5),
        (5, 5),
        (3, 6),
        (520, 1000),
        (70, 100),
        (99_000, 190_000),
    ]:
        expected = stats.binomtest(heads, tosses, 0.5).pvalue if tosses else 1.0
        assert binomial.fair_coin(heads, tosses) == pytest.approx(expected, rel=1e-8)


def test_the_bound_covers_the_truth():
    rng, alpha = np.random.default_rng(0), 0.05
    for p, trials in [(0.5, 40), (0.9, 100), (0.99, 1000)]:
        bounds = {k: binomial.lower_bound(k, trials, alpha) for k in range(trials + 1)}
        draws = rng.binomial(trials, p, 20_000)
        missed = np.mean([bounds[k] > p for k in draws])
        assert missed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 20_000)


class Always(nn.Module):
    """Class 2 of 3, whatever the image."""

    def forward(self, x):
        return x.new_zeros((len(x), 3)) + tc.tensor([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("n", "radius"), [(100, 1.5005), (1000, 2.4633), (10_000, 3.1986), (100_000, 3.8115)]
)
def test_radius_where_all_copies_agree(n, radius):
    smoothed = SmoothedClassifier(Always(), sigma=1.0, num_classes=3)
    found = smoothed.certify(tc.zeros(1, 2), n0=5, n=n, alpha=0.001, batch_size=10_000)
    assert found.classes.tolist() == [2]
    assert found.radius[0] == pytest.approx(radius, abs=5e-5)
    assert found.p_lower[0] == pytest.approx(0.001 ** (1 / n))


def half_plane(dimensions=6):
    """Return a two-class linear model, and the distance of an image to its boundary."""
    tc.manual_seed(3)
    layer = nn.Linear(dimensions, 2, dtype=tc.float64)
    weight = layer.weight.numpy(force=True)
    normal, offset = weight[1] - weight[0], np.diff(layer.bias.numpy(force=True))[0]

    def distance(x):
        return np.abs(x.numpy() @ normal + offset) / np.linalg.norm(normal)

    return nn.Sequential(layer), distance


def test_linear_classifier_radius_is_below_the_truth_and_close_to_it():
    model, distance = half_plane()
    x = tc.tensor(np.random.default_rng(0).normal(size=(30, 6)))
    truth, sigma, alpha = distance(x), 0.7, 0.001
    found = SmoothedClassifier(model, sigma, 2).certify(x, n0=50, n=4000, alpha=alpha)
    sure = found.classes >= 0
    expected = np.array([model(x[i : i + 1]).argmax(1).item() for i in range(len(x))])
    assert np.array_equal(found.classes[sure], expected[sure])
    assert (found.radius <= truth).all()
    near = sure & (truth < 2 * sigma)
    assert near.sum() > 5
    assert (found.radius[near] >= truth[near] - 0.25).all()
    assert (truth[~sure] < 0.2).all()


def test_certificates_are_wrong_no_more_often_than_alpha():
    model, distance = half_plane()
    x = tc.full((1, 6), 0.2, dtype=tc.float64).repeat(400, 1)
    truth, alpha = distance(x)[0], 0.1
    # Each row is the same image with noise of its own.
    found = SmoothedClassifier(model, 0.5, 2).certify(x, n0=10, n=200, alpha=alpha)
    assert (found.radius > truth).mean() <= alpha + 3 * math.sqrt(alpha / 400)
    assert (found.radius > truth).mean() > 0  # the bound is not idle


def test_predict_abstains_on_a_tie_and_finds_the_class_elsewhere():
    model, _ = half_plane()
    weight, bias = model[0].weight.numpy(force=True), model[0].bias.numpy(force=True)
    normal, offset = weight[1] - weight[0], bias[1] - bias[0]
    on_the_plane = -offset * normal / (normal @ normal)
    x = tc.tensor(np.stack([on_the_plane, on_the_plane + normal, on_the_plane - normal]))
    smoothed = SmoothedClassifier(model, 0.3, 2)
    assert smoothed.predict(x, 400).tolist() == [-1, 1, 0]
    assert smoothed.certify(x, 50, 400).classes.tolist() == [-1, 1, 0]
    assert smoothed.certify(x, 50, 400).radius[0] == 0


def test_noise_depends_on_sample_and_seed_alone():
    net, x = small_net(), tc.rand(4, 1, 4, 4)
    smoothed = SmoothedClassifier(net, 0.5, 5)
    whole = smoothed.certify(x, 30, 500, batch_size=500)
    parts = smoothed.certify(x, 30, 500, batch_size=37)
    assert np.array_equal(whole.p_lower, parts.p_lower)
    swapped = smoothed.certify(x[tc.tensor([2, 0])], 30, 500, index=[2, 0])
    assert np.array_equal(swapped.p_lower, whole.p_lower[[2, 0]])
    other = SmoothedClassifier(net, 0.5, 5, seed=1).certify(x, 30, 500)
    assert not np.array_equal(other.p_lower, whole.p_lower)


def test_noise_is_normal_and_its_purposes_differ():
    seen = []

    class Records(nn.Module):
        def forward(self, x):
            seen.append(x.numpy().copy())
            return x.new_zeros((len(x), 2)) + tc.tensor([1.0, 0.0])

    smoothed = SmoothedClassifier(Records(), 2.0, 2)
    smoothed.certify(tc.full((1, 3, 5), 10.0), n0=100, n=600, batch_size=50)
    chosen, estimated = np.concatenate(seen[:2]), np.concatenate(seen[2:])
    assert (len(chosen), len(estimated)) == (100, 600)
    assert not np.array_equal(chosen, estimated[:100])
    assert len(np.unique(estimated)) > 0.99 * estimated.size
    assert stats.kstest(((estimated - 10) / 2).ravel(), "norm").pvalue > 0.001


def test_the_model_and_the_random_numbers_are_left_alone():
    net = small_net()
    modes, buffers = [m.training for m in net.modules()], [b.numpy().copy() for b in net.buffers()]
    tc.manual_seed(4)
    state = tc.get_rng_state()
    SmoothedClassifier(net, 0.1, 5).predict(tc.rand(2, 1, 4, 4, generator=tc.Generator(0)), 20)
    assert tc.get_rng_state() == state
    assert modes == [m.training for m in net.modules()]
    for before, buffer in zip(buffers, net.buffers(), strict=True):
        assert np.array_equal(before, buffer.numpy())


def test_accuracy_counts_class_and_radius():
    found = SmoothedClassifier(Always(), 1.0, 3).certify(tc.zeros(4, 2), 5, 100)
    assert found.accuracy(tc.tensor([2, 2, 0, 2])) == 0.75
    assert found.accuracy([2, 2, 2, 2], radius=1.5) == 1.0
    assert found.accuracy([2, 2, 2, 2], radius=1.6) == 0.0
    nothing = SmoothedClassifier(Always(), 1.0, 3).certify(tc.zeros(0, 2))
    assert len(nothing) == 0
    assert math.isnan(nothing.accuracy(tc.zeros(0, dtype=tc.int64)))


def test_quantile_is_that_of_scipy():
    assert NormalDist().inv_cdf(0.997) == pytest.approx(stats.norm.ppf(0.997), rel=1e-12)


def test_bad_arguments_are_named():
    with pytest.raises(ArgumentError, match="'sigma' must be positive and finite, got 0"):
        SmoothedClassifier(Always(), 0, 3)
    with pytest.raises(ArgumentError, match="'num_classes' must be at least 2, got 1"):
        SmoothedClassifier(Always(), 1.0, 1)
    smoothed = SmoothedClassifier(Always(), 1.0, 3)
    with pytest.raises(ArgumentError, match=r"certify: argument 'alpha' must be between 0 and 1"):
        smoothed.certify(tc.zeros(1, 2), alpha=0.0)
    with pytest.raises(ArgumentError, match=r"predict: argument 'n' must be an int of at least 1"):
        smoothed.predict(tc.zeros(1, 2), 0)
    with pytest.raises(DTypeError, match="'x' must be floating point"):
        smoothed.predict(tc.zeros(1, 2, dtype=tc.int64))
    with pytest.raises(ShapeError, match=r"logits of shape \(5, 4\), got \(5, 3\)"):
        SmoothedClassifier(Always(), 1.0, 4).predict(tc.zeros(1, 2), 5)
