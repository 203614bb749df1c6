"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError
from ..ops import zeros_like
from .counting import counted
from .optimizer import Optimizer, arrays_of


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

    is_one_kernel = True

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

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do one step for all parameters of a group."""
        if self.flag is not None:
            self._update_counted(params, grads, states, group)
            return
        if not group["momentum"]:
            self._descend(params, grads, None, 0, group)
            return
        started = [state.get("momentum_buffer") is not None for state in states]
        for param, state, later in zip(params, states, started, strict=True):
            if not later:
                state["momentum_buffer"] = zeros_like(param)
        # The first velocity is the whole gradient.
        for later, dampening in ((False, 0), (True, group["dampening"])):
            if later in started:
                chosen = [i for i, has in enumerate(started) if has is later]
                velocities = arrays_of(states[i]["momentum_buffer"] for i in chosen)
                mine, theirs = [params[i] for i in chosen], [grads[i] for i in chosen]
                self._descend(mine, theirs, velocities, dampening, group)

    def _update_counted(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do a step that the device may leave out: whether it is the first only that one knows."""
        momentum = group["momentum"]
        for param, state in zip(params, states, strict=True):
            if momentum and state.get("momentum_buffer") is None:
                state["momentum_buffer"], state["step"] = zeros_like(param), 0
            else:
                state.setdefault("step", 1)
        for _, guard, chosen, theirs, mine in counted(self, params, grads, states):
            velocities = arrays_of(s["momentum_buffer"] for s in mine) if momentum else None
            self._descend(chosen, theirs, velocities, group["dampening"], group, guard)

    def with_step(self, state: dict[str, Any], step: int) -> dict[str, Any]:
        """Return the state without the number: only the first step differs from the others."""
        return {key: value for key, value in state.items() if key != "step"}

    def _descend(
        self, params: Sequence[Any], grads: Sequence[Any], velocities: Any, dampening: float,
        group: Any, guard: Any = None,
    ) -> None:  # fmt: skip
        params[0].device.backend.sgd(
            arrays_of(params), arrays_of(grads), velocities, float(group["lr"]), group["momentum"],
            dampening, group["weight_decay"], group["nesterov"], group["maximize"], guard,
        )  # fmt: skip
