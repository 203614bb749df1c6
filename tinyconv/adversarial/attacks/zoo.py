"""ZOO: the attack of Carlini and Wagner with slopes from scores, some coordinates at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor, cat, clamp, where
from .. import geometry
from ..best import Smallest
from ..losses import objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_steps

BLOCK = 64  # coordinates that are looked at together


def zoo(
    model: Any,
    x: Any,
    y: Any,
    *,
    steps: int = 1000,
    coordinates: int = 128,
    search_steps: int = 5,
    c: float = 0.01,
    lr: float = 0.01,
    h: float = 1e-4,
    confidence: float = 0.0,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Look for the least L2 perturbation with finite differences of the scores.

    Chen et al. (2017), "ZOO: zeroth order optimization based black-box attacks to deep neural
    networks without training substitute models", arXiv 1708.03999. It minimises
    ``|x' - x|**2 + c * max(-margin, -confidence)`` by Adam, for a few random coordinates in each
    step, of which each has moments and a count of steps of its own. Every sample has its own ``c``,
    ten times as large after a round without success, else bisected.

    It works on pixels that are clipped to the box (the authors have that, and a hyperbolic tangent,
    as options), takes the slope of the distance from its formula, and leaves out their tricks for
    large images (lower resolution, importance sampling). A step costs ``2 * coordinates + 1``
    forward passes: :func:`square` and :func:`hop_skip_jump` need far fewer for the same.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    steps : int, default 1000
        Steps of Adam a round.
    coordinates : int, default 128
        Values of the image that a step looks at.
    search_steps : int, default 5
        Rounds, each with another ``c``.
    c : float, default 0.01
        Weight of the margin in the first round.
    lr : float, default 0.01
        Learning rate of Adam, about how far a value moves in a step.
    h : float, default 1e-4
        Half the distance over which a difference is taken.
    confidence : float, default 0.0
        Margin to reach, in logits; a success needs more than it.

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
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 3))
    >>> x = tc.rand(2, 1, 2, 2)
    >>> y = model(x).argmax(1)
    >>> tc.adversarial.zoo(model, x, y, steps=50, coordinates=4, c=10.0).robust_accuracy
    0.0
    """
    arguments = dict(locals())
    check_steps("zoo", steps=steps, coordinates=coordinates, search_steps=search_steps)
    for name in ("c", "lr", "h"):
        if not 0 < arguments[name] < float("inf"):
            raise ArgumentError(
                f"zoo: argument '{name}' must be positive and finite, got {arguments[name]!r}"
            )
    if not 0 <= confidence < float("inf"):
        raise ArgumentError(
            f"zoo: argument 'confidence' must be finite and at least 0, got {confidence!r}"
        )

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        n = len(problem)
        best = Smallest(problem.x, "l2")
        weight, low, high = np.full(n, c), np.zeros(n), np.full(n, np.inf)
        for number in range(search_steps):
            found = _descend(problem, best, weight, arguments, number)
            low, high = np.where(found, low, weight), np.where(found, weight, high)
            weight = np.where(np.isinf(high), weight * 10, (low + high) / 2)
        return best.x, best.restart

    return run("zoo", solve, arguments, norms=("l2",), fixed={"norm": "l2"})


def _descend(
    problem: Problem, best: Smallest, weight: np.ndarray, a: dict[str, Any], number: int
) -> np.ndarray:
    """Run Adam from the clean images for one ``c`` a sample; return where there was a success."""
    clean = problem.x.reshape(len(problem), -1)
    n, size = clean.shape
    count = min(a["coordinates"], size)
    c = as_tensor(weight.astype(clean.dtype.name), device=clean.device).reshape(n, 1)
    x, first, second, times = clean, clean * 0, clean * 0, clean * 0
    margin = objective("zoo", "margin", problem.targeted)
    rows, found = np.arange(n), np.zeros(n, bool)
    for step in problem.steps(a["steps"] + 1):
        logits = problem.logits(x.reshape(problem.x.shape))
        value = margin(logits, problem.y)
        success = problem.succeeds(logits) & (value > a["confidence"]).numpy(force=True)
        best.offer(rows, x.reshape(problem.x.shape), success, number)
        found |= success
        if step == a["steps"]:
            break
        order = problem.uniform(size, restart=number, step=step)
        if problem.mask is not None:
            order = where(problem.mask.reshape(n, size), order, 2.0)
        at = order.argsort(1)[:, :count]
        slope = 2 * (x - clean).gather(1, at) - c * _differences(problem, x, at, margin, a)
        m, v, t = (values.gather(1, at) for values in (first, second, times))
        m, v, t = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope * slope, t + 1
        first, second, times = (
            old.scatter(1, at, new) for old, new in ((first, m), (second, v), (times, t))
        )
        move = a["lr"] * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        x = x.scatter(1, at, x.gather(1, at) - move)
        x = problem.project(x.reshape(problem.x.shape)).reshape(n, size)
    return found


def _differences(problem: Problem, x: Any, at: Any, margin: Any, a: dict[str, Any]) -> Any:
    """Return the slopes of the margin, none beyond ``confidence``, at the values ``at``, (N, P)."""
    n, size = x.shape
    h, slopes = a["h"], []
    places = as_tensor(np.arange(size), device=x.device)
    for start in range(0, at.shape[1], BLOCK):
        part = at[:, start : start + BLOCK]
        shift = (places == part[..., None]).to(x.dtype) * h
        points = geometry.clip(cat([x[:, None] + shift, x[:, None] - shift], 1), problem.bounds)
        value, _ = problem.trials(points.reshape(n, -1, *problem.x.shape[1:]), margin)
        # A little above the confidence, or the best image would never be beyond it.
        value = clamp(value, max=a["confidence"] + 1e-3)
        half = part.shape[1]
        slopes.append((value[:, :half] - value[:, half:]) / (2 * h))
    return cat(slopes, 1)
