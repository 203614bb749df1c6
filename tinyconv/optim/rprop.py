"""Resilient backpropagation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ArgumentError
from ..ops import full_like, where, zeros_like
from .optimizer import Optimizer
from .options import check_pair


class Rprop(Optimizer):
    """Rprop: every weight has a step size of its own; of the gradient, only the sign counts.

    Where the sign is that of the step before, the size grows by ``etas[1]``. Where it has turned,
    a minimum was passed: the size shrinks by ``etas[0]``, no step is made, and the next one is
    made as if there had been no gradient before. For whole batches, not for small ones. Riedmiller
    and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm"
    (1993), in the form "iRprop-" of Igel and Hüsken (2000).

    Parameters
    ----------
    params : iterable of Parameter or of dict
        What to optimize, or parameter groups.
    lr : float, default 1e-2
        The first step size; later changes of it have no effect.
    etas : tuple of 2 floats, default (0.5, 1.2)
        Factors of the size: between 0 and 1, and above 1.
    step_sizes : tuple of 2 floats, default (1e-6, 50)
        The least and the largest size.
    maximize : bool, default False
        Go uphill.

    Raises
    ------
    ArgumentError
        If ``lr`` is negative, or ``etas`` or ``step_sizes`` are not as above.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize,
        })  # fmt: skip

    def check_options(self, group: dict[str, Any]) -> None:
        """Check the two pairs."""
        super().check_options(group)
        check_pair("Rprop", group, "etas")
        check_pair("Rprop", group, "step_sizes")
        if not 0 < group["etas"][0] < 1 < group["etas"][1]:
            raise ArgumentError(
                "Rprop: etas must be a number between 0 and 1, and one above 1, got "
                f"{group['etas']}"
            )
        if not 0 <= group["step_sizes"][0] <= group["step_sizes"][1]:
            raise ArgumentError(
                f"Rprop: step_sizes must be 0 <= least <= largest, got {group['step_sizes']}"
            )

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter."""
        if not state:
            state["step"], state["prev"] = 0, zeros_like(param)
            state["step_size"] = full_like(param, float(group["lr"]))
        state["step"] += 1
        if group["maximize"]:
            grad = -grad
        shorter, longer = group["etas"]
        same = grad * state["prev"]  # above 0 where the sign is that of the last step
        size = state["step_size"]
        scaled = where(same > 0, size * longer, where(same < 0, size * shorter, size))
        size.copy_(scaled.clamp(*group["step_sizes"]))
        grad = grad.masked_fill(same < 0, 0)
        param.addcmul_(grad.sign(), size, value=-1)
        state["prev"].copy_(grad)
