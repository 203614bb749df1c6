"""Layers that add a border to images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from . import functional as F
from ._arguments import sizes
from .module import Module


class _Pad2d(Module):
    """Pad the last two dimensions.

    Parameters
    ----------
    padding : int or tuple of 4 ints
        The same on all sides, or (left, right, top, bottom); negative numbers crop.
    """

    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = sizes(type(self).__name__, "padding", padding, 4, low=-(2**31))

    def forward(self, input: Any) -> Any:
        """Return the padded image."""
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        """Return the widths."""
        return str(self.padding)


class ConstantPad2d(_Pad2d):
    """Add a border of one number around images (..., H, W).

    Parameters
    ----------
    padding : int or tuple of 4 ints
        The same on all sides, or (left, right, top, bottom); negative numbers crop.
    value : float
        The number.
    """

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        """Return the padded image."""
        return F.pad(input, self.padding, mode="constant", value=self.value)

    def extra_repr(self) -> str:
        """Return the widths and the number."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(ConstantPad2d):
    """Add a border of zeros around images; ``padding`` as :class:`ConstantPad2d`."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Return the widths."""
        return str(self.padding)


class ReflectionPad2d(_Pad2d):
    """Mirror images at their edge, which is not repeated; ``padding`` as :class:`ConstantPad2d`."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Repeat the edge of images; ``padding`` as :class:`ConstantPad2d`."""

    mode = "replicate"
