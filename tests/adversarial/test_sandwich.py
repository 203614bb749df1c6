"""Proven and found bounds of the least perturbation never cross, and meet on linear models."""

from functools import partial

import numpy as np
import pytest
from attack_cases import CASES, images, least_norms, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv.errors import ArgumentError


def test_both_sides_meet_on_a_linear_model():
    net, weight, bias = linear_net(classes=3)
    x = images(12, shape=(3, 2, 2)).double() * 0.2 + 0.4
    y = predictions(net, x)
    least = least_norms(weight, bias, x, y, "linf")
    y[0] = (y[0] + 1) % 3
    both = adv.sandwich(net, x, y, bounds=(-9, 9), halvings=24)
    assert both.lower[0] == both.upper[0] == 0
    assert both.found_by[0] == "clean"
    assert np.allclose(both.lower[1:], least[1:], rtol=1e-4)
    assert (both.upper[1:] >= least[1:] * (1 - 1e-9)).all()
    assert (both.upper[1:] <= least[1:] * 1.05).all()


@pytest.mark.parametrize("seed", range(4))
def test_no_attack_finds_less_than_is_proven(seed):
    net, x = small_net(seed), images(10, seed=seed)
    y = predictions(net, x)
    attacks = {"fab": partial(adv.fab, steps=20), "fmn": partial(adv.fmn, steps=50),
               "deepfool": adv.deepfool}  # fmt: skip
    both = adv.sandwich(net, x, y, attacks=attacks)
    assert (both.lower <= both.upper).all()
    assert (both.lower > 0).all()
    for eps in (0.001, 0.01, 0.05, 0.2):
        low, high = both.accuracy(eps)
        broken = adv.pgd(net, x, y, eps=eps, restarts=3, loss="margin").robust_accuracy
        assert low <= broken
        assert low <= high
    assert set(both.found_by) <= {"", *attacks}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_perturbation_of_any_attack_is_within_the_proven_radius(case):
    broken = 0
    for seed in range(2):
        net, x = small_net(seed).eval(), images(10, seed=seed)
        y = predictions(net, x)
        proven = adv.certified_radius(net, x, y)
        assert (proven > 0).all()
        for norm in case.norms:
            found = case.run(net, x, y, norm)
            broken += found.success.sum()
            assert (found.norm["linf"][found.success] >= proven[found.success]).all()
    assert broken or case.name == "noise"


def test_table_and_errors():
    both = adv.Sandwich(np.array([0.1, 0.0]), np.array([0.2, np.inf]), np.array(["fab", ""]))
    assert both.accuracy(0.1) == (0.5, 1.0)
    assert both.accuracy(0.3) == (0.0, 0.5)
    assert len(both.table().splitlines()) == 9
    assert "50.0%  <= ? <=   100.0%" in both.table([0.1])
    with pytest.raises(ArgumentError, match="at least one sample"):
        adv.sandwich(small_net(), images(0), tc.zeros(0, dtype=tc.int64))
