"""Putting tensors together along a dimension, and taking them apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...backend.dtypes import promote
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_tensor, dimension
from .views import ints


class Cat(Function):
    """The tensors one behind the other along an existing dimension."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, dim: int, *tensors: Any) -> Any:
        ctx.dim, ctx.sizes = dim, tuple([t.array.shape[dim] for t in tensors])
        first = tensors[0]
        return first.wrap(first.device.backend.concat(dim, *[t.array for t in tensors]))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        if is_grad_enabled():
            return (None, *Split.apply(grad, ctx.sizes, ctx.dim))
        pieces = grad.device.backend.split(grad.array, ctx.sizes, ctx.dim)
        return (None, *[grad.wrap(piece) for piece in pieces])


class Stack(Function):
    """The tensors side by side along a new dimension."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, dim: int, *tensors: Any) -> Any:
        ctx.dim = dim
        first = tensors[0]
        return first.wrap(first.xp.stack([t.array for t in tensors], axis=dim))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return (None, *Unbind.apply(grad, ctx.dim))


class Split(Function):
    """Pieces of the given sizes along a dimension; the adjoint of :class:`Cat`."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, sizes: tuple[int, ...], dim: int) -> Any:
        ctx.dim = dim
        before = (slice(None),) * dim
        ends = accumulate(sizes)
        return tuple(
            [x.wrap(x.array[(*before, slice(e - n, e), ...)])
             for n, e in zip(sizes, ends, strict=True)]
        )  # fmt: skip

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return Cat.apply(ctx.dim, *grads), None, None


class Unbind(Function):
    """The slices along a dimension, without it; the adjoint of :class:`Stack`."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, dim: int) -> Any:
        ctx.dim = dim
        before = (slice(None),) * dim
        return tuple([x.wrap(x.array[(*before, i, ...)]) for i in range(x.array.shape[dim])])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return Stack.apply(ctx.dim, *grads), None


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Return the tensors one behind the other along dimension ``dim``.

    Parameters
    ----------
    tensors : sequence of Tensor
        Equal shapes except along ``dim``; dtypes are promoted. A tensor of shape (0,) adds
        nothing, whatever the others look like.
    dim : int, default 0
        Dimension along which to join.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If other sizes differ.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cat([tc.zeros(2), tc.ones(1)])
    tensor([0., 0., 1.])
    """
    tensors = _promoted("cat", tensors)
    joined = [t for t in tensors if t.array.shape != (0,)] or tensors[:1]
    shape = joined[0].array.shape
    if len(shape) == 0:
        raise ShapeError("cat: a tensor of 0 dimensions cannot be joined; use stack")
    dim = dimension("cat", dim, len(shape))
    for position, other in enumerate(joined):
        found = other.array.shape
        if found[:dim] + found[dim + 1 :] != shape[:dim] + shape[dim + 1 :]:
            raise ShapeError(
                f"cat: sizes must agree except along dim={dim}; tensors[0] has shape "
                f"{tuple(shape)}, tensors[{position}] has {tuple(found)}"
            )
    return Cat.apply(dim, *joined)


def concat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Return the tensors joined along ``dim``; another name of :func:`cat`."""
    return cat(tensors, dim)


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Return the tensors side by side along a new dimension at position ``dim``.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    tensors = _promoted("stack", tensors)
    shape = tensors[0].array.shape
    for position, other in enumerate(tensors):
        if other.array.shape != shape:
            raise ShapeError(
                f"stack: shapes must be equal; tensors[0] has {tuple(shape)}, "
                f"tensors[{position}] has {tuple(other.array.shape)}"
            )
    return Stack.apply(dimension("stack", dim, len(shape) + 1), *tensors)


def _promoted(op: str, tensors: Sequence[Any]) -> list[Any]:
    """Return the tensors in their common dtype."""
    if len(tensors) == 0:
        raise ArgumentError(f"{op}: expected at least one tensor, got none")
    checked = [check_tensor(op, f"tensors[{i}]", t) for i, t in enumerate(tensors)]
    dtype = checked[0].dtype
    for other in checked[1:]:
        dtype = promote(dtype, other.dtype)
    return [cast(t, dtype) for t in checked]


def split(input: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Return views of ``input`` cut into pieces along ``dim``.

    Parameters
    ----------
    input : Tensor
        At least one dimension.
    split_size_or_sections : int or sequence of int
        Size of every piece (the last may be smaller), or the size of each.
    dim : int, default 0
        Dimension to cut.

    Raises
    ------
    ShapeError
        If the sizes do not add up.
    """
    total, dim = _extent("split", input, dim)
    sections = ints("split", (split_size_or_sections,))
    if isinstance(split_size_or_sections, Sequence):
        if sum(sections) != total or min(sections, default=0) < 0:
            raise ShapeError(
                f"split: sections {sections} must add up to {total}, the size of dimension {dim} "
                f"of shape {tuple(input.array.shape)}"
            )
        return Split.apply(input, sections, dim)
    size = sections[0]
    if size < 1:
        raise ArgumentError(f"split: the size of a piece must be at least 1, got {size}")
    starts = range(0, max(total, 1), size)
    return Split.apply(input, tuple([min(size, total - start) for start in starts]), dim)


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Return views of ``input`` cut into pieces of the given sizes along ``dim``."""
    return split(input, tuple(split_sizes), dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Return views of ``input`` cut into at most ``chunks`` pieces of equal size along ``dim``."""
    total, dim = _extent("chunk", input, dim)
    if chunks < 1:
        raise ArgumentError(f"chunk: chunks must be at least 1, got {chunks}")
    if total == 0:
        return Split.apply(input, (0,) * chunks, dim)
    return split(input, -(-total // chunks), dim)


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """Return views of the slices of ``input`` along ``dim``, without that dimension."""
    total, dim = _extent("unbind", input, dim)
    return Unbind.apply(input, dim) if total else ()


def _extent(op: str, input: Any, dim: int) -> tuple[int, int]:
    shape = check_tensor(op, "input", input).array.shape
    if not shape:
        raise ShapeError(f"{op}: a tensor of 0 dimensions cannot be taken apart")
    dim = dimension(op, dim, len(shape))
    return shape[dim], dim
