"""Batch normalisation in training mode: statistics over every axis but the channels (axis 1).

    mean[c] = average of x over batch and positions
    var[c]  = average of (x - mean)^2         the biased variance: divided by the count
    y       = (x - mean) / sqrt(var + eps) * weight + bias

The variance is taken of the differences, in a second pass. The one-pass formula
``E[x^2] - E[x]^2`` subtracts two large numbers and loses all digits where ``mean >> std``.

Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .half import in_float32


@in_float32
def batch_norm(xp: Any, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """Return the normalised input and the statistics used.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input. An empty batch has mean and variance 0.
    weight, bias : array (C,) or None
        Scale (None: 1) and shift (None: 0) of each channel.
    eps : float
        Added to the variance.

    Returns
    -------
    y : array (N, C, *spatial)
    mean, var : array (C,)
        ``var`` is the biased variance.
    """
    axes, shape, count = _layout(x)
    mean = xp.sum(x, axis=axes) / count
    centred = x - xp.reshape(mean, shape)
    var = xp.sum(centred * centred, axis=axes) / count
    scale = _scale(xp, var, weight, eps)
    y = centred * xp.reshape(scale, shape)
    if bias is not None:
        y += xp.reshape(bias, shape)
    return y, mean, var


@in_float32
def batch_norm_grad(
    xp: Any, dy: Any, x: Any, mean: Any, var: Any, weight: Any, eps: float
) -> tuple[Any, Any, Any]:
    """Return the gradients of batch normalisation.

    With ``h = (x - mean) / sqrt(var + eps)`` and ``avg`` over batch and positions,

        dbias = sum(dy)        dweight = sum(dy * h)
        dx = weight / sqrt(var + eps) * (dy - avg(dy) - h * avg(dy * h))

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy, x : array (N, C, *spatial)
        Gradient with respect to the output, and the input.
    mean, var : array (C,)
        Statistics from :func:`batch_norm`.
    weight : array (C,) or None
        Scale of each channel.
    eps : float
        As given to :func:`batch_norm`.

    Returns
    -------
    dx : array (N, C, *spatial)
    dweight, dbias : array (C,)
    """
    axes, shape, count = _layout(x)
    inverse = _scale(xp, var, None, eps)
    normalised = (x - xp.reshape(mean, shape)) * xp.reshape(inverse, shape)
    dbias = xp.sum(dy, axis=axes)
    dweight = xp.sum(dy * normalised, axis=axes)
    dx = dy - xp.reshape(dbias / count, shape) - normalised * xp.reshape(dweight / count, shape)
    dx *= xp.reshape(_scale(xp, var, weight, eps), shape)
    return dx, dweight, dbias


def _layout(x: Any) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return the axes that are averaged, the shape of a channel vector, and the count."""
    axes = (0, *range(2, x.ndim))
    shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    return axes, shape, max(prod(x.shape[axis] for axis in axes), 1)


def _scale(xp: Any, var: Any, weight: Any, eps: float) -> Any:
    """Return ``weight / sqrt(var + eps)``."""
    inverse = 1 / xp.sqrt(var + eps)
    return inverse if weight is None else inverse * weight
