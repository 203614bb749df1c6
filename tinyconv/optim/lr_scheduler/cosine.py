"""Schedules along a cosine."""

from __future__ import annotations

import math

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .base import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """Let the rate fall along half a cosine in ``T_max`` epochs, then rise again.

    ``eta_min + (initial_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2``. Loshchilov and
    Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), without the restarts.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    T_max : int
        Epochs from the highest rate to the lowest.
    eta_min : float, default 0.0
        The lowest rate.
    last_epoch : int, default -1
        See :class:`LRScheduler`.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR: T_max must be at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of the formula above, reached from those in force."""
        if self._is_initial or self.last_epoch == 0:
            return self._current()
        before, now = self._height(self.last_epoch - 1), self._height(self.last_epoch)
        if before < 1e-12:  # the lowest point says nothing of the height to rise to
            pairs = zip(self._current(), self.base_lrs, strict=True)
            return [lr + (base - self.eta_min) * now for lr, base in pairs]
        return [self.eta_min + (lr - self.eta_min) * now / before for lr in self._current()]

    def _height(self, epoch: int) -> float:
        """Return where the cosine stands, from 1 (highest rate) to 0 (lowest)."""
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Let the rate fall along half a cosine, jump up, fall again, each time for longer.

    ``eta_min + (initial_lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2``, where ``T_cur`` are the
    epochs since the last jump and ``T_i`` those from one jump to the next. Loshchilov and Hutter,
    "SGDR: stochastic gradient descent with warm restarts" (2017).

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    T_0 : int
        Epochs until the first jump.
    T_mult : int, default 1
        Factor of the epochs from one jump to the next.
    eta_min : float, default 0.0
        The lowest rate.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If ``T_0`` or ``T_mult`` is not an int of at least 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for option, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(
                    f"CosineAnnealingWarmRestarts: {option} must be an int of at least 1, got "
                    f"{value}"
                )
        if not isinstance(eta_min, int | float):
            raise ArgumentError(
                f"CosineAnnealingWarmRestarts: eta_min must be a number, got {eta_min!r}"
            )
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = -1
        if last_epoch >= 0:
            self._go_to(last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of the formula above."""
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Count an epoch and set the rates.

        Parameters
        ----------
        epoch : float, optional
            Go to this epoch instead; a fraction (``epoch + batch / batches``) sets rates within
            an epoch.

        Raises
        ------
        ArgumentError
            If ``epoch`` is negative.
        """
        if epoch is None:
            super().step()
            return
        if not epoch >= 0:
            raise ArgumentError(
                f"CosineAnnealingWarmRestarts: epoch must be at least 0, got {epoch}"
            )
        self._go_to(epoch)
        self._step_count += 1
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        """Find the last jump before an epoch."""
        self.T_cur, self.T_i = epoch % self.T_0 if self.T_mult == 1 else epoch, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def _advance(self) -> None:
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
        super()._advance()

    def _undo(self) -> None:
        super()._undo()
        self.T_cur, self.T_i = -1, self.T_0

    def _begin(self) -> None:
        self.T_cur, self.T_i = 0, self.T_0
        super()._begin()
