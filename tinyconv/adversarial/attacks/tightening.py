"""Carlini and Wagner in Linf and L0: each success makes the problem a little tighter."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ...ops import as_tensor, clamp, where
from ...train.progress import progress_bar
from ..best import Smallest
from ..geometry import column, norms
from ..losses import Loss
from ..problem import Problem
from .adam import Adam
from .constant_search import ConstantSearch, Settings, Stall
from .tanh_space import TanhSpace


class Limit(Protocol):
    """What still has to hold of a perturbation, one limit a sample, and how far off it is.

    ``apply`` changes images as far as the limit can see to itself, ``holds`` tells which
    perturbations are within it, ``tighten`` makes that of the chosen samples tighter and returns
    those that are at the end, ``distance`` gives what to minimise ``(N,)`` and its gradient, and
    ``take`` keeps some of the samples.
    """

    def apply(self, x: Any, problem: Problem) -> Any: ...  # noqa: D102
    def holds(self, change: Any) -> np.ndarray: ...  # noqa: D102
    def tighten(self, change: Any, slope: Any, chosen: np.ndarray) -> np.ndarray: ...  # noqa: D102
    def distance(self, change: Any) -> tuple[Any, Any]: ...  # noqa: D102
    def take(self, alive: np.ndarray) -> None: ...  # noqa: D102


def tighten(problem: Problem, best: Smallest, goal: Loss, settings: Settings) -> None:
    """Run until a sample has failed with the last value of c, or cannot get better.

    Each sample is in a stage of its own: after a success it goes on from where it is, under the
    next limit, and after ``steps`` steps without one with the next ``c``. Both begin a new Adam.
    """
    space, n = TanhSpace(problem.bounds), len(problem)
    linf = problem.norm == "linf"
    limit: Limit = LargestChange(n, problem.bounds) if linf else FreeValues(problem)
    alive, w, failures = np.arange(n), space.variables(problem.x), np.zeros(n, np.int64)
    adam, stall, moving = Adam(w), Stall(n, settings), np.zeros(n, bool)
    c = np.full(n, settings.initial_const)
    with progress_bar(n, 0, problem.attack, unit="sample", delay=1) as bar:
        while len(alive):
            x = limit.apply(problem.project(space.images(w)), problem)
            margin, slope, logits = problem.gradient(x, goal)
            change = x - problem.x
            adversarial = problem.succeeds(logits) & settings.above(margin)
            best.offer(alive, x, adversarial)
            reached = adversarial & limit.holds(change)
            loss = limit.distance(change)[0].numpy(force=True) + c * settings.hinge(margin)
            # Before the first success all values may still be at a bound, where nothing moves.
            moving = moving | reached
            stalled = stall(loss, adam.age) & moving
            failed = ~reached & (stalled | (adam.age + 1 >= settings.steps))
            failures = failures + failed
            c = np.where(failed, c * ConstantSearch.growth, c)
            adam.reset(reached | failed)
            done = limit.tighten(change, slope, reached) | (
                failures >= settings.binary_search_steps
            )
            pull = limit.distance(change)[1] - settings.hinged(slope, margin) * column(c, x)
            w = w + adam.step(space.slope(pull, w), settings.lr)
            if done.any():
                keep = np.flatnonzero(~done)
                problem, alive, w, c = problem.take(keep), alive[keep], w[keep], c[keep]
                failures, moving = failures[keep], moving[keep]
                for part in (adam, stall, limit):
                    part.take(keep)
                bar.update(int(done.sum()))


class LargestChange:
    """No value changes by more than ``tau``."""

    factor = 0.9

    def __init__(self, count: int, bounds: tuple[float, float]) -> None:
        self.span = bounds[1] - bounds[0]
        self.tau = np.full(count, self.span)

    def apply(self, x: Any, problem: Problem) -> Any:
        """Return the images: this limit is kept by the distance alone."""
        return x

    def holds(self, change: Any) -> np.ndarray:
        """Return which perturbations are no larger than ``tau``."""
        return norms(change, "linf").numpy(force=True) <= self.tau

    def tighten(self, change: Any, slope: Any, chosen: np.ndarray) -> np.ndarray:
        """Set ``tau`` to 0.9 of the largest change; the end is a 256th of the range."""
        size = np.minimum(norms(change, "linf").numpy(force=True), self.tau)
        self.tau = np.where(chosen, self.factor * size, self.tau)
        return self.tau < self.span / 256

    def distance(self, change: Any) -> tuple[Any, Any]:
        """Return the sum of what exceeds ``tau``, and its gradient."""
        excess = clamp(change.abs() - column(self.tau, change), min=0.0)
        return excess.reshape(len(change), -1).sum(1), where(excess > 0, change.sign(), 0.0)

    def take(self, alive: np.ndarray) -> None:
        """Keep only some of the samples."""
        self.tau = self.tau[alive]


class FreeValues:
    """Only the values in a set change, and these little in the L2 norm."""

    def __init__(self, problem: Problem) -> None:
        self.span = problem.bounds[1] - problem.bounds[0]
        self.free = problem.x == problem.x
        if problem.mask is not None:
            self.free = self.free & problem.mask

    def apply(self, x: Any, problem: Problem) -> Any:
        """Return the images with the clean value wherever it is fixed."""
        return where(self.free, x, problem.x)

    def holds(self, change: Any) -> np.ndarray:
        """Return True: the limit is always kept."""
        return np.ones(len(change), bool)

    def tighten(self, change: Any, slope: Any, chosen: np.ndarray) -> np.ndarray:
        """Fix more values; the end is when none is free."""
        free = self.free.reshape(len(change), -1).numpy(force=True)
        size = change.reshape(len(change), -1).abs().numpy(force=True)
        use = size * slope.reshape(len(change), -1).abs().numpy(force=True)
        changed = free & (size > 1e-4 * self.span)
        # At least one goes; of those with more than a hundredth of the total use only one.
        order = np.argsort(np.where(changed, use, np.inf), axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable")
        total = np.where(changed, use, 0.0).sum(1, keepdims=True)
        count = np.floor(0.3 * np.sqrt(changed.sum(1, keepdims=True)))
        leaves = (rank == 0) | ((rank < count) & (use <= 0.01 * total))
        left = np.where(chosen[:, None], changed & ~leaves, free)
        self.free = as_tensor(left.reshape(change.shape), device=change.device)
        return ~left.any(1)

    def distance(self, change: Any) -> tuple[Any, Any]:
        """Return the squared L2 norm, and its gradient."""
        return (change * change).reshape(len(change), -1).sum(1), 2 * change

    def take(self, alive: np.ndarray) -> None:
        """Keep only some of the samples."""
        self.free = self.free[alive]
