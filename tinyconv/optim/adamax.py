"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops import maximum, zeros_like
from .optimizer import Optimizer
from .options import check_pair, downhill


class Adamax(Optimizer):
    """Adamax: Adam with the largest gradient of late in the place of the second moment.

    ``m = beta1 * m + (1 - beta1) * grad``, ``u = max(beta2 * u, |grad| + eps)``,
    ``param -= lr / (1 - beta1**step) * m / u``. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015), section 7.

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 2e-3
        Learning rate.
    betas : tuple of 2 floats, default (0.9, 0.999)
        Share of the mean, and of the largest gradient, that stays at each step.
    eps : float, default 1e-8
        Keeps the denominator away from 0.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative, or a beta is not below 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also that there are two betas."""
        check_pair("Adamax", group, "betas")
        super().check_options(group)

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_inf"] = zeros_like(param), zeros_like(param)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        grad = downhill(param, grad, group)
        mean, largest = state["exp_avg"], state["exp_inf"]
        mean.lerp_(grad, 1 - beta1)
        largest.copy_(maximum(largest * beta2, grad.abs() + group["eps"]))
        param.addcdiv_(mean, largest, value=-float(group["lr"]) / (1 - beta1 ** state["step"]))
