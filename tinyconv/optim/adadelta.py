"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..ops import zeros_like
from .counting import counted
from .optimizer import Optimizer, arrays_of
from .options import check_share


class Adadelta(Optimizer):
    """Adadelta: scales the gradient by the ratio of recent steps to recent gradients.

    ``v = rho * v + (1 - rho) * grad**2``, ``step = sqrt(u + eps) / sqrt(v + eps) * grad``,
    ``u = rho * u + (1 - rho) * step**2``, ``param -= lr * step``. Zeiler, "ADADELTA: an adaptive
    learning rate method" (2012).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1.0
        Factor of the step.
    rho : float, default 0.9
        Share of the running means that stays at each step.
    eps : float, default 1e-6
        Starts the steps, which are 0 before, and keeps the denominator away from 0.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative, or ``rho`` is above 1.
    """

    is_one_kernel = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also ``rho``."""
        super().check_options(group)
        check_share("Adadelta", group, "rho")

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do one step for all parameters of a group."""
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = 0
                state["square_avg"], state["acc_delta"] = zeros_like(param), zeros_like(param)
        for _, guard, chosen, theirs, mine in counted(self, params, grads, states):
            params[0].device.backend.adadelta(
                arrays_of(chosen), arrays_of(theirs), arrays_of(s["square_avg"] for s in mine),
                arrays_of(s["acc_delta"] for s in mine), float(group["lr"]), group["rho"],
                group["eps"], group["weight_decay"], group["maximize"], guard,
            )  # fmt: skip
