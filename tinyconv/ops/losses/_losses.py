"""What all losses share: the two arguments checked, and the ways to reduce."""

from __future__ import annotations

import warnings
from typing import Any

from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_broadcast, check_floating, check_tensor


def reduce_losses(op: str, losses: Any, reduction: str) -> Any:
    """Return the mean, the sum, or the losses themselves."""
    check_reduction(op, reduction)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def check_reduction(op: str, reduction: str, extra: tuple[str, ...] = ()) -> None:
    """Raise ``ArgumentError`` if there is no such reduction."""
    choices = ("none", "mean", "sum", *extra)
    if reduction not in choices:
        raise ArgumentError(
            f"{op}: reduction={reduction!r} is unknown; choose {', '.join(choices)}"
        )


def pair(op: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Check input and target, and warn where they broadcast: that is nearly always a mistake."""
    check_floating(op, "input", input)
    check_tensor(op, "target", target)
    shapes = tuple(input.array.shape), tuple(target.array.shape)
    if shapes[0] != shapes[1]:
        check_broadcast(op, *shapes)
        warnings.warn(
            f"{op}: input has shape {shapes[0]} and target {shapes[1]}; they broadcast, so each "
            "element is compared with several. Reshape one of them if that is not meant",
            stacklevel=3,
        )
    return input, target if target.dtype.is_floating_point else cast(target, input.dtype)


def same_shape(op: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Check that input and target have one shape; return the target as floating point."""
    check_floating(op, "input", input)
    shapes = tuple(input.array.shape), tuple(check_tensor(op, "target", target).array.shape)
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"{op}: argument 'target' must have the shape of input, {shapes[0]}, got {shapes[1]}"
        )
    return input, target if target.dtype.is_floating_point else cast(target, input.dtype)


def check_temperature(op: str, temperature: float) -> None:
    """Raise ``ArgumentError`` if the temperature is not positive."""
    if not temperature > 0:
        raise ArgumentError(f"{op}: temperature must be positive, got {temperature}")
