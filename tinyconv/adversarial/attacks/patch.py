"""The adversarial patch: a small picture that works wherever it is stuck on an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autograd import enable_grad, grad
from ...errors import ArgumentError
from ...nn import functional as F
from ...ops import as_tensor, full, where
from .. import geometry
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import check_mask, run
from .adam import Adam
from .pgd import check_schedule
from .spatial import check_images
from .universal import check_batch_size


@dataclass(frozen=True)
class PatchResult(AttackResult):
    """The result of :func:`patch`.

    Attributes
    ----------
    patch : Tensor
        The patch, ``(C, size, size)``.
    """

    patch: Any


def patch(
    model: Any,
    x: Any,
    y: Any,
    *,
    size: int,
    epochs: int = 20,
    lr: float = 0.05,
    rotation: float = 20.0,
    scale: tuple[float, float] = (0.8, 1.2),
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = 100,
    model_mode: str = "eval",
) -> PatchResult:
    """Learn a square patch that fools the model at any place, angle and size.

    Brown et al. (2017), "Adversarial patch", arXiv 1712.09665: Adam raises the mean loss over
    images with the patch at random places, angles and scales (the expectation over
    transformations). The patch after the epoch with the most successes is returned, and each image
    with it at one random place. How much a pixel under the patch changes is not limited.

    The samples depend on each other by nature: another data set, order or ``batch_size`` gives
    another patch. Images that are wrong from the start are neither learned from nor changed.

    Parameters
    ----------
    model, x, y, bounds, targeted, seed, model_mode
        As for :func:`fgsm`; a target is usually the same class for all samples. Images are
        (N, C, H, W).
    size : int
        Side of the patch in pixels; turned, and at its largest scale, it must fit into the image.
    mask : array, optional
        Where the patch may lie, such as on the background; broadcasts over ``x``, and a pixel has
        to be true in all channels. The upright square round the turned patch is within the mask, at
        a random place there; without a mask, within the image.
    epochs : int, default 20
        Passes over the images.
    lr : float, default 0.05
        Learning rate of Adam, in units of ``bounds[1] - bounds[0]``.
    rotation : float, default 20.0
        The largest angle to either side, in degrees.
    scale : (float, float), default (0.8, 1.2)
        Smallest and largest factor of its side.
    loss : str or callable, default "ce"
        As for :func:`fgsm`.
    index : array, optional
        As for :func:`fgsm`: the places, angles and scales of a sample follow from it.
    batch_size : int, optional
        Images of a minibatch; default 100, ``None`` for all of them.

    Returns
    -------
    PatchResult
        With the ``patch``; ``norm`` is that of the difference of the images, which is not limited.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`; and where the patch does not fit into the image or the mask.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model = tc.models.LeNet5()
    >>> x = tc.rand(4, 1, 28, 28)
    >>> result = tc.adversarial.patch(model, x, model(x).argmax(1), size=8, epochs=2)
    >>> result.patch.shape, result.x_adv.shape
    (tinyconv.Size([1, 8, 8]), tinyconv.Size([4, 1, 28, 28]))
    """
    arguments = dict(locals())
    check_schedule("patch", lr, "success", epochs=epochs, size=size)
    check_images("patch", x)
    _check_room(arguments)
    goal = objective("patch", loss, targeted)
    found: list[Any] = []

    def solve(problem: Problem) -> tuple[Any, None]:
        found.append(_learn(problem, goal, arguments))
        return stick(found[0], problem.x, _places(problem, arguments, 0)), None

    fixed = {"batch_size": None, "most": check_batch_size("patch", batch_size)}
    result = run("patch", solve, arguments, loss=loss, fixed=fixed)
    middle = (bounds[0] + bounds[1]) / 2
    if not found:
        found.append(_grey(result.x_adv, size, middle))
    return PatchResult(**result.items(), patch=found[0])


def _check_room(a: dict[str, Any]) -> None:
    low, high = a["scale"]
    if not 0 < low <= high < float("inf"):
        raise ArgumentError(
            "patch: argument 'scale' must be two positive numbers, the smaller first, got "
            f"{a['scale']!r}"
        )
    if not 0 <= a["rotation"] <= 180:
        raise ArgumentError(
            f"patch: argument 'rotation' must be from 0 to 180 degrees, got {a['rotation']!r}"
        )
    height, width = as_tensor(a["x"]).shape[2:]
    side = 2 * _reach(a["size"] * high, a["rotation"])
    if side > min(height, width) + 1e-9:
        raise ArgumentError(
            f"patch: argument 'size' of {a['size']} is too large: turned by {a['rotation']} "
            f"degrees and scaled by {high} it takes {side:.1f} pixels, images have {height} x "
            f"{width}"
        )
    mask = check_mask("patch", a["mask"], as_tensor(a["x"]))
    if mask is not None:
        window = _whole(side / 2)
        for number, pixels in enumerate(_pixels(mask)):
            if not len(_windows(pixels, window)):
                raise ArgumentError(
                    f"patch: argument 'mask' has no room in sample {number}: turned by "
                    f"{a['rotation']} degrees and scaled by {high}, a patch of size {a['size']} "
                    f"takes {window} x {window} pixels that are all true"
                )


def _reach(side: Any, degrees: Any) -> Any:
    """Return half the side of the upright square round a square turned by up to so much."""
    angle = np.radians(np.minimum(np.abs(degrees), 45.0))
    return side / 2 * (np.cos(angle) + np.sin(angle))


def _grey(x: Any, size: int, value: float) -> Any:
    return full((x.shape[1], size, size), value, dtype=x.dtype, device=x.device)


def _pixels(mask: Any) -> np.ndarray:
    """Return which pixels are true in all channels, (N, H, W)."""
    return np.asarray(mask.numpy(force=True).all(1), bool)


def _whole(reach: Any) -> int:
    """Return the side in pixels of a window round a square that reaches so far from its centre."""
    return int(np.ceil(round(2 * float(reach), 6)))


def _windows(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return upper left corners of all windows of true pixels (H, W): rows and columns, (P, 2)."""
    false = np.pad(~pixels, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = false[side:, side:] - false[:-side, side:] - false[side:, :-side]
    return np.argwhere(inside + false[:-side, :-side] == 0)


def _in_mask(pixels: np.ndarray, reach: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the centres of patches within masks (N, H, W), down and right from the middle, (N, 2).

    One of the windows of whole pixels, all equally likely, and a place within it; ``numbers``
    (N, 3) are uniform.
    """
    centres = np.empty((len(pixels), 2))
    for i, size in enumerate(reach):
        side = _whole(size)
        corners = _windows(pixels[i], side)
        corner = corners[int(numbers[i, 0] * len(corners))]
        slack = max(side - 2 * size, 0.0)
        centres[i] = corner + size + numbers[i, 1:] * slack - np.array(pixels[i].shape) / 2
    return centres


def _places(problem: Problem, a: dict[str, Any], step: int) -> np.ndarray:
    """Return centre (down, right, from the middle), angle and side of the patch, (N, 4)."""
    numbers = problem.uniform(5, step=step).numpy(force=True).astype(np.float64)
    height, width = problem.x.shape[2:]
    low, high = a["scale"]
    angle = (numbers[:, 2] * 2 - 1) * a["rotation"]
    side = a["size"] * (low + numbers[:, 3] * (high - low))
    reach = _reach(side, angle)
    if problem.mask is not None:
        down, right = _in_mask(_pixels(problem.mask), reach, numbers[:, [0, 1, 4]]).T
    else:
        down, right = (
            (numbers[:, k] * 2 - 1) * (n / 2 - reach) for k, n in ((0, height), (1, width))
        )
    return np.stack([down, right, angle, side], 1)


def stick(patch: Any, x: Any, places: np.ndarray) -> Any:
    """Return the images with the patch (C, S, S) on each, differentiable in the patch.

    ``places`` (N, 4): how far its centre is below and to the right of the middle, in pixels, its
    angle in degrees, and its side in pixels.
    """
    height, width = x.shape[2:]
    down, right, degrees, side = places.T
    cos, sin = np.cos(np.radians(degrees)) / side, np.sin(np.radians(degrees)) / side
    # From a pixel of the image to the place on the patch, in units of half the patch.
    theta = np.empty((len(x), 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = cos * width, -sin * height
    theta[:, 1, 0], theta[:, 1, 1] = sin * width, cos * height
    theta[:, 0, 2] = -2 * (cos * right - sin * down)
    theta[:, 1, 2] = -2 * (sin * right + cos * down)
    theta = as_tensor(theta.astype(x.dtype.name), device=x.device)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    pictures = patch.expand(len(x), *patch.shape)
    content = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return where((grid.abs() <= 1).all(-1)[:, None], content, x)


def _learn(problem: Problem, goal: Loss, a: dict[str, Any]) -> Any:
    """Return the patch that succeeded most often at the end of an epoch."""
    low, high = problem.bounds
    v = best = _grey(problem.x, a["size"], (low + high) / 2)
    adam, most = Adam(v), (-1, -np.inf)
    final = _places(problem, a, 0)
    for epoch in problem.steps(a["epochs"]):
        for rows in problem.minibatches(a["batch_size"] or len(problem), epoch):
            part = problem.take(rows)
            with enable_grad():
                leaf = v.detach().requires_grad_()
                images = stick(leaf, part.x, _places(part, a, epoch + 1))
                _, slopes, _ = part.gradient(images.detach(), goal)
                (slope,) = grad((images * slopes).sum() / len(rows), leaf)
            v = v + adam.step(-slope, a["lr"] * (high - low))
            v = geometry.clip(v, problem.bounds).detach()
        logits = problem.logits(geometry.clip(stick(v, problem.x, final), problem.bounds))
        score = (
            int(problem.succeeds(logits).sum()), goal(logits, problem.y).double().mean().item(),
        )  # fmt: skip
        if score > most:
            most, best = score, v
    return best
