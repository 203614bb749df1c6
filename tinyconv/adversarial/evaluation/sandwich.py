"""The sandwich: what is proven from below, and what attacks have found from above."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor
from ..attacks.fab import fab
from ..defences.interval import certified_radius
from ..problem import sample_numbers
from ..result import AttackResult


@dataclass(frozen=True)
class Sandwich:
    """For each sample, two bounds of its least perturbation in the linf norm.

    Attributes
    ----------
    lower : float64 array (N,)
        No perturbation within it changes the class: proven by interval bounds. 0 where the model is
        wrong from the start.
    upper : float64 array (N,)
        The smallest perturbation that was found; infinity where none was.
    found_by : array of str
        Which attack found it; ``"clean"`` where the model is wrong from the start, ``""`` where
        none succeeded.
    """

    lower: np.ndarray
    upper: np.ndarray
    found_by: np.ndarray

    def accuracy(self, eps: float) -> tuple[float, float]:
        """Return what robust accuracy at ``eps`` is at least, and at most."""
        return float((self.lower >= eps).mean()), float((self.upper > eps).mean())

    def table(self, eps: Any = None) -> str:
        """Return both accuracies at some radii as text; default: eight up to the largest norm."""
        if eps is None:
            finite = self.upper[np.isfinite(self.upper)]
            eps = np.linspace(0, float(finite.max(initial=0.0)) or 1.0, 9)[1:]
        lines = ["     eps   proven   truth   not broken"]
        for radius in np.asarray(eps, np.float64):
            low, high = self.accuracy(float(radius))
            lines.append(f"{radius:8.4g}  {low:7.1%}  <= ? <=  {high:7.1%}")
        return "\n".join(lines)


def sandwich(
    model: Any,
    x: Any,
    y: Any,
    *,
    attacks: Mapping[str, Callable[..., AttackResult]] | None = None,
    halvings: int = 16,
    bounds: tuple[float, float] = (0, 1),
    index: Any = None,
    **arguments: Any,
) -> Sandwich:
    """Bound the least perturbation of each sample from both sides, in the linf norm.

    The truth lies between the radius that interval bounds prove and the norm that attacks find: a
    gap says that the bounds are loose or the attacks weak, and a crossing that one of the two is
    wrong.

    Parameters
    ----------
    model : Module
        One that :func:`interval_bounds` can bound.
    x, y, bounds, index
        As for :func:`fgsm`; true classes.
    attacks : dict of str to callable, optional
        Attacks for the least perturbation in the linf norm, such as :func:`fmn` or
        :func:`carlini_wagner`, by name; default :func:`fab`. The smallest norm of all counts.
    halvings : int, default 16
        In the search for the largest radius that can be proven: it is exact to the span of the box
        over ``2 ** halvings``.
    **arguments
        Further arguments of all attacks.

    Returns
    -------
    Sandwich

    Raises
    ------
    ArgumentError
        If there is no sample, or the model has a module that has no interval bounds.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> x = tc.full((1, 1, 2, 2), 0.5)
    >>> both = tc.adversarial.sandwich(model, x, tc.tensor([0]), bounds=(-1, 1))
    >>> bool(both.lower[0] <= 0.5 <= both.upper[0] < 0.51)
    True
    """
    if not len(x):
        raise ArgumentError("sandwich: at least one sample is needed")
    x, y = as_tensor(x), as_tensor(y)
    numbers = sample_numbers(index, len(x))
    lower = certified_radius(model, x, y, bounds, steps=halvings)
    upper, found_by = np.full(len(x), np.inf), np.full(len(x), "", object)
    for name, attack in (attacks or {"fab": fab}).items():
        result = attack(model, x, y, norm="linf", bounds=bounds, index=numbers, **arguments)
        norm = np.where(result.success, result.norm["linf"], np.inf)
        better = norm < upper
        upper[better], found_by[better] = norm[better], name
        found_by[result.clean_wrong] = "clean"
    return Sandwich(lower, upper, found_by)
