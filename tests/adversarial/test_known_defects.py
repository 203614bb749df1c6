"""Defects that attack libraries have had, each by its number in the list; others stand beside their
attacks: 1 to 3 in test_carlini_wagner.py, 5 in test_noise.py, 6 in test_square.py."""

from itertools import pairwise

import numpy as np
from attack_cases import images, predictions, small_net

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
