"""The frame round every attack: check the arguments, run it batch by batch, judge the outcome."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from ..ops import as_tensor
from . import geometry
from .best import replace
from .isolation import isolated
from .losses import Loss, objective
from .problem import Problem, radius, sample_numbers
from .result import AttackResult, concatenate

#: An attack proper: from a problem to images, and the restart that each is from (or None).
Solve = Callable[[Problem], tuple[Any, np.ndarray | None]]


def run(
    attack: str,
    solve: Solve,
    arguments: dict[str, Any],
    *,
    loss: str | Loss = "margin",
    norms: tuple[str, ...] = geometry.NORMS[:3],
    fixed: dict[str, Any] | None = None,
) -> AttackResult:
    """Attack batch by batch, and judge each image by a forward pass of its own.

    The model is left as it was found (see :func:`isolated`). Samples that are wrong from the start
    are not attacked. Whatever ``solve`` returns is moved into ball and box; NaN becomes the clean
    value.

    Parameters
    ----------
    attack : str
        Name, for messages, and for the random numbers.
    solve : callable
        Gets a :class:`Problem` of samples that are not yet wrong.
    arguments : dict
        What the user gave, by name: ``model``, ``x``, ``y``; ``norm`` and ``eps`` (both may be
        absent), ``bounds``, ``targeted`` (False if absent), ``mask``, ``eot``, ``seed``, ``index``,
        ``batch_size``, ``model_mode``, ``start`` (may be absent). All but the first three are kept
        as ``config``.
    loss : str or callable
        The attack's objective, for ``AttackResult.loss``.
    norms : tuple of str
        Those that the attack knows; the first one if it has no argument ``norm``.
    fixed : dict, optional
        What is as if it were in ``arguments``, for an attack that knows one ``norm`` only, or calls
        its ``eps`` otherwise. It is not kept as ``config``. An attack that couples the samples has
        ``batch_size`` None here, and ``most`` images for a pass instead.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError, IndexRangeError
        Where an argument is not as described in the attack.
    """
    config = {k: v for k, v in arguments.items() if k not in ("model", "x", "y")}
    given = {**config, **(fixed or {})}
    model, x = arguments["model"], check_images(attack, arguments["x"])
    y = check_classes(attack, arguments["y"], x)
    norm = geometry.check_norm(attack, given.get("norm", norms[0]), norms)
    bounds = check_bounds(attack, given["bounds"], x)
    eps = given.get("eps")
    eps = None if eps is None else radius(attack, eps, x, norm)
    mask = check_mask(attack, given.get("mask"), x)
    size, eot = given.get("batch_size"), given.get("eot", 1)
    for name, value in (("batch_size", size), ("eot", eot)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ArgumentError(f"{attack}: argument '{name}' must be at least 1, got {value!r}")
    initial = _start(attack, given.get("start"), x, bounds)
    index = sample_numbers(given.get("index"), len(x))
    targeted = given.get("targeted", False)
    goal = objective(attack, loss, targeted)
    results = []
    with isolated(model, given["seed"], given.get("model_mode", "eval")):
        for start in range(0, max(len(x), 1), size or max(len(x), 1)):
            part = slice(start, start + (size or len(x)))
            problem = Problem(
                model, x[part], y[part], attack=attack, norm=norm,
                eps=None if eps is None else eps[part], bounds=bounds, targeted=targeted,
                mask=None if mask is None else mask[part], eot=eot, seed=given["seed"],
                index=index[part], initial=None if initial is None else initial[part],
                most=given.get("most"),
            )  # fmt: skip
            results.append(_attack(problem, solve, goal, config))
    return concatenate(results)


def _attack(problem: Problem, solve: Solve, goal: Loss, config: dict[str, Any]) -> AttackResult:
    """Run an attack on one batch, and judge what it returns."""
    n, x = len(problem), problem.x
    restart = np.zeros(n, np.int64)
    clean_wrong, x_adv = np.zeros(n, bool), x
    if n:
        logits = problem.logits(x)
        _check_logits(problem, logits)
        clean_wrong = problem.succeeds(logits)
        rows = np.flatnonzero(~clean_wrong)
        if len(rows):
            part = problem.take(rows)
            found, found_restart = solve(part)
            found = part.project(geometry.rows_where_finite(found, part.x))
            x_adv = replace(x, rows, found, np.ones(len(rows), bool))
            restart[rows] = 0 if found_restart is None else found_restart
    success, loss = clean_wrong.copy(), np.zeros(n)
    success_uint8 = clean_wrong.copy()
    if n:
        logits = problem.logits(x_adv)
        success = problem.succeeds(logits)
        loss = np.asarray(goal(logits, problem.y).numpy(force=True), np.float64)
        success_uint8 = problem.succeeds(problem.logits(round_to_bytes(x_adv, problem.bounds)))
    norm = {p: geometry.norms(x_adv - x, p).numpy(force=True) for p in geometry.NORMS}
    if problem.eps is None:
        eps_used = np.where(success, norm[problem.norm], np.inf)
    else:
        radii = np.asarray(problem.eps.numpy(force=True), np.float64)
        eps_used = radii.max(axis=tuple(range(1, radii.ndim)), initial=0)
    return AttackResult(
        x_adv, success, success_uint8, clean_wrong, norm, eps_used, problem.queries, loss, restart,
        problem.attack, config,
    )  # fmt: skip


def round_to_bytes(x: Any, bounds: tuple[float, float]) -> Any:
    """Return ``x`` rounded to the nearest of 256 evenly spaced values, as in an 8-bit file."""
    low, span = bounds[0], bounds[1] - bounds[0]
    return geometry.clip(((x - low) * (255 / span)).round() / 255 * span + low, bounds)


def check_images(attack: str, x: Any) -> Any:
    """Return ``x`` without its graph if it is a batch of floating-point images, else raise."""
    x = as_tensor(x).detach()
    if x.ndim < 2:
        raise ShapeError(
            f"{attack}: argument 'x' must have a batch dimension and at least one more, got shape "
            f"{tuple(x.shape)}"
        )
    if not x.is_floating_point():
        raise DTypeError(
            f"{attack}: argument 'x' must be floating point, got {x.dtype}; divide bytes by 255"
        )
    return x


def check_classes(attack: str, y: Any, x: Any) -> Any:
    """Return ``y`` as int64 if it holds one class a sample of ``x``, else raise."""
    if y is None:
        raise ArgumentError(
            f"{attack}: argument 'y' is missing; an attack needs the true classes (or targets), "
            "and for predicted ones y=model(x).argmax(1)"
        )
    y = as_tensor(y).detach().to(x.device)
    if y.is_floating_point() or tuple(y.shape) != (len(x),):
        raise ShapeError(
            f"{attack}: argument 'y' must hold one class index a sample, shape {(len(x),)}, got "
            f"{y.dtype} of shape {tuple(y.shape)}"
        )
    return y.long()


def check_bounds(attack: str, bounds: Any, x: Any) -> tuple[float, float]:
    """Return ``bounds`` as floats if they are in order and ``x`` lies within, else raise."""
    low, high = (float(value) for value in bounds)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ArgumentError(
            f"{attack}: argument 'bounds' must be two finite numbers, the smaller first, got "
            f"{bounds!r}"
        )
    if x.numel() and not bool(((x >= low) & (x <= high)).all()):
        raise ArgumentError(
            f"{attack}: the values of 'x' go from {x.min().item():.4g} to {x.max().item():.4g}, "
            f"outside of bounds={bounds!r}; put the normalisation into the model "
            "(nn.Normalize(mean, std) as its first layer) and attack pixels, or pass the bounds"
        )
    return low, high


def check_mask(attack: str, mask: Any, x: Any) -> Any:
    """Return ``mask`` as a bool tensor in the shape of ``x``; ``None`` where there is none."""
    if mask is None:
        return None
    mask = as_tensor(mask, device=x.device) != 0
    try:
        return mask.broadcast_to(x.shape)
    except ShapeError:
        raise ShapeError(
            f"{attack}: argument 'mask' of shape {tuple(mask.shape)} does not broadcast over "
            f"images of shape {tuple(x.shape)}"
        ) from None


def _start(attack: str, start: Any, x: Any, bounds: tuple[float, float]) -> Any:
    if start is None:
        return None
    start = as_tensor(start, device=x.device).detach().to(x.dtype)
    if start.shape != x.shape:
        raise ShapeError(
            f"{attack}: argument 'start' must have the shape of 'x', {tuple(x.shape)}, got "
            f"{tuple(start.shape)}"
        )
    return geometry.clip(start, bounds)


def _check_logits(problem: Problem, logits: Any) -> None:
    n, y = len(problem), problem.y
    if logits.ndim != 2 or len(logits) != n:
        raise ShapeError(
            f"{problem.attack}: the model must return logits of shape ({n}, classes), got "
            f"{tuple(logits.shape)}"
        )
    low, high, classes = y.min().item(), y.max().item(), logits.shape[1]
    if classes < 2:
        raise ShapeError(
            f"{problem.attack}: the model must tell at least two classes apart, its logits have "
            f"shape {tuple(logits.shape)}"
        )
    if low < 0 or high >= classes:
        raise IndexRangeError(
            f"{problem.attack}: classes in 'y' must be from 0 to {classes - 1}, got {low} to {high}"
        )
