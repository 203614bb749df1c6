"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...errors import ArgumentError, DTypeError
from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class _Composition(LRScheduler):
    """What a schedule of schedules remembers: theirs, in a list."""

    _schedulers: list[LRScheduler]

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if len(schedulers) < 1:
            raise ArgumentError(f"{name}: needs at least one scheduler")
        for index, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise DTypeError(
                    f"{name}: schedulers[{index}] must be a scheduler, got "
                    f"{type(scheduler).__name__}"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name}: schedulers[{index}] is a ReduceLROnPlateau, whose step() needs a "
                    "value; step it by itself"
                )
            optimizer = scheduler.optimizer if optimizer is None else optimizer
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    f"{name}: schedulers[{index}] belongs to another optimizer than this one"
                )
        assert optimizer is not None
        self.optimizer, self._schedulers = optimizer, list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs, with the states of all schedulers."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; load the optimizer's state as well."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Composition):
    """One schedule after another, from given epochs on; see the way to warm up in the module.

    Each starts at its milestone, from its own initial rates and its own epoch 0.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    schedulers : sequence of LRScheduler
        The schedules, all made for this optimizer.
    milestones : sequence of int
        The epochs, in rising order, at which the second schedule starts, the third, and so on.
    last_epoch : int, default -1
        Epochs that are done. It moves the milestones only: load a state dict to resume.

    Raises
    ------
    ArgumentError
        If there is not one milestone less than schedules, they do not rise, or a schedule belongs
        to another optimizer or is a :class:`ReduceLROnPlateau`.

    Notes
    -----
    Schedules that are given may themselves be made of schedules.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        super().__init__(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} "
                f"milestones, got {len(milestones)}"
            )
        if list(milestones) != sorted(milestones):
            raise ArgumentError(f"SequentialLR: milestones must rise, got {list(milestones)}")
        self._milestones = list(milestones)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.last_epoch = last_epoch
        for scheduler in self._schedulers:
            scheduler._undo()
        self._start()

    def step(self) -> None:
        """Count an epoch, and step the schedule whose turn it is."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _first(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, 0)]

    def _start(self) -> None:
        self.last_epoch += 1
        self._first()._start()
        self._last_lr = self._first().get_last_lr()

    def _undo(self) -> None:
        super()._undo()
        for scheduler in self._schedulers:
            scheduler._undo()

    def _restart(self) -> None:
        self.last_epoch = 0
        self._first()._restart()
        self._last_lr = self._first().get_last_lr()

    def _begin(self) -> None:
        self.last_epoch = 0
        self._first()._begin()
        self._last_lr = self._first().get_last_lr()


class ChainedScheduler(_Composition):
    """Several schedules at once: each changes the rate that the one before it has set.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        The schedules, all made for one optimizer.
    optimizer : Optimizer, optional
        That optimizer; default that of the first schedule.

    Raises
    ------
    ArgumentError
        If there is no schedule, or one belongs to another optimizer or is a
        :class:`ReduceLROnPlateau`.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        super().__init__(schedulers, optimizer)
        self._last_lr = self._current()

    def step(self) -> None:
        """Step all of them."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current()

    def _start(self) -> None:
        for scheduler in self._schedulers:
            scheduler._start()
        self._last_lr = self._current()

    def _undo(self) -> None:
        for scheduler in self._schedulers:
            scheduler._undo()

    def _restart(self) -> None:
        self._schedulers[0]._restart()
        for scheduler in self._schedulers[1:]:
            scheduler._begin()
        self._last_lr = self._current()

    def _begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler._begin()
        self._last_lr = self._current()
