"""Layers that add a border to signals, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..errors import ShapeError
from . import functional as F
from ._arguments import sizes
from .module import Module


class _Pad(Module):
    n_dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        count = 2 * self.n_dims
        self.padding = sizes(type(self).__name__, "padding", padding, count, low=-(2**31))

    def forward(self, input: Any) -> Any:
        """Return the input with a border."""
        if input.ndim - self.n_dims not in (1, 2):
            raise ShapeError(
                f"{type(self).__name__}: argument 'input' must have {self.n_dims + 1} or "
                f"{self.n_dims + 2} dimensions, got shape {tuple(input.shape)}"
            )
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        """Return the widths."""
        return str(self.padding)


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        """Return the input with a border."""
        return F.pad(input, self.padding, mode="constant", value=self.value)

    def extra_repr(self) -> str:
        """Return the widths and the number."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Add a border of one number to signals (..., L), as :class:`ConstantPad2d`."""

    n_dims = 1


class ConstantPad2d(_ConstantPad):
    """Add a border of one number around images (..., H, W).

    Parameters
    ----------
    padding : int or tuple of 4 ints
        The same on all sides, or (left, right, top, bottom); negative numbers crop. Signals have
        (left, right), and volumes (left, right, top, bottom, front, back).
    value : float
        The number.
    """

    n_dims = 2


class ConstantPad3d(_ConstantPad):
    """Add a border of one number around volumes (..., D, H, W), as :class:`ConstantPad2d`."""

    n_dims = 3


class _Zero(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Return the widths."""
        return str(self.padding)


class ZeroPad1d(_Zero, ConstantPad1d):
    """Add zeros to signals (..., L); ``padding`` as :class:`ConstantPad2d`."""


class ZeroPad2d(_Zero, ConstantPad2d):
    """Add a border of zeros around images; ``padding`` as :class:`ConstantPad2d`."""


class ZeroPad3d(_Zero, ConstantPad3d):
    """Add a border of zeros around volumes; ``padding`` as :class:`ConstantPad2d`."""


class ReflectionPad1d(_Pad):
    """Mirror signals (N, C, L) or (C, L) at their ends, as :class:`ReflectionPad2d`."""

    n_dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Mirror images (N, C, H, W) or (C, H, W) at their edge, which is not repeated.

    Parameters
    ----------
    padding : int or tuple of 4 ints
        As :class:`ConstantPad2d`; each less than the size of the image.
    """

    n_dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Mirror volumes (N, C, D, H, W) or (C, D, H, W), as :class:`ReflectionPad2d`."""

    n_dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Repeat the ends of signals (N, C, L) or (C, L); ``padding`` as :class:`ConstantPad2d`."""

    n_dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Repeat the edge of images (N, C, H, W) or (C, H, W), as :class:`ReplicationPad1d`."""

    n_dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Repeat the faces of volumes (N, C, D, H, W) or (C, D, H, W), as :class:`ReplicationPad2d`."""

    n_dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Wrap signals (N, C, L) or (C, L) around, as :class:`CircularPad2d`."""

    n_dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Wrap images (N, C, H, W) or (C, H, W) around: beyond an edge the opposite one follows.

    Parameters
    ----------
    padding : int or tuple of 4 ints
        As :class:`ConstantPad2d`; each at most the size of the image.
    """

    n_dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Wrap volumes (N, C, D, H, W) or (C, D, H, W) around, as :class:`CircularPad2d`."""

    n_dims, mode = 3, "circular"
