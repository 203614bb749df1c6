"""Layer-wise adaptive rate scaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .optimizer import Optimizer
from .options import check_not_negative, downhill
from .sgd import SGD


class LARS(SGD):
    """LARS: gradient descent whose steps are a share of the length of each parameter.

    ``grad += weight_decay * param`` is scaled by the trust ratio
    ``trust_coefficient * |param| / (|grad| + weight_decay * |param| + eps)``, where ``|.|`` is the
    Euclidean norm and ``grad`` that before; then it goes the way of :class:`SGD`. So a layer moves
    by about ``lr * trust_coefficient`` of its length, whatever the length of its gradient, and
    batches of thousands of images can be learnt from. Where a norm is 0, the ratio is 1. You,
    Gitman and Ginsburg, "Large batch training of convolutional networks" (2017).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1.0
        Learning rate, to be warmed up and lowered by a schedule.
    momentum : float, default 0.9
        Share of the velocity that stays.
    dampening : float, default 0
        Share of the gradient that does not enter the velocity.
    weight_decay : float, default 0
        L2 penalty: so many times the parameter is added to its gradient.
    nesterov : bool, default False
        Look ahead; needs momentum and no dampening.
    trust_coefficient : float or None, default 1e-3
        The share; ``None`` leaves gradients as they are, as is usual for biases and for the
        weights of norms (in a parameter group of their own).
    eps : float, default 1e-8
        Keeps the denominator away from 0.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If an option is negative, or ``nesterov`` comes without momentum or with dampening.

    Notes
    -----
    The learning rate is applied when the velocity is, as in :class:`SGD`. In the paper it is
    applied before the gradient enters the velocity, so there a new rate takes some steps to work
    through; with a constant rate the two are the same.

    Examples
    --------
    >>> import tinyconv as tc
    >>> net = tc.nn.Conv2d(3, 8, 3)
    >>> optimizer = tc.optim.LARS([
    ...     {"params": [net.weight], "weight_decay": 5e-4},
    ...     {"params": [net.bias], "trust_coefficient": None},
    ... ], lr=2.0)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        momentum: float = 0.9,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        trust_coefficient: float | None = 1e-3,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
    ) -> None:
        Optimizer.__init__(self, params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "trust_coefficient": trust_coefficient, "eps": eps,
            "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check also the trust coefficient."""
        super().check_options(group)
        if group["trust_coefficient"] is not None:
            check_not_negative("LARS", group, "trust_coefficient")

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Scale the gradients, then do a step of gradient descent."""
        scaled = [
            downhill(param, grad, group) * _trust_ratio(param, grad, group)
            for param, grad in zip(params, grads, strict=True)
        ]
        super().update_all(params, scaled, states, {**group, "weight_decay": 0, "maximize": False})


def _trust_ratio(param: Any, grad: Any, group: dict[str, Any]) -> float:
    if group["trust_coefficient"] is None:
        return 1.0
    length, slope = param.norm().item(), grad.norm().item()
    if length == 0 or slope == 0:
        return 1.0
    return (
        group["trust_coefficient"]
        * length
        / (slope + group["weight_decay"] * length + group["eps"])
    )
