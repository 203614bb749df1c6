"""The elastic-net attack: few values change, by soft thresholding after each gradient step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import clamp
from ..best import Smallest
from ..geometry import column, norms
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .class_by_class import class_by_class
from .constant_search import ConstantSearch, Settings, Stall
from .pgd import check_steps

#: The norm in which the borders of classes are compared, by the rule of decision: in the elastic
#: net the L1 norm weighs little.
COMPARED = {"en": "l2", "l1": "l1"}


def ead(
    model: Any,
    x: Any,
    y: Any,
    *,
    steps: int = 1000,
    binary_search_steps: int = 9,
    initial_const: float = 1e-3,
    lr: float = 1e-2,
    beta: float = 1e-3,
    decision_rule: str = "en",
    confidence: float = 0.0,
    abort_early: bool = True,
    n_target_classes: int | None = 9,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with a perturbation that is small in the L1 and the L2 norm together.

    Chen et al. (2018), "EAD: elastic-net attacks to deep neural networks via adversarial examples",
    arXiv 1709.04114, algorithm 1. It minimises ``beta * L1 + squared L2 + c * max(confidence -
    margin, 0)`` by FISTA: a gradient step on the last two, then every change shrinks by ``beta``
    towards 0, into the box, then momentum. The search over ``c`` is that of
    :func:`carlini_wagner`. Since a change shrinks by ``beta`` in a step of length ``lr``, where the
    theory of FISTA has ``beta * lr``, the search obeys a weight of ``beta / lr`` on the L1 norm, in
    the paper, too; only the choice among the successes takes ``beta`` itself.

    Differences from the authors' code: the momentum does not lead out of the box; whether ``c`` is
    given up early is decided for each sample; and untargeted, the search is for the classes whose
    borders seem to be the nearest. There it is for whichever is second at the moment: for one in
    six of a LeNet's digits what it finds is larger by 5 % or more. Here a few steps of :func:`fmn`
    towards each of ``n_target_classes`` compare them, in the L2 norm, or, with the rule ``"l1"``,
    in the L1 norm; what these find does not count.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    steps, binary_search_steps, initial_const, confidence, abort_early
        As for :func:`carlini_wagner`.
    lr : float, default 0.01
        The first step size; that of step k is ``lr * sqrt(1 - k / steps)``.
    beta : float, default 0.001
        What a change shrinks by in each step. More makes the perturbation sparser.
    decision_rule : str, default "en"
        Of all successes the one with the least ``beta * L1 + squared L2`` is returned, or, with
        ``"l1"``, the one with the least L1 norm.
    n_target_classes : int, optional
        How many other classes are compared, those with the largest logits at the clean image;
        default 9. ``None``: none, as in the authors' code, with half as many passes. Without effect
        if ``targeted``.

    Returns
    -------
    AttackResult
        ``eps_used`` is the L1 norm of the perturbation; the clean image where none was found.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[3.0, 1, 1, 1], [-3, -1, -1, -1]]))
    >>> x = tc.full((1, 1, 2, 2), 0.2)
    >>> result = tc.adversarial.ead(
    ...     model, x, tc.tensor([0]), bounds=(-1, 1), beta=0.03, decision_rule="l1", steps=200
    ... )
    >>> result.norm["l0"].tolist(), round(float(result.norm["l1"][0]), 1)  # the least is 0.4
    ([1.0], 0.4)
    """
    arguments = dict(locals())
    settings = Settings(
        "ead", steps, binary_search_steps, initial_const, lr, confidence, abort_early
    )
    if not 0 <= beta < float("inf"):
        raise ArgumentError(f"ead: argument 'beta' must be finite and at least 0, got {beta!r}")
    if decision_rule not in COMPARED:
        raise ArgumentError(
            f"ead: argument 'decision_rule' must be 'en' or 'l1', got {decision_rule!r}"
        )
    if n_target_classes is not None:
        check_steps("ead", n_target_classes=n_target_classes)

    def elastic(change: Any) -> Any:
        return norms(change, "l1") * beta + norms(change, "l2") ** 2

    def search(problem: Problem, best: Smallest) -> None:
        goal = objective("ead", "margin", problem.targeted)
        weights = ConstantSearch(len(problem), initial_const)
        for _ in range(binary_search_steps):
            weights.update(shrink(problem, best, weights.c, goal, settings, beta, elastic))

    def solve(problem: Problem) -> tuple[Any, None]:
        best = Smallest(problem.x, elastic if decision_rule == "en" else "l1")
        if targeted or n_target_classes is None:
            search(problem, best)
        else:
            problem.norm = COMPARED[decision_rule]  # only the comparison looks at it
            class_by_class(problem, best, search, n_target_classes, keep=False)
        return best.x, None

    return run("ead", solve, arguments, norms=("l1",))


def shrink(
    problem: Problem,
    best: Smallest,
    c: np.ndarray,
    goal: Loss,
    settings: Settings,
    beta: float,
    elastic: Any,
) -> np.ndarray:
    """Minimise the elastic net plus ``c`` times the hinge; return which samples succeeded."""
    alive, found = np.arange(len(problem)), np.zeros(len(problem), bool)
    x = ahead = problem.x
    stall = Stall(len(problem), settings)
    for step in problem.steps(settings.steps):
        margin, slope, _ = problem.gradient(ahead, goal)
        slope = 2 * (ahead - problem.x) - settings.hinged(slope, margin) * column(c, x)
        change = ahead - settings.lr * (1 - step / settings.steps) ** 0.5 * slope - problem.x
        last, shrunk = x, clamp(change.abs() - beta, min=0.0) * change.sign()
        x = problem.project(problem.x + shrunk)
        ahead = problem.project(x + (x - last) * (step / (step + 3)))
        # Success is that of the image itself, not of the one that momentum leads to.
        logits = problem.logits(x)
        margin = goal(logits, problem.y)
        success = problem.succeeds(logits) & settings.above(margin)
        found[alive] |= success
        best.offer(alive, x, success)
        loss = elastic(x - problem.x).numpy(force=True) + c * settings.hinge(margin)
        keep = np.flatnonzero(~stall(loss, np.full(len(x), step)))
        if len(keep) < len(alive):
            problem, alive, c = problem.take(keep), alive[keep], c[keep]
            x, ahead = x[keep], ahead[keep]
            stall.take(keep)
        if not len(alive):
            break
    return found
