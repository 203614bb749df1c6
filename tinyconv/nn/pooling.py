"""Pooling layers: the maximum, mean or norm of the elements in each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from . import functional as F
from ._arguments import Size
from .module import Module


class _MaxPool(Module):
    n_dims: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        """Return the maxima, and with ``return_indices`` also where they were."""
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.n_dims - 1]
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Maximum over windows of signals (N, C, L), as :class:`MaxPool2d`."""

    n_dims = 1


class MaxPool2d(_MaxPool):
    """Maximum over windows of images (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of 2 ints
        Height and width of a window.
    stride : int or tuple of 2 ints, optional
        Step of the window; default ``kernel_size``.
    padding : int or tuple of 2 ints, default 0
        Added on both sides, at most half a window; it never wins.
    dilation : int or tuple of 2 ints, default 1
        Step within a window.
    return_indices : bool, default False
        Return also the flat position of each maximum in its channel (int64), for unpooling.
    ceil_mode : bool, default False
        Let a last window hang over the end.
    """

    n_dims = 2


class MaxPool3d(_MaxPool):
    """Maximum over windows of volumes (N, C, D, H, W), as :class:`MaxPool2d`."""

    n_dims = 3


class AvgPool1d(Module):
    """Mean over windows of signals (N, C, L), as :class:`AvgPool2d` but without a divisor."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        # Tuples, as PyTorch keeps (and prints) them in this layer only.
        self.kernel_size = _one(kernel_size)
        self.stride = self.kernel_size if stride is None else _one(stride)
        self.padding = _one(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        """Return the means."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    n_dims: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        """Return the means."""
        pool = (F.avg_pool2d, F.avg_pool3d)[self.n_dims - 2]
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """Mean over windows of images (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of 2 ints
        Height and width of a window.
    stride : int or tuple of 2 ints, optional
        Step of the window; default ``kernel_size``.
    padding : int or tuple of 2 ints, default 0
        Zeros added on both sides, at most half a window.
    ceil_mode : bool, default False
        Let a last window hang over the end.
    count_include_pad : bool, default True
        Whether the zeros of the padding count as elements of a window.
    divisor_override : int, optional
        Divide the sum by this instead of by the number of elements; 1 gives sum pooling.
    """

    n_dims = 2


class AvgPool3d(_AvgPool):
    """Mean over windows of volumes (N, C, D, H, W), as :class:`AvgPool2d`."""

    n_dims = 3


class _LPPool(Module):
    n_dims: ClassVar[int]

    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Any) -> Any:
        """Return the norms."""
        pool = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.n_dims - 1]
        return pool(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """Return the exponent and the sizes."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """Power mean over windows of signals (N, C, L), as :class:`LPPool2d`."""

    n_dims = 1


class LPPool2d(_LPPool):
    """``sum(x**p) ** (1/p)`` over windows of images (N, C, H, W).

    Parameters
    ----------
    norm_type : float
        The exponent p: 1 is sum pooling, infinity would be max pooling.
    kernel_size : int or tuple of 2 ints
        Height and width of a window.
    stride : int or tuple of 2 ints, optional
        Step of the window; default ``kernel_size``.
    ceil_mode : bool, default False
        Let a last window hang over the end.
    """

    n_dims = 2


class LPPool3d(_LPPool):
    """Power mean over windows of volumes (N, C, D, H, W), as :class:`LPPool2d`."""

    n_dims = 3


class _AdaptiveAvgPool(Module):
    n_dims: ClassVar[int]

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        """Return the means."""
        pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
        return pool[self.n_dims - 1](input, self.output_size)

    def extra_repr(self) -> str:
        """Return the output size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean over windows that give signals a wanted length, as :class:`AdaptiveAvgPool2d`."""

    n_dims = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean over windows chosen so that images (N, C, H, W) get a wanted size.

    Parameters
    ----------
    output_size : int, None, or tuple of 2 of these
        Height and width of the output; ``None`` keeps that of the input, 1 is global average
        pooling.
    """

    n_dims = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Mean over windows that give volumes a wanted size, as :class:`AdaptiveAvgPool2d`."""

    n_dims = 3


def _one(size: Size) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)
