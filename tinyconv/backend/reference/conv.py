"""Convolution in any number of spatial dimensions: a loop over kernel taps, one matmul each.

What deep learning calls convolution is cross-correlation, and it is linear in the input and in
the weights. With ``i = o*s - before + t*d`` (see :mod:`.windows`),

    forward          y[n, o, pos] = bias[o] + sum over c, t of  w[o, c, t] * x[n, c, i(pos, t)]
    input gradient   dx[n, c, i] = sum over o and all (pos, t) that read i of  w[o, c, t] * dy[n, o, pos]
    weight gradient  dw[o, c, t] = sum over n, pos of  dy[n, o, pos] * x[n, c, i(pos, t)]

For one tap, ``w[:, :, t]`` is an (O, C) matrix that mixes the channels of every pixel: a matmul
with the (C, positions) matrix of the pixels this tap reads. With groups, channels come in
``groups`` blocks that do not mix: the same matmul with one more batch axis.

Shapes: x (N, C, *spatial), w (O, C/groups, *kernel), y and dy (N, O, *out).
"""  # noqa: E501

from __future__ import annotations

from math import prod
from typing import Any

from .activation import Limits, hardtanh
from .half import in_float32
from .norm import Norm, Prologue, batch_norm, batch_statistics
from .windows import Ints, Padding, interior, output_size, pad, padded_size, tap_slice, taps


@in_float32
def conv(
    xp: Any,
    x: Any,
    w: Any,
    bias: Any,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    limits: Limits | None = None,
    norm: Norm | None = None,
    residual: Any = None,
    prologue: Prologue | None = None,
) -> Any:
    """Return the cross-correlation of ``x`` with ``w``, plus ``bias``, normalised and clipped.

    ``y[n, o, pos] = bias[o] + sum over c, t of w[o, c, t] * x[n, c, pos*stride - before + t*dilation]``

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input.
    w : array (O, C/groups, *kernel)
        Weights.
    bias : array (O,) or None
        Added to each output channel.
    stride, dilation : tuple of int
        One number for each spatial dimension.
    padding : tuple of (int, int)
        Zeros before and after, for each spatial dimension.
    groups : int
        Number of blocks of channels that do not mix.
    limits : tuple of float, optional
        Least and largest result: (0, infinity) for a ReLU. NaN stays NaN.
    norm : tuple, optional
        Mean, variance, weight, bias and eps, as ``batch_norm`` takes them, by which the
        sum of convolution and bias is normalised before it is clipped.
    residual : array (N, O, *out), optional
        Added to what was normalised, before it is clipped; only with ``norm``.
    prologue : Prologue, optional
        By what ``x`` is normalised, and to what it is clipped, before it is padded and convolved.

    Returns
    -------
    array (N, O, *out)
        ``out = floor((spatial + before + after - dilation*(kernel-1) - 1) / stride) + 1``.
    """  # noqa: E501
    x = _prepared(xp, x, prologue)
    batch, out_channels, kernel = x.shape[0], w.shape[0], w.shape[2:]
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    size = padded_size(x.shape[2:], kernel, stride, padding, dilation, out)
    x = pad(xp, x, padding, size)
    y = xp.zeros(
        (batch, groups, out_channels // groups, prod(out)),
        dtype=xp.result_type(x, w),
        device=x.device,
    )
    for tap in taps(kernel):
        pixels = x[tap_slice(tap, stride, dilation, out)]
        y += xp.matmul(_mixing_matrices(xp, w, tap, groups), _by_group(xp, pixels, groups))
    y = xp.reshape(y, (batch, out_channels, *out))
    if bias is not None:
        y += xp.reshape(bias, (1, out_channels, *(1,) * len(out)))
    if norm is not None:
        return batch_norm(xp, y, *norm, residual, limits)
    return y if limits is None else hardtanh(xp, y, *limits)


def conv_with_statistics(
    xp: Any,
    x: Any,
    w: Any,
    bias: Any,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    prologue: Prologue | None = None,
    averages: tuple[Any, ...] | None = None,
    momentum: float = 0.0,
) -> tuple[Any, Any, Any]:
    """Return the cross-correlation of ``x`` with ``w``, and mean and variance of its channels.

    Parameters
    ----------
    xp, x, w, bias, stride, padding, dilation, groups, prologue
        As given to :func:`conv`.
    averages, momentum
        As given to ``batch_statistics``.

    Returns
    -------
    y : array (N, O, *out)
        The convolution, plus ``bias``.
    mean, var : array (O,)
        What ``batch_statistics`` returns of ``y``, as it was rounded to its dtype.
    """
    rest = stride, padding, dilation, groups, None, None, None, prologue
    y = conv(xp, x, w, bias, *rest)
    mean, var = batch_statistics(xp, y, averages, momentum)
    return y, mean, var


@in_float32
def conv_input_grad(
    xp: Any,
    dy: Any,
    w: Any,
    spatial: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    bias: Any | None = None,
    total: Any = None,
) -> Any:
    """Return the gradient of a convolution with respect to its input, optionally plus an array.

    Each tap sends ``w[:, :, t]`` transposed times ``dy`` back to the pixels it has read. The same
    function is the forward pass of a transposed convolution.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy : array (N, O, *out)
        Gradient with respect to the output.
    w : array (O, C/groups, *kernel)
        Weights.
    spatial : tuple of int
        Spatial sizes of the input.
    stride, padding, dilation, groups
        As given to :func:`conv`.
    bias : array (C,), optional
        Added to every pixel.
    total : array (N, C, *spatial), optional
        Added to the result, which may be written over it.

    Returns
    -------
    array (N, C, *spatial)
        Zero, or the bias, where no window has read.
    """
    batch, out, kernel = dy.shape[0], dy.shape[2:], w.shape[2:]
    channels = w.shape[1] * groups
    size = padded_size(spatial, kernel, stride, padding, dilation, out)
    dx = xp.zeros((batch, channels, *size), dtype=xp.result_type(dy, w), device=dy.device)
    pixels = _by_group(xp, dy, groups)
    for tap in taps(kernel):
        mix = xp.matrix_transpose(_mixing_matrices(xp, w, tap, groups))
        dx[tap_slice(tap, stride, dilation, out)] += xp.reshape(
            xp.matmul(mix, pixels), (batch, channels, *out)
        )
    dx = dx[interior(spatial, padding)]
    if bias is not None:
        dx = dx + xp.reshape(bias, (1, channels, *(1,) * len(out)))
    return dx if total is None else total + dx


@in_float32
def conv_weight_grad(
    xp: Any,
    x: Any,
    dy: Any,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    prologue: Prologue | None = None,
) -> Any:
    """Return the gradient of a convolution with respect to its weights.

    For each tap: ``dy`` as an (O, N*positions) matrix times the pixels that the tap has read as an
    (N*positions, C) matrix.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input.
    dy : array (N, O, *out)
        Gradient with respect to the output.
    kernel : tuple of int
        Spatial sizes of the weights.
    stride, padding, dilation, groups
        As given to :func:`conv`.
    prologue : Prologue, optional
        As given to :func:`conv`; ``x`` is the input before it.

    Returns
    -------
    array (O, C/groups, *kernel)
    """
    x = _prepared(xp, x, prologue)
    channels, out_channels, out = x.shape[1], dy.shape[1], dy.shape[2:]
    size = padded_size(x.shape[2:], kernel, stride, padding, dilation, out)
    x = pad(xp, x, padding, size)
    shape = (out_channels, channels // groups)
    dw = xp.zeros((*shape, *kernel), dtype=xp.result_type(x, dy), device=x.device)
    rows = _over_batch(xp, dy, groups)
    for tap in taps(kernel):
        pixels = _over_batch(xp, x[tap_slice(tap, stride, dilation, out)], groups)
        product = xp.matmul(rows, xp.matrix_transpose(pixels))
        dw[(slice(None), slice(None), *tap)] = xp.reshape(product, shape)
    return dw


def _prepared(xp: Any, x: Any, prologue: Prologue | None) -> Any:
    """Return what is convolved."""
    return x if prologue is None else batch_norm(xp, x, *prologue.norm, None, prologue.limits)


def _mixing_matrices(xp: Any, w: Any, tap: Ints, groups: int) -> Any:
    """Return the weights of one tap as (groups, O/groups, C/groups) matrices."""
    out_channels, channels = w.shape[:2]
    matrix = w[(slice(None), slice(None), *tap)]
    return xp.reshape(matrix, (groups, out_channels // groups, channels))


def _by_group(xp: Any, x: Any, groups: int) -> Any:
    """Return (N, C, *out) as (N, groups, C/groups, positions)."""
    batch, channels = x.shape[:2]
    return xp.reshape(x, (batch, groups, channels // groups, prod(x.shape[2:])))


def _over_batch(xp: Any, x: Any, groups: int) -> Any:
    """Return (N, C, *out) as (groups, C/groups, N*positions)."""
    by_group = xp.permute_dims(_by_group(xp, x, groups), (1, 2, 0, 3))
    return xp.reshape(by_group, (*by_group.shape[:2], by_group.shape[2] * by_group.shape[3]))
