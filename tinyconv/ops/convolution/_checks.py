"""Whether the operands of a convolution go together."""

from __future__ import annotations

from typing import Any

from ...backend.dtypes import BOOL
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_tensor
from ._windows import Ints


def check_weight_shape(op: str, input_shape: Ints, weight_shape: Ints) -> None:
    """Raise ``ShapeError`` if the weight lacks a dimension, or has an empty kernel."""
    if len(weight_shape) != len(input_shape):
        raise ShapeError(
            f"{op}: argument 'weight' must have {len(input_shape)} dimensions (channels, "
            f"channels, then one a spatial dimension), got shape {weight_shape}"
        )
    if 0 in weight_shape:
        raise ShapeError(f"{op}: argument 'weight' has shape {weight_shape}: no size may be 0")


def check_groups(op: str, input_shape: Ints, weight_shape: Ints, groups: int) -> None:
    """Raise ``ShapeError`` if channels and groups do not go together."""
    wanted = weight_shape[1] * groups
    if input_shape[1] != wanted:
        raise ShapeError(
            f"{op}: argument 'weight' has shape {weight_shape} and groups={groups}, so input must "
            f"have {wanted} channels, got {input_shape[1]} (input shape {input_shape}); the "
            "second size of the weight is input channels / groups"
        )
    if weight_shape[0] % groups:
        raise ShapeError(
            f"{op}: groups={groups} must divide the {weight_shape[0]} output channels (weight "
            f"shape {weight_shape})"
        )


def check_operands(op: str, input: Any, weight: Any, bias: Any, out_axis: int, groups: int) -> None:
    """Check dtypes, ``groups`` and the bias; ``out_axis`` of the weight has the output channels."""
    dtype = input.dtype
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is bias is None:
            continue
        if check_tensor(op, name, tensor).dtype is not dtype:
            raise DTypeError(
                f"{op}: argument '{name}' is {tensor.dtype}, but input is {dtype}; convert one "
                "of them with .to(dtype)"
            )
    if dtype.kind == BOOL:
        raise DTypeError(f"{op}: argument 'input' must hold numbers, got {dtype}; use .float()")
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"{op}: argument 'groups' must be an int of at least 1, got {groups!r}")
    if bias is None or weight.array.ndim <= out_axis:
        return
    channels = weight.array.shape[out_axis] * (groups if out_axis else 1)
    if tuple(bias.array.shape) != (channels,):
        raise ShapeError(
            f"{op}: argument 'bias' must have shape ({channels},), one value an output channel, "
            f"got {tuple(bias.array.shape)}"
        )
