"""The fast minimum-norm attack: gradient steps in a ball that shrinks onto the border."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ArgumentError
from .. import geometry
from ..best import Smallest
from ..losses import objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .hyperplane import dual_norms
from .pgd import check_steps


def fmn(
    model: Any,
    x: Any,
    y: Any,
    *,
    norm: str = "l2",
    steps: int = 200,
    step_size: float = 1.0,
    gamma: float = 0.05,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with gradient steps within a ball whose radius shrinks at each success.

    Pintor et al. (2021), "Fast minimum-norm adversarial attacks through adaptive norm constraints",
    arXiv 2102.12827, algorithm 1. One gradient a step and little to tune: a good first choice for a
    least perturbation. From the clean image, each step goes along the gradient of the margin, then
    into a ball of radius ``eps`` and into the box. Until the first success ``eps`` is the distance
    to the linearised border; then it becomes smaller by a share of ``gamma`` where the last image
    is a success, else larger (for ``"l0"`` by at least one value). Both step and share fall with
    half a cosine. The smallest success is returned.

    Differences from the paper: before the first success, too, ``eps`` is larger by the share (the
    linearised border alone may be neared from within for ever, where the true one is curved or the
    box cuts a step short), and in L1 the projection is onto ball and box together.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "l2"
        ``"l2"``, ``"linf"``, ``"l1"`` or ``"l0"``: what to keep small.
    steps : int, default 200
        Gradient steps.
    step_size : float, default 1.0
        Length of the first step in the L2 norm, for every ``norm``; the last is a hundredth.
    gamma : float, default 0.05
        The first change of the radius, between 0.001, which is the last, and 1.

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
    >>> result = tc.adversarial.fmn(model, x, tc.tensor([0]), bounds=(-1, 1))
    >>> round(float(result.norm["l2"][0]), 2)  # the least is 1
    1.0
    """
    arguments = dict(locals())
    check_steps("fmn", steps=steps)
    if not 0 < step_size < float("inf"):
        raise ArgumentError(
            f"fmn: argument 'step_size' must be positive and finite, got {step_size!r}"
        )
    if not LAST_GAMMA <= gamma < 1:
        raise ArgumentError(f"fmn: argument 'gamma' must be from 0.001 to below 1, got {gamma!r}")
    goal = objective("fmn", "margin", targeted)

    def solve(problem: Problem) -> tuple[Any, None]:
        best, rows, x = Smallest(problem.x, norm), np.arange(len(problem)), problem.x
        everywhere = geometry.column(np.ones(len(problem)), x)
        largest = reach(problem)
        eps = np.ones(len(problem)) if norm == "l0" else largest
        for step in problem.steps(steps + 1):
            if step == steps:
                best.offer(rows, x, problem.succeeds(problem.logits(x)))
                break
            wave = (1 + math.cos(math.pi * step / steps)) / 2
            margin, slope, logits = problem.gradient(x, goal)
            success = problem.succeeds(logits)
            best.offer(rows, x, success)
            share = LAST_GAMMA + (gamma - LAST_GAMMA) * wave
            if norm == "l0":
                eps = count(eps, success, share, best.norm)
            else:
                eps = radius(problem, eps, success, share, best, x, margin, slope)
            eps = np.minimum(eps, largest)
            # Along the gradient by this length in the L2 norm.
            length = everywhere * (step_size * (0.01 + 0.99 * wave))
            x = x + geometry.steepest(slope, x, length, "l2", problem.bounds)
            x = geometry.project(x, problem.x, geometry.column(eps, x), norm, problem.bounds)
        return best.x, None

    return run("fmn", solve, arguments, norms=geometry.NORMS)


LAST_GAMMA = 0.001


def reach(problem: Problem) -> np.ndarray:
    """Return the norm of the largest step within the box."""
    low, high = problem.bounds
    room = (problem.x - low).maximum(high - problem.x)
    if problem.norm == "l0":
        return np.full(len(problem), float(problem.x[0].numel()))
    return geometry.norms(room, problem.norm).numpy(force=True)


def radius(
    problem: Problem,
    eps: np.ndarray,
    success: np.ndarray,
    share: float,
    best: Smallest,
    x: Any,
    margin: Any,
    slope: Any,
) -> np.ndarray:
    """Return the next radius: to the linearised border at first, then round the last one."""
    speed = dual_norms(slope[:, None], problem.norm)[:, 0].numpy(force=True)
    ahead = np.abs(np.asarray(margin.numpy(force=True), np.float64))
    ahead = np.divide(ahead, speed, out=np.full(len(eps), np.inf), where=speed > 0)
    border = geometry.norms(x - problem.x, problem.norm).numpy(force=True) + ahead
    failed = np.where(best.success, eps, border) * (1 + share)
    return np.where(success, np.minimum(eps * (1 - share), best.norm), failed)


def count(eps: np.ndarray, success: np.ndarray, share: float, smallest: np.ndarray) -> np.ndarray:
    """Return the next number of values that may change."""
    fewer = np.minimum(np.minimum(eps - 1, np.floor(eps * (1 - share))), smallest)
    more = np.maximum(eps + 1, np.floor(eps * (1 + share)))
    return np.maximum(np.where(success, fewer, more), 1)
