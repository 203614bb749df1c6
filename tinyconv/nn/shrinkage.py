"""Activation layers that set small values to 0, or almost."""

from __future__ import annotations

from math import inf
from typing import Any

from ..errors import ArgumentError
from . import functional as F
from .module import Module


class Hardshrink(Module):
    """``x`` where it is below ``-lambd`` or above ``lambd``, else 0.

    Parameters
    ----------
    lambd : float, default 0.5
        The threshold.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Return the threshold."""
        return f"{self.lambd}"


class Softshrink(Module):
    """``x`` moved towards 0 by ``lambd``, or to 0 if it is nearer.

    Parameters
    ----------
    lambd : float, default 0.5
        How far, not negative.

    Raises
    ------
    ArgumentError
        If ``lambd`` is negative or infinite.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        if not 0 <= lambd < inf:
            raise ArgumentError(f"Softshrink: lambd must be at least 0 and finite, got {lambd}")
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Return how far."""
        return f"{self.lambd}"


class Tanhshrink(Module):
    """``x - tanh(x)``."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.tanhshrink(input)
