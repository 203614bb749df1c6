"""JSMA: the few values with the largest saliency, pair by pair."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...nn import functional as F
from ...ops import as_tensor
from ..best import Best
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run

OUTPUTS = ("logits", "softmax")


def jsma(
    model: Any,
    x: Any,
    y: Any,
    *,
    theta: float = 1.0,
    gamma: float = 0.145,
    max_pixels: int | None = None,
    output: str = "logits",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack by changing few values much: those that the saliency map of a target class picks.

    Papernot et al. (2016), "The limitations of deep learning in adversarial settings", arXiv
    1511.07528. Each step moves the pair of values ``p, q`` by ``theta`` for which ``-a * b`` is
    largest, where ``a > 0`` is the sum of the target's slopes at ``p`` and ``q``, and ``b < 0`` the
    sum of those of all other classes together. A value may move again, until it has reached the
    bound, also after all that may change have. The pair is the best of all pairs, found without
    looking at all of them.

    Untargeted, a sample goes towards each other class at the same time, in searches of their own;
    the first one after which the class has changed wins, which is one with the fewest steps. That
    costs as many passes as there are other classes.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    theta : float, default 1.0
        How far a step moves the values, in the units of ``x``; negative to lower them.
    gamma : float, default 0.145
        Share of the values of a sample that may change (a colour pixel has three), from 0 to 1: the
        paper's largest distortion, rounded down to a number of values. An odd one leaves the last
        single value.
    max_pixels : int, optional
        That number itself, in the place of ``gamma``.
    output : str, default "logits"
        ``"softmax"`` takes the slopes of the probabilities, as the evaluation of defensive
        distillation did (Papernot et al., 2016, arXiv 1511.04508). Where they have saturated, all
        slopes are 0 and the search ends (Carlini and Wagner, 2017, arXiv 1608.04644).

    Returns
    -------
    AttackResult
        ``restart`` is 0.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[-1.0, 1, 1, -1], [4, 0, 0, 1]]))
    >>> x = tc.tensor([[[[0.0, 0.0], [0.9, 0.0]]]])
    >>> tc.adversarial.jsma(model, x, tc.tensor([0]), max_pixels=2).x_adv.flatten().tolist()
    [1.0, 0.0, 0.8999999761581421, 1.0]
    """
    arguments = dict(locals())
    if max_pixels is not None and (
        isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 0
    ):
        raise ArgumentError(
            f"jsma: argument 'max_pixels' must be an int of at least 0, got {max_pixels!r}"
        )
    if not 0 <= gamma <= 1:
        raise ArgumentError(f"jsma: argument 'gamma' must be from 0 to 1, got {gamma!r}")
    if theta == 0 or not abs(theta) < float("inf"):
        raise ArgumentError(
            f"jsma: argument 'theta' must be finite and other than 0, got {theta!r}"
        )
    if output not in OUTPUTS:
        names = " or ".join(map(repr, OUTPUTS))
        raise ArgumentError(f"jsma: argument 'output' must be {names}, got {output!r}")
    size = math.prod(as_tensor(x).shape[1:])
    # 0.29 * 100 is not 28.999999999999996.
    budget = math.floor(round(gamma * size, 6)) if max_pixels is None else min(max_pixels, size)
    goal = objective("jsma", "margin", targeted)

    def solve(problem: Problem) -> tuple[Any, None]:
        best = Best(problem.x)
        _search(problem, best, goal, budget, theta, output)
        return best.x, None

    return run("jsma", solve, arguments, norms=("l0",), fixed={"norm": "l0", "eps": budget})


def _search(
    problem: Problem, best: Best, goal: Loss, budget: int, theta: float, output: str
) -> None:
    """Change pairs of values until a sample is done, for all samples and targets side by side."""
    n = len(problem)
    rows, target = np.arange(n), problem.y
    if not problem.targeted:
        rows, target = _all_targets(problem)
    part, x = problem.take(rows), problem.x[as_tensor(rows, device=problem.x.device)]
    changed = np.zeros(x.shape, bool).reshape(len(x), -1)
    bounds = problem.bounds
    while len(rows):
        slope, others, logits = _slopes(part, x, target, output)
        _offer(best, rows, x, goal(logits, part.y), part.succeeds(logits))
        left = budget - changed.sum(1)
        values = x.numpy(force=True).reshape(len(x), -1)
        free = values < bounds[1] if theta > 0 else values > bounds[0]
        if part.mask is not None:
            free &= part.mask.numpy(force=True).reshape(len(x), -1)
        chosen = np.full((len(x), 2), -1)
        for i in np.flatnonzero(~best.success[rows]):
            # With one value left to change, a pair may hold only one that is new.
            chosen[i] = best_pair(
                slope[i] * np.sign(theta), -others[i] * np.sign(theta), free[i], changed[i], left[i]
            )
        alive = np.flatnonzero(chosen[:, 0] >= 0)
        at = as_tensor(alive, device=x.device)
        rows, part, target, chosen = rows[alive], part.take(alive), target[at], chosen[alive]
        values, changed = values[alive], changed[alive]
        for k in (0, 1):
            line = np.flatnonzero(chosen[:, k] >= 0)
            moved = values[line, chosen[line, k]] + values.dtype.type(theta)
            values[line, chosen[line, k]] = np.clip(moved, *bounds)
            changed[line, chosen[line, k]] = True
        x = as_tensor(values.reshape(len(rows), *x.shape[1:]), device=x.device)


def _offer(best: Best, rows: np.ndarray, x: Any, value: Any, success: np.ndarray) -> None:
    """Offer the best of the searches of each sample."""
    order = np.lexsort((-value.numpy(force=True), ~success, rows))
    first = np.sort(order[np.diff(rows[order], prepend=-1) > 0])
    at = as_tensor(first, device=x.device)
    best.offer(rows[first], x[at], value[at], success[first])


def _all_targets(problem: Problem) -> tuple[np.ndarray, Any]:
    """Return each sample as often as there are other classes, and these."""
    y = problem.y.numpy(force=True)
    classes = np.arange(problem.logits(problem.x).shape[1])
    rows = np.repeat(np.arange(len(y)), len(classes) - 1)
    target = np.stack([classes[classes != label] for label in y]).ravel()
    return rows, as_tensor(target, device=problem.x.device)


def _slopes(
    problem: Problem, x: Any, target: Any, output: str
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return the slopes of the target and of the sum of all others, (N, D), and the logits."""

    def outputs(logits: Any) -> Any:
        return F.softmax(logits, 1) if output == "softmax" else logits

    def wanted(logits: Any, _: Any) -> Any:
        return outputs(logits).gather(1, target.reshape(-1, 1)).reshape(-1)

    def rest(logits: Any, _: Any) -> Any:
        return outputs(logits).sum(1) - wanted(logits, _)

    losses: list[Loss] = [wanted, rest]
    _, slopes, logits = problem.gradients(x, losses)
    arrays = slopes.numpy(force=True).reshape(len(x), 2, -1)
    return arrays[:, 0], arrays[:, 1], logits


def best_pair(
    gain: np.ndarray, loss: np.ndarray, free: np.ndarray, changed: np.ndarray, left: int
) -> tuple[int, int]:
    """Return the pair of free values with the largest ``(gain + gain) * (loss + loss)``.

    Both sums must be positive. The product grows with either, so a value that two others beat in
    both is in no best pair that could not do as well without it: only those that at most one other
    beats are paired up. That is exact, and quick where there are thousands of values.

    With ``left`` new values to change, of which ``changed`` are none: where it is 1, the second is
    one that is changed already, or none, -1. ``(-1, -1)`` if there is no pair.
    """
    if left <= 1:
        return _best_with_few(gain, loss, free, changed, left)
    at = _front(gain, loss, np.flatnonzero(free))
    return _best_of(gain, loss, at, at)


def _best_with_few(
    gain: np.ndarray, loss: np.ndarray, free: np.ndarray, changed: np.ndarray, left: int
) -> tuple[int, int]:
    old = _front(gain, loss, np.flatnonzero(free & changed))
    new = _front(gain, loss, np.flatnonzero(free & ~changed)) if left else old[:0]
    pairs = [_best_of(gain, loss, old, np.concatenate([old, new]))]
    single = new[(gain[new] > 0) & (loss[new] > 0)]
    if len(single):
        pairs.append((int(single[np.argmax(gain[single] * loss[single])]), -1))
    return max(pairs, key=lambda p: _score(gain, loss, p))


def _score(gain: np.ndarray, loss: np.ndarray, pair: tuple[int, int]) -> float:
    at = [p for p in pair if p >= 0]
    return float(gain[at].sum() * loss[at].sum()) if at else -1.0


def _front(gain: np.ndarray, loss: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return those of the values ``at`` that at most one other beats in both."""
    at = at[np.isfinite(gain[at]) & np.isfinite(loss[at])]
    at = at[np.lexsort((-loss[at], -gain[at]))]
    values = loss[at]
    if len(at) < 3:
        return at
    largest = np.maximum.accumulate(values)
    second = np.full(len(at), -np.inf, values.dtype)  # of all that come before
    second[2:] = np.maximum.accumulate(np.minimum(values[1:-1], largest[:-2]))
    return at[values > second]


def _best_of(
    gain: np.ndarray, loss: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[int, int]:
    a = gain[first][:, None] + gain[second]
    b = loss[first][:, None] + loss[second]
    score = np.where((a > 0) & (b > 0) & (first[:, None] != second), a * b, 0.0)
    if not score.any():
        return -1, -1
    i, j = np.unravel_index(np.argmax(score), score.shape)
    return int(first[i]), int(second[j])
