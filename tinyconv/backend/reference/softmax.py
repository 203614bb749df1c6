"""Softmax along an axis, its logarithm, and their gradients.

    softmax(x)_i = exp(x_i - m) / sum_j exp(x_j - m),    m = max_j x_j

The shift by the largest element changes nothing, and keeps exp from overflowing.
"""

from __future__ import annotations

from typing import Any

from .half import in_float32


@in_float32
def softmax(xp: Any, x: Any, axis: int) -> Any:
    """Return ``exp(x) / sum(exp(x))`` along ``axis``."""
    if x.size == 0:
        return xp.zeros_like(x)
    powers = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True, dtype=x.dtype)


@in_float32
def softmax_grad(xp: Any, dy: Any, y: Any, axis: int) -> Any:
    """Return ``y * (dy - sum(dy * y))``, from softmax's result ``y``."""
    weighted = dy * y
    return weighted - y * xp.sum(weighted, axis=axis, keepdims=True, dtype=y.dtype)


@in_float32
def log_softmax(xp: Any, x: Any, axis: int) -> Any:
    """Return ``x - log(sum(exp(x)))`` along ``axis``."""
    if x.size == 0:
        return xp.zeros_like(x)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True, dtype=x.dtype))


@in_float32
def log_softmax_grad(xp: Any, dy: Any, y: Any, axis: int) -> Any:
    """Return ``dy - exp(y) * sum(dy)``, from log_softmax's result ``y``."""
    return dy - xp.exp(y) * xp.sum(dy, axis=axis, keepdims=True, dtype=y.dtype)
