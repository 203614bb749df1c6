"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops import zeros_like
from .optimizer import Optimizer


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

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        if not state:
            state["step"] = 0
            state["square_avg"], state["acc_delta"] = zeros_like(param), zeros_like(param)
        state["step"] += 1
        adadelta(
            param.xp, param.array, grad.array, state["square_avg"].array,
            state["acc_delta"].array, float(group["lr"]), group["rho"], group["eps"],
            group["weight_decay"], group["maximize"],
        )  # fmt: skip


def adadelta(
    xp: Any,
    param: Any,
    grad: Any,
    square: Any,
    step_square: Any,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Do one step on arrays, in place."""
    if maximize:
        grad = -grad
    if weight_decay:
        grad = grad + weight_decay * param
    square *= rho
    square += (1 - rho) * (grad * grad)
    step = xp.sqrt(step_square + eps) / xp.sqrt(square + eps) * grad
    step_square *= rho
    step_square += (1 - rho) * (step * step)
    param -= lr * step
