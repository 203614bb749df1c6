"""Gradients from scores alone: SPSA and natural evolution strategies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor, cat, where
from .. import geometry
from ..best import Best
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .adam import Adam
from .pgd import check_schedule

ESTIMATORS = ("spsa", "nes")
BLOCK = 32  # directions that are drawn and added up together; fixed, so that the bits are


def spsa(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 100,
    samples: int = 128,
    estimator: str = "spsa",
    delta: float = 0.01,
    step_size: float | None = None,
    restarts: int = 1,
    loss: str | Loss = "margin",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with projected steps along gradients that are estimated from scores.

    The slope of the loss along random directions ``v``, from the losses at ``x + delta * v`` and
    ``x - delta * v``, averaged over pairs (both points are moved into the box first, so that the
    model sees legal images only). ``"spsa"``: every value of ``v`` is plus or minus 1, and Adam
    makes the steps (Uesato et al., 2018, "Adversarial risk and the dangers of evaluating against
    weak attacks", arXiv 1802.05666). ``"nes"``: ``v`` is normal, and the steps are those of
    :func:`pgd` (Ilyas et al., 2018, "Black-box adversarial attacks with limited queries and
    information", arXiv 1804.08598).

    Parameters
    ----------
    model, x, y, eps, loss, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`, save that the default loss is ``"margin"``.
    norm : str, default "linf"
        ``"linf"`` or ``"l2"``.
    steps : int, default 100
        Steps a restart, of ``samples + 1`` forward passes each.
    samples : int, default 128
        Points a step; an even number, for they come in pairs.
    estimator : str, default "spsa"
        ``"spsa"`` or ``"nes"``.
    delta : float, default 0.01
        How far the points are away, in the units of ``x``.
    step_size : float, optional
        ``"nes"``: length of a step in ``norm``; ``"spsa"``: learning rate of Adam, about how far
        one value moves in a step. By default the steps together are 2.5 times as long as ``eps``.
    restarts : int, default 1
        How often to start, from the clean image the first time, from random points of the ball
        later.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(2, 1, 28, 28)
    >>> y = model(x).argmax(1)
    >>> tc.adversarial.spsa(model, x, y, eps=0.3, steps=20, samples=32).robust_accuracy
    0.0
    """
    arguments = dict(locals())
    check_schedule("spsa", step_size, "success", steps=steps, samples=samples, restarts=restarts)
    if samples % 2:
        raise ArgumentError(f"spsa: argument 'samples' must be even, got {samples}")
    if estimator not in ESTIMATORS:
        names = " or ".join(map(repr, ESTIMATORS))
        raise ArgumentError(f"spsa: argument 'estimator' must be {names}, got {estimator!r}")
    if not 0 < delta < float("inf"):
        raise ArgumentError(f"spsa: argument 'delta' must be positive and finite, got {delta!r}")
    goal = objective("spsa", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Best(problem.x)
        for restart in range(restarts):
            rows = np.flatnonzero(~best.success)
            if len(rows):
                _climb(problem.take(rows), rows, best, goal, arguments, restart)
        return best.x, best.restart

    return run("spsa", solve, arguments, loss=loss, norms=("linf", "l2"))


def _climb(
    problem: Problem, rows: np.ndarray, best: Best, goal: Loss, a: dict[str, Any], restart: int
) -> None:
    """Climb from one start with the arguments ``a``, and offer all images to ``best``."""
    x = problem.start(restart) if restart else problem.x
    adam = Adam(x)
    for step in problem.steps(a["steps"] + 1):
        logits = problem.logits(x)
        success = problem.succeeds(logits)
        best.offer(rows, x, goal(logits, problem.y), success, restart)
        if step == a["steps"] or success.all():
            return
        if success.any():
            alive = np.flatnonzero(~success)
            problem, rows = problem.take(alive), rows[alive]
            x = x[as_tensor(alive, device=x.device)]
            adam.take(alive)
        key = restart << 16 | step + 1
        slope = estimate(problem, x, goal, a["samples"], a["estimator"], a["delta"], key)
        length = problem.eps * (2.5 / a["steps"])
        if a["step_size"] is not None:
            length = length * 0 + a["step_size"]
        if a["estimator"] == "nes":
            change = geometry.steepest(slope, x, length, problem.norm, problem.bounds)
        else:
            if a["step_size"] is None and problem.norm == "l2":
                length = length / x[0].numel() ** 0.5  # all values move as far, to that length
            change = adam.step(-slope, length)
        x = problem.project(x + change)


def estimate(
    problem: Problem, x: Any, goal: Loss, samples: int, estimator: str, delta: float, key: int
) -> Any:
    """Return the estimated gradient of the loss at ``x``; ``key`` tells the random numbers."""
    n, shape = len(x), x.shape[1:]
    total = x * 0
    for block in range(-(-samples // (2 * BLOCK))):
        size = min(BLOCK, samples // 2 - block * BLOCK)
        if estimator == "nes":
            directions = problem.normal(size, *shape, restart=key, step=block)
        else:
            numbers = problem.uniform(size, *shape, restart=key, step=block)
            directions = where(numbers < 0.5, -1.0, 1.0).to(x.dtype)
        if problem.mask is not None:
            directions = where(problem.mask[:, None], directions, 0.0)
        there, back = x[:, None] + delta * directions, x[:, None] - delta * directions
        value, _ = problem.trials(geometry.clip(cat([there, back], 1), problem.bounds), goal)
        slopes = (value[:, :size] - value[:, size:]) / (2 * delta)
        total = total + (directions * slopes.reshape(n, size, *[1] * len(shape))).sum(1)
    return total / (samples // 2)
