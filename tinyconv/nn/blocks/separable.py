"""Depthwise-separable convolution: each channel by itself, then the channels of each pixel."""

from __future__ import annotations

from typing import Any

from .._arguments import positive
from ..activation import ReLU
from ..batchnorm import BatchNorm2d
from ..containers import Sequential
from .conv_norm import Activation, Norm, conv_norm


class DepthwiseSeparableConv2d(Sequential):
    """A convolution in two steps, which has about ``kernel_size**2`` times fewer weights.

    .. code-block:: text

        x -- depthwise k x k -- norm -- ReLU -- 1x1 -- norm -- ReLU --> y

    The guide has a picture with the shape at each arrow: :ref:`block-depthwise-separable`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input (N, C, H, W) and of the output.
    kernel_size : int, default 3
        Height and width of the depthwise kernels, an odd number for an output of the same size.
    stride, dilation : int, default 1
        Of the depthwise convolution.
    depth_multiplier : int, default 1
        Outputs of the depthwise convolution for each input channel.
    norm : callable or None, default nn.BatchNorm2d
        Makes a normalisation from a number of channels.
    activation : callable or None, default nn.ReLU
        Makes the layer after the 1x1 convolution.
    middle_activation : callable or None, default nn.ReLU
        Makes the layer between the two; ``None`` in Xception, which also has no norm there.
    middle_norm : bool, default True
        Whether there is a norm between the two.

    Raises
    ------
    ArgumentError
        If a size is below 1.

    References
    ----------
    Howard et al., "MobileNets", 2017, arXiv:1704.04861; Chollet, "Xception", 2017,
    arXiv:1610.02357.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.DepthwiseSeparableConv2d(8, 16, stride=2)(tc.zeros(1, 8, 6, 6)).shape
    tinyconv.Size([1, 16, 3, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        depth_multiplier: int = 1,
        norm: Norm | None = BatchNorm2d,
        activation: Activation | None = ReLU,
        middle_activation: Activation | None = ReLU,
        middle_norm: bool = True,
    ) -> None:
        for name, value in (
            ("in_channels", in_channels), ("out_channels", out_channels),
            ("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation),
            ("depth_multiplier", depth_multiplier),
        ):  # fmt: skip
            positive("DepthwiseSeparableConv2d", name, value)
        middle: Any = in_channels * depth_multiplier
        super().__init__(
            *conv_norm(in_channels, middle, kernel_size, norm if middle_norm else None,
                       middle_activation, stride=stride, dilation=dilation, groups=in_channels),
            *conv_norm(middle, out_channels, 1, norm, activation),
        )  # fmt: skip
