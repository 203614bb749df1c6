"""Windows along one dimension, as a view."""

from __future__ import annotations

import operator
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError
from .._operands import check_tensor, dimension


class Windows(Function):
    """y[..., p, ..., k] = x[..., p * step + k, ...]."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, size: int, step: int) -> Any:
        ctx.length, ctx.what = x.array.shape[axis], (axis, size, step)
        return x.wrap(x.device.backend.windows(x.array, axis, size, step))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return WindowSum.apply(grad, ctx.length, *ctx.what), None, None, None


class WindowSum(Function):
    """x[..., i, ...] = the sum of y[..., p, ..., k] with p * step + k = i; the adjoint."""

    @staticmethod
    def forward(ctx: Any, y: Any, length: int, axis: int, size: int, step: int) -> Any:
        ctx.what = axis, size, step
        xp, array = y.xp, y.array
        count, before = array.shape[axis], (slice(None),) * axis
        shape = (*array.shape[:axis], length, *array.shape[axis + 1 : -1])
        out = xp.zeros(shape, dtype=array.dtype)
        if count < size:
            for p in range(count):
                window = xp.moveaxis(array[(*before, p, ...)], -1, axis)
                out[(*before, slice(p * step, p * step + size), ...)] += window
        else:
            for k in range(size):
                part = slice(k, k + (count - 1) * step + 1, step)
                out[(*before, part, ...)] += array[..., k]
        return y.wrap(out)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Windows.apply(grad, *ctx.what), None, None, None, None


def sliding_windows(input: Any, dimension: int, size: int, step: int) -> Any:
    """Return the windows of ``input`` along a dimension: the method ``Tensor.unfold``.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dimension : int
        Dimension along which the windows lie.
    size : int
        Elements of a window, from 0 to the size L of the dimension.
    step : int
        From the start of one window to that of the next, at least 1.

    Returns
    -------
    Tensor
        ``(L - size) // step + 1`` windows along ``dimension``, their elements along a new last
        dimension. A view where the array library lets one set strides (NumPy does); windows that
        overlap cannot be written to.

    Raises
    ------
    ArgumentError
        If ``size`` or ``step`` is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    if not check_tensor("unfold", "input", input).array.ndim:
        return sliding_windows(input.reshape(1), dimension, size, step)[0]
    axis = _dimension("unfold", dimension, input.array.ndim)
    length, size, step = input.array.shape[axis], operator.index(size), operator.index(step)
    if not 0 <= size <= length:
        raise ArgumentError(
            f"unfold: size={size} must be from 0 to {length}, the size of dimension {axis}"
        )
    if step < 1:
        raise ArgumentError(f"unfold: step must be at least 1, got {step}")
    return Windows.apply(input, axis, size, step)


_dimension = dimension  # "dimension" is also the name of an argument
