"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ArgumentError
from ..ops import zeros_like
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent: ``param -= lr * grad``.

    With momentum, ``velocity = momentum * velocity + (1 - dampening) * grad`` takes the place of
    the gradient (the first velocity is the gradient itself). Nesterov's form looks ahead:
    ``grad + momentum * velocity``. Sutskever et al., "On the importance of initialization and
    momentum in deep learning" (2013).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        Share of the velocity that stays.
    dampening : float, default 0
        Share of the gradient that does not enter the velocity.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    nesterov : bool, default False
        Look ahead; needs momentum and no dampening.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative, or ``nesterov`` comes without momentum or with dampening.

    Examples
    --------
    >>> import tinyconv as tc
    >>> weight = tc.nn.Parameter(tc.tensor([1.0]))
    >>> optimizer = tc.optim.SGD([weight], lr=0.1)
    >>> (weight ** 2).sum().backward()
    >>> optimizer.step()
    >>> round(weight.item(), 4)
    0.8
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check that Nesterov's form has what it needs."""
        super().check_options(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs a momentum above 0 and no dampening")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        velocity, dampening = None, group["dampening"]
        if group["momentum"]:
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = zeros_like(param)
                dampening = 0  # the first velocity is the whole gradient
            velocity = state["momentum_buffer"].array
        sgd(
            param.xp, param.array, grad.array, velocity, float(group["lr"]), group["momentum"],
            dampening, group["weight_decay"], group["nesterov"], group["maximize"],
        )  # fmt: skip


def sgd(
    xp: Any,
    param: Any,
    grad: Any,
    velocity: Any,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """Do one step on arrays, in place; ``velocity`` is ``None`` without momentum."""
    if maximize:
        grad = -grad
    if weight_decay:
        grad = grad + weight_decay * param
    if velocity is not None:
        velocity *= momentum
        velocity += (1 - dampening) * grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad
