"""Auto-PGD: the schedule of the paper, and what its target classes do."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial
from tinyconv.adversarial.attacks.apgd import checkpoints
from tinyconv.errors import ArgumentError


def test_checkpoints_are_those_of_the_paper():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_targets_find_what_one_direction_misses_and_need_no_other_seed():
    net, x = small_net(3), images(40, seed=1)
    y = predictions(net, x)
    arguments = {"eps": 0.08, "steps": 20, "seed": 1}
    plain = adversarial.apgd(net, x, y, loss="dlr", **arguments)
    towards = adversarial.apgd(net, x, y, loss="dlr", n_target_classes=4, **arguments)
    assert (towards.success | ~plain.success).all()
    assert towards.restart.max() >= 1


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
def test_every_loss_has_a_targeted_form(loss):
    net, x = small_net(), images(6)
    y = predictions(net, x)
    result = adversarial.apgd(net, x, y, eps=0.3, steps=10, loss=loss, n_target_classes=9)
    assert result.success.mean() > 0.5  # more classes asked for than there are: all of them


def test_it_is_no_weaker_than_pgd_of_as_many_steps():
    net, x = small_net(7), images(60, seed=2)
    y = predictions(net, x)
    for norm, eps in (("linf", 0.06), ("l2", 0.2), ("l1", 0.5)):
        auto = adversarial.apgd(net, x, y, eps=eps, norm=norm, steps=40)
        plain = adversarial.pgd(net, x, y, eps=eps, norm=norm, steps=40)
        assert auto.success.sum() >= plain.success.sum() - 1, norm


def test_bad_arguments():
    net, x, y = small_net(), images(1), tc.tensor([0])
    with pytest.raises(ArgumentError, match="'rho' must be between 0 and 1, got 1"):
        adversarial.apgd(net, x, y, eps=0.1, rho=1)
    with pytest.raises(ArgumentError, match="'n_target_classes' needs targeted=False and a loss"):
        adversarial.apgd(net, x, y, eps=0.1, n_target_classes=2, targeted=True)
    with pytest.raises(ArgumentError, match="'steps' must be an int of at least 1, got 0"):
        adversarial.apgd(net, x, y, eps=0.1, steps=0)


def test_l1_steps_are_sparse():
    net, x = small_net(), images(5)
    result = adversarial.apgd(net, x, predictions(net, x), eps=0.3, norm="l1", steps=30)
    assert np.median(result.norm["l0"]) < 10
