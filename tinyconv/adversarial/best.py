"""The best image so far of each sample: an attack never returns worse than it has seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import as_tensor, where
from . import geometry


class Best:
    """For an attack within a radius: success first, then the larger loss.

    Attributes
    ----------
    x : Tensor
        The images; at first the clean ones.
    success : bool array (N,)
        Whether the image is one of which the model errs.
    loss : float64 array (N,)
        Loss at the image; minus infinity at first. NaN never counts as better.
    restart : int64 array (N,)
        When it was found.
    """

    def __init__(self, x: Any) -> None:
        self.x = x
        self.success = np.zeros(len(x), bool)
        self.loss = np.full(len(x), -np.inf)
        self.restart = np.zeros(len(x), np.int64)

    def offer(
        self, rows: np.ndarray, x: Any, loss: Any, success: np.ndarray, restart: int = 0
    ) -> np.ndarray:
        """Take those of the images ``x`` (samples ``rows``) that are better; return which."""
        loss = np.asarray(loss.numpy(force=True), np.float64)
        more = (success == self.success[rows]) & (loss > self.loss[rows])
        better = (success & ~self.success[rows]) | more
        chosen = rows[better]
        self.x = replace(self.x, rows, x, better)
        self.loss[chosen], self.success[chosen] = loss[better], success[better]
        self.restart[chosen] = restart
        return better


class Smallest:
    """For an attack that looks for the least perturbation: the smallest norm that succeeds.

    ``norm`` is one of the names, or a function from perturbations ``(N, ...)`` to sizes ``(N,)``.

    Attributes
    ----------
    x : Tensor
        The images; the clean ones where nothing was found.
    norm : float64 array (N,)
        Norm of the perturbation; infinity where nothing was found.
    restart : int64 array (N,)
        When it was found.
    """

    def __init__(self, x: Any, norm: str | Callable[[Any], Any]) -> None:
        self.clean = self.x = x
        self.measure = norm if callable(norm) else lambda change: geometry.norms(change, norm)
        self.norm = np.full(len(x), np.inf)
        self.restart = np.zeros(len(x), np.int64)

    @property
    def success(self) -> np.ndarray:
        """Whether anything was found."""
        return np.isfinite(self.norm)

    def offer(self, rows: np.ndarray, x: Any, success: np.ndarray, restart: int = 0) -> np.ndarray:
        """Take those of the images ``x`` (samples ``rows``) that are better; return which."""
        norm = self.measure(x - self.clean[as_tensor(rows)]).numpy(force=True)
        better = success & (norm < self.norm[rows])
        chosen = rows[better]
        self.x = replace(self.x, rows, x, better)
        self.norm[chosen], self.restart[chosen] = norm[better], restart
        return better


def replace(all_x: Any, rows: np.ndarray, x: Any, chosen: np.ndarray) -> Any:
    """Return ``all_x`` with the samples ``rows[chosen]`` from ``x[chosen]``."""
    if not chosen.any():
        return all_x
    if len(rows) == len(all_x) and np.array_equal(rows, np.arange(len(rows))):
        return where(geometry.rows(as_tensor(chosen, device=x.device), x), x, all_x)
    result = all_x.clone()
    result[as_tensor(rows[chosen], device=x.device)] = x[as_tensor(chosen, device=x.device)]
    return result
