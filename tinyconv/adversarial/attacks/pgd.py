"""Projected gradient descent: many small steps, each followed by a step back into the ball."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import full_like
from ..best import Best
from ..geometry import steepest
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run


def pgd(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    loss: str | Loss = "ce",
    stop: str = "success",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with steps along the steepest direction, each projected back into ball and box.

    Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks", arXiv
    1706.06083. The best image of all steps and restarts is returned.

    Parameters
    ----------
    model, x, y, eps, norm, loss, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    steps : int, default 40
        Gradient steps a restart.
    step_size : float, optional
        Length of a step in ``norm``; default ``2.5 * eps / steps``, with which the far side of the
        ball can be reached from any start.
    random_start : bool, default True
        Start at a random point of the ball, else at the clean image.
    restarts : int, default 1
        How often to start; more than one need a random start. The random numbers of a restart are
        its own, so more restarts never make a result worse.
    stop : str, default "success"
        A sample is done when the attack on it has succeeded. ``"never"`` goes on to raise its
        loss, as adversarial training wants it.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(4, 1, 28, 28)
    >>> result = tc.adversarial.pgd(model, x, model(x).argmax(1), eps=0.3, steps=10)
    >>> result.robust_accuracy
    0.0
    """
    arguments = dict(locals())
    check_schedule("pgd", step_size, stop, steps=steps, restarts=restarts)
    if restarts > 1 and not random_start:
        raise ArgumentError("pgd: argument 'restarts' above 1 needs random_start=True")
    goal = objective("pgd", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Best(problem.x)
        for restart in range(restarts):
            rows = np.flatnonzero(~best.success) if stop == "success" else np.arange(len(problem))
            if len(rows):
                part = problem.take(rows)
                start = part.start(restart) if random_start else part.x
                ascend(part, rows, start, best, goal, steps, step_size, stop, restart)
        return best.x, best.restart

    return run("pgd", solve, arguments, loss=loss)


def ascend(
    problem: Problem,
    rows: np.ndarray,
    x: Any,
    best: Best,
    goal: Loss,
    steps: int,
    step_size: float | None,
    stop: str,
    restart: int,
    reach: float = 2.5,
) -> None:
    """Climb from ``x``, and offer every image on the way to ``best`` (as its samples ``rows``).

    Without a ``step_size``, all steps together are ``reach`` times as long as the radius.
    """
    for step in problem.steps(steps + 1):
        last = step == steps
        if last:  # the outcome of the last step is looked at, but no gradient is needed there
            logits = problem.logits(x)
            value = goal(logits, problem.y)
        else:
            value, slope, logits = problem.gradient(x, goal)
        success = problem.succeeds(logits)
        best.offer(rows, x, value, success, restart)
        if last:
            return
        if stop == "success" and success.any():
            alive = np.flatnonzero(~success)
            if not len(alive):
                return
            problem, rows, x, slope = problem.take(alive), rows[alive], x[alive], slope[alive]
        length = problem.eps * (reach / steps)
        if step_size is not None:
            length = full_like(length, step_size)
        x = problem.project(x + steepest(slope, x, length, problem.norm, problem.bounds))


def bim(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | None = None,
    loss: str | Loss = "ce",
    stop: str = "success",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with the basic iterative method: gradient steps from the clean image.

    Kurakin et al. (2017), "Adversarial examples in the physical world", arXiv 1607.02533. It is
    :func:`pgd` without the random start; parameters, result and errors are described there. The
    default of ``steps`` is 10, and of ``step_size`` ``eps / steps``, as in the paper: the steps
    reach the surface of the ball exactly once.
    """
    arguments = dict(locals())
    check_schedule("bim", step_size, stop, steps=steps)
    goal = objective("bim", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, None]:
        best, rows = Best(problem.x), np.arange(len(problem))
        ascend(problem, rows, problem.x, best, goal, steps, step_size, stop, 0, reach=1.0)
        return best.x, None

    return run("bim", solve, arguments, loss=loss)


def check_steps(attack: str, **counts: int) -> None:
    """Raise ``ArgumentError`` if one of the numbers of steps, restarts ... is not positive."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(
                f"{attack}: argument '{name}' must be an int of at least 1, got {value!r}"
            )


def check_schedule(attack: str, step_size: float | None, stop: str, **counts: int) -> None:
    """Raise ``ArgumentError`` for arguments that make no sense of an attack in steps."""
    check_steps(attack, **counts)
    if step_size is not None and not 0 < step_size < float("inf"):
        raise ArgumentError(
            f"{attack}: argument 'step_size' must be positive and finite, got {step_size!r}"
        )
    if stop not in ("success", "never"):
        raise ArgumentError(f"{attack}: argument 'stop' must be 'success' or 'never', got {stop!r}")
