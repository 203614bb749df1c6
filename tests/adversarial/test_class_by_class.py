"""Searches class by class: the nearest border, where another one is met first on the way."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import carlini_wagner, ead, fmn
from tinyconv.adversarial.attacks import class_by_class as module
from tinyconv.adversarial.attacks.class_by_class import HEATS, class_by_class
from tinyconv.adversarial.best import Smallest
from tinyconv.adversarial.problem import Problem
from tinyconv.errors import ArgumentError

QUICK = {"steps": 30, "binary_search_steps": 5, "initial_const": 1.0, "lr": 0.1}
ELASTIC = {"steps": 60, "binary_search_steps": 7, "initial_const": 0.1, "lr": 0.02}
ROWS = [
    *[(fmn, norm, {"norm": norm, "steps": 60}) for norm in ("l2", "linf", "l1", "l0")],
    *[(carlini_wagner, norm, {"norm": norm, **QUICK}) for norm in ("l2", "linf", "l0")],
    *[(ead, rule, {"decision_rule": rule, **ELASTIC}) for rule in ("en", "l1")],
]
attacks = pytest.mark.parametrize(
    ("attack", "measure", "options"), ROWS, ids=[f"{row[0].__name__}-{row[1]}" for row in ROWS]
)


def sizes(result, measure):
    """Return how large the perturbations are by what the attack makes small."""
    elastic = 1e-3 * result.norm["l1"] + result.norm["l2"] ** 2
    return np.where(result.success, elastic if measure == "en" else result.eps_used, np.inf)


class Corner(nn.Module):
    """Class 0 ends at 0.8 of value 0 (class 1), and at 0.3 of the mean of the others (class 2).

    From 0.1 class 1 is second, and its slope leads along value 0 alone.
    """

    def forward(self, x):
        flat = x.reshape(len(x), -1)
        one, two = flat[:, 0] - 0.8, 8 * (flat[:, 1:].mean(1) - 0.3)
        return tc.stack([one * 0, one, two], 1)


LEAST = {"l2": 0.2 * 8**0.5, "linf": 0.2, "l1": 0.7, "l0": 1.0, "en": 0.0016 + 0.32}


@attacks
def test_the_nearest_border_need_not_be_the_first_on_the_way(attack, measure, options):
    x, y = tc.full((1, 1, 3, 3), 0.1), tc.tensor([0])
    found, paper, likeliest = (
        attack(Corner(), x, y, **options, **count)
        for count in ({}, {"n_target_classes": None}, {"n_target_classes": 1})
    )
    enough = LEAST[measure] * 1.05
    assert sizes(found, measure)[0] <= enough
    if measure in ("l2", "linf", "en"):
        assert enough < sizes(paper, measure)[0] < np.inf
        assert enough < sizes(likeliest, measure)[0] < np.inf


@attacks
def test_it_is_as_good_as_the_best_of_all_targets(attack, measure, options):
    net, x = small_net(), images(8)
    y = predictions(net, x)
    found = attack(net, x, y, **options)
    targeted = [attack(net, x, (y + k) % 5, targeted=True, **options) for k in range(1, 5)]
    least = np.min([sizes(result, measure) for result in targeted], axis=0)
    assert np.isfinite(least).any()
    assert (found.success >= np.isfinite(least)).all()
    assert (sizes(found, measure) <= least * 1.001 + (measure == "l0")).all()


@attacks
def test_targets_are_searched_as_without_it(attack, measure, options):
    net, x = small_net(), images(4)
    target = (predictions(net, x) + 2) % 5
    first, second = (
        attack(net, x, target, targeted=True, n_target_classes=count, **options)
        for count in (9, None)
    )
    assert np.array_equal(first.x_adv.numpy(), second.x_adv.numpy())
    assert np.array_equal(first.queries, second.queries)


def test_two_classes_need_no_race():
    net, x = small_net(classes=2), images(4)
    y = predictions(net, x)
    first, second = (fmn(net, x, y, steps=20, n_target_classes=count) for count in (9, None))
    assert np.allclose(first.x_adv.numpy(), second.x_adv.numpy(), atol=1e-6)
    # One pass ranks the classes.
    assert np.array_equal(first.queries, second.queries + [1, 0])


def test_passes_are_those_of_the_heats_and_of_a_search_a_class_that_is_left():
    net, x = small_net(), images(6)
    y = predictions(net, x)
    (short, _), (longer, _) = HEATS
    forward, backward = fmn(net, x, y, steps=500).queries.T
    searches, rest = backward // 500, backward % 500 - 4 * short
    seconds = rest // longer
    assert (rest % longer == 0).all()
    assert ((searches >= 1) & (searches <= seconds) & (seconds <= 4)).all()
    assert searches.sum() < seconds.sum() < 4 * 6
    # The last image of each has a forward pass of its own; one ranks the classes, three judge.
    assert np.array_equal(forward, backward + 4 + seconds + searches + 1 + 3)


def problem_of(net, x, norm="l2"):
    return Problem(net.eval(), x, predictions(net, x), attack="trial", norm=norm)


@pytest.mark.parametrize(
    ("first", "second", "searched"),
    [
        ([1.0, 1.04, 1.2, np.inf], {0: 1.0, 1: 1.0, 2: 1.06}, [0, 1]),
        ([3.0, np.inf, 1.0, 2.0], {2: 0.5}, [2]),
        ([1.0, 1.2, 1.3, 1.31], {0: 2.0, 1: 0.9, 2: np.inf}, [1]),
        ([np.inf] * 4, {}, [None]),
    ],
)
def test_which_classes_get_how_far(first, second, searched, monkeypatch):
    # The samples are of one class: their targets are the same, in the order of the first one.
    net, seen = small_net(), []
    problem = problem_of(net, tc.cat([images(1)] * 3))
    targets = problem.likeliest_others(9)[0].tolist()

    def race(lane, steps):
        assert lane.targeted
        assert len(lane) == 3
        k, found = targets.index(int(lane.y[0])), Smallest(lane.x, "l2")
        found.norm[:] = first[k] if steps == HEATS[0][0] else second.pop(k)
        return found

    def search(part, best):
        assert not best.success.any()
        seen.append(targets.index(int(part.y[0])) if part.targeted else None)

    monkeypatch.setattr(module, "race", race)
    class_by_class(problem, Smallest(problem.x, "l2"), search, 9, keep=False)
    assert seen == searched
    assert not second


@pytest.mark.parametrize("keep", [True, False])
def test_what_the_race_finds_counts_if_wanted(keep):
    problem = problem_of(small_net(), images(6))
    best = Smallest(problem.x, "l2")
    class_by_class(problem, best, lambda part, own: None, 9, keep=keep)
    assert best.success.all() == keep
    assert best.success.any() == keep


@pytest.mark.parametrize("attack", [carlini_wagner, ead])
def test_confidence_is_that_of_the_search(attack):
    net, x = small_net(), images(8)
    result = attack(
        net, x, predictions(net, x), confidence=0.3, steps=60, initial_const=0.1, lr=0.05
    )
    assert result.success.any()
    assert (result.loss[result.success] > 0.3).all()


def test_the_elastic_net_is_that_of_its_own_search_in_the_norm_of_its_rule(monkeypatch):
    net, x, compared = small_net(), images(6), []
    y = predictions(net, x)

    def spied(problem, best, search, classes, keep):
        compared.append(problem.norm)
        class_by_class(problem, best, lambda part, own: None, classes, keep=keep)

    monkeypatch.setattr("tinyconv.adversarial.attacks.ead.class_by_class", spied)
    for rule in ("en", "l1"):
        # What the race has found would be dense in the one case, and of L1 alone in the other.
        assert not ead(net, x, y, decision_rule=rule, **ELASTIC).success.any()
    assert compared == ["l2", "l1"]


@pytest.mark.parametrize("attack", [fmn, carlini_wagner, ead])
def test_bad_arguments(attack):
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    for count in (0, 1.5):
        with pytest.raises(ArgumentError, match="'n_target_classes' must be an int of at least 1"):
            attack(net, x, y, n_target_classes=count)
