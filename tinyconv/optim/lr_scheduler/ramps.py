"""Schedules that lead from one factor of the initial rate to another, and end there."""

from __future__ import annotations

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .base import LRScheduler


class ConstantLR(LRScheduler):
    """Multiply the rate by ``factor`` for the first ``total_iters`` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    factor : float, default 1/3
        From 0 to 1.
    total_iters : int, default 5
        The epoch at which the rate is itself again.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If an option is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR: factor must be from 0 to 1, got {factor}")
        _check_iterations("ConstantLR", total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates in force, times ``factor`` first and divided by it at the end."""
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._current()]
        if self.last_epoch != self.total_iters:
            return self._current()
        if self.factor == 0:  # nothing is left to divide
            return list(self.base_lrs)
        return [lr * (1 / self.factor) for lr in self._current()]


class LinearLR(LRScheduler):
    """Let the factor of the rate go from one number to another along a straight line.

    The usual way to warm up: see :mod:`tinyconv.optim.lr_scheduler`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    start_factor : float, default 1/3
        Factor at first, above 0 and at most 1.
    end_factor : float, default 1.0
        Factor in the end, from 0 to 1.
    total_iters : int, default 5
        The epoch at which the end is reached.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If an option is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(
                f"LinearLR: start_factor must be above 0 and at most 1, got {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR: end_factor must be from 0 to 1, got {end_factor}")
        _check_iterations("LinearLR", total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates in force times the factor of this epoch over that of the last."""
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._current()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1 + rise / before) for lr in self._current()]


class PolynomialLR(LRScheduler):
    """Let the rate fall to 0 in ``total_iters`` epochs, along a power of the time that is left.

    ``initial_lr * (1 - epoch / total_iters)**power``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    total_iters : int, default 5
        The epoch at which the rate is 0.
    power : float, default 1.0
        1 falls in a straight line, more falls faster at first.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If ``total_iters`` is negative.
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        _check_iterations("PolynomialLR", total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates in force times the factor of this epoch over that of the last."""
        is_first = self._is_initial or self.last_epoch == 0
        if is_first or self.last_epoch > self.total_iters:
            return self._current()
        left, before = (1 - t / self.total_iters for t in (self.last_epoch, self.last_epoch - 1))
        return [lr * (left / before) ** self.power for lr in self._current()]


def _check_iterations(name: str, total_iters: int) -> None:
    if not total_iters >= 0:
        raise ArgumentError(f"{name}: total_iters must be at least 0, got {total_iters}")
