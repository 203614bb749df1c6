"""The elastic-net attack: sparse, by one of two rules, judged on the image itself."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net
from scipy.optimize import minimize

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import carlini_wagner, ead
from tinyconv.errors import ArgumentError

QUICK = {"steps": 60, "binary_search_steps": 6, "initial_const": 0.1, "lr": 0.02, "beta": 0.01}
PAPER = {"n_target_classes": None}  # without the race of classes, which has a file of its own


def test_each_rule_is_best_by_its_own_measure():
    net, x = small_net(), images(10)
    y = predictions(net, x)
    en, l1 = (ead(net, x, y, decision_rule=rule, **QUICK) for rule in ("en", "l1"))
    assert np.array_equal(en.success, l1.success)
    both = en.success
    assert both.sum() >= 6
    measures = [0.01 * r.norm["l1"] + r.norm["l2"] ** 2 for r in (en, l1)]
    assert (measures[0] <= measures[1] + 1e-7)[both].all()
    assert (l1.norm["l1"] <= en.norm["l1"] + 1e-7)[both].all()
    assert (l1.norm["l1"] < en.norm["l1"] * 0.99)[both].any()
    assert np.allclose(l1.eps_used[both], l1.norm["l1"][both])


def least_elastic_net(image, slopes, gaps, weight, bounds):
    """Return the least ``weight * L1 + squared L2`` in the box with ``slopes @ change >= gaps``.

    By SciPy's solver for smooth problems, on the positive and the negative part of the change.
    """
    size = len(image)

    def value(parts):
        change = parts[:size] - parts[size:]
        slope = np.concatenate([weight + 2 * change, weight - 2 * change])
        return weight * parts.sum() + change @ change, slope

    reached = {
        "type": "ineq",
        "fun": lambda parts: slopes @ (parts[:size] - parts[size:]) - gaps,
        "jac": lambda parts: np.concatenate([slopes, -slopes], 1),
    }
    room = np.concatenate([bounds[1] - image, image - bounds[0]])
    found = minimize(
        value, np.zeros(2 * size), jac=True, method="SLSQP", constraints=reached,
        bounds=[(0, most) for most in room], options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    return found.fun if found.success else np.inf


@pytest.mark.parametrize("bounds", [(-50, 50), (0, 1)])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("beta", [0.0, 0.003])
def test_it_finds_the_least_elastic_net_of_a_linear_classifier(bounds, classes, beta):
    # A change shrinks by beta in steps of length lr: at rest the weight of L1 is beta / lr.
    weight, options = beta / 0.01, {"steps": 200, "initial_const": 0.1, "lr": 0.01}
    net, slopes, offsets = linear_net(classes=classes)
    x = images(6, shape=(3, 2, 2)).double()
    target = (predictions(net, x) + 1) % classes
    runs = [
        ead(net, x, target, targeted=True, beta=beta, bounds=bounds, decision_rule=rule, **options)
        for rule in ("l1" if beta else "en", "en")
    ]
    assert runs[0].success.sum() >= 3
    for row in np.flatnonzero(runs[0].success):
        image, k = x[row].numpy().ravel(), int(target[row])
        others = [j for j in range(classes) if j != k]
        ahead = slopes[k] - slopes[others]
        gaps = -(ahead @ image + offsets[k] - offsets[others])
        changes = [(run.x_adv[row] - x[row]).numpy().ravel() for run in runs]
        sizes = [(np.abs(change).sum(), change @ change) for change in changes]
        least = least_elastic_net(image, ahead, gaps, weight, bounds)
        assert 1 - 1e-6 <= (weight * sizes[0][0] + sizes[0][1]) / least <= 1.02
        # By the rule of the paper weight and beta are one: it can only be bounded from below.
        assert beta * sizes[1][0] + sizes[1][1] >= (1 - 1e-6) * least_elastic_net(
            image, ahead, gaps, beta, bounds
        )


def test_fewer_values_change_than_in_l2():
    net, x = small_net(), images(10)
    y = predictions(net, x)
    sparse = ead(net, x, y, decision_rule="l1", **QUICK)
    dense = carlini_wagner(
        net, x, y, steps=60, binary_search_steps=6, initial_const=0.1, lr=0.05
    )  # fmt: skip
    both = sparse.success & dense.success
    assert sparse.norm["l1"][both].mean() < dense.norm["l1"][both].mean()
    assert sparse.norm["l0"][both].mean() < 0.6 * dense.norm["l0"][both].mean()


def test_beta_of_0_is_the_l2_attack():
    net, x = small_net(), images(10)
    y = predictions(net, x)
    ours = ead(net, x, y, **{**QUICK, "beta": 0.0, "steps": 200})
    other = carlini_wagner(
        net, x, y, steps=100, initial_const=0.1, lr=0.05, n_target_classes=None
    )  # fmt: skip
    both = ours.success & other.success
    assert both.sum() >= 6
    assert np.median(ours.norm["l2"][both] / other.norm["l2"][both]) == pytest.approx(1, abs=0.05)


def test_one_step_by_hand():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False, dtype=tc.float64))
    net[1].weight.data.copy_(tc.tensor([[-3.0, 1.0, -0.1], [3.0, -1.0, 0.1]]))
    x = tc.tensor([[0.0, 0.9, 0.3]]).double()
    # The margin of class 1 is (6, -2, 0.2) @ x, so -1.74; c * lr is 0.1, and beta is 0.05.
    result = ead(
        net, x, tc.tensor([0]), steps=1, binary_search_steps=1, initial_const=1.0, lr=0.1,
        beta=0.05, **PAPER,
    )  # fmt: skip
    assert np.allclose(result.x_adv.numpy(), [[0.55, 0.75, 0.3]])
    # The gradient and the outcome; before and after, three passes to judge it.
    assert result.queries.tolist() == [[5, 1]]


def test_success_is_that_of_the_image_itself():
    net, x = small_net(), images(20)
    y = predictions(net, x)
    for confidence in (0.0, 0.2):
        result = ead(net, x, y, confidence=confidence, **QUICK)
        found = np.isfinite(result.eps_used)
        assert found.sum() >= 10
        assert np.array_equal(found, result.success)
        assert (result.loss[found] > confidence).all()


def test_abort_early_saves_passes():
    net, x = small_net(), images(6)
    y = predictions(net, x)
    early, late = (ead(net, x, y, abort_early=flag, **QUICK, **PAPER) for flag in (True, False))
    assert (late.queries[:, 1] == 60 * 6).all()
    assert early.queries[:, 1].mean() < 0.9 * late.queries[:, 1].mean()


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    for change, text in (
        ({"beta": -1}, "'beta' must be finite and at least 0, got -1"),
        ({"decision_rule": "l2"}, "'decision_rule' must be 'en' or 'l1', got 'l2'"),
        ({"lr": 0}, "ead: argument 'lr' must be positive and finite, got 0"),
        ({"steps": 0}, "ead: argument 'steps' must be an int of at least 1, got 0"),
    ):
        with pytest.raises(ArgumentError, match=text):
            ead(net, x, y, **change)
