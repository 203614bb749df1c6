"""DeepFool: step onto the nearest linearised border between two classes, until it is crossed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import clamp, where
from ..best import Smallest
from ..geometry import clip, norms, rows, steepest
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .hyperplane import differences, nearest, step_onto
from .pgd import check_steps


def deepfool(
    model: Any,
    x: Any,
    y: Any,
    *,
    norm: str = "l2",
    steps: int = 50,
    overshoot: float = 0.02,
    num_candidates: int = 10,
    bounds: tuple[float, float] = (0, 1),
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with steps onto the nearest of the linearised borders to other classes.

    Moosavi-Dezfooli et al. (2016), "DeepFool: a simple and accurate method to fool deep neural
    networks", arXiv 1511.04599, algorithm 2 and section 3.3. Quick, and close to the least
    perturbation: exact, times ``1 + overshoot``, for a linear model. It is never targeted.

    The paper knows no box. In the L2 and Linf norms the images are moved into it after each step,
    which then falls short of the border, and the next step starts with a new gradient; in the L1
    norm the next value takes over where the steepest meets the box. A sample is done as soon as its
    class has changed.

    Parameters
    ----------
    model, x, y, bounds, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "l2"
        ``"l2"``, ``"linf"`` or ``"l1"``: what to keep small.
    steps : int, default 50
        Steps at most.
    overshoot : float, default 0.02
        The sum of the steps is made longer by this share, to get across the border.
    num_candidates : int, default 10
        How many classes, those with the largest logits at the clean image, its own one among them,
        are looked at; at least 2. A step takes one backward pass for each of the others.

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
    >>> result = tc.adversarial.deepfool(model, x, tc.tensor([0]), bounds=(-1, 1))
    >>> round(float(result.norm["l2"][0]), 4)
    1.02
    """
    arguments = dict(locals())
    check_steps("deepfool", steps=steps)
    if (
        isinstance(num_candidates, bool)
        or not isinstance(num_candidates, int)
        or num_candidates < 2
    ):
        raise ArgumentError(
            f"deepfool: argument 'num_candidates' must be an int of at least 2, got "
            f"{num_candidates!r}"
        )
    if not 0 <= overshoot < float("inf"):
        raise ArgumentError(
            f"deepfool: argument 'overshoot' must be finite and at least 0, got {overshoot!r}"
        )

    def solve(problem: Problem) -> tuple[Any, None]:
        best, rows, x = Smallest(problem.x, norm), np.arange(len(problem)), problem.x
        classes, path = problem.likeliest_others(num_candidates - 1), x * 0
        for step in problem.steps(steps + 1):
            last = step == steps
            if last:
                logits = problem.logits(x)
            else:
                values, slopes, logits = differences(problem, x, classes)
            success = problem.succeeds(logits)
            best.offer(rows, x, success)
            alive = np.flatnonzero(~success)
            if last or not len(alive):
                break
            if success.any():
                problem, rows, x, path = problem.take(alive), rows[alive], x[alive], path[alive]
                classes, logits = classes[alive], logits[alive]
                values, slopes = values[alive], slopes[alive]
            value, slope = nearest(values, slopes, norm)
            # A tie is no success: what rounding may hide is added to the gap.
            hidden = logits.abs().amax(1) + (slope * x).reshape(len(x), -1).abs().sum(1)
            gap = clamp(-value, min=0.0) + hidden * (4 * float(np.finfo(x.dtype.name).eps))
            path = path + _step(x, slope, gap, norm, problem.bounds)
            x = clip(problem.x + path * (1 + overshoot), problem.bounds)
        return best.x, None

    return run("deepfool", solve, arguments)


def _step(x: Any, slope: Any, gap: Any, norm: str, bounds: tuple[float, float]) -> Any:
    """Return the least step that raises the linearised margin by ``gap``."""
    if norm == "l1":
        return step_onto(x, slope, gap, norm, bounds)
    length = norms(slope, {"l2": "l2", "linf": "l1"}[norm]).to(x.dtype)
    return steepest(slope, x, rows(gap / where(length > 0, length, 1.0), x), norm, bounds)
