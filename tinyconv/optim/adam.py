"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..ops import zeros_like
from .counting import counted
from .optimizer import Optimizer, arrays_of
from .options import check_pair


class Adam(Optimizer):
    """Adam: steps of the size of the learning rate, scaled by running moments of the gradient.

    ``m = beta1 * m + (1 - beta1) * grad``, ``v = beta2 * v + (1 - beta2) * grad**2`` and, with
    both divided by ``1 - beta**step`` since they start at 0,
    ``param -= lr * m / (sqrt(v) + eps)``. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of 2 floats, default (0.9, 0.999)
        Share of the moments that stays at each step.
    eps : float, default 1e-8
        Keeps the denominator away from 0.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    amsgrad : bool, default False
        Divide by the largest second moment so far (Reddi et al., 2018).
    maximize : bool, default False
        Go uphill.
    decoupled_weight_decay : bool, default False
        Decay as in :class:`AdamW`.

    Raises
    ------
    ArgumentError
        If an option is negative, or a beta is not below 1.
    """

    is_one_kernel = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also that there are two betas."""
        check_pair(type(self).__name__, group, "betas")
        super().check_options(group)

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do one step for all parameters of a group."""
        amsgrad, (beta1, beta2) = group["amsgrad"], group["betas"]
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = 0
                state["exp_avg"], state["exp_avg_sq"] = zeros_like(param), zeros_like(param)
            if amsgrad and "max_exp_avg_sq" not in state:
                state["max_exp_avg_sq"] = zeros_like(param)
        for step, guard, chosen, theirs, mine in counted(self, params, grads, states):
            params[0].device.backend.adam(
                arrays_of(chosen), arrays_of(theirs), arrays_of(s["exp_avg"] for s in mine),
                arrays_of(s["exp_avg_sq"] for s in mine),
                arrays_of(s["max_exp_avg_sq"] for s in mine) if amsgrad else None,
                step, float(group["lr"]), beta1, beta2, group["eps"], group["weight_decay"],
                group["decoupled_weight_decay"], group["maximize"], guard,
            )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay: ``param *= 1 - lr * weight_decay`` before each step.

    So the decay is not scaled by the moments. Loshchilov and Hutter, "Decoupled weight decay
    regularization" (2019). Parameters as :class:`Adam`, but ``weight_decay`` is 0.01 by default.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize,
            decoupled_weight_decay=True,
        )  # fmt: skip
