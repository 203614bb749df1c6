"""Pooling in any number of spatial dimensions, as a loop over the taps of the window.

Max pooling hands on the largest element of each window and remembers which tap it was, as an
index *inside the window* (row-major): one byte an output is enough for windows of up to 256
taps, and the number does not depend on the size of the image. Its gradient sends each output's
gradient to that tap. Padding is minus infinity, so that it never wins.

Sum pooling adds up each window over zero padding; average pooling divides the sum, and states
what it counts, in the op above.
"""

from __future__ import annotations

from math import inf, prod
from typing import Any

from .half import in_float32
from .windows import Ints, Padding, interior, pad, padded_size, tap_slice, taps


@in_float32
def max_pool(
    xp: Any,
    x: Any,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    out: Ints,
) -> tuple[Any, Any]:
    """Return the largest element of each window, and which tap it was.

    The first of equal elements wins; the first NaN wins over all else. Padding never wins, not
    even against minus infinity, except where a window (with dilation) misses the input
    altogether: then the output is the lowest value of the dtype and the tap is 0.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input, floating-point or integer.
    kernel, stride, dilation : tuple of int
        One number for each spatial dimension.
    padding : tuple of (int, int)
        Before and after, for each spatial dimension.
    out : tuple of int
        Output sizes; the last windows may hang over the end of the padded input.

    Returns
    -------
    y : array (N, C, *out)
    window : array (N, C, *out)
        Index of the winner inside its window, uint8 if the window has up to 256 taps, else int32.
    """
    spatial = x.shape[2:]
    lowest = -inf if xp.isdtype(x.dtype, "real floating") else xp.iinfo(x.dtype).min
    size = padded_size(spatial, kernel, stride, padding, dilation, out)
    values = pad(xp, x, padding, size, lowest)
    real = xp.ones((1, 1, *spatial), dtype=xp.bool, device=x.device)
    real = pad(xp, real, padding, size, False)

    dtype = xp.uint8 if prod(kernel) <= 256 else xp.int32
    shape = (*x.shape[:2], *out)
    best = xp.full(shape, lowest, dtype=x.dtype, device=x.device)
    window = xp.zeros(shape, dtype=dtype, device=x.device)
    found = xp.zeros((1, 1, *out), dtype=xp.bool, device=x.device)
    for number, tap in enumerate(taps(kernel)):
        index = tap_slice(tap, stride, dilation, out)
        value, inside = values[index], real[index]
        better = (value > best) | ((value != value) & (best == best)) | ~found
        wins = better & inside
        best = xp.where(wins, value, best)
        window = xp.where(wins, xp.asarray(number, dtype=dtype, device=x.device), window)
        found = found | inside
    return best, window


@in_float32
def max_pool_grad(
    xp: Any,
    dy: Any,
    window: Any,
    spatial: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Any:
    """Return the gradient of max pooling: each output's gradient, added at its winner.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy : array (N, C, *out)
        Gradient with respect to the output.
    window : array (N, C, *out)
        Winners, from :func:`max_pool`.
    spatial : tuple of int
        Spatial sizes of the input.
    kernel, stride, padding, dilation
        As given to :func:`max_pool`.

    Returns
    -------
    array (N, C, *spatial)
    """
    out = dy.shape[2:]
    size = padded_size(spatial, kernel, stride, padding, dilation, out)
    dx = xp.zeros((*dy.shape[:2], *size), dtype=dy.dtype, device=dy.device)
    zero = xp.asarray(0, dtype=dy.dtype, device=dy.device)
    for number, tap in enumerate(taps(kernel)):
        dx[tap_slice(tap, stride, dilation, out)] += xp.where(window == number, dy, zero)
    return dx[interior(spatial, padding)]


def max_pool_take(
    xp: Any,
    g: Any,
    window: Any,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Any:
    """Return the elements of ``g`` where max pooling has found its winners.

    This is the adjoint of :func:`max_pool_grad`: the derivative of its result with respect to
    ``dy``, and max pooling itself where ``g`` is its input.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    g : array (N, C, *spatial)
        Array to read.
    window : array (N, C, *out)
        Winners, from :func:`max_pool`.
    kernel, stride, padding, dilation
        As given to :func:`max_pool`.

    Returns
    -------
    array (N, C, *out)
    """
    out = window.shape[2:]
    size = padded_size(g.shape[2:], kernel, stride, padding, dilation, out)
    g = pad(xp, g, padding, size)
    taken = xp.zeros((*g.shape[:2], *out), dtype=g.dtype, device=g.device)
    for number, tap in enumerate(taps(kernel)):
        taken = xp.where(window == number, g[tap_slice(tap, stride, dilation, out)], taken)
    return taken


@in_float32
def sum_pool(
    xp: Any,
    x: Any,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    out: Ints,
    divisor: float = 1,
) -> Any:
    """Return the sum of each window, with zeros as padding, divided by a number.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array (N, C, *spatial)
        Input.
    kernel, stride : tuple of int
        One number for each spatial dimension.
    padding : tuple of (int, int)
        Zeros before and after, for each spatial dimension.
    out : tuple of int
        Output sizes; the last windows may hang over the end of the padded input.
    divisor : float, default 1
        Number of elements that an average counts.

    Returns
    -------
    array (N, C, *out)
    """
    dense = (1,) * len(kernel)
    x = pad(xp, x, padding, padded_size(x.shape[2:], kernel, stride, padding, dense, out))
    y = xp.zeros((*x.shape[:2], *out), dtype=x.dtype, device=x.device)
    for tap in taps(kernel):
        y += x[tap_slice(tap, stride, dense, out)]
    return y if divisor == 1 else y / divisor


@in_float32
def sum_pool_grad(
    xp: Any,
    dy: Any,
    spatial: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    divisor: float = 1,
) -> Any:
    """Return the gradient of sum pooling: each output's gradient, added to its whole window.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    dy : array (N, C, *out)
        Gradient with respect to the output.
    spatial : tuple of int
        Spatial sizes of the input.
    kernel, stride, padding, divisor
        As given to :func:`sum_pool`.

    Returns
    -------
    array (N, C, *spatial)
    """
    out, dense = dy.shape[2:], (1,) * len(kernel)
    size = padded_size(spatial, kernel, stride, padding, dense, out)
    dx = xp.zeros((*dy.shape[:2], *size), dtype=dy.dtype, device=dy.device)
    for tap in taps(kernel):
        dx[tap_slice(tap, stride, dense, out)] += dy
    dx = dx[interior(spatial, padding)]
    return dx if divisor == 1 else dx / divisor
