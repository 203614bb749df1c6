"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..ops import full_like
from .counting import counted
from .optimizer import Optimizer, arrays_of
from .options import check_not_negative


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

    is_one_kernel = True

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
        check_not_negative("Adagrad", group, "lr_decay", "initial_accumulator_value")

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do one step for all parameters of a group."""
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = 0
                state["sum"] = full_like(param, group["initial_accumulator_value"])
        for step, guard, chosen, theirs, mine in counted(self, params, grads, states):
            params[0].device.backend.adagrad(
                arrays_of(chosen), arrays_of(theirs), arrays_of(state["sum"] for state in mine),
                step, float(group["lr"]), group["lr_decay"], group["eps"], group["weight_decay"],
                group["maximize"], guard,
            )  # fmt: skip
