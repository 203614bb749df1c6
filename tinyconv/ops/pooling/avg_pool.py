"""Average, sum and Lp pooling, and average pooling to a given output size.

An average is the sum of a window divided by a count, and the count is where libraries differ; see
``ceil_mode``, ``count_include_pad`` and ``divisor_override`` of ``avg_pool2d``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...errors import ArgumentError
from .._operands import check_floating
from .._tables import table
from ..convolution._windows import Ints, as_batch, hashable, sizes
from .pool import SumPool, Window, window_plan


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Average of each window of a sequence (N, C, L); as ``avg_pool2d``."""
    settings = (kernel_size, stride, padding, ceil_mode)
    return _avg_pool("avg_pool1d", 1, input, settings, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Return the average of each window of each channel.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch; floating point.
    kernel_size : int or pair of int
        Size of the window.
    stride : int or pair of int, optional
        Step of the window; default ``kernel_size``, so that windows do not overlap.
    padding : int, tuple or str, default 0
        Zeros around the input: a number, one a dimension, a (before, after) pair a dimension,
        ``"valid"`` (none) or ``"same"`` (output size ``ceil(size / stride)``). At most half the
        window.
    ceil_mode : bool, default False
        Let a last window hang over the end, if it starts inside the input or the padding before
        it. What hangs over the padding is never counted.
    count_include_pad : bool, default True
        Count the zeros of the padding as elements of the window.
    divisor_override : int, optional
        Divide by this number instead of the count.

    Returns
    -------
    Tensor
        (N, C, H_out, W_out) or (C, H_out, W_out).

    Raises
    ------
    ShapeError
        If the input has another number of dimensions, or the window does not fit.
    DTypeError
        If the input is not floating point.
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.avg_pool2d(tc.tensor([[[[1.0, 2.0, 5.0, 3.0]]]]), (1, 2))
    tensor([[[[1.5000, 4.0000]]]])
    """
    settings = (kernel_size, stride, padding, ceil_mode)
    return _avg_pool("avg_pool2d", 2, input, settings, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Average of each window of a volume (N, C, D, H, W); as ``avg_pool2d``."""
    settings = (kernel_size, stride, padding, ceil_mode)
    return _avg_pool("avg_pool3d", 3, input, settings, count_include_pad, divisor_override)


def sum_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False
) -> Any:
    """Sum of each window of a sequence (N, C, L); arguments as ``avg_pool2d``."""
    return _sum_pool("sum_pool1d", 1, input, (kernel_size, stride, padding, ceil_mode))


def sum_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False
) -> Any:
    """Sum of each window of an image (N, C, H, W); arguments as ``avg_pool2d``."""
    return _sum_pool("sum_pool2d", 2, input, (kernel_size, stride, padding, ceil_mode))


def sum_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False
) -> Any:
    """Sum of each window of a volume (N, C, D, H, W); arguments as ``avg_pool2d``."""
    return _sum_pool("sum_pool3d", 3, input, (kernel_size, stride, padding, ceil_mode))


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """Lp norm of each window of a sequence (N, C, L); as :func:`lp_pool2d`."""
    return _lp_pool("lp_pool1d", 1, input, norm_type, (kernel_size, stride, 0, ceil_mode))


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """Return ``(sum of x**p over the window) ** (1/p)`` for each window of each channel.

    ``p = 1`` is sum pooling; a large even ``p`` comes close to max pooling of absolute values.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch; floating point. Powers are taken of the
        elements themselves: with an odd ``p``, a window whose sum is negative gives NaN.
    norm_type : float
        The exponent p, not 0.
    kernel_size, stride, ceil_mode
        As in ``avg_pool2d``. A window that hangs over the end is scaled up to a full one.

    Returns
    -------
    Tensor
        (N, C, H_out, W_out) or (C, H_out, W_out). Where a sum is 0, the gradient is 0.

    Raises
    ------
    ArgumentError
        If ``norm_type`` is 0, or a setting is out of range.
    """
    return _lp_pool("lp_pool2d", 2, input, norm_type, (kernel_size, stride, 0, ceil_mode))


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """Lp norm of each window of a volume (N, C, D, H, W); as :func:`lp_pool2d`."""
    return _lp_pool("lp_pool3d", 3, input, norm_type, (kernel_size, stride, 0, ceil_mode))


def _sum_pool(op: str, dims: int, input: Any, settings: tuple[Any, ...]) -> Any:
    input, added = as_batch(op, input, dims)
    window, out = _window(op, input, settings)
    y = _window_sums(input, window, out)
    return y.squeeze(0) if added else y


def _window(op: str, input: Any, settings: tuple[Any, ...]) -> tuple[Window, Ints]:
    """Return the checked window and the output sizes for an (N, C, *spatial) input."""
    check_floating(op, "input", input)
    kernel, stride, padding, ceil_mode = hashable(settings)
    return window_plan(op, sizes(input.array.shape), kernel, stride, padding, 1, ceil_mode)


def _window_sums(input: Any, window: Window, out: Ints, divisor: float = 1) -> Any:
    """Return the sum of each window, divided."""
    return SumPool.apply(input, window.kernel, window.stride, window.padding, out, divisor)


def _avg_pool(
    op: str,
    dims: int,
    input: Any,
    settings: tuple[Any, ...],
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    if divisor_override == 0:
        raise ArgumentError(f"{op}: argument 'divisor_override' must not be 0")
    input, added = as_batch(op, input, dims)
    window, out = _window(op, input, settings)
    divisor: Any = divisor_override
    if divisor is None:
        counts = _counts(sizes(input.array.shape), out, window, bool(count_include_pad))
        divisor = _divisor(input, counts)
    if isinstance(divisor, int | float):
        y = _window_sums(input, window, out, divisor)
    else:
        y = _window_sums(input, window, out) / divisor
    return y.squeeze(0) if added else y


@lru_cache(maxsize=1024)
def _counts(
    spatial: Ints, out: Ints, window: Window, count_include_pad: bool
) -> tuple[tuple[int, ...], ...]:
    """Return, for each dimension, how many positions of each window are counted."""
    counts = []
    for i, n in enumerate(spatial):
        k, s, (before, after) = window.kernel[i], window.stride[i], window.padding[i]
        low, high = (-before, n + after) if count_include_pad else (0, n)
        starts = (o * s - before for o in range(out[i]))
        counts.append(tuple(min(start + k, high) - max(start, low) for start in starts))
    return tuple(counts)


def _divisor(like: Any, counts: tuple[tuple[int, ...], ...]) -> Any:
    """Return the product of the counts: a number if all windows count the same, else a tensor."""
    divisor: Any = 1
    for axis, count in enumerate(counts):
        if len(set(count)) == 1:
            divisor = divisor * count[0]
        else:
            shape = [1] * len(counts)
            shape[axis] = -1
            numbers = table(like.device, count, like.dtype.name)
            divisor = divisor * like.wrap(like.xp.reshape(numbers, tuple(shape)))
    return divisor


def _lp_pool(op: str, dims: int, input: Any, norm_type: float, settings: tuple[Any, ...]) -> Any:
    if norm_type == 0:
        raise ArgumentError(f"{op}: argument 'norm_type' must not be 0")
    mean = _avg_pool(op, dims, input**norm_type, settings, True, None)
    kernel = settings[0] if isinstance(settings[0], list | tuple) else (settings[0],)
    count = 1
    for k in kernel * (dims if len(kernel) == 1 else 1):
        count *= k
    total = mean * count
    zero = total == 0  # where x**(1/p) has no finite slope
    return (total.masked_fill(zero, 1.0) ** (1.0 / norm_type)).masked_fill(zero, 0.0)
