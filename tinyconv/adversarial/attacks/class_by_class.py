"""Untargeted attacks for the least perturbation that go for the class with the nearest border.

The margin of whichever class is second at the moment leads to the border that is met first on the
way, which need not be the nearest. So a short race towards each of the likeliest classes comes
first, and then the search for those whose borders seem to be nearest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..best import Smallest
from ..problem import Problem
from .shrinking_ball import Plan, close_in

#: Looks for the least perturbation of some samples, and offers what it finds.
Search = Callable[[Problem, Smallest], None]
#: Steps of each heat of the race, and the share by which a border may be farther away than the
#: nearest for its class to go on.
HEATS = ((10, 0.3), (40, 0.05))
#: By how much more it may be for the fewest values: the race is in the L1 norm then, in which the
#: order of the borders is another one.
APART = 0.25


def class_by_class(
    problem: Problem, best: Smallest, search: Search, classes: int, keep: bool = True
) -> None:
    """Search as a targeted attack, for each sample towards the classes with the nearest borders.

    The least of all targeted perturbations is the least untargeted one. Where the race has reached
    no class at all, the search is the untargeted one.

    Parameters
    ----------
    problem : Problem
        All samples, untargeted.
    best : Smallest
        What gets the results.
    search : callable
        Gets the problem of some samples, and a ``Smallest`` of their own.
    classes : int
        How many classes take part in the race: those with the largest logits at the clean image.
    keep : bool, default True
        Whether the successes of the race count.
    """
    targets = problem.likeliest_others(classes)
    if targets.shape[1] == 1:
        search(problem.aimed(targets[:, 0]), best)
        return
    border = np.full(tuple(targets.shape), np.inf)
    left, apart = border > 0, APART if problem.norm == "l0" else 0.0
    for steps, slack in HEATS:
        for k, runners in enumerate(left.T.copy()):
            rows = np.flatnonzero(runners)
            if len(rows):
                found = race(problem.take(rows).aimed(targets[rows, k]), steps)
                border[rows, k] = np.minimum(border[rows, k], found.norm)
                best.offer(rows, found.x, found.success & keep)
        nearest = border.min(1, keepdims=True)
        left = np.isfinite(border) & (border <= (1 + slack + apart) * nearest)
    lanes = [(runners, targets[:, k]) for k, runners in enumerate(left.T)]
    for chosen, target in [(~left.any(1), None), *lanes]:
        rows = np.flatnonzero(chosen)
        if len(rows):
            part = problem.take(rows)
            part = part if target is None else part.aimed(target[rows])
            own = Smallest(part.x, best.measure)
            search(part, own)
            best.offer(rows, own.x, own.success)


def race(problem: Problem, steps: int) -> Smallest:
    """Return what a short search finds; for the fewest values it is in the L1 norm."""
    problem = problem.take(np.arange(len(problem)))
    problem.norm = "l1" if problem.norm == "l0" else problem.norm
    length = problem.bounds[1] - problem.bounds[0]
    if problem.norm == "linf":
        length *= 10  # all values are to move
    found = Smallest(problem.x, problem.norm)
    close_in(problem, found, Plan(steps, length, gamma=0.05))
    return found
