"""DeepFool: one step on linear models, candidates, the box, and stopping by sample."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net
from test_hyperplane import least_in_box

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import deepfool
from tinyconv.errors import ArgumentError

WIDE = (-50.0, 50.0)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_one_step_is_enough_for_a_linear_model(norm):
    net, _, _ = linear_net(classes=6)
    x = images(8, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    one, many = (deepfool(net, x, y, norm=norm, bounds=WIDE, steps=n) for n in (1, 50))
    assert one.success.all()
    assert np.array_equal(one.x_adv.numpy(), many.x_adv.numpy())


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_the_box_is_taken_into_account(norm):
    net, weight, bias = linear_net(seed=2)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    result = deepfool(net, x, y, norm=norm)
    hit = 0
    for row in np.flatnonzero(result.success):
        image, label = x[row].numpy().ravel(), int(y[row])
        slope = weight[1 - label] - weight[label]
        gap = -(slope @ image + bias[1 - label] - bias[label])
        least = least_in_box(image, slope, gap, norm)
        hit += least > gap / np.linalg.norm(slope, {"l2": 2, "linf": 1, "l1": np.inf}[norm]) + 1e-6
        assert least - 1e-5 <= result.norm[norm][row] <= least * 1.1
    assert hit >= 3


def test_candidates_limit_classes_and_passes():
    net, weight, _ = linear_net(classes=6)
    x = images(8, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    two = deepfool(net, x, y, bounds=WIDE, num_candidates=2)
    every = deepfool(net, x, y, bounds=WIDE)
    assert (every.norm["l2"] <= two.norm["l2"] + 1e-12).all()
    assert (every.norm["l2"] < two.norm["l2"] * 0.99).any()
    assert (every.queries[:, 1] == 5 * 2).all()  # one step, and a look at where it led
    assert (two.queries[:, 1] < 10).all()
    # With one other class, the first step goes to the runner-up.
    logits = net(x).numpy(force=True)
    first, second = np.argsort(-logits, 1)[:, :2].T
    gap = logits[np.arange(8), first] - logits[np.arange(8), second]
    length = gap / np.linalg.norm(weight[first] - weight[second], axis=1)
    one = deepfool(net, x, y, bounds=WIDE, num_candidates=2, steps=1)
    assert np.allclose(one.norm["l2"][one.success], 1.02 * length[one.success])


def test_a_sample_stops_by_itself():
    net, x = small_net(1), images(40)
    result = deepfool(net, x, predictions(net, x), overshoot=0.0)
    assert result.success.all()
    assert len(set(result.queries[:, 1].tolist())) > 1


def test_a_tie_is_crossed():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    net[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    x = tc.tensor([[[0.5, -0.5], [0.25, -0.25]]])
    result = deepfool(net, x, tc.tensor([0]), bounds=(-1, 1))
    assert result.success.all()
    assert result.norm["l2"][0] < 1e-4


def test_a_longer_overshoot_is_a_longer_step():
    net, _, _ = linear_net()
    x = images(5, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    short, long = (deepfool(net, x, y, bounds=WIDE, overshoot=s) for s in (0.02, 0.5))
    assert np.allclose(long.norm["l2"], short.norm["l2"] * 1.5 / 1.02)


def test_the_overshoot_is_of_the_sum_of_the_steps():
    class Square(nn.Module):
        def forward(self, x):
            over = x.reshape(len(x), -1)[:, :1] ** 2 - 4.0
            return tc.cat([-over, over], 1)

    x = tc.tensor([[[[6.0]]]]).double()
    result = deepfool(Square(), x, tc.tensor([1]), bounds=(0, 10))
    at, path = 6.0, 0.0
    while at >= 2:  # Newton's method for the root, with a step that is too long
        path -= (at**2 - 4) / (2 * at)
        at = 6.0 + 1.02 * path
    assert result.success.all()
    assert result.x_adv.item() == pytest.approx(at, abs=1e-9)
    assert result.queries[0, 1] >= 3


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ArgumentError, match="'num_candidates' must be an int of at least 2, got 1"):
        deepfool(net, x, y, num_candidates=1)
    with pytest.raises(ArgumentError, match="'overshoot' must be finite and at least 0, got -1"):
        deepfool(net, x, y, overshoot=-1)
    with pytest.raises(ArgumentError, match="'steps' must be an int of at least 1, got 0"):
        deepfool(net, x, y, steps=0)
    with pytest.raises(ArgumentError, match=r"'norm' must be one of .* got 'l0'"):
        deepfool(net, x, y, norm="l0")
