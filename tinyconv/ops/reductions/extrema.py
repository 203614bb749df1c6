"""Largest and smallest elements, and where they are.

NaN counts as larger and as smaller than every number, so it shows up in the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...autograd import Function, TensorBase
from ...backend.dtypes import BOOL, bool_, uint8
from ...errors import ArgumentError, DTypeError
from .._operands import check_tensor, constant, dimension, precise
from ..elementwise.selection import masked, maximum, minimum
from .sums import Dim, Spread, reduced_shape, reduction_axes


class ValuesAndIndices(NamedTuple):
    """Elements, and their places (int64) along the dimension that was searched."""

    values: Any
    indices: Any


class MinAndMax(NamedTuple):
    """The smallest and the largest element."""

    min: Any
    max: Any


class Amax(Function):
    """The largest element over axes; elements that tie share the gradient evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        return _reduce(ctx, x, axes, keepdim, x.xp.max)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, result = ctx.saved_tensors
        xp, shape = x.xp, x.array.shape
        kept = xp.reshape(result.array, reduced_shape(shape, ctx.axes, True))
        ties = (x.array == kept) | (xp.isnan(x.array) & xp.isnan(kept))
        number = xp.sum(xp.astype(ties, x.array.dtype), axis=ctx.axes)
        share = grad / constant(grad, xp.reshape(number, result.array.shape))
        return masked(Spread.apply(share, ctx.axes, shape), ties), None, None


class Amin(Amax):
    """The smallest element over axes; elements that tie share the gradient evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        return _reduce(ctx, x, axes, keepdim, x.xp.min)


def _reduce(
    ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool, extreme: Callable[..., Any]
) -> Any:
    result = x.wrap(extreme(x.array, axis=axes, keepdims=keepdim))
    ctx.save_for_backward(x, result)
    ctx.axes = axes
    return result


class Pick(Function):
    """The element at a given place along an axis, once for each position of the other axes."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, axis: int) -> Any:
        ctx.save_for_backward(index)
        ctx.axis, ctx.size = axis, x.array.shape[axis]
        picked = x.xp.take_along_axis(x.array, x.xp.expand_dims(index.array, axis=axis), axis=axis)
        return x.wrap(x.xp.squeeze(picked, axis=axis))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return Place.apply(grad, index, ctx.axis, ctx.size), None, None


class Place(Function):
    """The adjoint of Pick: zeros, with each element put at its place along a new axis."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, axis: int, size: int) -> Any:
        ctx.save_for_backward(index)
        ctx.axis = axis
        xp = x.xp
        line = [1] * (x.array.ndim + 1)
        line[axis] = size
        places = xp.reshape(xp.arange(size, dtype=index.array.dtype), tuple(line))
        there = xp.expand_dims(index.array, axis=axis) == places
        return x.wrap(xp.where(there, xp.expand_dims(x.array, axis=axis), 0.0))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return Pick.apply(grad, index, ctx.axis), None, None, None


def _searchable(op: str, input: Any, axes: tuple[int, ...]) -> Any:
    """Return ``input`` as something that has an order, or raise if there is nothing to find."""
    shape = input.array.shape
    if 0 in [shape[axis] for axis in axes]:
        raise ArgumentError(
            f"{op}: the input of shape {tuple(shape)} has no elements along the dimensions "
            f"searched, {axes}, so there is no result"
        )
    return input.to(uint8) if input.dtype.kind == BOOL else input


def _like(input: Any, result: Any) -> Any:
    return result.to(bool_) if input.dtype.kind == BOOL else result


def amax(input: Any, dim: Dim = (), keepdim: bool = False) -> Any:
    """Return the largest element over dimensions; elements that tie share the gradient evenly.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int or sequence of int, default ()
        What to search; ``()`` means all dimensions.
    keepdim : bool, default False
        Keep the searched dimensions with size 1.

    Raises
    ------
    ArgumentError
        If there are no elements to search.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.amax(tc.tensor([[1.0, 5.0], [7.0, 3.0]]), dim=1)
    tensor([5., 7.])
    """
    return _extreme("amax", Amax, input, dim, keepdim)


def amin(input: Any, dim: Dim = (), keepdim: bool = False) -> Any:
    """Return the smallest element over dimensions; everything else as :func:`amax`."""
    return _extreme("amin", Amin, input, dim, keepdim)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """Return the smallest and the largest element; elements that tie share the gradient evenly.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int, optional
        What to search; default the whole tensor.
    keepdim : bool, default False
        Keep the searched dimensions with size 1.

    Returns
    -------
    MinAndMax
        A named tuple ``(min, max)``.

    Raises
    ------
    ArgumentError
        If there are no elements to search.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.aminmax(tc.tensor([3.0, 1.0, 2.0]))
    MinAndMax(min=tensor(1.), max=tensor(3.))
    """
    check_tensor("aminmax", "input", input)
    axis = None if dim is None else dimension("aminmax", dim, input.array.ndim)
    return MinAndMax(
        _extreme("aminmax", Amin, input, axis, keepdim),
        _extreme("aminmax", Amax, input, axis, keepdim),
    )


def _extreme(op: str, function: type[Function], input: Any, dim: Dim, keepdim: bool) -> Any:
    axes = reduction_axes(op, dim, check_tensor(op, "input", input).array.ndim)
    return _like(input, function.apply(_searchable(op, input, axes), axes, keepdim))


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the place of the largest element, the first one of several.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int, optional
        Dimension to search; default is the whole tensor, counted row by row.
    keepdim : bool, default False
        Keep what was searched with size 1.

    Returns
    -------
    Tensor
        int64.

    Raises
    ------
    ArgumentError
        If there are no elements to search.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.argmax(tc.tensor([[1.0, 5.0], [7.0, 3.0]]), dim=1)
    tensor([1, 0])
    """
    return _place("argmax", input, dim, keepdim)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the place of the smallest element; everything else as :func:`argmax`."""
    return _place("argmin", input, dim, keepdim)


def _place(op: str, input: Any, dim: int | None, keepdim: bool) -> Any:
    shape = check_tensor(op, "input", input).array.shape
    axis = None if dim is None else dimension(op, dim, len(shape))
    axes = tuple(range(len(shape))) if axis is None or not shape else (axis,)
    x, xp = _searchable(op, input, axes), input.xp
    array = precise(x)
    if axis is None or not shape:
        array, axis = xp.reshape(array, (-1,)), 0
    found = getattr(xp, op)(array, axis=axis)
    found = xp.astype(xp.asarray(found), xp.int64, copy=False)
    return input.wrap(xp.reshape(found, reduced_shape(shape, axes, keepdim)))


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the largest element; with its place, if a dimension is given.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dim : int or Tensor, optional
        Default: the largest element of all, and elements that tie share the gradient evenly. An
        int: the largest along that dimension and its place; the gradient goes to that place. A
        tensor: :func:`maximum` of both.
    keepdim : bool, default False
        Keep the dimension with size 1.
    other : Tensor, optional
        Another way to give the tensor.

    Returns
    -------
    Tensor or ValuesAndIndices
        With a dimension, a named tuple ``(values, indices)``.

    Raises
    ------
    ArgumentError
        If there are no elements to search.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([[1.0, 5.0], [7.0, 3.0]])
    >>> tc.max(x)
    tensor(7.)
    >>> tc.max(x, dim=1).indices
    tensor([1, 0])
    """
    return _max_or_min("max", input, dim, keepdim, other)


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the smallest element; with its place, if a dimension is given. See :func:`max`."""
    return _max_or_min("min", input, dim, keepdim, other)


def _max_or_min(op: str, input: Any, dim: Any, keepdim: bool, other: Any) -> Any:
    check_tensor(op, "input", input)
    if isinstance(dim, TensorBase):
        other, dim = dim, None
    if other is not None:
        return (maximum if op == "max" else minimum)(input, other)
    if dim is None:
        return _extreme(op, Amax if op == "max" else Amin, input, None, False)
    if not isinstance(dim, int):
        raise DTypeError(f"{op}: dim must be an int, got {dim!r}; use a{op} for several")
    indices = _place(f"arg{op}", input, dim, keepdim=False)
    shape = input.array.shape
    if not shape:
        return ValuesAndIndices(input.clone(), indices)
    axis = dimension(op, dim, len(shape))
    values = Pick.apply(input, indices, axis)
    if keepdim:
        kept = reduced_shape(shape, (axis,), True)
        return ValuesAndIndices(values.reshape(kept), indices.reshape(kept))
    return ValuesAndIndices(values, indices)
