"""Transposed convolution layers in one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from . import functional as F
from ._arguments import Size, sizes
from .conv import ConvBase


class _ConvTranspose(ConvBase):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        padding = sizes(name, "padding", padding, self.n_dims)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip
        self.output_padding = sizes(name, "output_padding", output_padding, self.n_dims)

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Any:
        """Map (N, in_channels, *spatial) to (N, out_channels, *output sizes).

        Parameters
        ----------
        input : Tensor
            Of ``n_dims`` spatial dimensions.
        output_size : sequence of int, optional
            Wanted spatial sizes: with a stride, several inputs sizes of a convolution have the
            same output size, and this says which is meant. Replaces ``output_padding``.
        """
        return self._conv_forward(input, self.weight, self.bias, output_size)

    def _conv_forward(
        self, input: Any, weight: Any, bias: Any, output_size: Sequence[int] | None = None
    ) -> Any:
        """Return what :meth:`forward` does, with other parameters than those of the layer."""
        output_padding = self.output_padding
        if output_size is not None:
            output_padding = self._output_padding(input, tuple(output_size))
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.n_dims - 1]
        return convolve(
            input, weight, bias, self.stride, self.padding, output_padding, self.groups,
            self.dilation,
        )  # fmt: skip

    def _output_padding(self, input: Any, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Return how much is missing at the end to reach the wanted output sizes."""
        smallest = tuple(
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(
                input.shape[-self.n_dims :], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        )  # fmt: skip
        spatial = wanted[-self.n_dims :]
        largest = tuple(low + s - 1 for low, s in zip(smallest, self.stride, strict=True))
        fits = len(wanted) in (self.n_dims, input.ndim) and all(
            low <= w <= high for low, w, high in zip(smallest, spatial, largest, strict=True)
        )
        if not fits:
            raise ShapeError(
                f"{type(self).__name__}: output_size {wanted} cannot be had from an input of shape "
                f"{tuple(input.shape)}; possible are sizes from {smallest} to {largest}"
            )
        return tuple(w - low for w, low in zip(spatial, smallest, strict=True))

    def mult_adds(self, input: Any, output: Any) -> int:
        """Return the number of multiply-adds of one call, for ``summary``."""
        return math.prod(input.shape) * math.prod(self.weight.shape[1:])


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of signals (N, C, L), as :class:`ConvTranspose2d`."""

    n_dims = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images: the gradient of a convolution taken as a layer.

    Maps (N, in_channels, H, W) to (N, out_channels, H', W'), where
    ``H' = (H - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1``;
    with a stride it enlarges. Zeiler et al., "Deconvolutional networks" (2010).

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of 2 ints
        Height and width of the kernels.
    stride, dilation : int or tuple of 2 ints, default 1
        Those of the convolution that this one transposes.
    padding : int or tuple of 2 ints, default 0
        Rows and columns left out on both sides of the output.
    output_padding : int or tuple of 2 ints, default 0
        Rows and columns added at the end of the output; less than stride or dilation.
    groups : int, default 1
        Channels are split into so many groups, convolved apart.
    bias : bool, default True
        Whether to add a bias to every output channel.
    padding_mode : {"zeros"}
        Others make no sense here.
    device, dtype : optional
        Of the parameters: ``weight`` (in_channels, out_channels / groups, kH, kW) and ``bias``
        (out_channels,).

    Raises
    ------
    ArgumentError
        If sizes are not positive, or ``groups`` does not divide the channels.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.ConvTranspose2d(8, 4, 2, stride=2)(tc.zeros(1, 8, 7, 7)).shape
    tinyconv.Size([1, 4, 14, 14])
    """

    n_dims = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of volumes (N, C, D, H, W), as :class:`ConvTranspose2d`."""

    n_dims = 3
