"""The cyclic schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ArgumentError
from ..optimizer import Optimizer
from . import momentum
from .base import LRScheduler, check_each, check_optimizer, load_function, one_each, save_function

#: Height of a cycle by mode, from gamma and the number of the cycle (from 1) or of the batch.
_SCALES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda gamma, cycle: 1.0),
    "triangular2": ("cycle", lambda gamma, cycle: 1 / 2.0 ** (cycle - 1)),
    "exp_range": ("iterations", lambda gamma, batch: gamma**batch),
}


class CyclicLR(LRScheduler):
    """Let the rate rise and fall between two bounds, again and again; step it once a batch.

    Smith, "Cyclical learning rates for training neural networks" (2017).

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    base_lr, max_lr : float or list of float
        The bounds, for all groups or one each. The rate starts from ``base_lr``.
    step_size_up : int, default 2000
        Batches of the rise.
    step_size_down : int, optional
        Batches of the fall; default ``step_size_up``.
    mode : {"triangular", "triangular2", "exp_range"}
        Whether all cycles are equally high, each is half as high as the one before, or the height
        is ``gamma**batch``.
    gamma : float, default 1.0
        Of the mode "exp_range".
    scale_fn : callable, optional
        In the place of a mode: takes what ``scale_mode`` says, returns the height, from 0 to 1.
    scale_mode : {"cycle", "iterations"}
        Whether ``scale_fn`` takes the number of the cycle (from 1) or of the batch.
    cycle_momentum : bool, default True
        Let the momentum (or the first of the betas) fall where the rate rises.
    base_momentum, max_momentum : float or list of float, default 0.8 and 0.9
        Its bounds. It starts from ``max_momentum``.
    last_epoch : int, default -1
        Batches that are done; see :class:`LRScheduler`.

    Raises
    ------
    ArgumentError
        If a bound is negative, a mode is unknown, a length makes no cycle, or the optimizer has
        no momentum to cycle.

    Examples
    --------
    >>> import tinyconv as tc
    >>> optimizer = tc.optim.SGD([tc.nn.Parameter(tc.ones(1))], momentum=0.9)
    >>> scheduler = tc.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, step_size_up=4)
    >>> for batch in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), round(optimizer.param_groups[0]["momentum"], 3)
    ([0.75], 0.825)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("CyclicLR", optimizer)
        if scale_fn is None and mode not in _SCALES:
            raise ArgumentError(f"CyclicLR: mode must be one of {', '.join(_SCALES)}, got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise ArgumentError(
                f"CyclicLR: scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}"
            )
        down = step_size_up if step_size_down is None else step_size_down
        if not (step_size_up > 0 and down >= 0):
            raise ArgumentError(
                "CyclicLR: step_size_up must be above 0 and step_size_down at least 0, got "
                f"{step_size_up} and {down}"
            )
        base_lrs = one_each("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs = one_each("CyclicLR", "max_lr", optimizer, max_lr)
        check_each("CyclicLR", "base_lr", base_lrs)
        check_each("CyclicLR", "max_lr", self.max_lrs)
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else _SCALES[mode][0]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = "betas" in optimizer.defaults
            self.base_momentums, self.max_momentums = momentum.set_up(
                "CyclicLR", optimizer, base_momentum, max_momentum, is_new=last_epoch == -1
            )
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return the height of cycle ``x``, or at batch ``x``, as a share of the whole."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return _SCALES[self.mode][1](self.gamma, x)

    def get_lr(self) -> list[float]:
        """Return the rates of this batch, and set its momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle  # from 0 to 1 in each cycle
        rises = x <= self.step_ratio
        height = x / self.step_ratio if rises else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)

        def between(start: Sequence[float], end: Sequence[float]) -> list[float]:
            return [a + (b - a) * height * scale for a, b in zip(start, end, strict=True)]

        if self.cycle_momentum:
            values = between(self.max_momentums, self.base_momentums)
            for group, value in zip(self.optimizer.param_groups, values, strict=True):
                momentum.put(group, value)
        return between(self.base_lrs, self.max_lrs)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs; of ``scale_fn``, only an object's attributes.

        The momentum in force is in the optimizer's state.
        """
        return {**super().state_dict(), "_scale_fn_custom": save_function(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; load the optimizer's state as well."""
        rest = {k: v for k, v in state_dict.items() if k != "_scale_fn_custom"}
        super().load_state_dict(rest)
        load_function(self._scale_fn_custom, state_dict.get("_scale_fn_custom"))
