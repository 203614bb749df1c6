"""Attacks that look for the least perturbation, asked the question of those with a radius."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as changed
from functools import partial
from inspect import signature
from typing import Any

import numpy as np

from ..problem import Problem
from ..result import AttackResult
from ..running import run


def at_radius(
    attack: Callable[..., AttackResult], *, eps: Any, norm: str = "linf", **arguments: Any
) -> Callable[..., AttackResult]:
    """Return an attack with its arguments filled in that says what it can do within a ball.

    Two kinds of attacks are then comparable, and can be put side by side into :func:`worst_case`.
    One that takes ``eps`` gets it. One that looks for the least perturbation, wherever that leads,
    has its images moved into the ball and judged there: beyond the radius it has failed.

    Parameters
    ----------
    attack : callable
        Such as :func:`pgd`.
    eps : float or array
        Radius, as for :func:`fgsm`.
    norm : str, default "linf"
        Of the ball. An attack without an argument ``norm`` looks in its own.
    **arguments
        Further arguments of the attack, but none of which each sample has its own.

    Returns
    -------
    callable
        A function of ``(model, x, y, *, index=None)``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import adversarial
    >>> _ = tc.manual_seed(0)
    >>> model, x = tc.models.LeNet5(), tc.rand(4, 1, 28, 28)
    >>> attack = adversarial.at_radius(adversarial.fgsm, eps=0.3)
    >>> attack(model, x, model(x).argmax(1)).robust_accuracy
    0.0
    """
    parameters = signature(attack).parameters
    if "norm" in parameters:
        arguments["norm"] = norm
    if "eps" in parameters:
        return partial(attack, eps=eps, **arguments)
    mask = arguments.pop("mask", None)
    return partial(_least, attack, norm, arguments, eps=eps, mask=mask)


def _least(
    attack: Callable[..., AttackResult],
    norm: str,
    arguments: dict[str, Any],
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    mask: Any = None,
    index: Any = None,
) -> AttackResult:
    """Run an attack for the least perturbation, and judge its images within the ball."""
    parts: list[AttackResult] = []

    def solve(problem: Problem) -> tuple[Any, None]:
        own = dict(arguments)
        if problem.mask is not None:
            own["mask"] = problem.mask
        parts.append(attack(model, problem.x, problem.y, index=problem.index, **own))
        return parts[-1].x_adv, None

    frame = {"bounds": (0, 1), "targeted": False, "seed": 0, **arguments}
    frame.update(model=model, x=x, y=y, eps=eps, norm=norm, mask=mask, index=index)
    result = run(getattr(attack, "__name__", "attack"), solve, frame)
    if not parts:
        return result
    queries = result.queries.copy()
    queries[~result.clean_wrong] += np.concatenate([part.queries for part in parts])
    return changed(result, queries=queries)
