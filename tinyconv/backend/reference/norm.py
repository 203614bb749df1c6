"""Batch normalisation: statistics over every axis but the channels (axis 1).

    mean[c] = average of x over batch and positions
    var[c]  = average of (x - mean)^2         the biased variance: divided by the count
    y       = (x - mean) / sqrt(var + eps) * weight + bias

In training the statistics are those of the batch, at inference they are running averages; so
taking them and using them are two kernels.

Two things keep the digits where ``mean >> std``. The variance is taken of differences: the formula
``E[x^2] - E[x]^2`` subtracts two large numbers. And statistics are float64, whatever the input
is: the mean is split into ``centre``, itself rounded to the dtype of the input, and a rest that
goes into the shift. Then ``x - centre`` is exact where it matters.

Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from .activation import RELU, Limits, hardtanh, hardtanh_grad, relu_grad
from .half import in_float32

#: Mean, variance, weight, bias and eps, as :func:`batch_norm` takes them.
Norm = tuple[Any, Any, Any, Any, float]


class Prologue(NamedTuple):
    """What is done to the input of a convolution before it: normalised, then clipped."""

    norm: Norm
    limits: Limits


@in_float32
def batch_statistics(
    xp: Any, x: Any, averages: tuple[Any, ...] | None = None, momentum: float = 0.0
) -> tuple[Any, Any]:
    """Return mean and biased variance of each channel; move running averages towards them.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input. An empty batch has mean and variance 0.
    averages : tuple of array, optional
        Of the means and of the unbiased variances, each (C,) and of one dtype that is not of half
        precision; written to as :func:`move_averages` does. There may be a third, int64 (): how
        many batches they have seen, which grows by 1.
    momentum : float, default 0
        Weight of the new values in the averages.

    Returns
    -------
    mean, var : array (C,)
        float64.
    """
    axes, shape, count = _layout(x)
    mean = xp.sum(x, axis=axes, dtype=xp.float64) / count
    var = xp.sum((x - xp.reshape(mean, shape)) ** 2, axis=axes) / count
    if averages is not None:
        move_all(xp, averages, mean, var, bessel_correction(x.shape), momentum)
    return mean, var


def move_all(
    xp: Any, averages: tuple[Any, ...], mean: Any, var: Any, correction: float, momentum: float
) -> None:
    """Move what :func:`batch_statistics` is given towards a mean and a biased variance."""
    *vectors, batches = averages if len(averages) == 3 else (*averages, None)
    move_averages(xp, vectors, (mean, var * correction), momentum)
    if batches is not None:
        batches[...] = batches + 1


def bessel_correction(shape: Sequence[int]) -> float:
    """Return n / (n - 1) of a batch of that shape: it makes its variances unbiased ones."""
    count = shape[0] * prod(shape[2:])
    return count / max(count - 1, 1)


def move_averages(xp: Any, averages: Sequence[Any], values: Sequence[Any], momentum: float) -> None:
    """Move running averages towards new values, in place: all of them or none.

    ``average = average * (1 - momentum) + value * momentum``

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    averages : sequence of array (C,)
        What is written to.
    values : sequence of array (C,)
        One for each; first rounded to its dtype.
    momentum : float
        Weight of the new values.
    """
    updated = [
        average * (1 - momentum) + xp.asarray(value, dtype=average.dtype) * momentum
        for average, value in zip(averages, values, strict=True)
    ]
    for average, new in zip(averages, updated, strict=True):
        average[...] = new


@in_float32
def batch_norm(
    xp: Any,
    x: Any,
    mean: Any,
    var: Any,
    weight: Any,
    bias: Any,
    eps: float,
    residual: Any,
    limits: Limits | None,
) -> Any:
    """Return the normalised input, optionally plus another array, optionally clipped.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input.
    mean, var : array (C,)
        Statistics: of the batch, or running averages.
    weight, bias : array (C,) or None
        Scale (None: 1) and shift (None: 0) of each channel; of the dtype of ``x``, or float32
        where that is of half precision.
    eps : float
        Added to the variance.
    residual : array (N, C, *spatial) or None
        Added to the result.
    limits : tuple of float, or None
        Least and largest result: (0, infinity) for a ReLU. NaN stays NaN.

    Returns
    -------
    array (N, C, *spatial)
    """
    _, shape, _ = _layout(x)
    scale = scale_of(xp, var, weight, eps)
    centre, scale, shift = (
        xp.reshape(v, shape) for v in affine_map(xp, mean, scale, bias, x.dtype)
    )
    y = (x - centre) * scale + shift
    if residual is not None:
        y = y + residual
    return y if limits is None else hardtanh(xp, y, *limits)


@in_float32(rounded=1)
def batch_norm_grad(
    xp: Any,
    dy: Any,
    x: Any,
    mean: Any,
    var: Any,
    weight: Any,
    bias: Any,
    eps: float,
    y: Any,
    limits: Limits | None,
    training: bool,
    total: Any = None,
) -> tuple[Any, Any, Any]:
    """Return the gradients of batch normalisation, and of a ReLU or the like after it.

    With ``h = (x - mean) / sqrt(var + eps)`` and ``avg`` over batch and positions,

        dbias = sum(dy)        dweight = sum(dy * h)
        dx = weight / sqrt(var + eps) * (dy - avg(dy) - h * avg(dy * h))     in training
        dx = weight / sqrt(var + eps) * dy                                   at inference

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy, x : array (N, C, *spatial)
        Gradient with respect to the output, and the input.
    mean, var : array (C,)
        Statistics that were used.
    weight, bias : array (C,) or None
        Scale and shift of each channel; the shift is needed with limits and without ``y``.
    eps : float
        As given to :func:`batch_norm`.
    y : array (N, C, *spatial) or None
        The clipped output, if something else was added; ``None`` has it computed again.
    limits : tuple of float, or None
        Its least and largest value; ``dy`` counts as 0 where ``y`` is one of them, if finite.
        ``None`` if it was not clipped.
    training : bool
        Whether mean and variance are functions of ``x``.
    total : array (N, C, *spatial), optional
        Added to ``dx``, which may be written over it.

    Returns
    -------
    dx : array (N, C, *spatial)
    dweight, dbias : array (C,)
        Float32 where ``x`` is of half precision.
    """
    axes, shape, count = _layout(x)
    if limits is not None:
        if y is None:
            y = batch_norm(xp, x, mean, var, weight, bias, eps, None, None)
        dy = clipped_grad(xp, dy, y, limits)
    centre = xp.astype(mean, x.dtype)
    centred = x - xp.reshape(centre, shape)
    plain = xp.sum(dy, axis=axes, dtype=xp.float64)
    product = xp.sum(dy * centred, axis=axes, dtype=xp.float64)
    product -= (mean - xp.astype(centre, xp.float64)) * plain
    inverse, scale = scale_of(xp, var, None, eps), scale_of(xp, var, weight, eps)
    slope, offset = gradient_map(xp, mean, scale, inverse, plain, product, count, x.dtype)
    dx = dy * xp.reshape(xp.astype(scale, x.dtype), shape)
    if training:
        dx = dx + (centred * xp.reshape(slope, shape) + xp.reshape(offset, shape))
    if total is not None:
        dx = total + dx
    return dx, xp.astype(product * inverse, x.dtype), xp.astype(plain, x.dtype)


def clipped_grad(xp: Any, dy: Any, y: Any, limits: Limits) -> Any:
    """Return ``dy``, and 0 where ``y`` is at one of the limits; infinity is no limit."""
    low, high = limits
    return relu_grad(xp, dy, y) if limits == RELU else hardtanh_grad(xp, dy, y, low, high)


def scale_of(xp: Any, var: Any, weight: Any, eps: float) -> Any:
    """Return ``weight / sqrt(var + eps)`` in float64."""
    inverse = 1 / xp.sqrt(xp.asarray(var, dtype=xp.float64) + eps)
    return inverse if weight is None else inverse * xp.asarray(weight, dtype=xp.float64)


def affine_map(xp: Any, mean: Any, scale: Any, bias: Any, dtype: Any) -> tuple[Any, Any, Any]:
    """Return centre, scale and shift with ``(x - centre) * scale + shift`` the normalised input.

    ``mean`` and ``scale`` are float64; what rounding the mean to ``centre`` leaves over is part of
    the shift.
    """
    centre = xp.astype(mean, dtype)
    shift = (xp.astype(centre, xp.float64) - mean) * scale
    if bias is not None:
        shift = shift + xp.astype(bias, xp.float64)
    return centre, xp.astype(scale, dtype), xp.astype(shift, dtype)


def gradient_map(
    xp: Any, mean: Any, scale: Any, inverse: Any, plain: Any, product: Any, count: int, dtype: Any
) -> tuple[Any, Any]:
    """Return slope and offset: ``dx = scale * dy + slope * (x - centre) + offset`` in training.

    ``plain`` and ``product`` are the sums of ``dy`` and of ``dy * (x - mean)``.
    """
    slope = -scale * inverse**2 * product / count
    rest = mean - xp.astype(xp.astype(mean, dtype), xp.float64)
    offset = -scale * plain / count - slope * rest
    return xp.astype(slope, dtype), xp.astype(offset, dtype)


def _layout(x: Any) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return the axes that are averaged, the shape of a channel vector, and the count."""
    axes = (0, *range(2, x.ndim))
    shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    return axes, shape, max(prod(x.shape[axis] for axis in axes), 1)
