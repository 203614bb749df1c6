"""The boundary attack: a random walk along the boundary, towards the clean image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor, where
from .. import geometry
from ..best import Smallest
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .labels import approach, beginnings, decide, distances
from .pgd import check_steps

BLOCK = 16  # steps whose random numbers are drawn together
SMALLEST = 1e-7  # a step towards the clean image below which a walk has come to its end


def boundary(
    model: Any,
    x: Any,
    y: Any,
    *,
    steps: int = 5000,
    spherical_step: float = 0.01,
    source_step: float = 0.01,
    adaptation: float = 1.5,
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
    """Look for the least L2 perturbation by a random walk, with the model's decisions alone.

    Brendel et al. (2018), "Decision-based adversarial attacks: reliable attacks against black-box
    machine learning models", arXiv 1712.04248. Each step goes a random way round the clean image
    and a little towards it, and stays if that is still a success. It needs many more steps than
    :func:`hop_skip_jump` for the same norm.

    Each sample adapts the lengths of its steps: every tenth step also looks at the first half of
    the step by itself; after ten such looks both lengths grow where more than half were successes,
    and shrink below a fifth; after 30 steps the length towards the clean image grows where more
    than a quarter were, and shrinks below a tenth.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    steps : int, default 5000
        Steps of the walk.
    spherical_step, source_step : float, default 0.01
        First lengths of the step round, and towards, the clean image, by the distance to it.
    adaptation : float, default 1.5
        Factor by which lengths grow and shrink; above 1.
    start, trials
        As for :func:`hop_skip_jump`.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError
        As for :func:`hop_skip_jump`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(2, 1, 28, 28)
    >>> y = model(x).argmax(1)
    >>> result = tc.adversarial.boundary(model, x, y, steps=5, start=x[tc.tensor([1, 0])])
    >>> bool((result.queries[:, 1] == 0).all())
    True
    """
    arguments = dict(locals())
    check_steps("boundary", steps=steps, trials=trials)
    for name in ("spherical_step", "source_step"):
        if not 0 < arguments[name] < 1:
            raise ArgumentError(
                f"boundary: argument '{name}' must be between 0 and 1, got {arguments[name]!r}"
            )
    if not 1 < adaptation < float("inf"):
        raise ArgumentError(
            f"boundary: argument 'adaptation' must be above 1 and finite, got {adaptation!r}"
        )

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Smallest(problem.x, "l2")
        x, found = beginnings(problem, trials)
        rows = np.flatnonzero(found)
        if len(rows):
            part, x = problem.take(rows), x[as_tensor(rows, device=x.device)]
            x = approach(part, x, "l2", 10)
            best.offer(rows, x, np.ones(len(rows), bool))
            pace = _Pace(len(rows), spherical_step, source_step, adaptation)
            _walk(part, rows, x, best, pace, steps)
        return best.x, best.restart

    return run("boundary", solve, arguments, norms=("l2",), fixed={"norm": "l2"})


class _Pace:
    """Lengths of the steps of each sample, and how often they succeeded of late."""

    def __init__(self, n: int, around: float, towards: float, factor: float) -> None:
        self.around, self.towards = np.full(n, around), np.full(n, towards)
        self.factor = factor
        self.looks, self.steps = np.zeros((n, 2), int), np.zeros((n, 2), int)  # tried, succeeded

    def take(self, rows: np.ndarray) -> None:
        for name in ("around", "towards", "looks", "steps"):
            setattr(self, name, getattr(self, name)[rows])

    def looked(self, success: np.ndarray) -> None:
        power = self._judge(self.looks, success, 10, 0.2, 0.5)
        self.around, self.towards = self.around * power, self.towards * power

    def stepped(self, success: np.ndarray) -> None:
        self.towards = self.towards * self._judge(self.steps, success, 30, 0.1, 0.25)

    def _judge(
        self, counts: np.ndarray, success: np.ndarray, tries: int, low: float, high: float
    ) -> np.ndarray:
        """Count, and return the factor for each length: 1 before there are enough tries."""
        counts += np.stack([np.ones_like(success), success], 1)
        full, share = counts[:, 0] >= tries, counts[:, 1] / counts[:, 0]
        counts[full] = 0
        power = (share > high).astype(float) - (share < low)
        return np.where(full, self.factor**power, 1.0)


def _walk(
    problem: Problem, rows: np.ndarray, x: Any, best: Smallest, pace: _Pace, steps: int
) -> None:
    """Walk from the images ``x``, and offer what is found to ``best`` (as its samples ``rows``)."""
    directions: Any = None
    for step in problem.steps(steps):
        if step % BLOCK == 0:
            alive = np.flatnonzero(pace.towards > SMALLEST)
            if len(alive) < len(rows):
                rows, problem, x = rows[alive], problem.take(alive), x[as_tensor(alive)]
                pace.take(alive)
            if not len(rows):
                return
            key = {"restart": 2, "step": step // BLOCK}
            directions = problem.normal(BLOCK, *x.shape[1:], **key)
        around, new = _propose(problem, x, directions[:, step % BLOCK], pace)
        if step % 10 == 0:
            pace.looked(decide(problem, around))
        success = decide(problem, new)
        pace.stepped(success)
        nearer = distances(problem, new, "l2") < distances(problem, x, "l2")
        taken = nearer & as_tensor(success, device=x.device)
        x = where(geometry.rows(taken, x), new, x)
        best.offer(rows, x, taken.numpy(force=True))


def _propose(problem: Problem, x: Any, direction: Any, pace: _Pace) -> tuple[Any, Any]:
    """Return images a step round the clean ones, and those after the step towards them as well."""
    clean = problem.x
    if problem.mask is not None:
        direction = where(problem.mask, direction, 0.0)
    away = x - clean
    distance = geometry.rows(distances(problem, x, "l2"), x)
    around, towards = geometry.column(pace.around, x), geometry.column(pace.towards, x)
    unit = away / _divisor(distance)
    along = (direction * unit).reshape(len(x), -1).sum(1)
    direction = direction - unit * geometry.rows(along, x)
    length = geometry.rows(geometry.norms(direction, "l2").to(x.dtype), x)
    direction = direction * (around * distance / _divisor(length))
    moved = clean + (away + direction) / (around * around + 1).sqrt()  # on the same sphere
    moved = problem.project(moved)
    now = geometry.rows(distances(problem, moved, "l2"), x)
    # Clipping to the box may have changed the distance: the step starts from the old one.
    step = (towards * distance + now - distance).clamp(min=0.0) / _divisor(now)
    return moved, problem.project(moved + (clean - moved) * step)


def _divisor(length: Any) -> Any:
    return where(length > 0, length, 1.0)
