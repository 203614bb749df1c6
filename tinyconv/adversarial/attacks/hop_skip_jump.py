"""HopSkipJump: along the boundary with nothing but the model's decisions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import as_tensor, where
from .. import geometry
from ..best import Smallest, replace
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .labels import approach, beginnings, bisections, decide, distances
from .pgd import check_steps

BLOCK = 32  # directions that are drawn and added up together; fixed, so that the bits are


def hop_skip_jump(
    model: Any,
    x: Any,
    y: Any,
    *,
    norm: str = "l2",
    steps: int = 50,
    evaluations: int = 100,
    max_evaluations: int = 10_000,
    start: Any = None,
    trials: int = 100,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Look for the least perturbation with the model's decisions alone: hard labels.

    Chen et al. (2020), "HopSkipJumpAttack: a query-efficient decision-based attack", arXiv
    1904.02144. Each step estimates the direction of the boundary's normal from decisions at random
    points nearby, jumps along it, and comes back to the boundary by bisection. Logits are looked at
    for nothing but whether the attack has succeeded.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "l2"
        ``"l2"`` or ``"linf"``: what to make small.
    steps : int, default 50
        Jumps.
    evaluations : int, default 100
        Random points for the first estimate; step ``t`` takes ``sqrt(t)`` times as many.
    max_evaluations : int, default 10,000
        The most of them.
    start : Tensor, optional
        Images in the shape of ``x`` to start from, such as images of the target class, which noise
        rarely hits. Where one is no success, noise takes its place.
    trials : int, default 100
        Images of noise to try as a start. A sample for which none succeeds is a failure.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError
        As for :func:`fgsm`; and where ``start`` has another shape than ``x``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(2, 1, 28, 28)
    >>> y = model(x).argmax(1)
    >>> start = x[tc.tensor([1, 0])]
    >>> result = tc.adversarial.hop_skip_jump(model, x, y, steps=2, evaluations=10, start=start)
    >>> bool((result.queries[:, 1] == 0).all())
    True
    """
    arguments = dict(locals())
    check_steps(
        "hop_skip_jump", steps=steps, evaluations=evaluations, max_evaluations=max_evaluations,
        trials=trials,
    )  # fmt: skip

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Smallest(problem.x, problem.norm)
        x, found = beginnings(problem, trials)
        rows = np.flatnonzero(found)
        if len(rows):
            counts = [
                min(int(evaluations * math.sqrt(step)), max_evaluations)
                for step in range(1, steps + 1)
            ]
            _travel(problem.take(rows), rows, x[as_tensor(rows, device=x.device)], best, counts)
        return best.x, best.restart

    return run("hop_skip_jump", solve, arguments, norms=("l2", "linf"))


def _travel(problem: Problem, rows: np.ndarray, x: Any, best: Smallest, counts: list[int]) -> None:
    """Walk from the images ``x``, and offer what is found to ``best`` (as its samples ``rows``)."""
    norm, size = problem.norm, x[0].numel()
    halvings = bisections(size**-1.5 if norm == "l2" else size**-2.0, x)
    x = approach(problem, x, "l2", 10)  # along the line, whatever the norm
    before = distances(problem, x, norm)
    x = approach(problem, x, norm, halvings)
    success = np.ones(len(rows), bool)
    best.offer(rows, x, success)
    span = problem.bounds[1] - problem.bounds[0]
    for step in problem.steps(len(counts)):
        probe = before * 0 + 0.1 * span if step == 0 else before / size
        probe = where(probe > 0, probe, 1e-6 * span)
        direction = _normal(problem, x, probe, counts[step], step)
        x = _jump(problem, x, direction, distances(problem, x, norm) / math.sqrt(step + 1))
        before = distances(problem, x, norm)
        x = approach(problem, x, norm, halvings)
        best.offer(rows, x, success)


def _normal(problem: Problem, x: Any, probe: Any, count: int, step: int) -> Any:
    """Return the estimated normal of the boundary, of length 1 (``"linf"``: its signs).

    The mean of random directions, weighed by the decision there less the mean decision.
    """
    n, shape = len(x), x.shape[1:]
    probe = probe.reshape(n, *[1] * x.ndim)
    weighted, plain, positive = x * 0, x * 0, np.zeros(n)
    for block in range(-(-count // BLOCK)):
        size = min(BLOCK, count - block * BLOCK)
        key = {"restart": 2 + step, "step": block}
        if problem.norm == "l2":
            directions = problem.normal(size, *shape, **key)
        else:
            directions = problem.uniform(size, *shape, **key) * 2 - 1
        if problem.mask is not None:
            directions = where(problem.mask[:, None], directions, 0.0)
        length = (directions * directions).reshape(n, size, -1).sum(2).sqrt()
        length = length.reshape(n, size, *[1] * len(shape))
        points = x[:, None] + directions * (probe / where(length > 0, length, 1.0))
        points = geometry.clip(points, problem.bounds)
        _, success = problem.trials(points)
        directions = (points - x[:, None]) / probe
        signs = as_tensor(success, device=x.device).to(x.dtype) * 2 - 1
        signs = signs.reshape(n, size, *[1] * len(shape))
        weighted = weighted + (directions * signs).sum(1)
        plain = plain + directions.sum(1)
        positive += success.sum(1)
    mean = 2 * positive / count - 1
    # Where all decisions are the same there is nothing to weigh: away from, or to, the points.
    baseline = np.where(np.abs(mean) == 1, 0.0, mean)
    direction = weighted - plain * geometry.column(baseline, x)
    if problem.norm == "linf":
        return direction.sign()
    length = geometry.norms(direction, "l2").to(x.dtype)
    return direction / geometry.rows(where(length > 0, length, 1.0), x)


def _jump(problem: Problem, x: Any, direction: Any, length: Any) -> Any:
    """Return images along ``direction``, at the first of lengths halved again and again to succeed.

    Where none does, ``x`` itself.
    """
    rows, part = np.arange(len(x)), problem
    for _ in range(52 if x.dtype.name == "float64" else 23):
        at = as_tensor(rows, device=x.device)
        tried = part.project(x[at] + direction[at] * geometry.rows(length, x)[at])
        success = decide(part, tried)
        x = replace(x, rows, tried, success)
        rows, part, length = rows[~success], part.take(~success), length / 2
        if not len(rows):
            break
    return x
