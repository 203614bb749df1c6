"""Layers that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops import flatten, unflatten
from .module import Module


class Flatten(Module):
    """Make one dimension of several: (N, C, H, W) becomes (N, C*H*W) by default.

    Parameters
    ----------
    start_dim, end_dim : int, default 1 and -1
        First and last of the dimensions to join.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        """Return ``input`` with the dimensions joined."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Make several dimensions of one.

    Parameters
    ----------
    dim : int
        Dimension to split.
    unflattened_size : sequence of int
        Sizes it becomes; one may be -1.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        """Return ``input`` with the dimension split."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """Return the dimension and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
