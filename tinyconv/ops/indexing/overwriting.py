"""A tensor with other values at some places, out of place.

The places are positions of the flattened tensor, slices at an index, elements under a mask, or
one of the views that :func:`select`, slicing and :func:`diagonal` return.
"""

from __future__ import annotations

import operator
from typing import Any

from ...autograd import Function
from ...errors import ShapeError
from .._operands import check_same_dtype, check_tensor, dimension, zeros_like
from ..shapes.broadcasting import broadcast_tensors
from ..shapes.diagonals import diagonal_slice, matrices_last
from ._index_keys import check_position, slice_bounds
from .gather import IndexAdd, check_index
from .getitem import Slice
from .masking import check_mask
from .scatter import overwrite

_ALL = slice(None)


class Overlay(Function):
    """x with the value at ``[key]``, a basic key."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any, key: tuple[Any, ...]) -> Any:
        ctx.key = key
        out = x.xp.asarray(x.array, copy=True)
        out[key] = value.array
        return x.wrap(out)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        need_x, need_value, _ = ctx.needs_input_grad
        part = Slice.apply(grad, ctx.key)
        return (
            Overlay.apply(grad, zeros_like(part), ctx.key) if need_x else None,
            part if need_value else None,
            None,
        )


# -- elements and slices at an index ----------------------------------------------------------


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """Return ``input`` with the elements of ``source`` at positions of the flattened tensor.

    Parameters
    ----------
    input : Tensor
        Any shape.
    index : integer Tensor
        Any shape; negative counts from the end.
    source : Tensor
        Of the dtype of ``input``, with as many elements as ``index``.
    accumulate : bool, default False
        Add to what is there. Otherwise the last of those at one place wins.

    Raises
    ------
    IndexRangeError
        If an index is out of range.
    ShapeError, DTypeError
        If sizes or dtypes do not fit.
    """
    where = check_index("put", index, check_tensor("put", "input", input).array.size, 0)
    check_same_dtype("put", "source", source, input)
    if source.array.size != where.array.size:
        raise ShapeError(
            f"put: source and index must have as many elements, got {source.array.size} and "
            f"{where.array.size}"
        )
    flat, where, values = input.reshape(-1), where.reshape(-1), source.reshape(-1)
    if not accumulate:
        new = overwrite(flat, 0, where, values)
    elif input.dtype.kind:
        new = flat + IndexAdd.apply(values, where, 0, flat.array.shape[0])
    else:  # bools do not add
        return put(input.long(), index, source.long(), True).bool()
    return new.reshape(input.array.shape)


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """Return ``input`` with the slices of ``source`` at ``index`` along a dimension.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Dimension of the slices.
    index : integer Tensor (n,)
        Where each slice goes; the last of those at one place wins.
    source : Tensor
        Of the dtype of ``input``, and its shape, except n slices along ``dim``.

    Raises
    ------
    IndexRangeError
        If an index is out of range.
    ShapeError, DTypeError
        If shapes or dtypes do not fit.
    """
    op = "index_copy"
    shape = check_tensor(op, "input", input).array.shape
    dim = dimension(op, dim, len(shape))
    check_same_dtype(op, "source", source, input)
    index = check_index(op, index, shape[dim] if shape else 1, dim).reshape(-1)
    if not source.array.ndim:
        source = source.reshape(1)
    base = input if shape else input.reshape(1)
    full = base.array.shape
    expected = (*full[:dim], index.array.shape[0], *full[dim + 1 :])
    if source.array.shape != expected:
        raise ShapeError(
            f"{op}: source must have shape {tuple(expected)}, got {tuple(source.array.shape)}"
        )
    return overwrite(base, dim, index, source).reshape(shape)


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """Return ``input`` with elements of ``source``, in row-major order, where a mask is true.

    Parameters
    ----------
    input : Tensor
        Any shape.
    mask : bool Tensor
        Broadcasts with ``input``.
    source : Tensor
        Of the dtype of ``input``, with at least as many elements as the mask has true ones.

    Raises
    ------
    ShapeError, DTypeError
        If there are too few elements, or dtypes do not fit.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x, mask = tc.zeros(3), tc.tensor([True, False, True])
    >>> tc.masked_scatter(x, mask, tc.tensor([5.0, 6.0, 7.0]))
    tensor([5., 0., 6.])
    """
    op = "masked_scatter"
    check_same_dtype(op, "source", source, check_tensor(op, "input", input))
    input, mask = broadcast_tensors(input, check_mask(op, mask))
    xp = mask.xp
    where = mask.wrap(xp.nonzero(xp.reshape(mask.array, (-1,)))[0])
    count = where.array.shape[0]
    if source.array.size < count:
        raise ShapeError(
            f"{op}: the mask has {count} true elements, but source only {source.array.size}"
        )
    values = source.reshape(-1)[:count]
    return overwrite(input.reshape(-1), 0, where, values).reshape(input.array.shape)


# -- views --------------------------------------------------------------------------------------


def _overlay(op: str, input: Any, src: Any, key: tuple[Any, ...]) -> Any:
    """Return ``input`` with ``src`` at ``[key]``, after a check of its dtype and shape."""
    check_same_dtype(op, "src", src, input)
    expected = tuple(input.array[key].shape)
    if src.array.shape != expected:
        raise ShapeError(
            f"{op}: src must have the shape of what it replaces, {expected}, got "
            f"{tuple(src.array.shape)}"
        )
    return Overlay.apply(input, src, key)


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """Return ``input`` with ``src`` in place of ``input.select(dim, index)``.

    Raises
    ------
    IndexRangeError
        If the index is out of range.
    ShapeError, DTypeError
        If ``src`` has another shape than that slice, or another dtype than ``input``.
    """
    shape = check_tensor("select_scatter", "input", input).array.shape
    dim = dimension("select_scatter", dim, len(shape))
    if not shape:
        raise ShapeError("select_scatter: a tensor of 0 dimensions has nothing to select from")
    place = check_position(operator.index(index), shape[dim], dim)
    return _overlay("select_scatter", input, src, (*(_ALL,) * dim, place, Ellipsis))


def slice_scatter(
    input: Any,
    src: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """Return ``input`` with ``src`` in place of the slice ``start:end:step`` along ``dim``.

    Raises
    ------
    ArgumentError
        If ``step`` is not positive.
    ShapeError, DTypeError
        If ``src`` has another shape than that slice, or another dtype than ``input``.
    """
    shape = check_tensor("slice_scatter", "input", input).array.shape
    dim = dimension("slice_scatter", dim, len(shape))
    if not shape:
        raise ShapeError("slice_scatter: a tensor of 0 dimensions has no slices")
    part = slice_bounds(slice(start, end, step), shape[dim])
    return _overlay("slice_scatter", input, src, (*(_ALL,) * dim, part, Ellipsis))


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """Return ``input`` with ``src`` in place of ``input.diagonal(offset, dim1, dim2)``.

    Raises
    ------
    ShapeError, DTypeError
        If ``src`` has another shape than that diagonal, or another dtype than ``input``.
    """
    matrices, order = matrices_last("diagonal_scatter", input, dim1, dim2)
    *batch, rows, columns = matrices.array.shape
    flat = matrices.reshape(*batch, rows * columns)
    key = (Ellipsis, diagonal_slice(rows, columns, offset))
    written = _overlay("diagonal_scatter", flat, src, key).reshape(matrices.array.shape)
    return written.permute(sorted(range(len(order)), key=order.__getitem__))
