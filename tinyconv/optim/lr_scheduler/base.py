"""The base class of schedules: it counts epochs, sets rates, saves and loads."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import ArgumentError, DTypeError
from ..optimizer import Optimizer


class LRScheduler:
    """Base class of schedules; a subclass defines ``get_lr``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' ``lr`` is set.
    last_epoch : int, default -1
        Epochs that are done; -1 starts, and notes every group's rate as its ``initial_lr``.

    Attributes
    ----------
    last_epoch : int
        Number of steps made.
    base_lrs : list of float
        The rate that each group started with.

    Raises
    ------
    ArgumentError
        If ``last_epoch`` is given but the groups have no ``initial_lr``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{name}: last_epoch={last_epoch} continues a schedule, but parameter group "
                    f"{index} has no 'initial_lr'; load the optimizer's state dict first"
                )
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._start()

    def get_lr(self) -> list[float]:
        """Return the rate of every group for ``last_epoch``, which was just counted up."""
        raise AttributeError(f"{type(self).__name__} defines no get_lr()")

    def get_last_lr(self) -> list[float]:
        """Return the rate of every group that the last step set."""
        return self._last_lr

    def step(self) -> None:
        """Count an epoch and set the rates."""
        if self._step_count == 1 and self.optimizer.step_count == 0:
            warnings.warn(
                f"{type(self).__name__}: scheduler.step() was called before optimizer.step(), so "
                "the first rate of the schedule is never used; call it after",
                stacklevel=2,
            )
        self._advance()

    def _advance(self) -> None:
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: Iterable[float]) -> None:
        """Put rates in force."""
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        """Return the rates in force."""
        return [group["lr"] for group in self.optimizer.param_groups]

    # -- the first epoch --------------------------------------------------------------------

    def _start(self) -> None:
        """Do the first epoch, or the one where a schedule that is resumed goes on.

        The rates in force are then those of that epoch already, unless they follow from nothing
        but the epoch.
        """
        self._step_count = 0
        self._is_initial = True
        try:
            self._advance()
        finally:
            self._is_initial = False

    def _undo(self) -> None:
        """Take back the first epoch; :class:`SequentialLR` does it when its time comes."""
        self.last_epoch -= 1

    def _restart(self) -> None:
        """Do the first epoch in the place of the next, from the initial rates."""
        self._set(self.base_lrs)
        self._begin()

    def _begin(self) -> None:
        """Do the first epoch in the place of the next, from the rates in force."""
        self.last_epoch = 0
        self._set(self.get_lr())

    # -- state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs; functions and the optimizer are left out."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; load the optimizer's state as well."""
        self.__dict__.update(state_dict)


def check_optimizer(name: str, optimizer: Any) -> None:
    """Raise ``DTypeError`` for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise DTypeError(f"{name}: expected an Optimizer, got {type(optimizer).__name__}")


def one_each(name: str, option: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Return a value for every parameter group; ``value`` is one for all, or a list or tuple."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(
            f"{name}: got {len(value)} values of {option} for {count} parameter groups"
        )
    return list(value)


def check_each(name: str, option: str, values: Sequence[float]) -> None:
    """Raise if one of the values is below 0 or NaN."""
    for value in values:
        if not value >= 0:
            raise ArgumentError(f"{name}: {option} must be at least 0, got {value}")


def save_function(function: Any) -> dict[str, Any] | None:
    """Return the attributes of an object that is called; ``None`` for a function, which has none.

    So an object that learns goes into the state of its schedule; code never does.
    """
    if isinstance(function, types.FunctionType) or not hasattr(function, "__dict__"):
        return None
    return dict(function.__dict__)


def load_function(function: Any, attributes: dict[str, Any] | None) -> None:
    """Give an object that is called the attributes that :func:`save_function` returned."""
    if attributes is not None:
        function.__dict__.update(attributes)
