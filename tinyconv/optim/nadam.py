"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..ops import zeros_like
from .optimizer import Optimizer
from .options import check_not_negative, check_pair, downhill, shrink


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's momentum, which looks a step ahead.

    With the moments ``m`` and ``v`` of :class:`Adam`, ``v`` divided by ``1 - beta2**step``, and a
    momentum that grows to ``beta1``, ``mu(step) = beta1 * (1 - 0.96**(step * momentum_decay) / 2)``
    with the product ``M(step) = mu(1) * ... * mu(step)``:
    ``param -= lr * ((1 - mu(step)) / (1 - M(step)) * grad
    + mu(step + 1) / (1 - M(step + 1)) * m) / (sqrt(v) + eps)``.
    Dozat, "Incorporating Nesterov momentum into Adam" (2016).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 2e-3
        Learning rate.
    betas : tuple of 2 floats, default (0.9, 0.999)
        Share of the moments that stays at each step.
    eps : float, default 1e-8
        Keeps the denominator away from 0.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    momentum_decay : float, default 4e-3
        How fast the momentum grows with the steps.
    decoupled_weight_decay : bool, default False
        Decay as in :class:`AdamW`.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative, or a beta is not below 1.

    Notes
    -----
    The state's ``mu_product`` is a Python number, of double precision; PyTorch keeps it in float32.
    """

    state_numbers: ClassVar[dict[str, type]] = {"step": int, "mu_product": float}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also the options that only NAdam has."""
        check_pair("NAdam", group, "betas")
        super().check_options(group)
        check_not_negative("NAdam", group, "momentum_decay")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        if not state:
            state["step"], state["mu_product"] = 0, 1.0
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(param), zeros_like(param)
        state["step"] += 1
        step, lr, (beta1, beta2) = state["step"], float(group["lr"]), group["betas"]
        shrink(param, group)
        grad = downhill(param, grad, group)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denominator = (square / (1 - beta2**step)).sqrt() + group["eps"]

        mu, following = (
            beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1)
        )
        state["mu_product"] *= mu
        product = state["mu_product"]
        param.addcdiv_(grad, denominator, value=-lr * (1 - mu) / (1 - product))
        param.addcdiv_(mean, denominator, value=-lr * following / (1 - product * following))
