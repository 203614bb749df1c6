"""Schedules that multiply the rate by a constant at some epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .base import LRScheduler


class StepLR(LRScheduler):
    """Multiply the rate by ``gamma`` every ``step_size`` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    step_size : int
        Epochs between changes.
    gamma : float, default 0.1
        Factor.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> optimizer = tc.optim.SGD([tc.nn.Parameter(tc.ones(1))], lr=1.0)
    >>> scheduler = tc.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ArgumentError(f"StepLR: step_size must be at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates in force, times ``gamma`` where an interval ends."""
        ends = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if ends else lr for lr in self._current()]


class MultiStepLR(LRScheduler):
    """Multiply the rate by ``gamma`` at given epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    milestones : iterable of int
        The epochs; one that stands twice counts twice.
    gamma : float, default 0.1
        Factor.
    last_epoch : int, default -1
        See :class:`LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates in force, times ``gamma`` at a milestone."""
        factor = self.gamma ** Counter(self.milestones)[self.last_epoch]
        return [lr * factor for lr in self._current()]


class ExponentialLR(LRScheduler):
    """Multiply the rate by ``gamma`` every epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    gamma : float
        Factor.
    last_epoch : int, default -1
        See :class:`LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates in force times ``gamma``."""
        is_first = self._is_initial or self.last_epoch == 0
        return [lr if is_first else lr * self.gamma for lr in self._current()]
