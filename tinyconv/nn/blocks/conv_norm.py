"""Convolution, normalisation, activation: the brick that all blocks are built of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..conv import Conv2d
from ..module import Module

#: Makes a layer from a number of channels, such as ``nn.BatchNorm2d``.
Norm = Callable[[int], Module]
#: Makes a layer from nothing, such as ``nn.ReLU``.
Activation = Callable[[], Module]


def conv_norm(
    inputs: int,
    outputs: int,
    kernel_size: int | tuple[int, int],
    norm: Norm | None,
    activation: Activation | None,
    *,
    stride: Any = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool | None = None,
) -> list[Module]:
    """Return a convolution that keeps the size (but for its stride), and what follows it.

    By default the convolution has a bias only where no normalisation takes it away again.
    """
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    padding = tuple([dilation * (side - 1) // 2 for side in sides])
    bias = norm is None if bias is None else bias
    layers: list[Module] = [
        Conv2d(inputs, outputs, kernel_size, stride, padding, dilation, groups, bias)
    ]
    if norm is not None:
        layers.append(norm(outputs))
    if activation is not None:
        layers.append(activation())
    return layers
