"""The fast minimum-norm attack: the radius, the box, and few values."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net
from test_hyperplane import least_in_box

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import fmn
from tinyconv.adversarial.attacks.shrinking_ball import count
from tinyconv.errors import ArgumentError


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_the_box_is_taken_into_account(norm):
    net, weight, bias = linear_net(seed=2)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    result = fmn(net, x, y, norm=norm, steps=400)
    assert result.success.sum() >= 6
    for row in np.flatnonzero(result.success):
        image, label = x[row].numpy().ravel(), int(y[row])
        slope = weight[1 - label] - weight[label]
        gap = -(slope @ image + bias[1 - label] - bias[label])
        least = least_in_box(image, slope, gap, norm)
        assert least - 1e-5 <= result.norm[norm][row] <= least * 1.05


def test_l0_finds_the_fewest_values_of_a_linear_classifier():
    net, weight, bias = linear_net(seed=1, inputs=12)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    result = fmn(net, x, y, norm="l0", steps=400)
    assert result.success.sum() >= 6
    for row in np.flatnonzero(result.success):
        image, label = x[row].numpy().ravel(), int(y[row])
        slope = weight[1 - label] - weight[label]
        gap = -(slope @ image + bias[1 - label] - bias[label])
        gains = np.abs(slope) * np.where(slope > 0, 1 - image, image)
        fewest = 1 + np.searchsorted(np.cumsum(np.sort(gains)[::-1]), gap)
        assert fewest <= result.norm["l0"][row] <= fewest + 1


def test_the_number_of_values_goes_down_on_success_and_up_on_failure():
    eps, smallest = np.array([10.0, 40.0, 1.0, 10.0, 40.0]), np.array([10.0, 20.0, 1, 50, 50])
    success = np.array([True, True, True, False, False])
    assert count(eps, success, 0.05, smallest).tolist() == [9.0, 20.0, 1.0, 11.0, 42.0]


def test_a_border_that_bends_away_is_crossed():
    # Steps onto the linearised border alone end inside of it, ever nearer.
    class Bowl(nn.Module):
        def forward(self, x):
            flat = x.reshape(len(x), -1)
            over = flat[:, :1] + 0.2 * flat[:, :1].sqrt() - 0.7
            return tc.cat([-over, over], 1)

    result = fmn(Bowl(), tc.full((1, 1, 1, 2), 0.1), tc.tensor([0]))
    root = (-0.2 + np.sqrt(0.04 + 4 * 0.7)) / 2
    assert result.norm["l2"][0] == pytest.approx(root**2 - 0.1, rel=0.01)


def test_one_gradient_a_step_as_in_the_paper():
    net, x = small_net(), images(4)
    y = predictions(net, x)
    result = fmn(net, x, y, steps=7, n_target_classes=None)
    # Forward: also the last image, and three to judge.
    assert result.queries.tolist() == [[7 + 1 + 3, 7]] * 4
    result = fmn(net, x, (y + 1) % 5, steps=7, targeted=True)
    assert result.queries.tolist() == [[7 + 1 + 3, 7]] * 4


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ArgumentError, match="'step_size' must be positive and finite, got 0"):
        fmn(net, x, y, step_size=0)
    for gamma in (0, 1):
        with pytest.raises(ArgumentError, match=r"'gamma' must be from 0.001 to below 1"):
            fmn(net, x, y, gamma=gamma)
    with pytest.raises(ArgumentError, match="'steps' must be an int of at least 1, got 0"):
        fmn(net, x, y, steps=0)
