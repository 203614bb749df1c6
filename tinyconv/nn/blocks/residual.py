"""Residual blocks: a few convolutions learn what to add to their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import ArgumentError
from .. import functional as F
from .._arguments import choice, positive
from ..activation import ReLU
from ..batchnorm import BatchNorm2d
from ..containers import Sequential
from ..linear import Identity
from ..module import Module
from .conv_norm import Activation, Norm, conv_norm


class ResidualBlock(Module):
    """The block of ResNets: ``y = relu(branch(x) + shortcut(x))``.

    .. code-block:: text

        version 1   x -+- 3x3 - norm - ReLU - 3x3 - norm -+- + - ReLU -> y
                       +------------ shortcut ------------+

        version 2   x - norm - ReLU -+- 3x3 - norm - ReLU - 3x3 -+- + -> y
                    |                +- projection, if there is  |
                    +------------ identity, if not --------------+

        bottleneck  1x1 - 3x3 - 1x1 in place of 3x3 - 3x3; the middle is narrower

    The guide has a picture with the shape at each arrow: :ref:`block-residual`.

    Parameters
    ----------
    in_channels : int
        Channels of the input (N, C, H, W).
    out_channels : int, optional
        Channels of the output; default is those of the input.
    stride : int, default 1
        Of the first 3x3 convolution, and of the shortcut.
    version : int, default 1
        1 (the original), or 2 (pre-activation: norm and ReLU come before each convolution, so that
        the sum goes on unchanged).
    bottleneck : bool or int, default False
        Three convolutions rather than two. The middle has so many times fewer channels than the
        output; true means 4, as in ResNet-50.
    groups : int, default 1
        Groups of the 3x3 convolutions (32 in ResNeXt).
    width : int, optional
        Channels of the middle, if they are not to follow from ``out_channels`` (wide ResNet, 2016;
        ResNeXt).
    dilation : int, default 1
        Of the 3x3 convolutions.
    shortcut : str, default "auto"
        ``"projection"``, a 1x1 convolution (and a norm, in version 1); ``"identity"``; ``"pad"``:
        subsampling, and zeros in new channels, without parameters (option A of the paper);
        ``"auto"`` is the identity where the shapes allow it, else the projection.
    squeeze_excitation : callable, optional
        Makes a layer from a number of channels, for the end of the branch (SE-ResNet).
    norm : callable or None, default nn.BatchNorm2d
        Makes a normalisation from a number of channels.
    activation : callable, default nn.ReLU
        Makes the activations.

    Attributes
    ----------
    branch, shortcut : Module
        The two ways from the input to the sum.

    Raises
    ------
    ArgumentError
        If a size is below 1, a choice unknown, ``groups`` does not divide the channels, or the
        identity is asked for where shapes differ.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2015, arXiv:1512.03385, and
    "Identity mappings in deep residual networks", 2016, arXiv:1603.05027.

    Examples
    --------
    >>> import tinyconv as tc
    >>> block = tc.nn.ResidualBlock(64, 256, stride=2, bottleneck=True)
    >>> block(tc.zeros(1, 64, 8, 8)).shape
    tinyconv.Size([1, 256, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        stride: int = 1,
        version: int = 1,
        bottleneck: bool | int = False,
        groups: int = 1,
        width: int | None = None,
        dilation: int = 1,
        shortcut: str = "auto",
        squeeze_excitation: Callable[[int], Module] | None = None,
        norm: Norm | None = BatchNorm2d,
        activation: Activation = ReLU,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        reduction = 4 if bottleneck is True else int(bottleneck) or 1
        width = max(out_channels // reduction, 1) if width is None else width
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("stride", stride), ("bottleneck", reduction), ("width", width),
                            ("groups", groups), ("dilation", dilation)):  # fmt: skip
            positive("ResidualBlock", name, value)
        choice("ResidualBlock", "version", version, (1, 2))
        choice("ResidualBlock", "shortcut", shortcut, ("auto", "identity", "projection", "pad"))
        self.version, self.stride = version, stride
        wide = {"stride": stride, "dilation": dilation, "groups": groups}
        if bottleneck:
            plan: list[Any] = [(width, 1, {}), (width, 3, wide), (out_channels, 1, {})]
        else:
            plan = [(width, 3, wide), (out_channels, 3, {**wide, "stride": 1})]
        layers: list[Module] = []
        channels, bias = in_channels, norm is None
        for number, (outputs, kernel, options) in enumerate(plan):
            last = number == len(plan) - 1
            norm_here = None if last and version == 2 else norm
            layers += conv_norm(channels, outputs, kernel, norm_here, None if last else activation,
                                bias=bias, **options)  # fmt: skip
            channels = outputs
        if squeeze_excitation is not None:
            layers.append(squeeze_excitation(out_channels))
        self.branch = Sequential(*layers)
        self.shortcut = self._shortcut(shortcut, in_channels, out_channels, norm)
        before = [activation()] if version == 2 else []
        self.before = Sequential(*([norm(in_channels)] if before and norm else []), *before)
        self.after = activation() if version == 1 else Identity()

    def _shortcut(self, kind: str, inputs: int, outputs: int, norm: Norm | None) -> Module:
        same = self.stride == 1 and inputs == outputs
        if kind == "identity" and not same:
            raise ArgumentError(
                f"ResidualBlock: shortcut='identity' needs stride 1 and as many output as input "
                f"channels, got stride={self.stride}, {inputs} inputs and {outputs} outputs; use "
                "'projection' or 'pad'"
            )
        if kind == "identity" or (same and kind == "auto"):
            return Identity()
        if kind == "pad":
            return PaddedShortcut(inputs, outputs, self.stride)
        norm_here = norm if self.version == 1 else None
        return Sequential(
            *conv_norm(inputs, outputs, 1, norm_here, None, stride=self.stride, bias=norm is None)
        )

    def forward(self, input: Any) -> Any:
        """Return (N, out_channels, H/stride, W/stride)."""
        x = self.before(input)
        # In version 2 the identity leaves before the first norm, a projection after it.
        through = input if isinstance(self.shortcut, Identity | PaddedShortcut) else x
        return self.after(self.branch(x) + self.shortcut(through))


class PaddedShortcut(Module):
    """A shortcut without parameters: every ``stride``-th pixel, and zeros in the new channels."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ArgumentError(
                f"ResidualBlock: shortcut='pad' adds channels, but there are {in_channels} inputs "
                f"and {out_channels} outputs; use 'projection'"
            )
        self.extra, self.stride = out_channels - in_channels, stride

    def forward(self, input: Any) -> Any:
        """Return (N, out_channels, H/stride, W/stride)."""
        return F.pad(input[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        """Return what is added and left out."""
        return f"extra={self.extra}, stride={self.stride}"
