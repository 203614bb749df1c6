"""The square attack: random squares, of which those that raise the loss stay. Scores only."""

from __future__ import annotations

from functools import cache
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

#: Of 10,000 steps, those after which the share of pixels in a square halves.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
BLOCK = 64  # steps whose random numbers are drawn together


def square(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 5000,
    p_init: float = 0.8,
    restarts: int = 1,
    loss: str | Loss = "margin",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack by random search over squares on the surface of the ball; needs no gradient.

    Andriushchenko et al. (2020), "Square attack: a query-efficient black-box adversarial attack via
    random search", arXiv 1912.00049. Each step proposes a square window at a random place, and
    keeps it if the loss has risen. ``"linf"``: every channel of the window moves by plus or minus
    ``eps``; the start is vertical stripes. ``"l2"``: a bump in the window takes over the length of
    a second window. The windows shrink on the schedule of the paper, scaled to ``steps``.

    Every sample has windows and signs of its own, and windows reach the last row and column. Signs
    that would change nothing are turned over (the authors draw until something changes).

    Parameters
    ----------
    model, x, y, eps, loss, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`, save that the default loss is ``"margin"``. Images are (N, C, H, W);
        (N, C, L) and (N, D) count as images of one row.
    norm : str, default "linf"
        ``"linf"`` or ``"l2"``.
    steps : int, default 5000
        Forward passes a restart. A sample that has succeeded takes no more.
    p_init : float, default 0.8
        Share of the pixels in the first windows, above 0 and at most 1.
    restarts : int, default 1
        How often to start.

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
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(4, 1, 28, 28)
    >>> y = model(x).argmax(1)
    >>> tc.adversarial.square(model, x, y, eps=0.3, steps=200).robust_accuracy
    0.0
    """
    arguments = dict(locals())
    check_steps("square", steps=steps, restarts=restarts)
    if not 0 < p_init <= 1:
        raise ArgumentError(
            f"square: argument 'p_init' must be above 0 and at most 1, got {p_init!r}"
        )
    goal = objective("square", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Best(problem.x)
        for restart in range(restarts):
            rows = np.flatnonzero(~best.success)
            if len(rows):
                _search(problem.take(rows), rows, best, goal, steps, p_init, restart)
        return best.x, best.restart

    return run("square", solve, arguments, loss=loss, norms=("linf", "l2"))


def _search(
    problem: Problem, rows: np.ndarray, best: Best, goal: Loss, steps: int, p_init: float, r: int
) -> None:
    """Search from one start, and offer the outcome to ``best`` (as its samples ``rows``)."""
    canvas = geometry.as_images(problem.attack, problem.x)
    channels, height, width = canvas.shape[1:]
    start, propose = (_stripes, _square) if problem.norm == "linf" else (_bumps, _bump)
    counts = {"linf": (channels * width, 2 + channels), "l2": (1 + 25 * channels, 5 + channels)}
    first, numbers = counts[problem.norm]
    x = problem.project(start(problem, canvas, problem.uniform(first, restart=r)))
    logits = problem.logits(x)
    value, success = goal(logits, problem.y), problem.succeeds(logits)
    best.offer(rows, x, value, success, r)
    random: Any = None
    for step in problem.steps(steps - 1):
        if success.any():
            alive = np.flatnonzero(~success)
            if not len(alive):
                return
            problem, rows, x, value = problem.take(alive), rows[alive], x[alive], value[alive]
            random = None if random is None else random[as_tensor(alive)]
        if step % BLOCK == 0:
            random = problem.uniform(BLOCK, numbers, restart=r, step=1 + step // BLOCK)
        sides = window(p_init, step, steps, height, width)
        new = propose(
            problem, geometry.as_images(problem.attack, x), random[:, step % BLOCK], sides
        )
        new = problem.project(new)
        logits = problem.logits(new)
        new_value, success = goal(logits, problem.y), problem.succeeds(logits)
        better = (new_value > value) | as_tensor(success, device=x.device)
        x = where(geometry.rows(better, x), new, x)
        value = where(better, new_value, value)
        done = np.flatnonzero(success)
        if len(done):
            best.offer(rows[done], x[done], value[done], success[done], r)
    best.offer(rows, x, value, success, r)


def window(p_init: float, step: int, steps: int, height: int, width: int) -> tuple[int, int]:
    """Return height and width of the window of a step.

    A square of ``p * height * width`` pixels, as wide as it must be where the image is too low; p
    halves on the schedule.
    """
    now = step * 10_000 // steps
    p = p_init / 2 ** sum(now > halving for halving in HALVINGS)
    area = p * height * width
    tall = min(max(round(area**0.5), 1), height)
    wide = tall if tall < height else max(round(area / height), 1)
    return tall, min(wide, width)


def _signs(numbers: Any) -> Any:
    return where(numbers < 0.5, -1.0, 1.0).to(numbers.dtype)


def _offsets(number: Any, size: int, side: int, x: Any) -> Any:
    """Return for every line of the image its place in a window at random, (N, size)."""
    first = (number * (size - side + 1)).floor().long()
    return as_tensor(np.arange(size), device=x.device) - first.reshape(-1, 1)


def _inside(top: Any, left: Any, sides: tuple[int, int]) -> Any:
    """Return which pixels are in the windows, (N, 1, H, W)."""
    tall, wide = (top >= 0) & (top < sides[0]), (left >= 0) & (left < sides[1])
    return tall[:, None, :, None] & wide[:, None, None, :]


# -- Linf -------------------------------------------------------------------------------------


def _stripes(problem: Problem, canvas: Any, numbers: Any) -> Any:
    n, channels, _, width = canvas.shape
    signs = _signs(numbers).reshape(n, channels, 1, width).expand(*canvas.shape)
    return problem.x + signs.reshape(problem.x.shape) * problem.eps


def _square(problem: Problem, x: Any, numbers: Any, sides: tuple[int, int]) -> Any:
    n, channels, height, width = x.shape
    top = _offsets(numbers[:, 0], height, sides[0], x)
    left = _offsets(numbers[:, 1], width, sides[1], x)
    signs = _signs(numbers[:, 2:]).reshape(n, channels, 1, 1).expand(*x.shape)
    inside = _inside(top, left, sides).expand(*x.shape).reshape(problem.x.shape)
    move = signs.reshape(problem.x.shape) * problem.eps
    x = x.reshape(problem.x.shape)
    new = where(inside, problem.project(problem.x + move), x)
    changes = (new != x).reshape(n, -1).any(1)
    opposite = where(inside, problem.project(problem.x - move), x)
    return where(geometry.rows(changes, x), new, opposite)


# -- L2 ---------------------------------------------------------------------------------------


@cache
def bump(height: int, width: int) -> np.ndarray:
    """Return the bump of the paper on a window, of length 1: a hill above, a hole below."""
    if height < 2:
        return bump(width, height).T if width > 1 else np.ones((1, 1))
    pattern = np.concatenate([_hill(height // 2, width), -_hill(height - height // 2, width)])
    return pattern / np.linalg.norm(pattern)


def _hill(height: int, width: int) -> np.ndarray:
    """Return nested rectangles round the middle, each adding ``1 / k**2``; of length 1."""
    hill = np.zeros((height, width))
    middle = height // 2, width // 2
    for k in range(max(middle) + 1):
        top, left = (max(m - k, 0) for m in middle)
        hill[top : middle[0] + k + 1, left : middle[1] + k + 1] += 1 / (k + 1) ** 2
    return hill / np.linalg.norm(hill)


def _bumps(problem: Problem, canvas: Any, numbers: Any) -> Any:
    """Start: a grid of 5 by 5 bumps with random signs."""
    n, channels, height, width = canvas.shape
    signs = _signs(numbers[:, 1:]).reshape(n, channels, 25)
    grid = np.zeros((25, height, width))
    lines = np.array_split(np.arange(height), min(5, height))
    columns = np.array_split(np.arange(width), min(5, width))
    for i, line in enumerate(lines):
        for j, column in enumerate(columns):
            grid[5 * i + j][np.ix_(line, column)] = bump(len(line), len(column))
    grid = as_tensor(grid.astype(canvas.dtype.name), device=canvas.device)
    change = signs[..., 0, None, None] * grid[0]
    for k in range(1, 25):  # not a matrix product: its bits could depend on the batch
        change = change + signs[..., k, None, None] * grid[k]
    return _on_sphere(problem, change)


def _bump(problem: Problem, x: Any, numbers: Any, sides: tuple[int, int]) -> Any:
    """Put a bump into one window, with what was there and the length of a second window."""
    n, channels, height, width = x.shape
    sides = _odd(sides[0], height), _odd(sides[1], width)
    change = x - geometry.as_images(problem.attack, problem.x)
    top, left = (_offsets(numbers[:, k], (height, width)[k], sides[k], x) for k in (0, 1))
    first = _inside(top, left, sides)
    second = _inside(
        _offsets(numbers[:, 2], height, sides[0], x), _offsets(numbers[:, 3], width, sides[1], x),
        sides,
    )  # fmt: skip
    eps = problem.eps.reshape(n, 1, 1, 1)
    both = _squares(where(first | second, change, 0.0))
    spare = (eps * eps - _squares(change).sum(1, keepdim=True)).clamp(min=0.0) / channels
    pattern = _placed(top, left, sides, numbers[:, 4] < 0.5, x)
    pattern = pattern * _signs(numbers[:, 5:]).reshape(n, channels, 1, 1)
    old = where(first, change, 0.0)
    pattern = pattern + old / _divisor(_squares(old).sqrt())
    pattern = pattern / _divisor(_squares(pattern).sqrt()) * (spare + both).sqrt()
    return _on_sphere(problem, where(first, pattern, where(second, 0.0, change)))


def _odd(side: int, size: int) -> int:
    """Return the next odd number from 3 on, or the largest that there is room for."""
    side = max(side, 3) | 1
    return side if side <= size else max(size - 1 + size % 2, 1)


def _placed(top: Any, left: Any, sides: tuple[int, int], turned: Any, x: Any) -> Any:
    """Return the bumps, half of them turned, in windows at the given places, (N, 1, H, W)."""
    upright = bump(*sides)
    patterns = np.stack([upright, bump(sides[1], sides[0]).T]).astype(x.dtype.name)
    row, column = top.clamp(0, sides[0] - 1), left.clamp(0, sides[1] - 1)
    pattern = as_tensor(patterns, device=x.device)[
        turned.long()[:, None, None], row[:, :, None], column[:, None, :]
    ]
    return where(_inside(top, left, sides), pattern[:, None], 0.0)


def _squares(change: Any) -> Any:
    """Return the sum of squares of each channel, (N, C, 1, 1)."""
    return (change * change).sum((2, 3), keepdim=True)


def _divisor(length: Any) -> Any:
    return where(length > 0, length, 1.0)


def _on_sphere(problem: Problem, change: Any) -> Any:
    """Return images whose perturbation, where it may be, has length ``eps``."""
    change = change.reshape(problem.x.shape)
    change = change if problem.mask is None else where(problem.mask, change, 0.0)
    length = geometry.norms(change, "l2").to(change.dtype)
    return problem.x + change * (problem.eps / geometry.rows(_divisor(length), change))
