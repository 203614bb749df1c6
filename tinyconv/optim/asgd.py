"""Averaged stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..ops import zeros_like
from .optimizer import Optimizer
from .options import check_not_negative, downhill


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: steps that get smaller, and the mean of all places.

    ``param = (1 - lambd * eta) * param - eta * grad`` with
    ``eta = lr / (1 + lambd * lr * step)**alpha``. The mean of the places after step ``t0 + 1``
    (before, the place itself) is kept in the state as ``ax``, to be read there; the parameters are
    left as they are. Polyak and Juditsky, "Acceleration of stochastic approximation by averaging"
    (1992); the schedule is Bottou's, "Stochastic gradient descent tricks" (2012).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-2
        The first step size; a change of it takes effect one step late.
    lambd : float, default 1e-4
        Decay of the parameters, and how fast the steps get smaller.
    alpha : float, default 0.75
        Power by which the steps get smaller.
    t0 : float, default 1e6
        One less than the step after which places are averaged.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If ``lr``, ``lambd`` or ``weight_decay`` is negative.

    Notes
    -----
    The state's ``eta`` and ``mu`` (the share of a place in the mean) are Python numbers, of double
    precision; PyTorch keeps them in float32.
    """

    state_numbers: ClassVar[dict[str, type]] = {"step": int, "eta": float, "mu": float}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also ``lambd``."""
        super().check_options(group)
        check_not_negative("ASGD", group, "lambd")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        lr, lambd = float(group["lr"]), group["lambd"]
        if not state:
            state.update(step=0, eta=lr, mu=1.0, ax=zeros_like(param))
        state["step"] += 1
        grad = downhill(param, grad, group)
        param.mul_(1 - lambd * state["eta"]).sub_(grad, alpha=state["eta"])
        state["ax"].lerp_(param, state["mu"])
        state["eta"] = lr / (1 + lambd * lr * state["step"]) ** group["alpha"]
        state["mu"] = 1 / max(1, state["step"] - group["t0"])
