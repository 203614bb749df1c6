"""``x[index]`` and ``x[index] = value``, by PyTorch's rules.

An index is read from left to right. Integers, slices, ``None`` and ``...`` are *basic*: together
they make one view. What remains, tensors, lists and arrays of integers or bools, is *advanced*:
it copies. A bool mask counts as the integer indices of its true elements, and several index
tensors broadcast with each other.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...autograd.inplace import write
from ...autograd.pending import settle
from ...autograd.views import check_writable
from ...errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .._operands import TensorBase, check_same_dtype, check_tensor, dimension
from ..creation.from_data import as_tensor
from ..shapes.broadcasting import broadcast_tensors
from ._index_keys import Advanced, check_position, read_index
from .gather import IndexAdd, IndexSelect, linear_index
from .scatter import overwrite

_ALL = slice(None)


class Slice(Function):
    """x[key] for a basic key that fits."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, key: tuple[Any, ...]) -> Any:
        ctx.key, ctx.shape = key, x.array.shape
        return x.wrap(x.array[key])

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Unslice.apply(grad, ctx.key, ctx.shape), None


class Unslice(Function):
    """Zeros of ``shape`` with x at ``[key]``; the adjoint of :class:`Slice`."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
        ctx.key = key
        out = x.xp.zeros(shape, dtype=x.array.dtype)
        part = out[tuple([k for k in key if k is not None])]
        part[...] = x.xp.reshape(x.array, part.shape)
        return x.wrap(out)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Slice.apply(grad, ctx.key), None, None


def getitem(input: Any, index: Any) -> Any:
    """Return ``input[index]``: a view for a basic index, else a copy.

    Parameters
    ----------
    input : Tensor
        Any shape.
    index : int, slice, None, Ellipsis, tensor, list, array, or tuple of these
        See the head of this module.

    Raises
    ------
    IndexRangeError
        If an index is out of range, or there are too many.
    ArgumentError
        If a slice has a negative step; use :func:`flip`.
    """
    key, advanced = read_index(input, index)
    if advanced:
        return _pick(input if _is_whole(key) else Slice.apply(input, key), advanced)
    return Slice.apply(input, key)


def setitem(input: Any, index: Any, value: Any) -> None:
    """Carry out ``input[index] = value`` in place, with the graph kept right.

    Parameters
    ----------
    input : Tensor
        Not a leaf that requires gradients, unless inside ``no_grad``.
    index
        As for :func:`getitem`. Where an advanced index repeats, the last value wins.
    value : number, sequence, array or Tensor
        Broadcasts to ``input[index]`` and is converted to the dtype of ``input``.

    Raises
    ------
    GradientError
        If ``input`` is a leaf that requires gradients and the graph is being recorded.
    ShapeError
        If ``value`` does not broadcast.
    """
    if isinstance(value, TensorBase):
        value = value.to(input.dtype) if value.array.ndim else value.to(input.device, input.dtype)
    else:
        value = as_tensor(value, input.dtype, input.device)
    check_writable("setitem", input, value._requires_grad)
    key, advanced = read_index(input, index)
    target = input if advanced and _is_whole(key) else Slice.apply(input, key)
    if advanced:
        write("setitem", target, lambda old: _write_at("setitem", old, advanced, value))
    elif is_grad_enabled() and (input.requires_grad or value.requires_grad):
        write("setitem", target, lambda old: _fit("setitem", value, old.array.shape))
    else:
        fitting = _fit("setitem", value, target.array.shape).array
        settle(target)
        target.array[...] = fitting
        target._bump_version()


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """Return a view of ``length`` elements along ``dim`` from ``start`` on.

    Raises
    ------
    IndexRangeError
        If they are not all inside.
    """
    shape = check_tensor("narrow", "input", input).array.shape
    dim = dimension("narrow", dim, len(shape))
    start = operator.index(start)
    first = start + shape[dim] if start < 0 else start
    if not 0 <= first <= first + length <= shape[dim]:
        raise IndexRangeError(
            f"narrow: start={start} and length={length} leave dimension {dim} of size {shape[dim]}"
        )
    return Slice.apply(input, (*(_ALL,) * dim, slice(first, first + length), Ellipsis))


def narrow_copy(input: Any, dim: int, start: int, length: int) -> Any:
    """Return what :func:`narrow` does, as a copy."""
    return narrow(input, dim, start, length).clone()


def select(input: Any, dim: int, index: int) -> Any:
    """Return a view of one slice along ``dim``, without that dimension."""
    shape = check_tensor("select", "input", input).array.shape
    dim = dimension("select", dim, len(shape))
    if not shape:
        raise ShapeError("select: a tensor of 0 dimensions has nothing to select from")
    return Slice.apply(input, (*(_ALL,) * dim, check_position(index, shape[dim], dim), Ellipsis))


# -- advanced indices -----------------------------------------------------------------------


def _merge(x: Any, advanced: Advanced) -> tuple[Any, int, Any, tuple[int, ...]]:
    """Reduce advanced indices to one along one dimension.

    Returns
    -------
    merged : Tensor
        ``x`` with the indexed dimensions made into one; at the front if they were apart.
    dim : int
        Which dimension that is.
    index : int64 Tensor
        Positions along it, in the broadcast shape of the indices.
    order : tuple of int
        Order of the dimensions of ``x`` in ``merged``.
    """
    dims = [dim for dim, _ in advanced]
    count, ndim = len(dims), x.array.ndim
    if dims == list(range(dims[0], dims[0] + count)):
        at, order = dims[0], tuple(range(ndim))
    else:
        at, order = 0, (*dims, *[d for d in range(ndim) if d not in dims])
        x = x.permute(order)
    if count == 1:
        return x, at, advanced[0][1], order
    shape = x.array.shape
    sizes = shape[at : at + count]
    merged = x.reshape(*shape[:at], math.prod(sizes), *shape[at + count :])
    indices = broadcast_tensors(*[index for _, index in advanced])
    return merged, at, linear_index(indices, sizes), order


def _pick(x: Any, advanced: Advanced) -> Any:
    merged, dim, index, _ = _merge(x, advanced)
    picked = IndexSelect.apply(merged, index.reshape(-1), dim)
    if index.array.ndim == 1:
        return picked
    shape = merged.array.shape
    return picked.reshape(*shape[:dim], *index.array.shape, *shape[dim + 1 :])


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """Return ``input`` with ``values`` at ``indices``: ``input[indices] = values``, out of place.

    Parameters
    ----------
    input : Tensor
        Any shape.
    indices : sequence of Tensor
        Integers or bools, one for each of the first dimensions; they broadcast.
    values : Tensor
        Of the dtype of ``input``; broadcasts to ``input[indices]``.
    accumulate : bool, default False
        Add the values to what is there. Otherwise the last of those at one place wins.

    Raises
    ------
    IndexRangeError
        If an index is out of range.
    ShapeError, DTypeError
        If shapes or dtypes do not fit.
    """
    op = "index_put"
    check_same_dtype(op, "values", values, check_tensor(op, "input", input))
    if isinstance(indices, TensorBase):
        raise DTypeError(f"{op}: argument 'indices' must be a sequence of tensors, got a Tensor")
    chosen = tuple([check_tensor(op, f"indices[{i}]", index) for i, index in enumerate(indices)])
    if not chosen:
        raise ArgumentError(f"{op}: argument 'indices' must name at least one dimension")
    # a number among the tensors would count as basic
    key = tuple([t.reshape(1) if t.array.ndim == 0 and t.dtype.kind else t for t in chosen])
    _, advanced = read_index(input, key)
    if not accumulate or input.dtype.kind:
        return _write_at(op, input, advanced, values, accumulate)
    return _write_at(op, input.long(), advanced, values.long(), True).bool()  # bools do not add


def _write_at(op: str, x: Any, advanced: Advanced, value: Any, accumulate: bool = False) -> Any:
    """Return ``x`` with ``value`` at the advanced indices, or added there."""
    merged, dim, index, order = _merge(x, advanced)
    before, after = merged.array.shape[:dim], merged.array.shape[dim + 1 :]
    value = _fit(op, value, (*before, *index.array.shape, *after))
    value = value.reshape(*before, index.array.size, *after)
    where = index.reshape(-1)
    if accumulate:
        new = merged + IndexAdd.apply(value, where, dim, merged.array.shape[dim])
    else:
        new = overwrite(merged, dim, where, value)
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return new.reshape([x.array.shape[d] for d in order]).permute(inverse)


def _fit(op: str, value: Any, shape: tuple[int, ...]) -> Any:
    """Return ``value`` expanded to ``shape``; extra leading dimensions of size 1 go."""
    found = value.array.shape
    if found == shape:
        return value
    while len(found) > len(shape) and found[0] == 1:
        found = found[1:]
    if found != value.array.shape:
        value = value.reshape(found)
    padded = (1,) * (len(shape) - len(found)) + found
    if len(found) > len(shape) or any(f not in (1, s) for f, s in zip(padded, shape, strict=True)):
        raise ShapeError(
            f"{op}: a value of shape {tuple(found)} does not broadcast to the indexed part, "
            f"which has shape {tuple(shape)}"
        )
    return value.expand(shape)


def _is_whole(key: tuple[Any, ...]) -> bool:
    return all(part == _ALL for part in key[:-1])
