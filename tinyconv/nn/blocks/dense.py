"""Dense blocks: every layer sees the results of all layers before it."""

from __future__ import annotations

from typing import Any

from ...autograd.checkpoint import checkpoint
from ...errors import ArgumentError
from ...ops import cat
from .._arguments import positive
from ..activation import ReLU
from ..batchnorm import BatchNorm2d
from ..containers import ModuleList, Sequential
from ..conv import Conv2d
from ..dropout import Dropout
from ..module import Module
from ..pooling import AvgPool2d
from .conv_norm import Activation, Norm


class DenseBlock(Module):
    """Layers that each add ``growth_rate`` channels to what they get.

    .. code-block:: text

        x ---+-- layer --+-- layer --+-- ... --> y        a layer: norm - ReLU - [1x1 - norm - ReLU]
             |           |           |                             - 3x3 - [dropout]
             +---- cat --+---- cat --+

    The guide has a picture with the shape at each arrow: :ref:`block-dense`.

    Parameters
    ----------
    in_channels : int
        Channels of the input (N, C, H, W).
    n_layers : int
        Number of layers.
    growth_rate : int, default 32
        Channels that a layer adds.
    bottleneck : int or None, default 4
        The 1x1 convolution has so many times ``growth_rate`` channels (DenseNet-B); ``None`` or 0
        leaves it out.
    dropout : float, default 0.0
        Probability of dropping a result of a layer.
    memory_efficient : bool, default False
        Keep only what the layers return, and compute the rest again in the backward pass: memory
        then grows with the depth rather than with its square, for about a third more time.
    norm : callable, default nn.BatchNorm2d
        Makes a normalisation from a number of channels.
    activation : callable, default nn.ReLU
        Makes the activations.

    Attributes
    ----------
    out_channels : int
        Channels of the output: ``in_channels + n_layers * growth_rate``.

    Raises
    ------
    ArgumentError
        If a size is below 1, or ``dropout`` no probability.

    References
    ----------
    Huang et al., "Densely connected convolutional networks", 2016, arXiv:1608.06993; Pleiss et al.,
    "Memory-efficient implementation of DenseNets", 2017, arXiv:1707.06990.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.DenseBlock(16, 3, growth_rate=12)(tc.zeros(2, 16, 8, 8)).shape
    tinyconv.Size([2, 52, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        n_layers: int,
        growth_rate: int = 32,
        bottleneck: int | None = 4,
        dropout: float = 0.0,
        memory_efficient: bool = False,
        norm: Norm = BatchNorm2d,
        activation: Activation = ReLU,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("n_layers", n_layers),
                            ("growth_rate", growth_rate)):  # fmt: skip
            positive("DenseBlock", name, value)
        positive("DenseBlock", "bottleneck", bottleneck or 0, low=0)

        def layer(channels: int) -> Sequential:
            layers: list[Module] = [norm(channels), activation()]
            if bottleneck:
                middle = bottleneck * growth_rate
                layers += [Conv2d(channels, middle, 1, bias=False), norm(middle), activation()]
                channels = middle
            layers.append(Conv2d(channels, growth_rate, 3, padding=1, bias=False))
            return Sequential(*layers, *([Dropout(dropout)] if dropout else []))

        Dropout(dropout)  # checks the probability
        self.layers = ModuleList(layer(in_channels + i * growth_rate) for i in range(n_layers))
        self.out_channels = in_channels + n_layers * growth_rate
        self.memory_efficient = memory_efficient

    def forward(self, input: Any) -> Any:
        """Return (N, out_channels, H, W): the input, then what each layer has added."""
        if self.memory_efficient:
            return self._recomputed(input)
        x = input
        for layer in self.layers:
            x = cat([x, layer(x)], 1)
        return x

    def _recomputed(self, input: Any) -> Any:
        features = [input]
        for layer in self.layers:

            def added(*parts: Any, layer: Module = layer) -> Any:
                return layer(cat(parts, 1))

            features.append(checkpoint(added, *features))
        return cat(features, 1)


class DenseTransition(Sequential):
    """What stands between dense blocks: fewer channels, and half the size.

    .. code-block:: text

        x -- norm -- ReLU -- 1x1 -- average pool 2x2 --> y

    The guide has a picture with the shape at each arrow: :ref:`block-dense-transition`.

    Parameters
    ----------
    in_channels : int
        Channels of the input (N, C, H, W).
    out_channels : int, optional
        Channels of the output; default is ``compression`` times those of the input, rounded down.
    compression : float, default 0.5
        Share of the channels that is left (DenseNet-C); from 0 (left out) to 1.
    norm, activation
        As in :class:`DenseBlock`.

    Raises
    ------
    ArgumentError
        If a size is below 1, or ``compression`` out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        compression: float = 0.5,
        norm: Norm = BatchNorm2d,
        activation: Activation = ReLU,
    ) -> None:
        positive("DenseTransition", "in_channels", in_channels)
        if not 0 < compression <= 1:
            raise ArgumentError(
                "DenseTransition: argument 'compression' must be greater than 0 and at most 1, got "
                f"{compression!r}"
            )
        if out_channels is None:
            out_channels = int(in_channels * compression)
        positive("DenseTransition", "out_channels", out_channels)
        super().__init__(
            norm(in_channels), activation(), Conv2d(in_channels, out_channels, 1, bias=False),
            AvgPool2d(2),
        )  # fmt: skip
        self.out_channels = out_channels
