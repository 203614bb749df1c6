"""What optimizers do with their options: check them, and apply the two that all have."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError


def check_not_negative(name: str, group: dict[str, Any], *options: str) -> None:
    """Raise if one of these options, where the group has it, is below 0 or NaN."""
    for option in options:
        if not group.get(option, 0) >= 0:
            raise ArgumentError(f"{name}: {option} must be at least 0, got {group[option]}")


def check_share(name: str, group: dict[str, Any], option: str) -> None:
    """Raise if an option is not from 0 to 1."""
    if not 0 <= group[option] <= 1:
        raise ArgumentError(f"{name}: {option} must be from 0 to 1, got {group[option]}")


def check_pair(name: str, group: dict[str, Any], option: str) -> None:
    """Raise if an option is not a pair."""
    if not isinstance(group[option], tuple | list) or len(group[option]) != 2:
        raise ArgumentError(f"{name}: {option} must be two numbers, got {group[option]}")


def downhill(param: Any, grad: Any, group: dict[str, Any]) -> Any:
    """Return the gradient to go down, of the loss with its penalty.

    ``maximize`` turns it round, then ``weight_decay`` adds so many times the parameter, unless the
    group decays parameters apart from their gradients: see :func:`shrink`.
    """
    if group["maximize"]:
        grad = -grad
    if group["weight_decay"] and not group.get("decoupled_weight_decay", False):
        grad = grad.add(param, alpha=group["weight_decay"])
    return grad


def shrink(param: Any, group: dict[str, Any]) -> None:
    """Decay a parameter apart from its gradient, in groups that ask for it."""
    if group["weight_decay"] and group["decoupled_weight_decay"]:
        param.mul_(1 - float(group["lr"]) * group["weight_decay"])
