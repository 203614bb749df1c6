"""Smooth activation functions and their gradients.

    sigmoid(x) = 1 / (1 + exp(-x))
    silu(x)    = x * sigmoid(x)
    gelu(x)    = x * Phi(x) = x/2 * (1 + erf(x / sqrt 2))

with the distribution function Phi and the density phi of the standard normal distribution.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from .half import in_float32
from .special import erf


@in_float32
def sigmoid(xp: Any, x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``."""
    return 1 / (1 + xp.exp(-x))


@in_float32
def silu(xp: Any, x: Any) -> Any:
    """Return ``x * sigmoid(x)``."""
    return x * sigmoid(xp, x)


@in_float32
def silu_grad(xp: Any, dy: Any, x: Any) -> Any:
    """Return ``dy * (s + x * s * (1 - s))``, with ``s = sigmoid(x)``."""
    s = sigmoid(xp, x)
    return dy * (s * (x * (1 - s) + 1))


@in_float32
def gelu(xp: Any, x: Any) -> Any:
    """Return ``x * Phi(x)``."""
    return x * ((erf(xp, x * sqrt(0.5)) + 1) * 0.5)


@in_float32
def gelu_grad(xp: Any, dy: Any, x: Any) -> Any:
    """Return ``dy * (Phi(x) + x * phi(x))``."""
    density = xp.exp(x * x * -0.5) * (1 / sqrt(2 * pi))
    return dy * ((erf(xp, x * sqrt(0.5)) + 1) * 0.5 + x * density)
