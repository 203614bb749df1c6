"""Schedules that are functions of the epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ArgumentError, DTypeError
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, load_function, save_function

Functions = Callable[[int], float] | Sequence[Callable[[int], float]]


class _OfFunctions(LRScheduler):
    """A schedule with one function for all groups, or one each."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Functions, last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        n_groups = len(optimizer.param_groups)
        self.lr_lambdas: list[Any] = (
            list(lr_lambda) if isinstance(lr_lambda, Sequence) else [lr_lambda] * n_groups
        )
        if len(self.lr_lambdas) != n_groups:
            raise ArgumentError(
                f"{name}: got {len(self.lr_lambdas)} functions for {n_groups} parameter groups"
            )
        for function in self.lr_lambdas:
            if not callable(function):
                raise DTypeError(
                    f"{name}: lr_lambda must be a function, got {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs; of functions, only attributes of objects."""
        return {**super().state_dict(), "lr_lambdas": [save_function(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; load the optimizer's state as well."""
        rest = {k: v for k, v in state_dict.items() if k != "lr_lambdas"}
        super().load_state_dict(rest)
        saved = state_dict.get("lr_lambdas", [None] * len(self.lr_lambdas))
        for function, attributes in zip(self.lr_lambdas, saved, strict=True):
            load_function(function, attributes)


class LambdaLR(_OfFunctions):
    """The initial rate times a function of the epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    lr_lambda : callable, or sequence of callables
        Takes the epoch (from 0), returns the factor; one for all groups, or one each.
    last_epoch : int, default -1
        See :class:`LRScheduler`.
    """

    def get_lr(self) -> list[float]:
        """Return ``initial_lr * lr_lambda(last_epoch)``."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]


class MultiplicativeLR(_OfFunctions):
    """Multiply the rate by a function of the epoch, every epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    lr_lambda : callable, or sequence of callables
        Takes the epoch (from 1), returns the factor; one for all groups, or one each.
    last_epoch : int, default -1
        See :class:`LRScheduler`.

    Notes
    -----
    At a milestone of :class:`SequentialLR` it goes on from the rate in force there, times the
    function of 0.
    """

    def get_lr(self) -> list[float]:
        """Return the rates in force times ``lr_lambda(last_epoch)``."""
        rates = self._current()
        if self._is_initial:
            return rates
        pairs = zip(rates, self.lr_lambdas, strict=True)
        return [lr * function(self.last_epoch) for lr, function in pairs]

    def _restart(self) -> None:
        self._begin()
