"""Convolution layers in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..errors import ArgumentError
from ..ops import empty
from ..ops.convolution.conv import normalised_conv
from . import functional as F
from ._arguments import Size, positive, sizes
from .linear import init_fan_in_uniform
from .module import Module
from .parameter import Parameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class ConvBase(Module):
    """What convolutions and transposed convolutions have in common: sizes and parameters."""

    n_dims: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self.n_dims
        self.in_channels = positive(name, "in_channels", in_channels)
        self.out_channels = positive(name, "out_channels", out_channels)
        self.kernel_size = sizes(name, "kernel_size", kernel_size, n, low=1)
        self.stride = sizes(name, "stride", stride, n, low=1)
        self.dilation = sizes(name, "dilation", dilation, n, low=1)
        self.groups = positive(name, "groups", groups)
        self.padding: Any = padding
        if not isinstance(padding, str):
            self.padding = sizes(name, "padding", padding, n)
        self.padding_mode = padding_mode
        self._check()
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        shape = (first, second // self.groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def _check(self) -> None:
        """Raise ``ArgumentError`` for arguments that do not go together."""
        name = type(self).__name__
        for side in ("in_channels", "out_channels"):
            if getattr(self, side) % self.groups:
                raise ArgumentError(
                    f"{name}: {side}={getattr(self, side)} must be divisible by "
                    f"groups={self.groups}"
                )
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ArgumentError(
                    f"{name}: padding must be a size, 'same' or 'valid', got {self.padding!r}"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ArgumentError(
                    f"{name}: padding='same' keeps the size only with stride 1, got stride "
                    f"{self.stride}; give the padding in numbers"
                )
        modes = ("zeros",) if self.transposed else PADDING_MODES
        if self.padding_mode not in modes:
            raise ArgumentError(
                f"{name}: padding_mode must be one of {', '.join(modes)}, got {self.padding_mode!r}"
            )

    def reset_parameters(self) -> None:
        """Draw the parameters anew, uniformly on +-1 / sqrt(fan_in)."""
        init_fan_in_uniform(self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes, and whatever is not the default."""
        zeros, ones = (0,) * self.n_dims, (1,) * self.n_dims
        output_padding = getattr(self, "output_padding", zeros)
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}",
            f"padding={self.padding}" if self.padding != zeros else "",
            f"dilation={self.dilation}" if self.dilation != ones else "",
            f"output_padding={output_padding}" if output_padding != zeros else "",
            f"groups={self.groups}" if self.groups != 1 else "",
            "bias=False" if self.bias is None else "",
            f"padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "",
        ]
        return ", ".join(part for part in parts if part)


class _Conv(ConvBase):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Any) -> Any:
        """Convolve (N, in_channels, *spatial) to (N, out_channels, *output sizes)."""
        return self.forward_with(None, input)

    def forward_with(self, activation: str | None, input: Any) -> Any:
        """Convolve, and apply an activation of :func:`.functional.conv2d` in the same pass."""
        weight, bias = self._entries(self._parameters, "weight", "bias")
        return self._conv_forward(input, weight, bias, activation)

    def forward_normalised(self, norm: Any, activation: str | None, input: Any) -> Any:
        """Convolve, normalise as the layer ``norm`` does, and apply an activation, in one pass.

        For inference: no gradient may be asked for. Returns ``None`` where that is not possible:
        then the layers are to be called one after the other.
        """
        constants = norm.constants()
        if constants is None or self.padding_mode != "zeros" or self.n_dims + 2 not in norm.dims:
            return None
        weight, bias = self._entries(self._parameters, "weight", "bias")
        settings = self.stride, self.padding, self.dilation, self.groups, activation
        return normalised_conv(self.n_dims, input, weight, bias, settings, constants, norm.eps)

    def _conv_forward(
        self, input: Any, weight: Any, bias: Any, activation: str | None = None
    ) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._padding_pairs(), mode=self.padding_mode), 0
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.n_dims - 1]
        return convolve(
            input, weight, bias, self.stride, padding, self.dilation, self.groups,
            activation=activation,
        )  # fmt: skip

    def _padding_pairs(self) -> list[int]:
        """Return what ``F.pad`` wants: before and after, the last dimension first."""
        pairs = []
        for axis in reversed(range(self.n_dims)):
            if self.padding == "same":  # the odd one goes to the end
                total = self.dilation[axis] * (self.kernel_size[axis] - 1)
                pairs += [total // 2, total - total // 2]
            else:
                pairs += [0, 0] if self.padding == "valid" else [self.padding[axis]] * 2
        return pairs

    def mult_adds(self, input: Any, output: Any) -> int:
        """Return the number of multiply-adds of one call, for ``summary``."""
        return math.prod(output.shape) * math.prod(self.weight.shape[1:])


class Conv1d(_Conv):
    """Convolution of signals (N, C, L), as :class:`Conv2d` in one dimension."""

    n_dims = 1


class Conv2d(_Conv):
    """Convolution (cross-correlation) of images, with learnt kernels.

    Maps (N, in_channels, H, W) to (N, out_channels, H', W'), where
    ``H' = (H + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1``. Without the
    batch dimension N the result has none either.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of 2 ints
        Height and width of the kernels.
    stride, dilation : int or tuple of 2 ints, default 1
        Step of the kernel, and of the taps within it.
    padding : int, tuple of 2 ints, "same" or "valid", default 0
        Added on both sides. ``"same"`` keeps the size (with stride 1); an even kernel then gets
        one more row and column at the end.
    groups : int, default 1
        Channels are split into so many groups, convolved apart; ``groups=in_channels`` is a
        depthwise convolution.
    bias : bool, default True
        Whether to add a bias to every output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding holds.
    device, dtype : optional
        Of the parameters: ``weight`` (out_channels, in_channels / groups, kH, kW) and ``bias``
        (out_channels,), both uniform on +-1 / sqrt(fan_in) at first.

    Raises
    ------
    ArgumentError
        If sizes are not positive, ``groups`` does not divide the channels, or padding and stride
        do not go together.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.Conv2d(3, 8, 3, stride=2, padding=1)(tc.zeros(1, 3, 32, 32)).shape
    tinyconv.Size([1, 8, 16, 16])
    """

    n_dims = 2


class Conv3d(_Conv):
    """Convolution of volumes (N, C, D, H, W), as :class:`Conv2d` in three dimensions."""

    n_dims = 3
