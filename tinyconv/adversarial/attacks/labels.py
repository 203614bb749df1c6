"""What attacks that see nothing but the decision have in common: a start, and the way back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import as_tensor, clamp, where
from .. import geometry
from ..best import replace
from ..problem import Problem


def beginnings(problem: Problem, trials: int) -> tuple[Any, np.ndarray]:
    """Return images on the other side of the boundary, and for which samples there is one.

    The image that the user gave, where it is one of success; else the first of ``trials`` images of
    noise, uniform in the box, that is.
    """
    x, found = problem.x, np.zeros(len(problem), bool)
    low, high = problem.bounds
    first = 0 if problem.initial is None else -1
    for trial in range(first, trials):
        rows = np.flatnonzero(~found)
        if not len(rows):
            break
        part = problem.take(rows)
        if trial < 0:
            tried = part.project(part.initial)
        else:
            noise = part.uniform(*x.shape[1:], restart=1, step=trial)
            tried = part.project(noise * (high - low) + low)
        success = decide(part, tried)
        x = replace(x, rows, tried, success)
        found[rows[success]] = True
    return x, found


def decide(problem: Problem, x: Any) -> np.ndarray:
    """Return which of the images are a success. One forward pass, of which only this is seen."""
    return problem.succeeds(problem.logits(x))


def approach(problem: Problem, x: Any, norm: str, steps: int) -> Any:
    """Return images nearer to the clean ones, by ``steps`` bisections; ``x`` are successes.

    ``"l2"``: on the straight line to the clean image. ``"linf"``: of all values, the changes that
    are too large are cut. What comes back has been looked at, and is a success.
    """
    clean, best = problem.x, x
    high = distances(problem, x, norm) if norm == "linf" else x.new_ones(len(x))
    low = high * 0
    for _ in range(steps):
        middle = (low + high) / 2
        share = geometry.rows(middle, clean)
        if norm == "linf":
            tried = clamp(x, clean - share, clean + share)
        else:
            tried = clean + share * (x - clean)
        tried = problem.project(tried)
        success = as_tensor(decide(problem, tried), device=x.device)
        low, high = where(success, low, middle), where(success, middle, high)
        best = where(geometry.rows(success, x), tried, best)
    return best


def distances(problem: Problem, x: Any, norm: str) -> Any:
    """Return how far the images are from the clean ones, (N,) in their dtype."""
    return geometry.norms(x - problem.x, norm).to(x.dtype)


def bisections(tolerance: float, x: Any) -> int:
    """Return how many steps make an interval smaller by ``tolerance``, as far as the dtype goes."""
    return min(math.ceil(-math.log2(tolerance)), 52 if x.dtype.name == "float64" else 23)
