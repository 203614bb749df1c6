"""Auto-PGD: projected gradient steps with momentum that choose their own length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor, clamp, gather, sort, where
from .. import geometry
from ..best import Best, replace
from ..losses import Loss, cross_entropy, objective, of_class, targeted_dlr
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_steps

MOMENTUM = 0.75  # weight of the new step; the rest is that of the last one
FIRST_CHECKPOINT, SHRINKAGE, SHORTEST = 0.22, 0.03, 0.06  # of all steps
#: For the L1 norm: share of values that the first steps move, and how the step is adapted.
FIRST_SHARE, CHECK_EVERY, STABLE, SHORTEN, LEAST_STEP = 0.2, 0.04, 0.95, 1.5, 0.1


def apgd(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 100,
    restarts: int = 1,
    loss: str | Loss = "ce",
    n_target_classes: int | None = None,
    rho: float = 0.75,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with projected gradient steps that halve themselves when they stop helping.

    Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", arXiv 2003.01690; for the L1 norm Croce and Hein (2021), "Mind
    the box", arXiv 2103.01208, with sparse steps and the exact projection onto ball and box. The
    step starts at twice the radius; at checkpoints that grow closer together it is halved, and the
    search goes back to the best point, where too few steps raised the loss.

    Parameters
    ----------
    model, x, y, eps, norm, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    steps : int, default 100
        Gradient steps a restart.
    restarts : int, default 1
        Random starts, for each target class where there are such.
    loss : str or callable, default "ce"
        ``"ce"``, ``"margin"``, ``"dlr"``, or a function of (logits, y) that gives ``(N,)``.
    n_target_classes : int, optional
        The targeted form of the attack, APGD-T: go for each of the so many classes that the model
        finds most likely after ``y`` in turn, with the targeted form of ``loss``. Success is still
        any other class than ``y``. With ``"dlr"`` and 9 it is the one in AutoAttack.
    rho : float, default 0.75
        Share of the steps between checkpoints that must raise the loss.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`; also if ``n_target_classes`` comes with ``targeted`` or a loss that is
        a function.
    """
    arguments = dict(locals())
    check_steps("apgd", steps=steps, restarts=restarts, n_target_classes=n_target_classes or 1)
    if not 0 < rho < 1:
        raise ArgumentError(f"apgd: argument 'rho' must be between 0 and 1, got {rho!r}")
    goal = objective("apgd", loss, targeted)
    if n_target_classes is not None and (targeted or not isinstance(loss, str)):
        raise ArgumentError(
            "apgd: argument 'n_target_classes' needs targeted=False and a loss by name"
        )

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Best(problem.x)
        others = None if n_target_classes is None else problem.likeliest_others(n_target_classes)
        for round_ in range(restarts * (1 if others is None else others.shape[1])):
            rows = np.flatnonzero(~best.success)
            if not len(rows):
                break
            target = None if others is None else others[as_tensor(rows), round_ // restarts]
            _climb(problem.take(rows), rows, best, _Goal(goal, loss, target), steps, rho, round_)
        return best.x, best.restart

    return run("apgd", solve, arguments, loss="margin" if n_target_classes else loss)


@dataclass
class _Goal:
    """The loss of a batch, with a class to go for in the targeted form."""

    plain: Loss
    name: Any
    target: Any

    def __call__(self, logits: Any, y: Any) -> Any:
        if self.target is None:
            return self.plain(logits, y)
        if self.name == "dlr":
            return targeted_dlr(logits, y, self.target)
        if self.name == "ce":
            return -cross_entropy(logits, self.target)
        return of_class(logits, self.target) - of_class(logits, y)

    def take(self, rows: Any) -> _Goal:
        return _Goal(self.plain, self.name, None if self.target is None else self.target[rows])


def checkpoints(steps: int) -> list[int]:
    """Return the steps after which the step length is reconsidered: 22, 41, 57, ... of 100."""
    marks: list[int] = []
    gap, mark = FIRST_CHECKPOINT, 0.0
    while True:
        mark += gap
        if round(mark, 6) >= 1:
            return marks
        marks.append(int(np.ceil(round(mark * steps, 6))))  # 0.57 * 100 is not 57.00000001
        gap = max(gap - SHRINKAGE, SHORTEST)


@dataclass
class _State:
    """Where the search of each sample is; arrays and tensors have one row a sample."""

    x: Any
    last: Any
    slope: Any
    best: Any
    best_slope: Any
    best_loss: np.ndarray
    loss: np.ndarray
    length: np.ndarray  # of a step, as a multiple of eps
    raised: np.ndarray  # steps since the last checkpoint that raised the loss
    halved: np.ndarray  # whether the step was halved at the last checkpoint
    best_before: np.ndarray  # the best loss at the last checkpoint
    share: np.ndarray  # L1: share of the values that a step moves
    changed: np.ndarray  # L1: how many values the best image had changed at the last check

    def take(self, rows: np.ndarray) -> _State:
        tensor_rows = as_tensor(rows)
        return _State(**{
            name: value[rows if isinstance(value, np.ndarray) else tensor_rows]
            for name, value in self.__dict__.items()
        })  # fmt: skip


def _climb(
    problem: Problem, rows: np.ndarray, best: Best, goal: _Goal, steps: int, rho: float,
    restart: int,
) -> None:  # fmt: skip
    """Run one restart, and offer every image on the way to ``best``."""
    n, sparse = len(problem), problem.norm == "l1"
    x = problem.start(restart)
    first = 1.0 if sparse else 2.0
    count = problem.x[0].numel()
    state = _State(
        x, x, x, x, x, np.full(n, -np.inf), np.full(n, -np.inf), np.full(n, first),
        np.zeros(n, np.int64), np.ones(n, bool), np.full(n, -np.inf), np.full(n, FIRST_SHARE),
        np.full(n, float(count)),
    )  # fmt: skip
    marks, every = checkpoints(steps), max(int(CHECK_EVERY * steps), 1)
    previous = 0
    for step in problem.steps(steps + 1):
        value, slope, logits = problem.gradient(state.x, goal)
        success = problem.succeeds(logits)
        best.offer(rows, state.x, value, success, restart)
        if step == steps or success.all():
            return
        if success.any():
            alive = np.flatnonzero(~success)
            pick = as_tensor(alive)
            problem, rows, state, goal = (
                problem.take(alive), rows[alive], state.take(alive), goal.take(pick)
            )  # fmt: skip
            value, slope = value[pick], slope[pick]
        _record(state, np.asarray(value.numpy(force=True), np.float64), slope)
        if sparse:
            if step and step % every == 0:
                _adapt_sparsity(problem, state, count)
        elif step in marks:
            _adapt_length(state, rho * (step - previous))
            previous = step
        move = _step(problem, state)
        ahead = problem.project(state.x + move)
        if step and not sparse:
            ahead = problem.project(
                state.x + MOMENTUM * (ahead - state.x) + (1 - MOMENTUM) * (state.x - state.last)
            )
        state.last, state.x = state.x, ahead


def _record(state: _State, value: np.ndarray, slope: Any) -> None:
    """Note what the last step achieved."""
    state.raised += value > state.loss
    state.loss, state.slope = value, slope
    better = value > state.best_loss
    rows = np.arange(len(value))
    state.best = replace(state.best, rows, state.x, better)
    state.best_slope = replace(state.best_slope, rows, slope, better)
    state.best_loss = np.where(better, value, state.best_loss)


def _adapt_length(state: _State, needed: float) -> None:
    """At a checkpoint, halve the step and go back to the best point where the search stalls.

    It stalls where too few steps raised the loss, or where neither the step was halved nor a better
    point found since the last checkpoint.
    """
    stuck = ~state.halved & (state.best_loss <= state.best_before)
    halve = (state.raised < needed) | stuck
    state.length = np.where(halve, state.length / 2, state.length)
    _go_back(state, halve)
    state.halved, state.best_before = halve, state.best_loss.copy()
    state.raised = np.zeros_like(state.raised)


def _adapt_sparsity(problem: Problem, state: _State, count: int) -> None:
    """Move fewer values where the best image has become sparser; else make shorter steps."""
    changed = geometry.norms(state.best - problem.x, "l0").numpy(force=True)
    sparser = changed < STABLE * state.changed
    state.share = np.where(changed > 0, changed / count / SHORTEN, state.share)
    state.length = np.where(sparser, 1.0, np.maximum(state.length / SHORTEN, LEAST_STEP))
    state.changed = changed
    _go_back(state, sparser)


def _go_back(state: _State, which: np.ndarray) -> None:
    """Put the search of some samples back to their best points, and forget the last step."""
    rows = np.arange(len(which))
    state.x = replace(state.x, rows, state.best, which)
    state.last = replace(state.last, rows, state.best, which)
    state.slope = replace(state.slope, rows, state.best_slope, which)


def _step(problem: Problem, state: _State) -> Any:
    """Return the step along the slope, before any projection."""
    x = state.x
    length = geometry.column(state.length, x) * problem.eps
    if problem.norm != "l1":
        return geometry.steepest(state.slope, x, length, problem.norm, problem.bounds)
    # Equal steps on the values with the largest slopes; which share, is adapted on the way.
    slope = where(state.slope == state.slope, state.slope, 0.0).reshape(len(x), -1)
    count = slope.shape[1]
    ranked = sort(slope.abs(), 1)[0]
    place = count - np.clip((state.share * count).astype(np.int64), 1, count)
    least = gather(ranked, 1, as_tensor(place, device=x.device).reshape(-1, 1))
    signs = where(slope.abs() >= least, slope.sign(), 0.0)
    signs = signs / clamp(signs.abs().sum(1, keepdim=True), min=1.0)
    return signs.reshape(x.shape) * length
