"""The momentum that goes down where a cyclic schedule's rate goes up."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .base import check_each, one_each


def set_up(
    name: str, optimizer: Optimizer, base_momentum: Any, max_momentum: Any, is_new: bool
) -> tuple[list[float], list[float]]:
    """Return the least and the largest momentum of every group.

    Groups note both when the schedule is new.
    """
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ArgumentError(
            f"{name}: {type(optimizer).__name__} has neither momentum nor betas to cycle; pass "
            "cycle_momentum=False"
        )
    base = one_each(name, "base_momentum", optimizer, base_momentum)
    largest = one_each(name, "max_momentum", optimizer, max_momentum)
    for option, values in (("base_momentum", base), ("max_momentum", largest)):
        check_each(name, option, values)
        if "betas" in optimizer.defaults and max(values) >= 1:
            raise ArgumentError(f"{name}: {option} must be below 1, got {max(values)}")
    if is_new:
        for group, low, high in zip(optimizer.param_groups, base, largest, strict=True):
            group["max_momentum"], group["base_momentum"] = high, low
    return base, largest


def put(group: dict[str, Any], momentum: float) -> None:
    """Set the momentum of a group, which is the first of its betas where it has those."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
