"""The search of FMN: gradient steps in a ball whose radius follows the smallest success."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import geometry
from ..best import Smallest
from ..losses import objective
from ..problem import Problem
from .hyperplane import dual_norms

LAST_GAMMA = 0.001


@dataclass(frozen=True)
class Plan:
    """How many steps to take, how long they are, and how fast the radius changes.

    ``step_size`` and ``gamma`` are those of the first step; both fall with half a cosine, to a
    hundredth and to ``LAST_GAMMA``.
    """

    steps: int
    step_size: float
    gamma: float

    def at(self, step: int) -> tuple[float, float]:
        """Return the length of a step in the L2 norm, and the share by which the radius changes."""
        wave = (1 + math.cos(math.pi * step / self.steps)) / 2
        length = self.step_size * (0.01 + 0.99 * wave)
        return length, LAST_GAMMA + (self.gamma - LAST_GAMMA) * wave


def close_in(problem: Problem, best: Smallest, plan: Plan) -> None:
    """Search from the clean images, and offer all images on the way to ``best``."""
    goal = objective(problem.attack, "margin", problem.targeted)
    x, rows = problem.x, np.arange(len(problem))
    everywhere, largest = geometry.column(np.ones(len(problem)), x), reach(problem)
    eps = np.ones(len(problem)) if problem.norm == "l0" else largest
    for step in problem.steps(plan.steps):
        length, share = plan.at(step)
        margin, slope, logits = problem.gradient(x, goal)
        success = problem.succeeds(logits)
        best.offer(rows, x, success)
        if problem.norm == "l0":
            eps = count(eps, success, share, best.norm)
        else:
            eps = radius(problem, eps, success, share, best, x, margin, slope)
        eps = np.minimum(eps, largest)
        x = x + geometry.steepest(slope, x, everywhere * length, "l2", problem.bounds)
        x = geometry.project(x, problem.x, geometry.column(eps, x), problem.norm, problem.bounds)
    best.offer(rows, x, problem.succeeds(problem.logits(x)))


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
