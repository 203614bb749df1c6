"""Normalisation over the last dimensions: each row of a matrix (rows, size) on its own.

    y = (x - mean) / sqrt(var + eps) * weight + bias         weight and bias: one for each column

Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
"""

from __future__ import annotations

from typing import Any

from .half import in_float32
from .norm import scale_of


@in_float32
def layer_norm(
    xp: Any, x: Any, dims: int, weight: Any, bias: Any, eps: float
) -> tuple[Any, Any, Any]:
    """Return the normalised input and the statistics used.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (*batch, *last)
        Input.
    dims : int
        Number of last dimensions, those that are averaged over.
    weight, bias : array (*last) or None
        Scale (None: 1) and shift (None: 0) of each element; of the dtype of ``x``, or float32
        where that is of half precision.
    eps : float
        Added to the (biased) variance.

    Returns
    -------
    y : array (*batch, *last)
    mean, var : array (*batch)
        float64; 0 where there are no elements.
    """
    axes = tuple(range(x.ndim - dims, x.ndim))
    count = max(_size(x, dims), 1)
    values = xp.astype(x, xp.float64)
    mean = xp.sum(values, axis=axes) / count
    var = xp.sum((values - _beside(xp, mean, x)) ** 2, axis=axes) / count
    return _normalise(xp, x, mean, var, weight, bias, eps), mean, var


def _normalise(xp: Any, x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    y = _standardised(xp, x, mean, var, eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@in_float32(rounded=1)
def layer_norm_grad(
    xp: Any, dy: Any, x: Any, mean: Any, var: Any, weight: Any, eps: float
) -> tuple[Any, Any, Any]:
    """Return the gradients of layer normalisation.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy, x : array (*batch, *last)
        Gradient with respect to the output, and the input.
    mean, var : array (*batch)
        From :func:`layer_norm`.
    weight : array (*last) or None
        Scale of each element.
    eps : float
        As given to :func:`layer_norm`.

    Returns
    -------
    dx : array (*batch, *last)
    dweight, dbias : array (*last)
        Float32 where ``x`` is of half precision.
    """
    outer = mean.ndim
    rows, last = tuple(range(outer)), tuple(range(outer, x.ndim))
    count = max(_size(x, x.ndim - outer), 1)
    h = _standardised(xp, x, mean, var, eps)
    dbias = xp.sum(dy, axis=rows, dtype=xp.float64)
    dweight = xp.sum(dy * h, axis=rows, dtype=xp.float64)
    g = dy if weight is None else dy * weight
    plain = xp.sum(g, axis=last, keepdims=True) / count
    product = xp.sum(g * h, axis=last, keepdims=True) / count
    inverse = xp.astype(_beside(xp, scale_of(xp, var, None, eps), x), x.dtype)
    dx = (g - plain - h * product) * inverse
    return dx, xp.astype(dweight, x.dtype), xp.astype(dbias, x.dtype)


def _standardised(xp: Any, x: Any, mean: Any, var: Any, eps: float) -> Any:
    """Return ``(x - mean) / sqrt(var + eps)`` with the digits that :mod:`.norm` speaks of."""
    centre, inverse = xp.astype(mean, x.dtype), scale_of(xp, var, None, eps)
    shift = (xp.astype(centre, xp.float64) - mean) * inverse
    centre, inverse, shift = (
        _beside(xp, xp.astype(v, x.dtype), x) for v in (centre, inverse, shift)
    )
    return (x - centre) * inverse + shift


def _beside(xp: Any, values: Any, x: Any) -> Any:
    """Return values (*batch) so that they broadcast against (*batch, *last)."""
    return xp.reshape(values, (*values.shape, *(1,) * (x.ndim - values.ndim)))


def _size(x: Any, dims: int) -> int:
    size = 1
    for length in x.shape[x.ndim - dims :]:
        size *= length
    return size
