"""The schedule of stochastic weight averaging."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .base import LRScheduler, check_each, check_optimizer, one_each


class SWALR(LRScheduler):
    """Lead the rate from what it is to a fixed one, and keep it there.

    For the last part of a training whose weights are averaged, see
    :class:`~tinyconv.optim.swa_utils.AveragedModel`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    swa_lr : float or list of float
        The rate at the end, for all groups or one each.
    anneal_epochs : int, default 10
        Number of epochs on the way; with 0 the rate is there at once.
    anneal_strategy : {"cos", "linear"}, default "cos"
        Along half a cosine, or a straight line.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If an option is out of range, or there is not one rate for each group.

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018,
    arXiv:1803.05407.

    Examples
    --------
    >>> import tinyconv as tc
    >>> optimizer = tc.optim.SGD([tc.nn.Parameter(tc.ones(1))], lr=1.0)
    >>> scheduler = tc.optim.swa_utils.SWALR(optimizer, 0.2, 2, anneal_strategy="linear")
    >>> for epoch in range(4):
    ...     print(round(optimizer.param_groups[0]["lr"], 2), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    1.0 0.6 0.2 0.2
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("SWALR", optimizer)
        rates = one_each("SWALR", "swa_lr", optimizer, swa_lr)
        check_each("SWALR", "swa_lr", rates)
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(
                f"SWALR: anneal_epochs must be an int of at least 0, got {anneal_epochs}"
            )
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates at their share of the way from where they would have started."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        share, before = self._share(step), self._share(step - 1)
        rates = []
        for group in self.optimizer.param_groups:
            end = group["swa_lr"]
            start = end if before == 1 else (group["lr"] - before * end) / (1 - before)
            rates.append(end * share + start * (1 - share))
        return rates

    def _share(self, step: int) -> float:
        """Return which part of the way is done after a number of steps, from 0 to 1."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
