"""The one-pixel attack: differential evolution of where to paint and in what colour."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor, where
from .. import geometry
from ..best import Best
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_steps


def one_pixel(
    model: Any,
    x: Any,
    y: Any,
    *,
    pixels: int = 1,
    population: int = 400,
    steps: int = 100,
    weight: float = 0.5,
    loss: str | Loss = "margin",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack by painting a few pixels, found by differential evolution; needs no gradient.

    Su et al. (2019), "One pixel attack for fooling deep neural networks", arXiv 1710.08864. A
    candidate is the places and colours of ``pixels`` pixels. In every generation each candidate
    meets ``r1 + weight * (r2 - r3)``, made of three others at random, and the better one stays;
    there is no crossover. A sample stops at its first success. The fitness here is the margin
    of the logits, where the authors have the probability of the class.

    Parameters
    ----------
    model, x, y, loss, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`, save that the default loss is ``"margin"``. Images are (N, C, H, W);
        (N, C, L) and (N, D) count as images of one row.
    pixels : int, default 1
        How many pixels may change, in all their channels.
    population : int, default 400
        Candidates a sample, at least 4.
    steps : int, default 100
        Generations after the first one. Each costs ``population`` forward passes.
    weight : float, default 0.5
        Factor of the difference, above 0 and at most 2.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError
        As for :func:`fgsm`; and for images with more than two spatial dimensions.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [1, 9, 1, 1]]))
    >>> _ = model[1].bias.data.copy_(tc.tensor([6.0, 0.0]))
    >>> x = tc.zeros(1, 1, 2, 2)
    >>> result = tc.adversarial.one_pixel(model, x, tc.tensor([0]), population=20)
    >>> int(result.norm["l0"][0]), result.x_adv[0, 0, 0, 1].item() > 0.75
    (1, True)
    """
    arguments = dict(locals())
    check_steps("one_pixel", pixels=pixels, population=population, steps=steps)
    if population < 4:
        raise ArgumentError(
            f"one_pixel: argument 'population' must be at least 4, got {population}"
        )
    if not 0 < weight <= 2:
        raise ArgumentError(
            f"one_pixel: argument 'weight' must be above 0 and at most 2, got {weight!r}"
        )
    goal = objective("one_pixel", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, None]:
        best = Best(problem.x)
        _evolve(problem, best, goal, (population, pixels), steps, weight)
        return best.x, None

    channels = x.shape[1] if hasattr(x, "shape") and len(x.shape) > 2 else 1
    fixed = {"norm": "l0", "eps": pixels * channels}
    return run("one_pixel", solve, arguments, loss=loss, norms=("l0",), fixed=fixed)


def _evolve(
    problem: Problem, best: Best, goal: Loss, shape: tuple[int, int], steps: int, weight: float
) -> None:
    rows = np.arange(len(problem))
    canvas = geometry.as_images(problem.attack, problem.x)
    channels, (low, high) = canvas.shape[1], problem.bounds
    # A place is two numbers from 0 to 1, a colour the values themselves.
    people = problem.uniform(*shape, 2 + channels, step=0)
    colours = problem.normal(*shape, channels, step=1) * 0.5 + 0.5
    people[..., 2:] = geometry.clip(colours * (high - low) + low, problem.bounds)
    value, success = _judge(problem, people, goal)
    for step in problem.steps(steps + 1):
        rows, problem, (people, value, success) = _bury(problem, rows, best, people, value, success)
        if step == steps or not len(rows):
            return
        children = _breed(problem, people, step + 1, weight)
        young, won = _judge(problem, children, goal)
        better = (young > value) | as_tensor(won, device=value.device)
        people = where(better[..., None, None], children, people)
        value = where(better, young, value)
        success = success | won


def _breed(problem: Problem, people: Any, step: int, weight: float) -> Any:
    """Return a child of three others than itself for each candidate, within the legal range."""
    n, size = people.shape[:2]
    numbers = problem.uniform(size, 3, step=step + 1).numpy(force=True)
    # Three different numbers out of the other size - 1, then around the candidate's own.
    first = np.floor(numbers[..., 0] * (size - 1)).astype(int)
    second = np.floor(numbers[..., 1] * (size - 2)).astype(int)
    third = np.floor(numbers[..., 2] * (size - 3)).astype(int)
    second += second >= first
    lower, upper = np.minimum(first, second), np.maximum(first, second)
    third += third >= lower
    third += third >= upper
    own = np.arange(size)
    lines = as_tensor(np.arange(n)[:, None], device=people.device)
    a, b, c = (
        people[lines, as_tensor((other + own + 1) % size, device=people.device)]
        for other in (first, second, third)
    )
    child = a + weight * (b - c)
    places, colours = child[..., :2].clamp(0.0, 1.0), child[..., 2:]
    child[..., :2] = places
    child[..., 2:] = geometry.clip(colours, problem.bounds)
    return child


def paint(problem: Problem, people: Any) -> Any:
    """Return the images (N, P, ...) that the candidates (N, P, pixels, 2 + C) paint."""
    canvas = geometry.as_images(problem.attack, problem.x)
    n, channels, height, width = canvas.shape
    images = canvas[:, None].expand(n, people.shape[1], channels, height, width)
    lines, columns = (as_tensor(np.arange(size), device=people.device) for size in (height, width))
    for k in range(people.shape[2]):
        pixel = people[:, :, k]
        row = (pixel[..., 0] * height).floor().clamp(max=height - 1)
        column = (pixel[..., 1] * width).floor().clamp(max=width - 1)
        there = (lines == row[..., None])[..., :, None] & (columns == column[..., None])[
            ..., None, :
        ]
        images = where(there[:, :, None], pixel[..., 2:, None, None], images)
    images = images.reshape(n, people.shape[1], *problem.x.shape[1:])
    if problem.mask is None:
        return images
    return where(problem.mask[:, None], images, problem.x[:, None])


def _judge(problem: Problem, people: Any, goal: Loss) -> tuple[Any, np.ndarray]:
    return problem.trials(paint(problem, people), goal)


def _bury(
    problem: Problem, rows: np.ndarray, best: Best, people: Any, value: Any, success: np.ndarray
) -> tuple[np.ndarray, Problem, tuple[Any, Any, np.ndarray]]:
    """Offer the best candidate of each sample to ``best``; return what goes on."""
    score = np.where(success, np.inf, np.nan_to_num(value.numpy(force=True), nan=-np.inf))
    first = score.argmax(1)
    n = np.arange(len(rows))
    lines, at = as_tensor(n, device=value.device), as_tensor(first, device=value.device)
    images = paint(problem, people[lines, at][:, None])[:, 0]
    best.offer(rows, images, value[lines, at], success[n, first])
    alive = np.flatnonzero(~success.any(1))
    left = as_tensor(alive, device=value.device)
    return rows[alive], problem.take(alive), (people[left], value[left], success[alive])
