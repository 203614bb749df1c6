"""Robustness in figures: accuracy against the radius, the least radius, transfer between models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor
from ..isolation import isolated
from ..problem import Problem, sample_numbers
from ..result import AttackResult

#: A function of (model, x, y, eps=..., index=...), such as an attack.
WithinRadius = Callable[..., AttackResult]


@dataclass(frozen=True)
class AccuracyCurve:
    """Robust accuracy against the radius.

    Attributes
    ----------
    eps : float64 array (E,)
        The radii, ascending.
    accuracy : float64 array (E,)
        Share of all samples on which the model is right in the whole ball, as far as the attack
        could tell: an upper bound of the truth. Never increases.
    low, high : float64 array (E,)
        The 95 % interval of the accuracy (Wilson, 1927), for the samples were drawn by chance.
    smallest : float64 array (N,)
        The first of the radii at which each sample fell; 0 where it was wrong from the start,
        infinity where it never fell.
    """

    eps: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    smallest: np.ndarray

    def table(self) -> str:
        """Return a line of text a radius."""
        lines = ["     eps  robust accuracy  95 % interval"]
        for eps, accuracy, low, high in zip(
            self.eps, self.accuracy, self.low, self.high, strict=True
        ):
            lines.append(f"{eps:8.4g}  {accuracy:15.2%}  {low:.1%} to {high:.1%}")
        return "\n".join(lines)


def accuracy_curve(
    attack: WithinRadius, model: Any, x: Any, y: Any, eps: Sequence[float], *, index: Any = None,
    **arguments: Any,
) -> AccuracyCurve:  # fmt: skip
    """Return robust accuracy at several radii.

    The radii are taken in ascending order, and each only with the samples that still stand: what
    fooled the model in a small ball lies in the larger one, too. So the curve never rises.

    Parameters
    ----------
    attack : callable
        One that takes ``eps``, such as :func:`pgd`.
    model, x, y, index
        As for :func:`fgsm`.
    eps : sequence of float
        The radii.
    **arguments
        Further arguments of the attack.

    Raises
    ------
    ArgumentError
        If there is no radius, or no sample.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> model, x = tc.models.LeNet5(), tc.rand(4, 1, 28, 28)
    >>> curve = tc.adversarial.accuracy_curve(
    ...     tc.adversarial.fgsm, model, x, model(x).argmax(1), [0.0, 0.5])
    >>> curve.accuracy.tolist()
    [1.0, 0.0]
    """
    radii = np.unique(np.asarray(eps, np.float64))
    if not len(radii) or not len(x):
        raise ArgumentError("accuracy_curve: at least one 'eps' and one sample are needed")
    x, y, numbers = as_tensor(x), as_tensor(y), sample_numbers(index, len(x))
    smallest = np.full(len(x), np.inf)
    for radius in radii:
        rows = np.flatnonzero(np.isinf(smallest))
        if not len(rows):
            break
        pick = as_tensor(rows, device=x.device)
        result = attack(model, x[pick], y[pick], eps=float(radius), index=numbers[rows],
                        **arguments)  # fmt: skip
        smallest[rows[result.success]] = radius
        smallest[rows[result.clean_wrong]] = 0.0
    accuracy = np.array([(smallest > radius).mean() for radius in radii])
    low, high = interval(accuracy, len(x))
    return AccuracyCurve(radii, accuracy, low, high, smallest)


def interval(share: np.ndarray, count: int, z: float = 1.959964) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a share that was seen in ``count`` samples (Wilson, 1927)."""
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + z * z / (4 * count * count)
    half = z * np.sqrt(spread) / (1 + z * z / count)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def smallest_eps(
    attack: WithinRadius, model: Any, x: Any, y: Any, *, high: float, steps: int = 10,
    index: Any = None, **arguments: Any,
) -> np.ndarray:  # fmt: skip
    """Return, for each sample, the least radius within which an attack succeeds, by bisection.

    Parameters
    ----------
    attack : callable
        One that takes ``eps`` for each sample, such as :func:`pgd`.
    model, x, y, index
        As for :func:`fgsm`.
    high : float
        Where to give up.
    steps : int, default 10
        Halvings; the radius is known to ``high / 2 ** steps``.
    **arguments
        Further arguments of the attack.

    Returns
    -------
    float64 array (N,)
        A radius at which the attack did succeed; 0 where the model was wrong from the start,
        infinity where it stood at ``high``.
    """
    if not (0 < high < math.inf) or steps < 1:
        raise ArgumentError(
            f"smallest_eps: 'high' must be positive and 'steps' at least 1, got {high!r} and "
            f"{steps!r}"
        )
    x, y, numbers = as_tensor(x), as_tensor(y), sample_numbers(index, len(x))
    result = attack(model, x, y, eps=high, index=numbers, **arguments)
    found = np.where(result.success, high, np.inf)
    found[result.clean_wrong] = 0.0
    rows = np.flatnonzero(result.success & ~result.clean_wrong)
    low = np.zeros(len(x))
    for _ in range(steps if len(rows) else 0):
        middle = (low[rows] + found[rows]) / 2
        pick = as_tensor(rows, device=x.device)
        result = attack(model, x[pick], y[pick], eps=middle, index=numbers[rows], **arguments)
        found[rows] = np.where(result.success, middle, found[rows])
        low[rows] = np.where(result.success, low[rows], middle)
    return found


@dataclass(frozen=True)
class TransferMatrix:
    """How often examples made on one model fool another.

    Attributes
    ----------
    names : list of str
        The models.
    rates : float64 array (M, M)
        Row: the model attacked. Column: the model shown the images. Among the samples that both
        classify rightly, the share that the second then gets wrong; NaN where there is none.
    """

    names: list[str]
    rates: np.ndarray

    def table(self) -> str:
        """Return the rates as text, a line a model attacked."""
        width = max(len("made on"), *(len(name) for name in self.names))
        lines = [f"{'made on':{width}}  " + "  ".join(f"{name:>8}" for name in self.names)]
        for name, row in zip(self.names, self.rates, strict=True):
            cells = "  ".join(f"{rate:{max(8, len(n))}.2%}" for n, rate in
                              zip(self.names, row, strict=True))  # fmt: skip
            lines.append(f"{name:{width}}  {cells}")
        return "\n".join(lines)


def transfer_matrix(
    models: Mapping[str, Any], x: Any, y: Any, attack: Callable[..., AttackResult],
    **arguments: Any,
) -> TransferMatrix:  # fmt: skip
    """Attack each model, and show the images to all.

    Parameters
    ----------
    models : dict of str to Module
        By name.
    x, y
        As for :func:`fgsm`; true classes.
    attack : callable
        Such as :func:`mi_fgsm`.
    **arguments
        Further arguments of the attack.

    Raises
    ------
    ArgumentError
        If there is no model, or the attack is targeted.
    """
    if not models or arguments.get("targeted"):
        raise ArgumentError("transfer_matrix: needs at least one model, and an untargeted attack")
    y = as_tensor(y)
    wrong = {name: errors(model, x, y) for name, model in models.items()}
    rates = np.full((len(models), len(models)), np.nan)
    for row, (source, model) in enumerate(models.items()):
        images = attack(model, x, y, **arguments).x_adv
        for column, (shown, other) in enumerate(models.items()):
            fair = ~wrong[source] & ~wrong[shown]
            if fair.any():
                rates[row, column] = errors(other, images, y)[fair].mean()
    return TransferMatrix(list(models), rates)


def errors(model: Any, x: Any, y: Any, batch_size: int = 256) -> np.ndarray:
    """Return for which images the model errs by a strict margin; it is left as it was found."""
    found = []
    with isolated(model, 0):
        for start in range(0, len(x), batch_size):
            part, labels = x[start : start + batch_size], y[start : start + batch_size]
            problem = Problem(model, part, labels, attack="errors")
            found.append(problem.succeeds(problem.logits(part)))
    return np.concatenate(found) if found else np.zeros(0, bool)
