"""One perturbation for all images of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import clamp, zeros_like
from .. import geometry
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_schedule


@dataclass(frozen=True)
class UniversalResult(AttackResult):
    """The result of :func:`universal`.

    Attributes
    ----------
    perturbation : Tensor
        What was added to every image that was right before the attack, in the shape of one sample.
    """

    perturbation: Any


def universal(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    epochs: int = 10,
    step_size: float | None = None,
    clip_loss: float | None = 9.0,
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = 100,
    model_mode: str = "eval",
) -> UniversalResult:
    """Look for one perturbation that works on as many of the images as possible.

    The problem of Moosavi-Dezfooli et al. (2017), "Universal adversarial perturbations", arXiv
    1610.08401, solved as by Shafahi et al. (2020), "Universal adversarial training", arXiv
    1811.11304: steps along the steepest direction of the mean loss of a minibatch, each projected
    into the ball, where no image counts for more than ``clip_loss``. (The first paper adds up
    DeepFool's perturbations of one image after the other.) The perturbation after the epoch with
    the most successes is returned.

    The samples depend on each other by nature: another data set, order or ``batch_size`` gives
    another perturbation. Images that are wrong from the start are neither learned from nor changed.

    Parameters
    ----------
    model, x, y, norm, bounds, targeted, mask, eot, seed, index, model_mode
        As for :func:`fgsm`; ``index`` has no bearing on the result.
    eps : float or array
        Radius, the same for all samples; or one a channel for ``"linf"``.
    epochs : int, default 10
        Passes over the images.
    step_size : float, optional
        Length of a step in ``norm``; default ``eps / 10``.
    clip_loss : float, optional
        Loss beyond which an image gives no gradient; default 9, ``None`` for no limit.
    loss : str or callable, default "ce"
        As for :func:`fgsm`.
    batch_size : int, optional
        Images of a minibatch; default 100, ``None`` for all of them.

    Returns
    -------
    UniversalResult
        With the ``perturbation``; ``x_adv`` is ``x + perturbation``, moved into the box.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`; and where ``eps`` differs by sample.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(8, 1, 28, 28)
    >>> result = tc.adversarial.universal(model, x, model(x).argmax(1), eps=0.3)
    >>> result.perturbation.shape, result.robust_accuracy
    (tinyconv.Size([1, 28, 28]), 0.0)
    """
    arguments = dict(locals())
    check_schedule("universal", step_size, "success", epochs=epochs)
    if clip_loss is not None and not abs(clip_loss) < float("inf"):
        raise ArgumentError(f"universal: argument 'clip_loss' must be finite, got {clip_loss!r}")
    goal = objective("universal", loss, targeted)

    def clipped(logits: Any, classes: Any) -> Any:
        value = goal(logits, classes)
        return value if clip_loss is None else clamp(value, max=clip_loss)

    found: list[Any] = []

    def solve(problem: Problem) -> tuple[Any, None]:
        if not bool((problem.eps == problem.eps[:1]).all()):
            raise ArgumentError("universal: argument 'eps' must be the same for all samples")
        found.append(_learn(problem, clipped, epochs, step_size, batch_size or len(problem)))
        return problem.x + found[0], None

    fixed = {"batch_size": None, "most": check_batch_size("universal", batch_size)}
    result = run("universal", solve, arguments, loss=loss, norms=("linf", "l2"), fixed=fixed)
    v = found[0][0] if found else zeros_like(result.x_adv).sum(0)
    return UniversalResult(**result.items(), perturbation=v)


def check_batch_size(attack: str, size: int | None) -> int | None:
    """Return the size of the minibatches, or raise ``ArgumentError``."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ArgumentError(f"{attack}: argument 'batch_size' must be at least 1, got {size!r}")
    return size


def _learn(
    problem: Problem, loss: Loss, epochs: int, step_size: float | None, batch_size: int
) -> Any:
    """Return the perturbation, (1, ...), that succeeded most often at the end of an epoch."""
    # A problem of one sample in the middle of nowhere: its image is the perturbation itself.
    radius, zero = problem.eps[:1], problem.x[:1] * 0
    low, high = problem.bounds
    room = (low - high, high - low)
    length = radius / 10 if step_size is None else radius * 0 + step_size
    v = best = zero
    most = (-1, -np.inf)
    for epoch in problem.steps(epochs):
        for rows in problem.minibatches(batch_size, epoch):
            part = problem.take(rows)
            _, slope, _ = part.gradient(part.project(part.x + v), loss)
            slope = slope.sum(0, keepdim=True)
            step = geometry.steepest(slope, v, length, problem.norm, room)
            v = geometry.project(v + step, zero, radius, problem.norm, room)
        logits = problem.logits(problem.project(problem.x + v))
        value = loss(logits, problem.y).double().mean().item()
        score = (int(problem.succeeds(logits).sum()), value)
        if score > most:
            most, best = score, v
    return best
