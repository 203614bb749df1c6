"""The fast adaptive boundary attack: along the border, as near to the clean image as it goes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor, clamp, where
from ..best import Smallest
from ..geometry import clip, column, norms, rows
from ..losses import margin, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .hyperplane import differences, nearest, step_onto
from .pgd import check_steps

#: Radius of the random starts, as a share of the range of values, in the authors' code.
START = {"linf": 0.3, "l2": 1.0, "l1": 5.0}


def fab(
    model: Any,
    x: Any,
    y: Any,
    *,
    norm: str = "linf",
    steps: int = 100,
    restarts: int = 1,
    n_target_classes: int | None = None,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    start_radius: float | None = None,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with steps onto linearised borders, drawn towards the clean image all the while.

    Croce and Hein (2020), "Minimally distorted adversarial examples with a fast adaptive boundary
    attack", arXiv 1907.02044. Each step mixes the projections of the last and of the clean image
    onto the border that is nearest, linearised at the last image; both are exact within the box.
    After a success it goes back towards the clean image. At the end of a restart three steps of
    linear interpolation look for the border between the clean image and the smallest success.

    With ``n_target_classes`` it is FAB-T, which AutoAttack uses (with 9): ``steps`` steps towards
    the border to one class, for each of those with the largest logits at the clean image. A step
    then takes one backward pass, instead of one for every other class.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "linf"
        ``"linf"``, ``"l2"`` or ``"l1"``: what to keep small.
    steps : int, default 100
        Steps for each restart (and class).
    restarts : int, default 1
        How often to start: at the clean image, then at random. More are never worse.
    n_target_classes : int, optional
        How many classes to try one after the other; default: at each step the nearest of all. Not
        with ``targeted``, where ``y`` is the one class, and the border that to the largest other.
    alpha_max : float, default 0.1
        The largest share of the clean image in the mix, from 0 to 1.
    eta : float, default 1.05
        How far to go, in lengths of the steps onto the border; at least 1.
    beta : float, default 0.9
        How much of the perturbation is left when it goes back after a success, above 0, below 1.
    start_radius : float, optional
        Random starts are within half of it, or half of the smallest norm so far; default 0.3 for
        ``"linf"``, 1 for ``"l2"`` and 5 for ``"l1"``, times the range of values.

    Returns
    -------
    AttackResult
        ``eps_used`` is the norm of the perturbation; the clean image where none was found.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> x = tc.full((1, 1, 2, 2), 0.5)
    >>> result = tc.adversarial.fab(model, x, tc.tensor([0]), bounds=(-1, 1))
    >>> round(float(result.norm["linf"][0]), 3)
    0.5
    """
    arguments = dict(locals())
    check_steps("fab", steps=steps, restarts=restarts)
    if n_target_classes is not None:
        check_steps("fab", n_target_classes=n_target_classes)
        if targeted:
            raise ArgumentError("fab: argument 'n_target_classes' does not go with targeted=True")
    _within("alpha_max", alpha_max, 0 <= alpha_max <= 1, "from 0 to 1")
    _within("eta", eta, 1 <= eta < float("inf"), "finite and at least 1")
    _within("beta", beta, 0 < beta < 1, "above 0 and below 1")
    if start_radius is not None:
        positive = 0 < start_radius < float("inf")
        _within("start_radius", start_radius, positive, "positive and finite")

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Smallest(problem.x, norm)
        groups: list[Any] = [None if targeted else problem.likeliest_others(n_target_classes)]
        if n_target_classes is not None:
            groups = [groups[0][:, k : k + 1] for k in range(groups[0].shape[1])]
        radius = start_radius or START[norm] * (problem.bounds[1] - problem.bounds[0])
        for restart in range(restarts):
            for number, group in enumerate(groups):
                x = problem.x
                if restart:
                    x = random_start(problem, np.minimum(best.norm, radius), restart, number)
                walk(problem, best, x, group, steps, alpha_max, eta, beta, restart)
            interpolate(problem, best, restart)
        return best.x, best.restart

    return run("fab", solve, arguments)


def walk(
    problem: Problem,
    best: Smallest,
    x: Any,
    classes: Any,
    steps: int,
    alpha_max: float,
    eta: float,
    beta: float,
    restart: int,
) -> None:
    """Take ``steps`` steps from ``x`` along the nearest border to ``classes`` (None: targeted)."""
    clean, norm, bounds = problem.x, problem.norm, problem.bounds
    everyone, towards = np.arange(len(problem)), objective("fab", "margin", problem.targeted)
    for _ in problem.steps(steps):
        if classes is None:
            value, slope, logits = problem.gradient(x, towards)
        else:
            values, slopes, logits = differences(problem, x, classes)
            value, slope = nearest(values, slopes, norm)
        best.offer(everyone, x, problem.succeeds(logits), restart)
        # The hyperplane where value + slope * (z - x) is 0, as seen from the clean image.
        offset = (slope.double() * (clean - x).double()).reshape(len(x), -1).sum(1)
        here = step_onto(x, slope, -value, norm, bounds)
        there = step_onto(clean, slope, -(value.double() + offset), norm, bounds)
        near, far = norms(here, norm), norms(there, norm)
        both = near + far
        alpha = clamp(where(both > 0, near / where(both > 0, both, 1.0), 0.0), max=alpha_max)
        alpha = rows(alpha.to(x.dtype), x)
        x = clip((x + eta * here) * (1 - alpha) + (clean + eta * there) * alpha, bounds)
        success = problem.succeeds(problem.logits(x))
        best.offer(everyone, x, success, restart)
        x = clean + (x - clean) * column(np.where(success, beta, 1.0), x)


def random_start(problem: Problem, radius: np.ndarray, restart: int, number: int) -> Any:
    """Return images half of ``radius`` away from the clean ones, in a random direction."""
    shape = problem.x.shape[1:]
    if problem.norm == "linf":
        change = problem.uniform(*shape, restart=restart, step=number) * 2 - 1
    else:
        change = problem.normal(*shape, restart=restart, step=number)
    length = norms(change, problem.norm).numpy(force=True)
    scale = 0.5 * radius / np.where(length > 0, length, 1.0)
    return problem.project(problem.x + change * column(scale, change))


def interpolate(problem: Problem, best: Smallest, restart: int, steps: int = 3) -> None:
    """Look for the border between the clean images and the smallest successes of this restart.

    The margin is taken as linear between the two ends, of which one is replaced each time.
    """
    found = np.flatnonzero(best.success & (best.restart == restart))
    if not len(found):
        return
    problem = problem.take(found)
    sign = -1 if problem.targeted else 1
    inside, outside = problem.x, best.x[as_tensor(found)]
    low, high = ((sign * margin(problem.logits(x), problem.y)).double() for x in (inside, outside))
    for _ in range(steps):
        share = low / where(low < high, low - high, 1.0)
        # A little beyond the border, which is no success itself.
        share = clamp(share * (1 + 1e-4) + 1e-6, min=0.0, max=1.0)
        x = inside + (outside - inside) * rows(share.to(inside.dtype), inside)
        logits = problem.logits(x)
        success = problem.succeeds(logits)
        best.offer(found, x, success, restart)
        value = (sign * margin(logits, problem.y)).double()
        crossed = as_tensor(success, device=value.device)
        inside, low = where(rows(crossed, x), inside, x), where(crossed, low, value)
        outside, high = where(rows(crossed, x), x, outside), where(crossed, value, high)


def _within(name: str, value: float, holds: bool, legal: str) -> None:
    if not holds:
        raise ArgumentError(f"fab: argument '{name}' must be {legal}, got {value!r}")
