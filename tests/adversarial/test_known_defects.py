"""Defects that attack libraries have had, each by its number in the list; others stand beside their
attacks: 1 to 3 in test_carlini_wagner.py, 5 in test_noise.py, 6 in test_square.py. After them what
users have complained of, where no test of an attack has it for its subject already."""

from itertools import pairwise

import numpy as np
import pytest
from attack_cases import CASES, images, predictions, shorten_auto_attack, small_net

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv import nn
from tinyconv.adversarial.running import round_to_bytes


def test_defect_4_not_only_the_last_restart_survives():
    net, x = small_net(2), images(60, seed=4)
    y = predictions(net, x)
    results = [
        adv.pgd(net, x, y, eps=0.2, steps=1, step_size=0.02, restarts=count).success
        for count in (1, 2, 5, 10)
    ]
    for few, many in pairwise(results):
        assert (many >= few).all()
    assert results[-1].sum() > results[0].sum()


def test_defect_7_robust_accuracy_is_robust_over_all_with_true_classes():
    net, x = small_net(), images(20)
    y = predictions(net, x)
    y[:5] = (y[:5] + 1) % 5  # the model is wrong here
    result = adv.fgsm(net, x, y, eps=1e-4)
    assert result.robust_accuracy == 15 / 20
    assert result.clean_wrong.sum() == 5


def test_defect_8_bytes_are_rounded_not_cut_off():
    x = tc.tensor([[0.0, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 1.0]])
    assert np.allclose(round_to_bytes(x, (0, 1)).numpy() * 255, [[0, 0, 1, 255, 255]])
    steps = np.arange(256, dtype=np.float32) / 255
    assert np.array_equal(round_to_bytes(tc.tensor(steps[None]), (0, 1)).numpy()[0], steps)
    shifted = tc.tensor([[-1.0, -0.996, 0.0, 1.0]])
    assert np.allclose(
        (round_to_bytes(shifted, (-1, 1)).numpy() + 1) * 127.5, [[0, 1, 128, 255]], atol=0.01
    )


def test_defect_8_a_zero_gradient_gives_no_nan():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU())
    net[1].bias.data.fill_(-50.0)
    x, y = images(3), tc.tensor([0, 0, 0])
    for attack in (adv.fgsm, adv.pgd, adv.mi_fgsm, adv.apgd):
        assert np.isfinite(attack(net, x, y, eps=0.1).x_adv.numpy()).all()


def test_defect_9_clean_accuracy_is_strictly_above_robust_accuracy():
    # A test that only asks for "at least" would pass for an attack that does nothing.
    net, x = small_net(), images(40)
    y = predictions(net, x)
    for attack in (adv.fgsm, adv.pgd, adv.apgd):
        assert attack(net, x, y, eps=0.15).robust_accuracy < 0.7


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_complaint_a_radius_means_the_same_with_and_without_normalisation(norm):
    body, x, mean, std = small_net(), images(10).double(), 0.3, 0.2
    body = body.double()
    inside = nn.Sequential(nn.Normalize([mean], [std]).double(), body)
    y, eps = predictions(inside, x), {"linf": 0.05, "l2": 0.15, "l1": 0.4}[norm]
    bounds = ((0 - mean) / std, (1 - mean) / std)
    for attack in (adv.fgsm, adv.pgd, adv.apgd):
        pixels = attack(inside, x, y, eps=eps, norm=norm)
        others = attack(body, (x - mean) / std, y, eps=eps / std, norm=norm, bounds=bounds)
        assert 0 < pixels.success.sum() < 10
        assert np.array_equal(pixels.success, others.success)
        assert np.allclose(pixels.x_adv.numpy(), others.x_adv.numpy() * std + mean, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_complaint_a_tie_is_no_success(case):
    class Tied(nn.Module):
        def forward(self, x):
            return (x.reshape(len(x), -1).sum(1, keepdim=True) * 0).expand(-1, 4)

    result = case.run(Tied(), images(3), tc.tensor([0, 1, 2]))
    assert not result.clean_wrong.any()
    assert not result.success.any()
    assert not result.success_uint8.any()


def test_complaint_a_layer_without_gradient_does_not_fool_auto_attack(monkeypatch):
    shorten_auto_attack(monkeypatch)
    net = nn.Sequential(adv.BitDepthReduction(4, bpda=None), small_net(2)).eval()
    x = images(20)
    result = adv.auto_attack(net, x, predictions(net, x), eps=0.4)
    assert (result.found_by == "square").sum() >= 5
    assert (result.found_by == "square").sum() > 0.8 * result.success.sum()
