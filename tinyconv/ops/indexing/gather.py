"""Picking elements by integer index.

Everything rests on two pairs of ops: :class:`IndexSelect` picks slices along a dimension and
:class:`IndexAdd` adds slices back where they came from; :class:`Gather` and :class:`GatherAdd` do
so element by element. In a pair each is the derivative of the other, so gradients of any order
exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...backend.cuda.driver.graphs import recording
from ...errors import DTypeError, IndexRangeError, ShapeError
from .._operands import TensorBase, check_tensor, dimension
from ..shapes.broadcasting import broadcast_tensors, expand


class IndexSelect(Function):
    """y[..., i, ...] = x[..., index[i], ...]."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, dim: int) -> Any:
        ctx.dim, ctx.size = dim, x.array.shape[dim]
        ctx.save_for_backward(index)
        return x.wrap(x.xp.take(x.array, index.array, axis=dim))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return IndexAdd.apply(grad, index, ctx.dim, ctx.size), None, None


class IndexAdd(Function):
    """y[..., index[i], ...] += x[..., i, ...], from zeros; ``size`` is that of y along ``dim``."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, dim: int, size: int) -> Any:
        ctx.dim = dim
        ctx.save_for_backward(index)
        xp, shape = x.xp, x.array.shape
        rest = shape[:dim] + shape[dim + 1 :]
        rows = xp.reshape(xp.moveaxis(x.array, dim, 0), (shape[dim], math.prod(rest)))
        summed = x.device.backend.scatter_add(size, index.array, rows)
        return x.wrap(xp.moveaxis(xp.reshape(summed, (size, *rest)), 0, dim))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return IndexSelect.apply(grad, index, ctx.dim), None, None, None


class Gather(Function):
    """y[i, j] = x[index[i, j], j] for dim 0; sizes agree except along ``dim``."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, dim: int) -> Any:
        ctx.dim, ctx.shape = dim, x.array.shape
        ctx.save_for_backward(index)
        return x.wrap(x.xp.take_along_axis(x.array, index.array, axis=dim))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return GatherAdd.apply(grad, index, ctx.dim, ctx.shape), None, None


class GatherAdd(Function):
    """y[index[i, j], j] += x[i, j] for dim 0, from zeros of ``shape``; adjoint of the above."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, dim: int, shape: tuple[int, ...]) -> Any:
        ctx.dim = dim
        ctx.save_for_backward(index)
        xp, where = x.xp, positions(index, dim, shape)
        column = xp.reshape(x.array, (-1, 1))
        added = x.device.backend.scatter_add(
            math.prod(shape), xp.reshape(where.array, (-1,)), column
        )
        return x.wrap(xp.reshape(added, shape))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return Gather.apply(grad, index, ctx.dim), None, None, None


def check_index(op: str, index: Any, size: int, dim: int) -> Any:
    """Return an integer tensor as int64 with negative indices counted from the front.

    Raises
    ------
    DTypeError
        If it is not of an integer dtype, or is uint8, which PyTorch would take for a mask.
    IndexRangeError
        If an index is outside ``[-size, size)``.
    """
    index = check_tensor(op, "index", index)
    if index.dtype.kind != 1 or not index.dtype.is_signed:
        raise DTypeError(
            f"{op}: indices must be of a signed integer dtype, got {index.dtype}; "
            "use .bool() for a mask or .long() for positions"
        )
    index = index.detach().long()
    xp = index.xp
    if recording():  # no value is known: it wraps round, whatever it is
        return index.wrap(index.array % max(size, 1))
    if index.array.size == 0:
        return index
    low, high = int(xp.min(index.array)), int(xp.max(index.array))
    if low < -size or high >= size:
        raise IndexRangeError(
            f"{op}: index {high if high >= size else low} is out of range for dimension {dim} "
            f"of size {size}"
        )
    if low < 0:
        index = index.wrap(xp.where(index.array < 0, index.array + size, index.array))
    return index


def linear_index(indices: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Return row-major positions in an array of shape ``sizes``; ``indices`` broadcast."""
    xp = indices[0].xp
    position = indices[0].array
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        position = position * size + index.array
    return indices[0].wrap(xp.asarray(position))


def positions(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """Return the row-major positions in an array of ``shape`` that ``index`` along dim means."""
    xp, ndim = index.xp, len(shape)
    grid = []
    for d, size in enumerate(index.array.shape):
        if d == dim:
            grid.append(index)
        else:
            column = tuple([size if d == e else 1 for e in range(ndim)])
            grid.append(index.wrap(xp.reshape(xp.arange(size, dtype=xp.int64), column)))
    return linear_index(grid, shape) if grid else index


def check_along(op: str, input: Any, dim: int, index: Any) -> Any:
    """Return ``index`` checked: it fits ``input`` except along ``dim``, where it points."""
    shape, wanted = input.array.shape, check_tensor(op, "index", index).array.shape
    fits = len(shape) == len(wanted) and all(
        w <= s for d, (w, s) in enumerate(zip(wanted, shape, strict=True)) if d != dim
    )
    if not fits:
        raise ShapeError(
            f"{op}: index of shape {tuple(wanted)} must have as many dimensions as input of shape "
            f"{tuple(shape)}, and be no larger except along dim={dim}"
        )
    return check_index(op, index, shape[dim] if shape else 1, dim)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """Return the slices of ``input`` at ``index`` along dimension ``dim``.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Dimension to pick along.
    index : integer Tensor (n,)
        Which slices; may repeat.

    Raises
    ------
    IndexRangeError
        If an index is out of range.
    """
    shape = check_tensor("index_select", "input", input).array.shape
    dim = dimension("index_select", dim, len(shape))
    if check_tensor("index_select", "index", index).array.ndim > 1:
        raise ShapeError(
            f"index_select: index must have one dimension, got {tuple(index.array.shape)}"
        )
    index = check_index("index_select", index, shape[dim] if shape else 1, dim).reshape(-1)
    if not shape:
        return input.reshape(1).index_select(0, index).reshape(())
    return IndexSelect.apply(input, index, dim)


def take(input: Any, index: Any) -> Any:
    """Return the elements at positions ``index`` of the flattened input, in the shape of index."""
    count = check_tensor("take", "input", input).array.size
    index = check_index("take", index, count, 0)
    return IndexSelect.apply(input.reshape(-1), index.reshape(-1), 0).reshape(index.array.shape)


def gather(input: Any, dim: int, index: Any) -> Any:
    """Return elements picked along ``dim``: ``y[i, j] = input[index[i, j], j]`` for ``dim=0``.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Dimension to pick along.
    index : integer Tensor
        As many dimensions as ``input``, and no larger except along ``dim``.

    Returns
    -------
    Tensor
        Shape of ``index``.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    IndexRangeError
        If an index is out of range.
    """
    dim = dimension("gather", dim, check_tensor("gather", "input", input).array.ndim)
    index = check_along("gather", input, dim, index)
    if input.array.ndim == 0:
        return input.clone()
    shape, wanted = input.array.shape, index.array.shape
    if shape[:dim] + shape[dim + 1 :] != wanted[:dim] + wanted[dim + 1 :]:
        input = input[tuple([slice(n if d != dim else None) for d, n in enumerate(wanted)])]
    return Gather.apply(input, index, dim)


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """Return elements picked along ``dim``, other dimensions broadcast; see :func:`gather`."""
    if dim is None:
        return take(input, indices.reshape(-1))
    ndim = check_tensor("take_along_dim", "input", input).array.ndim
    dim = dimension("take_along_dim", dim, ndim)
    # broadcast every dimension but dim, which keeps the size each of the two has
    outer = [t.narrow(dim, 0, min(1, t.array.shape[dim])) for t in (input, indices)]
    shape = list(broadcast_tensors(*outer)[0].array.shape)
    pair = []
    for tensor in (input, indices):
        shape[dim] = tensor.array.shape[dim]
        pair.append(expand(tensor, tuple(shape)))
    return gather(pair[0], dim, pair[1])


def repeat_interleave(input: Any, repeats: Any, dim: int | None = None) -> Any:
    """Return ``input`` with each element, or each slice along ``dim``, repeated in place.

    Parameters
    ----------
    input : Tensor
        Any shape; flattened where ``dim`` is not given.
    repeats : int or integer Tensor
        How often; a tensor holds one count for each slice.
    dim : int, optional
        Dimension of the slices.
    """
    if dim is None:
        input, dim = input.reshape(-1), 0
    dim = dimension("repeat_interleave", dim, input.array.ndim)
    xp, size = input.xp, input.array.shape[dim]
    counts = repeats.array if isinstance(repeats, TensorBase) else repeats
    if isinstance(repeats, TensorBase) and repeats.array.shape not in ((), (1,), (size,)):
        raise ShapeError(
            f"repeat_interleave: repeats has shape {tuple(counts.shape)}, but dimension {dim} has "
            f"{size} slices"
        )
    if isinstance(repeats, TensorBase) and counts.size == 1:
        counts = int(repeats.item())
    index = xp.repeat(xp.arange(size, dtype=xp.int64), counts)
    return IndexSelect.apply(input, input.wrap(index), dim)
