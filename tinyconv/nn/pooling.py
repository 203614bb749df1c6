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


class _AdaptiveMaxPool(Module):
    n_dims: ClassVar[int]

    def __init__(
        self, output_size: int | Sequence[int | None] | None, return_indices: bool = False
    ) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Any) -> Any:
        """Return the maxima, and with ``return_indices`` also where they were."""
        pool = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
        return pool[self.n_dims - 1](input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """Return the output size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maximum over windows that give signals a wanted length, as :class:`AdaptiveMaxPool2d`."""

    n_dims = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maximum over windows chosen so that images (N, C, H, W) get a wanted size.

    Parameters
    ----------
    output_size : int, None, or tuple of 2 of these
        Height and width of the output; ``None`` keeps that of the input.
    return_indices : bool, default False
        Also return where each maximum is, for :class:`MaxUnpool2d`.
    """

    n_dims = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maximum over windows that give volumes a wanted size, as :class:`AdaptiveMaxPool2d`."""

    n_dims = 3


class _MaxUnpool(Module):
    n_dims: ClassVar[int]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size = _each(kernel_size, self.n_dims)
        self.stride = _each(kernel_size if stride is None else stride, self.n_dims)
        self.padding = _each(padding, self.n_dims)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """Return a larger map with each element at its index."""
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.n_dims - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Undo max pooling of signals (N, C, L), as :class:`MaxUnpool2d`."""

    n_dims = 1


class MaxUnpool2d(_MaxUnpool):
    """Put each element back to where max pooling found it; everything else is 0.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of 2 ints
        Those of the pooling; ``stride`` is ``kernel_size`` by default.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    >>> unpool(*pool(tc.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])))
    tensor([[[[0., 0.],
              [4., 0.]]]])
    """

    n_dims = 2


class MaxUnpool3d(_MaxUnpool):
    """Undo max pooling of volumes (N, C, D, H, W), as :class:`MaxUnpool2d`."""

    n_dims = 3


def _each(size: Any, dims: int) -> tuple[int, ...]:
    """Return a size as a tuple; PyTorch shows these so."""
    return tuple(size) if isinstance(size, list | tuple) else (size,) * dims


def _one(size: Size) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)
