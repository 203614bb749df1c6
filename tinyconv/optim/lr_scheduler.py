"""Schedules of the learning rate: call ``step()`` once an epoch, after the optimizer's steps.

Each rule says how the rate of a group follows from the one before, so that rates changed by hand,
and several schedules on one optimizer, work together.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, DTypeError
from .optimizer import Optimizer


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
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(f"{name}: expected an Optimizer, got {type(optimizer).__name__}")
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
        self._step_count = 0
        self._advance()

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
        groups = self.optimizer.param_groups
        for group, lr in zip(groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in groups]

    def _current(self) -> list[float]:
        """Return the rates in force."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs; functions and the optimizer are left out."""
        return {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "lr_lambdas")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; load the optimizer's state as well."""
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
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

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        n_groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * n_groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != n_groups:
            raise ArgumentError(
                f"LambdaLR: got {len(self.lr_lambdas)} functions for {n_groups} parameter groups"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return ``initial_lr * lr_lambda(last_epoch)``."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]


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
        self.milestones, self.gamma = sorted(milestones), gamma
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
        return [lr * self.gamma if self.last_epoch > 0 else lr for lr in self._current()]


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
        if self.last_epoch == 0:
            return self._current()
        before, now = self._height(self.last_epoch - 1), self._height(self.last_epoch)
        if before < 1e-12:  # the lowest point says nothing of the height to rise to
            return [self.eta_min + (base - self.eta_min) * now for base in self.base_lrs]
        return [self.eta_min + (lr - self.eta_min) * now / before for lr in self._current()]

    def _height(self, epoch: int) -> float:
        """Return where the cosine stands, from 1 (highest rate) to 0 (lowest)."""
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class ReduceLROnPlateau:
    """Multiply the rate by ``factor`` when a measured value has not improved for some epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    mode : {"min", "max"}
        Whether less or more of the value is better.
    factor : float, default 0.1
        Below 1.
    patience : int, default 10
        Epochs without improvement that are tolerated.
    threshold : float, default 1e-4
        Less than this is no improvement.
    threshold_mode : {"rel", "abs"}
        Whether the threshold is a share of the best value.
    cooldown : int, default 0
        Epochs after a reduction in which nothing is counted.
    min_lr : float or sequence of float, default 0
        Lowest rate, for all groups or one each.
    eps : float, default 1e-8
        A smaller change of the rate is not made.

    Raises
    ------
    ArgumentError
        If ``factor`` is not below 1, or a mode is unknown.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, got {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                "ReduceLROnPlateau: mode is 'min' or 'max' and threshold_mode 'rel' or 'abs', got "
                f"{mode!r} and {threshold_mode!r}"
            )
        groups = optimizer.param_groups
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lrs = [min_lr] * len(groups) if isinstance(min_lr, int | float) else list(min_lr)
        if len(self.min_lrs) != len(groups):
            raise ArgumentError(
                f"ReduceLROnPlateau: got {len(self.min_lrs)} values of min_lr for {len(groups)} "
                "parameter groups"
            )
        self.eps, self.last_epoch = eps, 0
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        self._last_lr = [group["lr"] for group in groups]

    def step(self, metrics: Any) -> None:
        """Count an epoch, with the value measured in it (a number or a Tensor of one element)."""
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = self.threshold
        if self.threshold_mode == "rel":
            margin *= self.best if math.isfinite(self.best) else 0
        return sign * value < sign * self.best - margin

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            new = max(group["lr"] * self.factor, least)
            if group["lr"] - new > self.eps:
                group["lr"] = new

    def get_last_lr(self) -> list[float]:
        """Return the rate of every group after the last step."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self.__dict__.update(state_dict)
