"""Curves, least radii, worst cases and transfer, on models with known answers."""

from functools import partial

import numpy as np
import pytest
from attack_cases import images, least_norms, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv import nn
from tinyconv.adversarial.evaluation.curves import errors, interval
from tinyconv.errors import ArgumentError


def linear_problem(n=20):
    net, weight, bias = linear_net()
    x = images(n, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    return net, x, y, least_norms(weight, bias, x, y, "linf")


def test_curve_of_a_linear_model_is_that_of_its_closed_form():
    net, x, y, least = linear_problem()
    radii = [0.05, 0.2, 0.1, 0.4]
    curve = adv.accuracy_curve(adv.fgsm, net, x, y, radii, bounds=(-9, 9))
    assert curve.eps.tolist() == sorted(radii)
    expected = [(least > radius).mean() for radius in sorted(radii)]
    assert curve.accuracy.tolist() == pytest.approx(expected)
    assert (curve.low <= curve.accuracy).all()
    assert (curve.accuracy <= curve.high).all()
    assert len(curve.table().splitlines()) == 5


def test_curve_never_rises_and_counts_all_samples():
    net, x = small_net(), images(20)
    y = predictions(net, x)
    y[:4] = (y[:4] + 1) % 5  # wrong from the start: robust accuracy is robust / all
    curve = adv.accuracy_curve(partial(adv.pgd, steps=3), net, x, y, np.linspace(0, 0.4, 9))
    assert (np.diff(curve.accuracy) <= 0).all()
    assert curve.accuracy[0] == 0.8
    assert (curve.smallest[:4] == 0).all()


def test_wilson_interval_against_scipy():
    from scipy.stats import binomtest

    for hits, count in ((0, 10), (3, 10), (50, 50)):
        low, high = interval(np.array([hits / count]), count)
        expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
        assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_smallest_eps_is_the_closed_form():
    net, x, y, least = linear_problem()
    y[0] = 1 - y[0]
    found = adv.smallest_eps(adv.fgsm, net, x, y, high=2.0, steps=16, bounds=(-9, 9))
    assert found[0] == 0
    reachable = least[1:] <= 2.0
    assert (found[1:][reachable] >= least[1:][reachable]).all()
    assert np.allclose(found[1:][reachable], least[1:][reachable], atol=2.0 / 2**16)
    assert np.isinf(found[1:][~reachable]).all()


def test_worst_case_is_the_intersection_of_survivors():
    net, x = small_net(), images(30)
    y = predictions(net, x)
    parts = {
        "ce": partial(adv.pgd, eps=0.06, steps=4, seed=1),
        "margin": partial(adv.pgd, eps=0.06, steps=4, loss="margin", seed=2),
        "fgsm": partial(adv.fgsm, eps=0.06),
    }
    result = adv.worst_case(net, x, y, parts)
    alone = {name: attack(net, x, y) for name, attack in parts.items()}
    union = np.logical_or.reduce([r.success for r in alone.values()])
    assert np.array_equal(result.success, union)
    for name, one in alone.items():
        assert result.robust_accuracy <= one.robust_accuracy
        found = result.found_by == name
        assert one.success[found].all()
        assert np.array_equal(result.x_adv.numpy()[found], one.x_adv.numpy()[found])
    assert set(result.found_by[~result.success]) <= {""}
    assert result.queries[0, 0] > 0
    ce = alone["ce"].success
    assert np.array_equal(result.queries[ce], alone["ce"].queries[ce])


def test_worst_case_stops_when_nothing_is_left():
    def forbidden(*args, **kwargs):
        raise AssertionError("no sample is left")

    net, x = small_net(), images(4)
    y = (predictions(net, x) + 1) % 5
    result = adv.worst_case(net, x, y, {"a": partial(adv.fgsm, eps=0.1), "b": forbidden})
    assert result.found_by.tolist() == ["clean"] * 4
    assert adv.worst_case(net, x[:0], y[:0], {"a": partial(adv.fgsm, eps=0.1)}).success.shape == (
        0,
    )


def test_transfer_matrix():
    a, b, x = small_net(0), small_net(1), images(40)
    y = predictions(a, x)
    matrix = adv.transfer_matrix({"a": a, "b": b, "twin": a}, x, y, adv.fgsm, eps=0.1)
    success = adv.fgsm(a, x, y, eps=0.1).success.mean()
    assert matrix.rates[0, 0] == pytest.approx(success)
    assert matrix.rates[0, 2] == matrix.rates[0, 0] == matrix.rates[2, 0]
    assert "made on" in matrix.table()
    assert len(matrix.table().splitlines()) == 4


def test_errors_of_a_model_in_train_mode_leave_it_so():
    net, x = small_net(), images(5)
    y = predictions(net, x)
    assert not errors(net, x, y).any()
    assert net.training
    assert isinstance(net[4], nn.Dropout)


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.tensor([0, 1])
    with pytest.raises(ArgumentError, match="at least one attack"):
        adv.worst_case(net, x, y, {})
    with pytest.raises(ArgumentError, match="at least one 'eps' and one sample"):
        adv.accuracy_curve(adv.fgsm, net, x, y, [])
    with pytest.raises(ArgumentError, match="'high' must be positive"):
        adv.smallest_eps(adv.fgsm, net, x, y, high=0)
    with pytest.raises(ArgumentError, match="an untargeted attack"):
        adv.transfer_matrix({"a": net}, x, y, adv.fgsm, eps=0.1, targeted=True)
