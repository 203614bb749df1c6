"""Layers that make probabilities of scores."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from . import functional as F
from .module import Module


class _AlongDim(Module):
    """A layer whose only argument is the dimension it works along.

    Parameters
    ----------
    dim : int, optional
        ``None`` means 0 for inputs of 0, 1 or 3 dimensions, else 1, as in PyTorch.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _dim(self, input: Any) -> int:
        if self.dim is not None:
            return self.dim
        return 0 if input.ndim in (0, 1, 3) else 1

    def extra_repr(self) -> str:
        """Return the dimension."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """``exp(x) / sum(exp(x))`` along ``dim``: positive numbers that sum to 1."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.softmax(input, self._dim(input))


class LogSoftmax(_AlongDim):
    """``x - log(sum(exp(x)))`` along ``dim``: the logarithm of :class:`Softmax`, accurately."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.log_softmax(input, self._dim(input))


class Softmin(_AlongDim):
    """:class:`Softmax` of ``-x``."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.softmin(input, self._dim(input))


class Softmax2d(Module):
    """:class:`Softmax` over the channels of images (N, C, H, W) or (C, H, W), at each pixel."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        if input.ndim not in (3, 4):
            raise ShapeError(
                "Softmax2d: argument 'input' must have 3 or 4 dimensions, got shape "
                f"{tuple(input.shape)}"
            )
        return F.softmax(input, -3)
