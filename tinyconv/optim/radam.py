"""RAdam."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..ops import zeros_like
from .optimizer import Optimizer
from .options import check_pair, downhill, shrink


class RAdam(Optimizer):
    """RAdam: Adam that does not divide by the second moment before enough gradients made it up.

    With the moments ``m`` and ``v`` of :class:`Adam`, both divided by ``1 - beta**step``:
    ``rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)`` is the number of gradients that
    ``v`` is worth, ``rho_inf = 2 / (1 - beta2) - 1`` in the end. Above 5,
    ``param -= lr * r * m / (sqrt(v) + eps)`` with ``r = sqrt((rho - 4) * (rho - 2) * rho_inf /
    ((rho_inf - 4) * (rho_inf - 2) * rho))``, which rises to 1; until then ``param -= lr * m``.
    Liu et al., "On the variance of the adaptive learning rate and beyond" (2020).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of 2 floats, default (0.9, 0.999)
        Share of the moments that stays at each step.
    eps : float, default 1e-8
        Keeps the denominator away from 0; it is added before ``v`` is divided by
        ``1 - beta2**step``.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    decoupled_weight_decay : bool, default False
        Decay as in :class:`AdamW`.
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
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also that there are two betas."""
        check_pair("RAdam", group, "betas")
        super().check_options(group)

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(param), zeros_like(param)
        state["step"] += 1
        step, (beta1, beta2) = state["step"], group["betas"]
        shrink(param, group)
        grad = downhill(param, grad, group)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)

        rate = float(group["lr"]) / (1 - beta1**step)
        complete = 1 - beta2**step  # the share of v that is made of gradients, not of its start
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * beta2**step / complete
        if rho > 5:
            rectified = math.sqrt(
                (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
            )
            denominator = square.sqrt() + group["eps"]
            param.addcdiv_(mean, denominator, value=-rate * rectified * math.sqrt(complete))
        else:
            param.sub_(mean, alpha=rate)
