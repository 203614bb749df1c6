"""Normalisation of each sample over groups of its channels and all positions.

With one group a channel it is instance normalisation. The statistics of a group and the weight of
a channel are put together into one map ``(x - centre) * scale + shift`` for each channel of each
sample, as in batch normalisation, see :mod:`.norm`.

Wu and He, "Group Normalization", 2018, arXiv:1803.08494.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .half import in_float32
from .norm import affine_map, scale_of


@in_float32(rounded=1)
def group_norm(
    xp: Any, x: Any, groups: int, weight: Any, bias: Any, eps: float
) -> tuple[Any, Any, Any]:
    """Return the normalised input, and mean and biased variance of each group of each sample.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input.
    groups : int
        Divides C.
    weight, bias : array (C,) or None
        Scale (None: 1) and shift (None: 0) of each channel; of the dtype of ``x``, or float32
        where that is of half precision.
    eps : float
        Added to the variance.

    Returns
    -------
    y : array (N, C, *spatial)
    mean, var : array (N, groups)
        float64; 0 where there are no elements.
    """
    size = prod(x.shape[1:]) // groups
    values = xp.astype(xp.reshape(x, (x.shape[0], groups, size)), xp.float64)
    mean = xp.sum(values, axis=2) / max(size, 1)
    var = xp.sum((values - mean[..., None]) ** 2, axis=2) / max(size, 1)
    wide, inverse = by_channel(xp, x, mean), by_channel(xp, x, scale_of(xp, var, None, eps))
    scale = inverse if weight is None else inverse * xp.astype(weight, xp.float64)
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2))
    centre, scale, shift = (
        xp.reshape(v, shape) for v in affine_map(xp, wide, scale, bias, x.dtype)
    )
    return (x - centre) * scale + shift, mean, var


@in_float32(rounded=1)
def group_norm_grad(
    xp: Any, dy: Any, x: Any, mean: Any, var: Any, weight: Any, eps: float
) -> tuple[Any, Any, Any]:
    """Return the gradients of group normalisation.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy, x : array (N, C, *spatial)
        Gradient with respect to the output, and the input.
    mean, var : array (N, groups)
        From :func:`group_norm`.
    weight : array (C,) or None
        Scale of each channel.
    eps : float
        As given to :func:`group_norm`.

    Returns
    -------
    dx : array (N, C, *spatial)
    dweight, dbias : array (C,)
        Float32 where ``x`` is of half precision.
    """
    shape, spatial = (*x.shape[:2], *(1,) * (x.ndim - 2)), tuple(range(2, x.ndim))
    centre = xp.astype(by_channel(xp, x, mean), x.dtype)
    centred = x - xp.reshape(centre, shape)
    plain = xp.sum(dy, axis=spatial, dtype=xp.float64)
    product = xp.sum(dy * centred, axis=spatial, dtype=xp.float64)
    maps, dweight, dbias = group_gradient(xp, x, mean, var, weight, eps, plain, product)
    scale, slope, offset = (xp.reshape(v, shape) for v in maps)
    dx = dy * scale + (centred * slope + offset)
    return dx, dweight, dbias


def by_channel(xp: Any, x: Any, values: Any) -> Any:
    """Return values of groups (N, groups) as values of channels (N, C)."""
    batch, groups = values.shape
    size = x.shape[1] // groups
    return xp.reshape(xp.broadcast_to(values[..., None], (batch, groups, size)), x.shape[:2])


def group_gradient(
    xp: Any, x: Any, mean: Any, var: Any, weight: Any, eps: float, plain: Any, product: Any
) -> tuple[tuple[Any, Any, Any], Any, Any]:
    """Return the map to dx for each channel of each sample, dweight and dbias.

    ``plain`` and ``product`` (N, C) are the sums over positions of ``dy`` and of
    ``dy * (x - centre)``, where ``centre`` is the mean rounded to the dtype of ``x``. The map is
    scale, slope and offset with ``dx = scale * dy + slope * (x - centre) + offset``.
    """
    batch, groups = mean.shape
    count, size = max(prod(x.shape[1:]) // groups, 1), x.shape[1] // groups
    wide = by_channel(xp, x, mean)
    rest = wide - xp.astype(xp.astype(wide, x.dtype), xp.float64)
    product = product - rest * plain
    inverse = scale_of(xp, var, None, eps)
    gamma = xp.ones_like(plain[:1]) if weight is None else xp.astype(weight, xp.float64)

    def average(values: Any) -> Any:
        return xp.sum(xp.reshape(values * gamma, (batch, groups, size)), axis=2) / count

    slope = by_channel(xp, x, -(inverse**3) * average(product))
    offset = by_channel(xp, x, -inverse * average(plain)) - slope * rest
    inverse = by_channel(xp, x, inverse)
    maps = tuple(xp.astype(v, x.dtype) for v in (inverse * gamma, slope, offset))
    dweight = xp.sum(product * inverse, axis=0)
    return maps, xp.astype(dweight, x.dtype), xp.astype(xp.sum(plain, axis=0), x.dtype)
