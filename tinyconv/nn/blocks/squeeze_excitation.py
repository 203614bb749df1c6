"""Squeeze and excitation: each channel is weighted by what the whole image says of it."""

from __future__ import annotations

from typing import Any

from .._arguments import positive
from ..activation import ReLU, Sigmoid
from ..conv import Conv2d
from ..module import Module
from ..pooling import AdaptiveAvgPool2d
from .conv_norm import Activation


class SqueezeExcitation(Module):
    """Multiply each channel by a weight between 0 and 1 that depends on the means of all channels.

    .. code-block:: text

        x --+-- mean of each channel -- 1x1 -- ReLU -- 1x1 -- sigmoid --+
            |                                                           |
            +---------------------------------------------------------- * --> y

    The guide has a picture with the shape at each arrow: :ref:`block-squeeze-excitation`.

    Parameters
    ----------
    input_channels : int
        Channels of the input (N, C, H, W), and of the output.
    squeeze_channels : int, optional
        Channels between the two 1x1 convolutions; default is a sixteenth of the input's, as in the
        paper, and at least 1.
    activation : callable, default nn.ReLU
        Makes the layer after the first convolution.
    scale_activation : callable, default nn.Sigmoid
        Makes the layer whose results are the weights (``nn.Hardsigmoid`` in MobileNet V3).

    Raises
    ------
    ArgumentError
        If a number of channels is below 1.

    References
    ----------
    Hu, Shen and Sun, "Squeeze-and-excitation networks", 2018, arXiv:1709.01507.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.SqueezeExcitation(64)(tc.ones(2, 64, 7, 7)).shape
    tinyconv.Size([2, 64, 7, 7])
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int | None = None,
        activation: Activation = ReLU,
        scale_activation: Activation = Sigmoid,
    ) -> None:
        super().__init__()
        positive("SqueezeExcitation", "input_channels", input_channels)
        if squeeze_channels is None:
            squeeze_channels = max(input_channels // 16, 1)
        positive("SqueezeExcitation", "squeeze_channels", squeeze_channels)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = Conv2d(squeeze_channels, input_channels, 1)
        self.activation, self.scale_activation = activation(), scale_activation()

    def forward(self, input: Any) -> Any:
        """Return the weighted input."""
        squeezed = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(squeezed)) * input
