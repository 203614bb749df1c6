"""Softmax and its logarithm, computed after a shift that makes the largest exponent 0.

    softmax(x)_i = exp(x_i - m) / sum_j exp(x_j - m),    m = max_j x_j

so that neither large nor very negative inputs overflow. An input of -inf gets probability 0; a
row of nothing else has no distribution and gives NaN, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function, is_grad_enabled
from ...backend import as_dtype
from ...backend.dtypes import wide
from ...backend.quiet import quiet
from .._operands import as_floating, cast, check_floating, check_tensor, dimension
from ..elementwise.selection import where
from ..reductions.sums import Dim, Spread, reduced_shape, reduction_axes


class Softmax(Function):
    """y = exp(x) / sum(exp(x)) along an axis."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        y = x.wrap(x.device.backend.softmax(x.array, axis))
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():
            softmax_grad = grad.device.backend.softmax_grad
            return grad.wrap(softmax_grad(grad.array, y.array, ctx.axis)), None
        weighted = grad * y
        return weighted - y * weighted.sum(ctx.axis, True), None


class LogSoftmax(Function):
    """y = x - log(sum(exp(x))) along an axis."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int) -> Any:
        y = x.wrap(x.device.backend.log_softmax(x.array, axis))
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():
            log_softmax_grad = grad.device.backend.log_softmax_grad
            return grad.wrap(log_softmax_grad(grad.array, y.array, ctx.axis)), None
        return grad - y.exp() * grad.sum(ctx.axis, True), None


class LogSumExp(Function):
    """log(sum(exp(x))) over axes; its gradient is the softmax."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        y = x.wrap(x.xp.reshape(quiet(_log_sum_exp, x.xp, x.array, axes), shape))
        ctx.save_for_backward(x, y)
        ctx.axes = axes
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, y = ctx.saved_tensors
        shift = where(y.isinf(), 0, y)  # -inf - -inf would be NaN
        shape = x.array.shape
        weights = (x - Spread.apply(shift, ctx.axes, shape)).exp()
        return Spread.apply(grad, ctx.axes, shape) * weights, None, None


def _log_sum_exp(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Return the sum over ``axes`` with these kept; -inf for nothing."""
    shape = reduced_shape(x.shape, axes, True)
    if 0 in [x.shape[axis] for axis in axes]:
        return xp.full(shape, -float("inf"), dtype=x.dtype)
    largest = xp.max(x, axis=axes, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
    total = xp.sum(xp.exp(x - largest), axis=axes, keepdims=True, dtype=x.dtype)
    return xp.log(total) + largest


def _along(op: str, function: type[Function], input: Any, dim: int, dtype: Any) -> Any:
    """Apply a function along one dimension, a 0-d tensor as one row."""
    x = check_tensor(op, "input", input)
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    result, ndim = check_floating(op, "input", x).dtype, x.array.ndim
    axis = dimension(op, dim, ndim)
    y = function.apply(x if ndim else x.reshape(1), axis)
    return cast(y if ndim else y.reshape(()), result)


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """Return ``exp(input) / sum(exp(input))`` along a dimension: positive, with sum 1.

    Parameters
    ----------
    input : Tensor
        Floating point, unless ``dtype`` is given; any size of logits, -inf included.
    dim : int
        Dimension whose elements sum to 1.
    dtype : DType, optional
        ``input`` is converted to it first.

    Returns
    -------
    Tensor
        Shape of ``input``; NaN where all inputs along ``dim`` are -inf.

    Raises
    ------
    DTypeError
        If ``input`` is not floating point.
    IndexRangeError
        If the dimension does not exist.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.softmax(tc.tensor([0.0, 0.0, float("-inf")]), dim=0)
    tensor([0.5000, 0.5000, 0.0000])
    """
    return _along("softmax", Softmax, input, dim, dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """Return the logarithm of :func:`softmax`, finite also where that rounds to 0.

    Arguments and errors as :func:`softmax`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.log_softmax(tc.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    return _along("log_softmax", LogSoftmax, input, dim, dtype)


def softmin(input: Any, dim: int, dtype: Any = None) -> Any:
    """Return ``softmax(-input)`` along a dimension; arguments and errors as :func:`softmax`."""
    return softmax(-check_tensor("softmin", "input", input), dim, dtype)


def logsumexp(input: Any, dim: Dim, keepdim: bool = False) -> Any:
    """Return ``log(sum(exp(input)))`` over dimensions, without overflow.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.
    dim : int or sequence of int
        What to sum over.
    keepdim : bool, default False
        Keep the dimensions with size 1.

    Returns
    -------
    Tensor
        -inf where all inputs are -inf, or there are none.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.logsumexp(tc.tensor([1000.0, 1000.0]), dim=0)
    tensor(1000.6932)
    """
    x = as_floating("logsumexp", input)
    axes = reduction_axes("logsumexp", dim, x.array.ndim)
    result = x.dtype
    x = cast(x, wide(result))
    shape = reduced_shape(x.array.shape, axes, keepdim)
    return cast(LogSumExp.apply(x, axes, shape), result)
