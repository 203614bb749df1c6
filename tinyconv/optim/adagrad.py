"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ArgumentError
from ..ops import full_like
from .optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: divides the gradient by the root of the sum of all its squares.

    ``s += grad**2``, ``param -= lr / (1 + (step - 1) * lr_decay) * grad / (sqrt(s) + eps)``.
    Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization"
    (2011).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-2
        Learning rate.
    lr_decay : float, default 0
        How fast the learning rate falls with the steps.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    initial_accumulator_value : float, default 0
        What the sum of squares starts from.
    eps : float, default 1e-10
        Keeps the denominator away from 0.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check the options that only Adagrad has."""
        super().check_options(group)
        for option in ("lr_decay", "initial_accumulator_value"):
            if group[option] < 0:
                raise ArgumentError(f"Adagrad: {option} must be at least 0, got {group[option]}")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        if not state:
            state["step"] = 0
            state["sum"] = full_like(param, group["initial_accumulator_value"])
        state["step"] += 1
        adagrad(
            param.xp, param.array, grad.array, state["sum"].array, state["step"],
            float(group["lr"]), group["lr_decay"], group["eps"], group["weight_decay"],
            group["maximize"],
        )  # fmt: skip


def adagrad(
    xp: Any,
    param: Any,
    grad: Any,
    total: Any,
    step: int,
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Do step number ``step`` (from 1) on arrays, in place."""
    if maximize:
        grad = -grad
    if weight_decay:
        grad = grad + weight_decay * param
    total += grad * grad
    param -= lr / (1 + (step - 1) * lr_decay) * (grad / (xp.sqrt(total) + eps))
