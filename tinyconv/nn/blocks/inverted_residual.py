"""Inverted residual: narrow ends, a wide depthwise convolution between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._arguments import positive
from ..activation import ReLU6
from ..batchnorm import BatchNorm2d
from ..containers import Sequential
from ..module import Module
from .conv_norm import Activation, Norm, conv_norm


class InvertedResidual(Module):
    """The block of MobileNet V2 and V3 and of EfficientNet.

    .. code-block:: text

        x --+-- 1x1, t times as wide -- norm -- ReLU6 -- depthwise -- norm -- ReLU6
            |                                                            |
            |                                     [squeeze and excitation]
            |                                                            |
            +------- where stride is 1 and channels are equal ----- + -- norm -- 1x1
                                                                    |
                                                                    +--> y

    There is no activation at the narrow end: it would lose what few channels hold.

    The guide has a picture with the shape at each arrow: :ref:`block-inverted-residual`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input (N, C, H, W) and of the output.
    stride : int, default 1
        Of the depthwise convolution.
    expand_ratio : float, default 6
        How many times as wide the middle is; with 1 there is no first convolution.
    kernel_size : int, default 3
        Height and width of the depthwise kernels, an odd number.
    squeeze_excitation : callable, optional
        Makes a layer from the number of channels of the middle, such as ``nn.SqueezeExcitation``.
    norm : callable or None, default nn.BatchNorm2d
        Makes a normalisation from a number of channels.
    activation : callable, default nn.ReLU6
        Makes the two activations.

    Raises
    ------
    ArgumentError
        If a size is below 1.

    References
    ----------
    Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018,
    arXiv:1801.04381.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.InvertedResidual(16, 24, stride=2)(tc.zeros(1, 16, 8, 8)).shape
    tinyconv.Size([1, 24, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        expand_ratio: float = 6,
        kernel_size: int = 3,
        squeeze_excitation: Callable[[int], Module] | None = None,
        norm: Norm | None = BatchNorm2d,
        activation: Activation = ReLU6,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("stride", stride), ("kernel_size", kernel_size)):  # fmt: skip
            positive("InvertedResidual", name, value)
        middle = positive(
            "InvertedResidual", "in_channels * expand_ratio", round(in_channels * expand_ratio)
        )
        layers: list[Module] = []
        if expand_ratio != 1:
            layers += conv_norm(in_channels, middle, 1, norm, activation)
        layers += conv_norm(
            middle, middle, kernel_size, norm, activation, stride=stride, groups=middle
        )
        if squeeze_excitation is not None:
            layers.append(squeeze_excitation(middle))
        layers += conv_norm(middle, out_channels, 1, norm, None)
        self.conv = Sequential(*layers)
        self.use_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, input: Any) -> Any:
        """Return (N, out_channels, H/stride, W/stride)."""
        y = self.conv(input)
        return y + input if self.use_shortcut else y
