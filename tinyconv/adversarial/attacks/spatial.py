"""The spatial attack: small rotations and shifts of the whole image."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...nn import functional as F
from ...ops import as_tensor
from ..best import Best
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_steps

SEARCHES = ("grid", "random")


def spatial(
    model: Any,
    x: Any,
    y: Any,
    *,
    rotation: float = 30.0,
    translation: float = 3.0,
    search: str = "grid",
    angles: int = 31,
    shifts: int = 5,
    draws: int = 10,
    loss: str | Loss = "margin",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack by rotating and shifting the image; needs no gradient.

    Engstrom et al. (2019), "Exploring the landscape of spatial robustness", arXiv 1712.02779. All
    combinations of a grid, or the worst of some random ones. Between pixels values are interpolated
    linearly; what comes in from outside has the lowest legal value.

    Parameters
    ----------
    model, x, y, loss, bounds, targeted, seed, index, batch_size, model_mode
        As for :func:`fgsm`, save that the default loss is ``"margin"``. Images are (N, C, H, W).
    mask : array, optional
        As for :func:`fgsm`: the image is moved as a whole, and is seen where the mask is true, such
        as within a frame; the other values stay as they are.
    rotation : float, default 30.0
        The largest angle to either side, in degrees.
    translation : float, default 3.0
        The largest shift to either side in each direction, in pixels.
    search : str, default "grid"
        ``"grid"``: angles and shifts evenly spaced from the one side to the other, the smallest
        ones first; a sample is done at its first success. ``"random"``: uniform.
    angles : int, default 31
        Angles of the grid.
    shifts : int, default 5
        Shifts of the grid in each direction; ``angles * shifts**2`` passes in all.
    draws : int, default 10
        Random transformations to try.

    Returns
    -------
    AttackResult
        ``norm`` and ``eps_used`` are those of the difference of the images, which was not looked
        at; ``restart`` is the number of the transformation.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(2, 1, 28, 28)
    >>> y = model(x).argmax(1)
    >>> result = tc.adversarial.spatial(model, x, y, search="random", draws=3)
    >>> result.x_adv.shape
    tinyconv.Size([2, 1, 28, 28])
    """
    arguments = dict(locals())
    check_steps("spatial", angles=angles, shifts=shifts, draws=draws)
    for name in ("rotation", "translation"):
        if not 0 <= arguments[name] < float("inf"):
            raise ArgumentError(
                f"spatial: argument '{name}' must be finite and at least 0, got {arguments[name]!r}"
            )
    if search not in SEARCHES:
        names = " or ".join(map(repr, SEARCHES))
        raise ArgumentError(f"spatial: argument 'search' must be {names}, got {search!r}")
    goal = objective("spatial", loss, targeted)
    check_images("spatial", x)

    def solve(problem: Problem) -> tuple[Any, np.ndarray]:
        best = Best(problem.x)
        rows, part = np.arange(len(problem)), problem
        if search == "grid":
            moves = _grid((rotation, translation), angles, shifts)
        else:
            moves = np.zeros((draws, 3))
        for number in problem.steps(len(moves)):
            move = np.broadcast_to(moves[number], (len(rows), 3))
            if search == "random":
                numbers = part.uniform(3, step=number).numpy(force=True)
                move = (numbers * 2 - 1) * (rotation, translation, translation)
            tried = part.project(transform(part.x, move, problem.bounds[0]))
            logits = part.logits(tried)
            success = part.succeeds(logits)
            best.offer(rows, tried, goal(logits, part.y), success, number)
            rows, part = rows[~success], part.take(~success)
            if not len(rows):
                break
        return best.x, best.restart

    return run("spatial", solve, arguments, loss=loss)


def check_images(attack: str, x: Any) -> None:
    """Raise ``ShapeError`` where ``x`` are no images (N, C, H, W)."""
    shape = tuple(as_tensor(x).shape)
    if len(shape) != 4:
        raise ShapeError(f"{attack}: argument 'x' must be images (N, C, H, W), got shape {shape}")


def _grid(largest: tuple[float, float], angles: int, shifts: int) -> np.ndarray:
    """Return angle, shift down and shift right of all transformations, the smallest first."""

    def line(end: float, count: int) -> np.ndarray:
        return np.linspace(-end, end, count) if count > 1 else np.zeros(1)

    turn, shift = line(largest[0], angles), line(largest[1], shifts)
    moves = np.array(list(product(turn, shift, shift)))
    scale = np.array([largest[0] or 1, largest[1] or 1, largest[1] or 1])
    return moves[np.argsort(np.abs(moves / scale).sum(1), kind="stable")]


def transform(x: Any, moves: np.ndarray, fill: float = 0.0) -> Any:
    """Return images turned counter-clockwise by degrees, then shifted down and right by pixels.

    ``moves`` (N, 3) holds the three numbers of each sample; ``fill`` comes in from outside.
    """
    height, width = x.shape[2:]
    angle = np.radians(moves[:, 0].astype(np.float64))
    down, right = moves[:, 1], moves[:, 2]
    cos, sin = np.cos(angle), np.sin(angle)
    # From a pixel of the result back to where it comes from, in units of half the image.
    theta = np.empty((len(x), 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = cos, -sin * height / width
    theta[:, 1, 0], theta[:, 1, 1] = sin * width / height, cos
    theta[:, 0, 2] = -(cos * right - sin * down) * 2 / width
    theta[:, 1, 2] = -(sin * right + cos * down) * 2 / height
    theta = as_tensor(theta.astype(x.dtype.name), device=x.device)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x - fill, grid, align_corners=False) + fill
