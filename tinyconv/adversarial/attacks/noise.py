"""Random noise: the baseline that every other attack must beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..best import Best
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_steps


def noise(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    draws: int = 1000,
    surface: bool = False,
    loss: str | Loss = "margin",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with random points of the ball, and keep the best one.

    A model that falls to noise is not robust at all; an attack that finds less than noise does is
    broken, or its gradients are (Carlini et al., 2019, "On evaluating adversarial robustness",
    arXiv 1902.06705, ask for this check).

    Parameters
    ----------
    model, x, y, eps, norm, loss, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`, save that the default loss is ``"margin"``.
    draws : int, default 1000
        Points to try. A sample that has succeeded takes no more. ``AttackResult.restart`` tells
        which one it was.
    surface : bool, default False
        Points are uniform in the ball, as before they are moved into the box. True: uniform on its
        surface. For ``"l2"`` these are normal random numbers scaled to the length ``eps``; for
        ``"linf"`` every value moves by plus or minus ``eps``, to a corner of the cube.

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
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(4, 1, 28, 28)
    >>> y = model(x).argmax(1)
    >>> tc.adversarial.noise(model, x, y, eps=0.01, draws=20).robust_accuracy
    1.0
    """
    arguments = dict(locals())
    check_steps("noise", draws=draws)
    goal = objective("noise", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Best(problem.x)
        rows, part = np.arange(len(problem)), problem
        for draw in problem.steps(draws):
            x = part.start(draw, surface)
            logits = part.logits(x)
            success = part.succeeds(logits)
            best.offer(rows, x, goal(logits, part.y), success, draw)
            if success.any():
                rows, part = rows[~success], part.take(~success)
                if not len(rows):
                    break
        return best.x, best.restart

    return run("noise", solve, arguments, loss=loss)
