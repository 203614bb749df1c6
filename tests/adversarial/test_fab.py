"""The fast adaptive boundary attack: the box, single classes, restarts, the final search."""

import sys

import numpy as np
import pytest
from attack_cases import images, least_norms, linear_net, predictions, small_net
from test_hyperplane import least_in_box

import tinyconv as tc
from tinyconv.adversarial import deepfool, fab
from tinyconv.errors import ArgumentError

WIDE = (-50.0, 50.0)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_the_box_is_taken_into_account(norm):
    net, weight, bias = linear_net(seed=2)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    result = fab(net, x, y, norm=norm, steps=30)
    assert result.success.sum() >= 6
    for row in np.flatnonzero(result.success):
        image, label = x[row].numpy().ravel(), int(y[row])
        slope = weight[1 - label] - weight[label]
        gap = -(slope @ image + bias[1 - label] - bias[label])
        least = least_in_box(image, slope, gap, norm)
        assert least - 1e-5 <= result.norm[norm][row] <= least * 1.01


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_one_class_after_the_other(norm):
    net, weight, bias = linear_net(classes=5)
    x = images(8, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    least = least_norms(weight, bias, x, y, norm)
    every = fab(net, x, y, norm=norm, bounds=WIDE, steps=10, n_target_classes=4)
    assert np.allclose(every.eps_used, least, rtol=1e-3)
    assert (every.queries[:, 1] == 10 * 4).all()
    nearest = fab(net, x, y, norm=norm, bounds=WIDE, steps=10)
    assert (nearest.queries[:, 1] == 10 * 4).all()
    two = fab(net, x, y, norm=norm, bounds=WIDE, steps=10, n_target_classes=2)
    assert (two.queries[:, 1] == 10 * 2).all()
    assert (two.eps_used >= every.eps_used - 1e-12).all()


def test_with_a_class_to_reach_the_border_to_it_is_found():
    net, weight, bias = linear_net()
    x = images(8, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    result = fab(net, x, 1 - y, norm="l2", bounds=WIDE, steps=10, targeted=True)
    assert np.allclose(result.eps_used, least_norms(weight, bias, x, y, "l2"), rtol=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_more_steps_and_restarts_find_less_than_deepfool(norm):
    net, x = small_net(3), images(20)
    y = predictions(net, x)
    one = fab(net, x, y, norm=norm, steps=20)
    many = fab(net, x, y, norm=norm, steps=20, restarts=4)
    quick = deepfool(net, x, y, norm=norm)
    assert (many.eps_used <= one.eps_used).all()
    assert (many.restart > 0).any()
    both = one.success & quick.success
    assert np.median(one.norm[norm][both]) < np.median(quick.norm[norm][both])


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_random_starts_follow_from_the_seed_and_the_radius(norm, monkeypatch):
    starts = []

    def remember(problem, best, x, classes, steps, alpha_max, eta, beta, restart):
        starts.append(x.numpy() - problem.x.numpy())

    monkeypatch.setattr(sys.modules["tinyconv.adversarial.attacks.fab"], "walk", remember)
    net, _, _ = linear_net(inputs=12)
    x = tc.full((5, 3, 2, 2), 0.5).double()
    y = predictions(net, x)
    order = {"l2": 2, "linf": np.inf, "l1": 1}[norm]
    for seed in (0, 0, 1):
        fab(net, x, y, norm=norm, restarts=3, seed=seed, start_radius=0.2, n_target_classes=1)
    assert np.abs(starts[0]).max() == 0
    for start in (starts[1], starts[2]):
        lengths = np.linalg.norm(start.reshape(5, -1), order, axis=1)
        assert np.allclose(lengths, 0.1)
    assert np.array_equal(starts[1], starts[4])
    assert not np.array_equal(starts[1], starts[2])
    assert not np.array_equal(starts[1], starts[7])


def test_alpha_eta_and_beta_matter():
    net, x = small_net(3), images(12)
    y = predictions(net, x)
    plain = fab(net, x, y, steps=5).x_adv.numpy()
    for change in ({"alpha_max": 0.0}, {"eta": 1.5}, {"beta": 0.3}):
        assert not np.array_equal(fab(net, x, y, steps=5, **change).x_adv.numpy(), plain)


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    for change, text in (
        ({"alpha_max": 1.5}, "'alpha_max' must be from 0 to 1, got 1.5"),
        ({"eta": 0.9}, "'eta' must be finite and at least 1, got 0.9"),
        ({"beta": 1.0}, "'beta' must be above 0 and below 1, got 1.0"),
        ({"start_radius": 0}, "'start_radius' must be positive and finite, got 0"),
        ({"steps": 0}, "'steps' must be an int of at least 1, got 0"),
        ({"restarts": 0}, "'restarts' must be an int of at least 1, got 0"),
        ({"n_target_classes": 0}, "'n_target_classes' must be an int of at least 1, got 0"),
        ({"n_target_classes": 2, "targeted": True}, "'n_target_classes' does not go with targeted"),
        ({"norm": "l0"}, "'norm' must be one of 'linf', 'l2', 'l1', got 'l0'"),
    ):
        with pytest.raises(ArgumentError, match=text):
            fab(net, x, y, **change)
