"""Dropout: random zeros in training, nothing in evaluation."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from . import functional as F
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be from 0 to 1, got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Set each element to 0 with probability ``p`` in training, and scale the rest by 1/(1-p).

    So the expected value stays the same, and nothing is to be done in evaluation ("inverted
    dropout"). Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting" (2014).

    Parameters
    ----------
    p : float, default 0.5
        Probability of a zero, from 0 to 1.
    inplace : bool, default False
        Write into the input.
    """

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random zeros while training."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Set whole channels of (N, C, L) or (C, L) to 0; arguments as :class:`Dropout`."""

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels zero while training."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Set whole channels of (N, C, H, W) to 0; arguments as :class:`Dropout`.

    Neighbouring pixels are alike, so zeros here and there hide little. Tompson et al., "Efficient
    object localization using convolutional networks" (2015).
    """

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels zero while training."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Set whole channels of (N, C, D, H, W) to 0; arguments as :class:`Dropout`."""

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels zero while training."""
        return F.dropout3d(input, self.p, self.training, self.inplace)
