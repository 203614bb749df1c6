"""Max, sum and average pooling: one number for each window of each channel.

The gradient of max pooling goes to the winner of each window. Which tap has won is an integer
tensor, so both maps are linear once it is known, and each is the derivative of the other:

    MaxPool       y  = max over the window; remembers the winner
    MaxPoolGrad   dx = dy added at the winners
    MaxPoolTake   dy = g read at the winners

    SumPool       y  = sum over the window
    SumPoolGrad   dx = dy added over the window
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from ...autograd import Function, is_grad_enabled
from ...autograd.modes import is_followed
from ...backend.dtypes import BOOL
from ...errors import ArgumentError, DTypeError, ShapeError
from ..convolution._windows import (
    Ints,
    Padding,
    as_batch,
    check_kernel_fits,
    hashable,
    padding_pairs,
    per_dimension,
    sizes,
    window_count,
)
from ..masks import unpooled


class Window(NamedTuple):
    """The window and how it moves; in the order in which kernels take it."""

    kernel: Ints
    stride: Ints
    padding: Padding
    dilation: Ints


class MaxPool(Function):
    """y[p] = max over taps t of x[p*stride - before + t*dilation]; padding never wins."""

    takes_bfloat16 = True

    #: Array, version counter and version of the output, where a ReLU made the input.
    pooled: Any = None

    @staticmethod
    def forward(ctx: Any, input: Any, window: Window, out: Ints) -> Any:
        y, winner = map(input.wrap, input.device.backend.max_pool(input.array, *window, out))
        ctx.save_for_backward(winner)
        if getattr(input._grad_fn, "clips", False):
            ctx.pooled = y.array, y._version, y._version[0]
        ctx.mark_non_differentiable(winner)
        ctx.set_materialize_grads(False)  # of the winners
        ctx.spatial, ctx.window = sizes(input.array.shape), window
        return y, winner

    @staticmethod
    def backward(ctx: Any, grad: Any, _: Any) -> Any:
        (winner,) = ctx.saved_tensors
        if ctx.pooled is not None and not is_grad_enabled():
            y, counter, version = ctx.pooled
            if counter[0] == version:  # else somebody has modified it, which is allowed
                return unpooled(grad, winner.array, y, ctx.spatial, ctx.window), None, None
        pool_grad = MaxPoolGrad.apply if is_followed() else _max_pool_grad
        return pool_grad(grad, winner, ctx.spatial, ctx.window), None, None

    def release(self) -> None:
        super().release()
        self.pooled = None


class MaxPoolGrad(Function):
    """dx = dy added at the winner of each window."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, grad: Any, winner: Any, spatial: Ints, window: Window) -> Any:
        ctx.save_for_backward(winner)
        ctx.window = window
        return _max_pool_grad(grad, winner, spatial, window)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (winner,) = ctx.saved_tensors
        return MaxPoolTake.apply(grad, winner, ctx.window), None, None, None


class MaxPoolTake(Function):
    """y = g read at the winner of each window."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, input: Any, winner: Any, window: Window) -> Any:
        ctx.save_for_backward(winner)
        ctx.spatial, ctx.window = sizes(input.array.shape), window
        max_pool_take = input.device.backend.max_pool_take
        return input.wrap(max_pool_take(input.array, winner.array, *window))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (winner,) = ctx.saved_tensors
        return MaxPoolGrad.apply(grad, winner, ctx.spatial, ctx.window), None, None


class SumPool(Function):
    """y[p] = sum over taps t of x[p*stride - before + t] / divisor, with zeros as padding."""

    takes_bfloat16 = True

    @staticmethod
    def forward(
        ctx: Any,
        input: Any,
        kernel: Ints,
        stride: Ints,
        padding: Padding,
        out: Ints,
        divisor: float = 1,
    ) -> Any:
        ctx.settings = (sizes(input.array.shape), kernel, stride, padding, divisor)
        sum_pool = input.device.backend.sum_pool
        return input.wrap(sum_pool(input.array, kernel, stride, padding, out, divisor))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        pool_grad = SumPoolGrad.apply if is_followed() else _sum_pool_grad
        return pool_grad(grad, *ctx.settings), None, None, None, None, None


class SumPoolGrad(Function):
    """dx = dy / divisor, added over the whole window of each output."""

    takes_bfloat16 = True

    @staticmethod
    def forward(
        ctx: Any,
        grad: Any,
        spatial: Ints,
        kernel: Ints,
        stride: Ints,
        padding: Padding,
        divisor: float,
    ) -> Any:
        ctx.settings = (kernel, stride, padding, sizes(grad.array.shape), divisor)
        return _sum_pool_grad(grad, spatial, kernel, stride, padding, divisor)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return SumPool.apply(grad, *ctx.settings), None, None, None, None, None


def _max_pool_grad(grad: Any, winner: Any, spatial: Ints, window: Window) -> Any:
    """Return what :class:`MaxPoolGrad` computes."""
    max_pool_grad = grad.device.backend.max_pool_grad
    return grad.wrap(max_pool_grad(grad.array, winner.array, spatial, *window))


def _sum_pool_grad(grad: Any, *settings: Any) -> Any:
    """Return what :class:`SumPoolGrad` computes."""
    return grad.wrap(grad.device.backend.sum_pool_grad(grad.array, *settings))


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of each window of a sequence (N, C, L); as :func:`max_pool2d`."""
    settings = (kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool1d", 1, input, settings, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of each window of each channel.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch.
    kernel_size : int or pair of int
        Size of the window.
    stride : int or pair of int, optional
        Step of the window; default ``kernel_size``, so that windows do not overlap.
    padding : int, tuple or str, default 0
        Positions around the input that never win: a number, one a dimension, a (before, after)
        pair a dimension, ``"valid"`` (none) or ``"same"`` (output size ``ceil(size / stride)``).
        At most half the window.
    dilation : int or pair of int, default 1
        Distance between the elements of a window.
    ceil_mode : bool, default False
        Let a last window hang over the end, if it starts inside the input or the padding before
        it; else elements that fill no window are left out.
    return_indices : bool, default False
        Also return where each winner is.

    Returns
    -------
    Tensor, or (Tensor, Tensor) with ``return_indices``
        (N, C, H_out, W_out). The indices are int64 and count the elements of one channel
        row-major: ``row * W + column``. Of equal elements the first wins; NaN wins over all.

    Raises
    ------
    ShapeError
        If the input has another number of dimensions, or the window does not fit.
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([[[[1.0, 2.0, 5.0, 3.0], [4.0, 0.0, 1.0, 1.0]]]])
    >>> tc.nn.functional.max_pool2d(x, 2)
    tensor([[[[4., 5.]]]])
    """
    settings = (kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool2d", 2, input, settings, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of each window of a volume (N, C, D, H, W); as :func:`max_pool2d`."""
    settings = (kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool3d", 3, input, settings, return_indices)


def _max_pool(
    op: str, dims: int, input: Any, settings: tuple[Any, ...], return_indices: bool
) -> Any:
    input, added = as_batch(op, input, dims)
    if input.dtype.kind == BOOL:
        raise DTypeError(f"{op}: argument 'input' must hold numbers, got {input.dtype}")
    spatial = sizes(input.array.shape)
    window, out = window_plan(op, spatial, *hashable(settings))
    y, winner = MaxPool.apply(input, window, out)
    if not return_indices:
        return y.squeeze(0) if added else y
    indices = winner.wrap(flat_indices(winner.xp, winner.array, spatial, window))
    return (y.squeeze(0), indices.squeeze(0)) if added else (y, indices)


def flat_indices(xp: Any, winner: Any, spatial: Ints, window: Window) -> Any:
    """Return winners, numbered inside their window, as indices into a channel, row-major."""
    tap = xp.astype(winner, xp.int64)
    dims = len(spatial)
    flat, step = xp.zeros_like(tap), 1
    for axis in reversed(range(dims)):
        kernel, stride = window.kernel[axis], window.stride[axis]
        (before, _), dilation = window.padding[axis], window.dilation[axis]
        shape = [1] * (dims + 2)
        shape[axis + 2] = -1
        start = xp.arange(tap.shape[axis + 2], dtype=xp.int64, device=tap.device) * stride - before
        position = xp.reshape(start, tuple(shape)) + tap % kernel * dilation
        # Only a window that misses the input altogether has its winner outside.
        flat = flat + xp.clip(position, 0, spatial[axis] - 1) * step
        tap, step = tap // kernel, step * spatial[axis]
    return flat


@lru_cache(maxsize=4096, typed=True)
def window_plan(
    op: str,
    spatial: Ints,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> tuple[Window, Ints]:
    """Check the settings of a pooling op; return its window and output sizes."""
    dims = len(spatial)
    if 0 in spatial:
        raise ShapeError(f"{op}: argument 'input' has no elements along a dimension: {spatial}")
    kernel = per_dimension(op, "kernel_size", kernel_size, dims)
    # PyTorch takes an empty stride for none.
    stride = kernel if stride in (None, ()) else per_dimension(op, "stride", stride, dims)
    dilation = per_dimension(op, "dilation", dilation, dims)
    padding = padding_pairs(op, padding, spatial, kernel, stride, dilation)
    covered = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(2 * max(pair) > c for pair, c in zip(padding, covered, strict=True)):
        raise ArgumentError(
            f"{op}: argument 'padding' must be at most half of the window, which covers {covered} "
            f"(kernel_size {kernel}, dilation {dilation}); got padding {padding}"
        )
    out = window_count(spatial, kernel, stride, padding, dilation, bool(ceil_mode))
    if min(out) < 1:  # with ceil_mode, one window may be larger than the input
        check_kernel_fits(op, spatial, kernel, padding, dilation)
    return Window(kernel, stride, padding, dilation), out
