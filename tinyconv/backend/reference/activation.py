"""Activations of straight pieces, and their gradients: what counts is on which piece an input is.

Every comparison is written so that NaN comes out as PyTorch has it: NaN is no element ``<= 0``, so
ReLU keeps it and its gradient passes; it lies inside no interval, so Hardtanh's gradient is 0.
"""

from __future__ import annotations

from math import inf
from typing import Any

from .half import in_float32

#: Least and largest value of a result; those of a ReLU; those that clip nothing.
Limits = tuple[float, float]
RELU: Limits = (0.0, inf)
NO_LIMITS: Limits = (-inf, inf)


def relu(xp: Any, x: Any) -> Any:
    """Return ``max(x, 0)``.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array
        Any shape, real dtype.

    Returns
    -------
    array
        Shape and dtype of ``x``, as of every function here.
    """
    return xp.where(x <= 0, xp.zeros_like(x), x)


def relu_grad(xp: Any, dy: Any, y: Any) -> Any:
    """Return ``dy``, and 0 where ``y <= 0``; ``y`` is input or output of :func:`relu`."""
    return xp.where(y <= 0, xp.zeros_like(dy), dy)


def hardtanh(xp: Any, x: Any, low: float, high: float) -> Any:
    """Return ``min(max(x, low), high)``; NaN stays NaN."""
    x = xp.where(x <= low, xp.full_like(x, low), x)
    return xp.where(x >= high, xp.full_like(x, high), x)


def hardtanh_grad(xp: Any, dy: Any, y: Any, low: float, high: float) -> Any:
    """Return ``dy``, and 0 where ``y <= low`` or ``y >= high``; ``y`` is input or output."""
    return xp.where((y <= low) | (y >= high), xp.zeros_like(dy), dy)


@in_float32
def leaky_relu(xp: Any, x: Any, slope: float) -> Any:
    """Return ``x`` where ``x > 0``, else ``slope * x``."""
    return xp.where(x > 0, x, x * slope)


@in_float32
def leaky_relu_grad(xp: Any, dy: Any, x: Any, slope: float) -> Any:
    """Return ``dy`` where ``x > 0``, else ``slope * dy``; ``x`` is the input."""
    return xp.where(x > 0, dy, dy * slope)


def masked(xp: Any, x: Any, mask: Any) -> Any:
    """Return ``x`` where ``mask``, an array of bools that broadcasts with it, is true, else 0."""
    return xp.where(mask, x, xp.zeros_like(x))
