"""Windows of images as columns, and back."""

from __future__ import annotations

from typing import Any

from . import functional as F
from ._arguments import Size
from .module import Module


class Unfold(Module):
    """Return the windows of images (N, C, H, W), each as a column.

    Parameters
    ----------
    kernel_size, dilation, padding, stride : int or tuple of 2 ints
        See :func:`~tinyconv.nn.functional.unfold`.
    """

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Any) -> Any:
        """Return (N, C * kernel size, windows)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Add up columns, each a window of an image: the adjoint of :class:`Unfold`.

    Parameters
    ----------
    output_size : int or tuple of 2 ints
        Height and width of the images.
    kernel_size, dilation, padding, stride : int or tuple of 2 ints
        As in :class:`Unfold`.
    """

    def __init__(
        self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0,
        stride: Size = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Any) -> Any:
        """Return (N, C, *output_size)."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
