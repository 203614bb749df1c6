"""Attacks that transfer: momentum, looking ahead, random inputs, translated gradients.

An example made on one model fools another more often if it does not overfit the first. Four ideas
against that, each a change of the gradient in an iterative attack with Linf or L2 steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...nn import functional as F
from ...ops import as_tensor, full_like, stack, where
from .. import geometry
from ..best import Best
from ..geometry import steepest
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .pgd import check_schedule

#: From a problem, images, the momentum and the step number to loss, slope and logits.
Slope = Callable[[Problem, Any, Any, int], tuple[Any, Any, Any]]


def mi_fgsm(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 1.0,
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with the momentum iterative method, MI-FGSM.

    Dong et al. (2018), "Boosting adversarial attacks with momentum", arXiv 1710.06081: each
    gradient is divided by its mean size and added to ``decay`` times the sum so far; the step is
    along the sum.

    Parameters
    ----------
    model, x, y, eps, loss, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "linf"
        ``"linf"`` or ``"l2"``.
    steps : int, default 10
        Gradient steps. All are made, also after a success, as that helps the transfer.
    step_size : float, optional
        Default ``eps / steps``.
    decay : float, default 1.0
        Of the momentum; 0 gives :func:`bim`.

    Returns
    -------
    AttackResult
        The image with the largest loss among those that succeed, else among all.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`.
    """
    arguments = dict(locals())
    goal = objective("mi_fgsm", loss, targeted)

    def slope(problem: Problem, x: Any, momentum: Any, step: int) -> Any:
        return problem.gradient(x, goal)

    return _iterate("mi_fgsm", arguments, slope)


def ni_fgsm(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 1.0,
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with Nesterov's momentum: the gradient is taken one step ahead.

    Lin et al. (2020), "Nesterov accelerated gradient and scale invariance for adversarial attacks",
    arXiv 1908.06281. Parameters, result and errors are those of :func:`mi_fgsm`.
    """
    arguments = dict(locals())
    goal = objective("ni_fgsm", loss, targeted)

    def slope(problem: Problem, x: Any, momentum: Any, step: int) -> Any:
        ahead = x + decay * _length(problem, steps, step_size) * momentum
        value, slope, _ = problem.gradient(ahead, goal)
        return value, slope, None

    return _iterate("ni_fgsm", arguments, slope)


def di_fgsm(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 0.0,
    diversity: float = 0.5,
    smallest: float = 0.9,
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with diverse inputs: each gradient is taken at a randomly shrunk and moved image.

    Xie et al. (2019), "Improving transferability of adversarial examples with input diversity",
    arXiv 1803.06978. The size, the place and the choice whether to shrink are drawn for each
    sample. The paper enlarges and then shrinks its images to the size of the net; here the picture
    shrinks within its frame.

    Parameters
    ----------
    model, x, y, eps, loss, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`; ``x`` is ``(N, C, H, W)``.
    norm, steps, step_size
        As for :func:`mi_fgsm`.
    decay : float, default 0.0
        Of the momentum; 1 gives the paper's M-DI-FGSM.
    diversity : float, default 0.5
        Probability that an image is shrunk.
    smallest : float, default 0.9
        The least size, as a share of the full one.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`; also if ``diversity`` or ``smallest`` is not within [0, 1].
    """
    arguments = dict(locals())
    goal = objective("di_fgsm", loss, targeted)
    for name, share in (("diversity", diversity), ("smallest", smallest)):
        if not 0 <= share <= 1:
            raise ArgumentError(
                f"di_fgsm: argument '{name}' must be between 0 and 1, got {share!r}"
            )

    def slope(problem: Problem, x: Any, momentum: Any, step: int) -> Any:
        _check_images("di_fgsm", x)
        draws = problem.uniform(4, step=step)
        scale = where(draws[:, 0] < diversity, smallest + (1 - smallest) * draws[:, 1], 1.0)
        room, zero = 1 / scale - 1, scale * 0  # how far off the middle the picture may be
        right = stack([1 / scale, zero, room * (2 * draws[:, 2] - 1)], 1)
        down = stack([zero, 1 / scale, room * (2 * draws[:, 3] - 1)], 1)
        theta = stack([right, down], 1)
        changed = problem.through(lambda images: _shrink(images, theta))
        value, slope, _ = changed.gradient(x, goal)
        return value, slope, None

    return _iterate("di_fgsm", arguments, slope)


def ti_fgsm(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 0.0,
    kernel_size: int = 7,
    sigma: float | None = None,
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with translation-invariant gradients: each is smoothed by a Gaussian window.

    Dong et al. (2019), "Evading defenses to transferable adversarial examples by
    translation-invariant attacks", arXiv 1904.02884: smoothing the gradient is, to first order,
    averaging it over shifted images.

    Parameters
    ----------
    model, x, y, eps, loss, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`; ``x`` is ``(N, C, H, W)``.
    norm, steps, step_size
        As for :func:`mi_fgsm`.
    decay : float, default 0.0
        Of the momentum.
    kernel_size : int, default 7
        Side of the window in pixels, odd. The paper's 15 is for images of 299 pixels.
    sigma : float, optional
        Width of the window in pixels; default a sixth of its side.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`; also if ``kernel_size`` is even, or ``sigma`` not positive.
    """
    arguments = dict(locals())
    goal = objective("ti_fgsm", loss, targeted)
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ArgumentError(
            f"ti_fgsm: argument 'kernel_size' must be an odd int of at least 1, got {kernel_size!r}"
        )
    width = kernel_size / 6 if sigma is None else sigma
    if not 0 < width < math.inf:
        raise ArgumentError(f"ti_fgsm: argument 'sigma' must be positive, got {sigma!r}")
    window = _gaussian(kernel_size, width)

    def slope(problem: Problem, x: Any, momentum: Any, step: int) -> Any:
        _check_images("ti_fgsm", x)
        value, slope, logits = problem.gradient(x, goal)
        channels = x.shape[1]
        weight = as_tensor(np.tile(window, (channels, 1, 1, 1)), dtype=x.dtype, device=x.device)
        return value, F.conv2d(slope, weight, padding="same", groups=channels), logits

    return _iterate("ti_fgsm", arguments, slope)


def _iterate(attack: str, arguments: dict[str, Any], slope_of: Slope) -> AttackResult:
    """Run the iterative method with momentum that the four attacks share."""
    steps, step_size, decay = (arguments[name] for name in ("steps", "step_size", "decay"))
    norm, loss = arguments["norm"], arguments["loss"]
    check_schedule(attack, step_size, "never", steps=steps)
    if not 0 <= decay < math.inf:
        raise ArgumentError(f"{attack}: argument 'decay' must be at least 0, got {decay!r}")
    goal = objective(attack, loss, arguments["targeted"])

    def solve(problem: Problem) -> tuple[Any, None]:
        best, rows, x = Best(problem.x), np.arange(len(problem)), problem.x
        length, momentum = _length(problem, steps, step_size), x * 0
        for step in problem.steps(steps):
            value, slope, logits = slope_of(problem, x, momentum, step)
            if logits is not None:  # of the images themselves, not of changed ones
                best.offer(rows, x, value, problem.succeeds(logits))
            size = slope.abs().reshape(len(x), -1).mean(1)
            slope = slope / geometry.rows(where(size > 0, size, 1.0), x)
            momentum = decay * momentum + where(slope == slope, slope, 0.0)
            x = problem.project(x + steepest(momentum, x, length, norm, problem.bounds))
            if logits is None or step == steps - 1:
                logits = problem.logits(x)
                best.offer(rows, x, goal(logits, problem.y), problem.succeeds(logits))
        return best.x, None

    return run(attack, solve, arguments, loss=loss, norms=("linf", "l2"))


def _length(problem: Problem, steps: int, step_size: float | None) -> Any:
    """Return the length of a step in a shape that broadcasts over the images."""
    length = problem.eps / steps
    return length if step_size is None else full_like(length, step_size)


def _check_images(attack: str, x: Any) -> None:
    if x.ndim != 4:
        raise ShapeError(
            f"{attack}: argument 'x' must be images (N, C, H, W), got shape {tuple(x.shape)}"
        )


def _shrink(images: Any, theta: Any) -> Any:
    """Return the images seen through the affine maps ``theta`` ``(N, 2, 3)``, black outside."""
    grid = F.affine_grid(theta, tuple(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _gaussian(size: int, sigma: float) -> np.ndarray:
    """Return a window of side ``size`` with sum 1, shape ``(1, 1, size, size)``."""
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    window = np.outer(line, line)
    return (window / window.sum())[None, None]
