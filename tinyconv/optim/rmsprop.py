"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..ops import zeros_like
from .counting import counted
from .optimizer import Optimizer, arrays_of
from .options import check_share


class RMSprop(Optimizer):
    """RMSprop: divides the gradient by the root of its running mean square.

    ``v = alpha * v + (1 - alpha) * grad**2``, ``param -= lr * grad / (sqrt(v) + eps)``.
    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5 (2012); the centred
    form is Graves, "Generating sequences with recurrent neural networks" (2013).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        Share of the running means that stays at each step.
    eps : float, default 1e-8
        Keeps the denominator away from 0.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    momentum : float, default 0
        Share of the last step that is made again.
    centered : bool, default False
        Divide by the standard deviation: the running mean is taken off first.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative, or ``alpha`` is above 1.
    """

    is_one_kernel = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered, "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also ``alpha``."""
        super().check_options(group)
        check_share("RMSprop", group, "alpha")

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do one step for all parameters of a group."""
        centered, momentum = group["centered"], group["momentum"]
        for param, state in zip(params, states, strict=True):
            if not state:
                state["step"] = 0
                state["square_avg"] = zeros_like(param)
            for wanted, key in ((momentum, "momentum_buffer"), (centered, "grad_avg")):
                if wanted and key not in state:
                    state[key] = zeros_like(param)
        for _, guard, chosen, theirs, mine in counted(self, params, grads, states):
            params[0].device.backend.rmsprop(
                arrays_of(chosen), arrays_of(theirs), arrays_of(s["square_avg"] for s in mine),
                arrays_of(s["grad_avg"] for s in mine) if centered else None,
                arrays_of(s["momentum_buffer"] for s in mine) if momentum else None,
                float(group["lr"]), group["alpha"], group["eps"], group["weight_decay"], momentum,
                group["maximize"], guard,
            )  # fmt: skip
