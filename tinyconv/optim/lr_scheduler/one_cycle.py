"""The one-cycle schedule."""

from __future__ import annotations

import math
from typing import Any

from ...errors import ArgumentError
from ..optimizer import Optimizer
from . import momentum
from .base import LRScheduler, check_each, check_optimizer, one_each


class OneCycleLR(LRScheduler):
    """Let the rate rise to ``max_lr``, then fall far below where it started; step it once a batch.

    The momentum goes the other way. Smith and Topin, "Super-convergence: very fast training of
    neural networks using large learning rates" (2018), in the form of the fastai library; the
    paper's own form is ``three_phase=True``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    max_lr : float or list of float
        The highest rate, for all groups or one each.
    total_steps : int, optional
        Batches of the whole; default ``epochs * steps_per_epoch``, which must be given then.
    epochs, steps_per_epoch : int, optional
        See above.
    pct_start : float, default 0.3
        Share of the whole in which the rate rises.
    anneal_strategy : {"cos", "linear"}
        Go from one rate to the next along half a cosine, or along a line.
    cycle_momentum : bool, default True
        Let the momentum (or the first of the betas) fall where the rate rises.
    base_momentum, max_momentum : float or list of float, default 0.85 and 0.95
        Its bounds. It starts from ``max_momentum``.
    div_factor : float, default 25
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float, default 1e4
        The last rate is the first one over this.
    three_phase : bool, default False
        Fall to the first rate as fast as the rise was, and to the last rate in the time that is
        left, with the largest momentum.
    last_epoch : int, default -1
        Batches that are done; see :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If an option is out of range or missing, the optimizer has no momentum to cycle, or
        ``step`` is called more than ``total_steps`` times.

    Examples
    --------
    >>> import tinyconv as tc
    >>> optimizer = tc.optim.SGD([tc.nn.Parameter(tc.ones(1))], momentum=0.9)
    >>> scheduler = tc.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> for batch in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), optimizer.param_groups[0]["momentum"]
    ([1.0], 0.85)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("OneCycleLR", optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start must be from 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        if not (div_factor > 0 and final_div_factor > 0):
            raise ArgumentError(
                "OneCycleLR: div_factor and final_div_factor must be above 0, got "
                f"{div_factor} and {final_div_factor}"
            )
        max_lrs = one_each("OneCycleLR", "max_lr", optimizer, max_lr)
        check_each("OneCycleLR", "max_lr", max_lrs)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = "betas" in optimizer.defaults
            momentum.set_up(
                "OneCycleLR", optimizer, base_momentum, max_momentum, is_new=last_epoch == -1
            )
        for group, highest in zip(optimizer.param_groups, max_lrs, strict=True):
            if last_epoch == -1:
                group["initial_lr"], group["max_lr"] = highest / div_factor, highest
                group["min_lr"] = group["initial_lr"] / final_div_factor
            elif "max_lr" not in group:
                raise ArgumentError(
                    f"OneCycleLR: last_epoch={last_epoch} continues a schedule, but a parameter "
                    "group has no 'max_lr'; load the optimizer's state dict first"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of this batch, and set its momentum."""
        batch, start = self.last_epoch, 0.0
        if batch > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: step() was called {batch} times, but total_steps is "
                f"{self.total_steps}"
            )
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if batch <= end or phase is self._schedule_phases[-1]:
                break
            start = end
        share = (batch - start) / (end - start) if end != start else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                momentum.put(group, self._between(*ends, share))
        return rates

    def _between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = {"total_steps": total_steps}
    if total_steps is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        if epochs is None or steps_per_epoch is None:
            raise ArgumentError(
                "OneCycleLR: give either total_steps, or epochs and steps_per_epoch"
            )
    for option, value in given.items():
        if not isinstance(value, int) or value < 1:
            raise ArgumentError(f"OneCycleLR: {option} must be an int of at least 1, got {value}")
    return math.prod(value for value in given.values() if value is not None)


def _phases(total: int, pct_start: float, three: bool) -> list[dict[str, Any]]:
    """Return the last batch of each phase, and the keys in a group of what it goes between."""

    def phase(end: float, *names: str) -> dict[str, Any]:
        keys = ("start_lr", "end_lr", "start_momentum", "end_momentum")
        return {"end_step": end, **dict(zip(keys, names, strict=True))}

    rise = phase(
        float(pct_start * total) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum"
    )
    if not three:
        return [rise, phase(total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    return [
        rise,
        phase(
            float(2 * pct_start * total) - 2,
            "max_lr", "initial_lr", "base_momentum", "max_momentum",
        ),
        phase(total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]  # fmt: skip
