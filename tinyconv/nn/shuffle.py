"""Layers that move elements between channels and positions."""

from __future__ import annotations

from typing import Any

from . import functional as F
from ._arguments import positive
from .module import Module


class PixelShuffle(Module):
    """Make (..., C * r**2, H, W) into (..., C, H * r, W * r): sub-pixel convolution's last step.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (2016).

    Parameters
    ----------
    upscale_factor : int
        The factor r.
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = positive("PixelShuffle", "upscale_factor", upscale_factor)

    def forward(self, input: Any) -> Any:
        """Return the larger image."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Make (..., C, H * r, W * r) into (..., C * r**2, H, W): undoes :class:`PixelShuffle`.

    Parameters
    ----------
    downscale_factor : int
        The factor r.
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = positive("PixelUnshuffle", "downscale_factor", downscale_factor)

    def forward(self, input: Any) -> Any:
        """Return the smaller image."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Deal out the channels of each group in turn (Zhang et al., "ShuffleNet", 2018).

    Parameters
    ----------
    groups : int
        Number of groups; divides the channels of the input (N, C, *S).
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = positive("ChannelShuffle", "groups", groups)

    def forward(self, input: Any) -> Any:
        """Return the channels in the new order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """Return the number of groups."""
        return f"groups={self.groups}"
