"""AutoAttack is its parts: survivors of all, run in order, with a radius and a mask a sample."""

import numpy as np
import pytest
from attack_cases import images, predictions, shorten_auto_attack, small_net

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv.errors import ArgumentError


@pytest.fixture
def quick(monkeypatch):
    """Make the parts quick: fewer steps of each."""
    shorten_auto_attack(monkeypatch)


def test_survivors_are_the_intersection_of_the_parts(quick):
    net, x = small_net(2), images(40, seed=3)
    y = predictions(net, x)
    for norm, eps in (("linf", 0.05), ("l2", 0.15)):
        whole = adv.auto_attack(net, x, y, eps=eps, norm=norm)
        head = {"eps": eps, "norm": norm}
        parts = {
            "apgd-ce": adv.apgd(net, x, y, steps=6, **head),
            "apgd-t": adv.apgd(net, x, y, steps=6, loss="dlr", n_target_classes=4, **head),
            "fab-t": adv.at_radius(adv.fab, steps=4, n_target_classes=4, **head)(net, x, y),
            "square": adv.square(net, x, y, steps=30, **head),
        }
        broken = np.logical_or.reduce([part.success for part in parts.values()])
        assert np.array_equal(whole.success, broken)
        assert all(whole.robust_accuracy <= part.robust_accuracy for part in parts.values())
        assert set(whole.found_by) <= {"", *parts}
        assert (whole.norm[norm] <= eps + 1e-6).all()
        assert whole.attack == "auto_attack"
        assert whole.config["eps"] == eps


def test_a_radius_and_a_mask_for_each_sample(quick):
    net, x = small_net(2), images(8, seed=3)
    y = predictions(net, x)
    eps = np.linspace(0, 0.4, 8)
    mask = tc.zeros(8, 1, 4, 4, dtype=tc.bool)
    mask[:4] = True
    result = adv.auto_attack(net, x, y, eps=eps, mask=mask)
    assert (result.norm["linf"] <= eps + 1e-6).all()
    assert (result.norm["linf"][4:] == 0).all()
    assert np.allclose(result.eps_used, eps)


def test_the_version_for_random_models(quick):
    net, x = small_net(2), images(6, seed=3)
    y = predictions(net, x)
    result = adv.auto_attack(net, x, y, eps=0.1, version="rand")
    assert set(result.found_by) <= {"", "apgd-ce", "apgd-dlr"}


def test_few_classes_take_the_margin(quick):
    for classes in (2, 3):
        net, x = small_net(1, classes=classes), images(10)
        result = adv.auto_attack(net, x, predictions(net, x), eps=0.2)
        assert result.success.any()


def test_bad_arguments():
    net, x, y = small_net(), images(1), tc.tensor([0])
    with pytest.raises(ArgumentError, match="auto_attack: argument 'norm' must be one of"):
        adv.auto_attack(net, x, y, eps=0.1, norm="l1")
    with pytest.raises(ArgumentError, match="auto_attack: argument 'y' is missing"):
        adv.auto_attack(net, x, None, eps=0.1)
    with pytest.raises(ArgumentError, match=r"auto_attack: .*outside of bounds"):
        adv.auto_attack(net, x * 3 - 1, y, eps=0.1)
    with pytest.raises(ArgumentError, match="'version' must be 'standard' or 'rand', got 'plus'"):
        adv.auto_attack(net, x, y, eps=0.1, version="plus")
