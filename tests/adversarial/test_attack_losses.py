"""Losses of attacks: formulas, gradients, invariance, and traps."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.adversarial import losses
from tinyconv.autograd import gradcheck
from tinyconv.errors import ArgumentError

LOGITS = np.array([[2.0, -1.0, 0.5, 0.1], [-5.0, -2.0, -3.0, -9.0], [0.3, 0.2, 4.0, 1.0]])
Y = tc.tensor([0, 1, 0])


def test_margin_by_hand_and_with_all_logits_negative():
    # A factor of (1 - one_hot) instead of a mask would find 0 in the second row.
    assert losses.margin(tc.tensor(LOGITS), Y).tolist() == pytest.approx([-1.5, -1.0, 3.7])


def test_dlr_by_hand():
    expected = [-1.5 / (2 - 0.1), -1.0 / (-2 + 5), 3.7 / (4 - 0.3)]
    assert losses.dlr(tc.tensor(LOGITS), Y).tolist() == pytest.approx(expected)


def test_targeted_dlr_by_hand():
    target = tc.tensor([1, 2, 2])
    expected = [(-1 - 2) / (2 - (0.1 - 1) / 2), (-3 + 2) / (-2 + (5 + 9) / 2),
                (4 - 0.3) / (4 - (0.3 + 0.2) / 2)]  # fmt: skip
    assert losses.targeted_dlr(tc.tensor(LOGITS), Y, target).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dlr", "margin", "ce"])
def test_shift_and_scale_of_the_logits(name):
    loss = losses.LOSSES[name]
    z = tc.tensor(LOGITS)
    assert loss(z + 7, Y).tolist() == pytest.approx(loss(z, Y).tolist())
    if name == "dlr":
        assert loss(z * 100, Y).tolist() == pytest.approx(loss(z, Y).tolist())


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
@pytest.mark.parametrize("targeted", [False, True])
def test_gradients(name, targeted):
    goal = losses.objective("x", name, targeted)
    z = tc.tensor(LOGITS, requires_grad=True)
    assert gradcheck(lambda z: goal(z, Y), (z,))


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_a_targeted_objective_rises_towards_the_target(name):
    goal = losses.objective("x", name, True)
    towards = tc.tensor(LOGITS)
    towards[:, 3] += 0.5
    target = tc.tensor([3, 3, 3])
    assert (goal(towards, target) > goal(tc.tensor(LOGITS), target)).all()


def test_equal_logits_give_no_nan():
    z = tc.zeros(1, 4, requires_grad=True)
    for name in losses.LOSSES:
        for targeted in (False, True):
            value = losses.objective("x", name, targeted)(z, tc.tensor([0]))
            (slope,) = tc.autograd.grad(value.sum(), z)
            assert not slope.isnan().any()


def test_too_few_classes_and_unknown_names():
    with pytest.raises(ArgumentError, match="dlr loss needs at least 3 classes, the model has 2"):
        losses.dlr(tc.zeros(1, 2), tc.tensor([0]))
    with pytest.raises(ArgumentError, match="targeted dlr loss needs at least 4 classes"):
        losses.objective("x", "dlr", True)(tc.zeros(1, 3), tc.tensor([0]))
    with pytest.raises(ArgumentError, match="pgd: argument 'loss' must be 'ce', 'margin', 'dlr'"):
        losses.objective("pgd", "hinge", False)
