"""Repeating elements: broadcasting without a copy, and repetition with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError, ShapeError
from .._operands import check_tensor
from .views import Reshape, ints


class Expand(Function):
    """Dimensions of size 1 repeated, without copying."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, shape: tuple[int, ...]) -> Any:
        return x.wrap(x.xp.broadcast_to(x.array, shape))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None  # the engine sums over the repeated dimensions


def expand(input: Any, *sizes: Any) -> Any:
    """Return a view with dimensions of size 1 repeated; -1 keeps a size.

    Parameters
    ----------
    input : Tensor
        Any shape.
    *sizes : int, or one sequence of int
        New shape; may have more dimensions, at the front.

    Raises
    ------
    ShapeError
        If a size other than 1 would change.
    """
    shape = check_tensor("expand", "input", input).array.shape
    wanted = ints("expand", sizes)
    extra = len(wanted) - len(shape)
    new = tuple([shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(wanted)])
    if (
        extra < 0
        or any(s not in (1, n) for s, n in zip(shape, new[extra:], strict=True))
        or (min(new, default=0) < 0)
    ):
        raise ShapeError(
            f"expand: shape {tuple(shape)} does not expand to {wanted}; only sizes of 1 grow, and "
            "-1 stands for a size that the input has"
        )
    return Expand.apply(input, new)


def expand_as(input: Any, other: Any) -> Any:
    """Return ``input`` expanded to the shape of ``other``."""
    return expand(input, other.array.shape)


def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """Return ``input`` expanded to ``size``; another name of :func:`expand`."""
    return expand(input, size)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that all ``shapes`` broadcast to."""
    ndim = max((len(shape) for shape in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for position, size in enumerate(shape, start=ndim - len(shape)):
            if size not in (1, result[position]) and result[position] != 1:
                raise ShapeError(
                    f"broadcast: shapes {', '.join(str(tuple(s)) for s in shapes)} do not "
                    f"broadcast: sizes {result[position]} and {size} at dimension "
                    f"{position - ndim} differ and neither is 1"
                )
            if size != 1:
                result[position] = size
    return tuple(result)


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Return the tensors expanded to their common shape."""
    shape = broadcast_shapes(*(t.array.shape for t in tensors))
    return tuple([t if t.array.shape == shape else Expand.apply(t, shape) for t in tensors])


def repeat(input: Any, *repeats: Any) -> Any:
    """Return ``input`` repeated ``repeats[d]`` times along each dimension, in new memory.

    Raises
    ------
    ShapeError
        If there are fewer repeats than dimensions.
    """
    counts = ints("repeat", repeats)
    shape = check_tensor("repeat", "input", input).array.shape
    if len(counts) < len(shape) or min(counts, default=0) < 0:
        raise ShapeError(
            f"repeat: needs a count >= 0 for each of the {len(shape)} dimensions of shape "
            f"{tuple(shape)}, got {counts}"
        )
    shape = (1,) * (len(counts) - len(shape)) + tuple(shape)
    # (s0, s1) -> (1, s0, 1, s1) -> (r0, s0, r1, s1) -> (r0 s0, r1 s1)
    pairs = tuple([n for size in shape for n in (1, size)])
    repeated = tuple([n for pair in zip(counts, shape, strict=True) for n in pair])
    blocks = Expand.apply(Reshape.apply(input, pairs), repeated).clone()
    return Reshape.apply(blocks, tuple([r * s for r, s in zip(counts, shape, strict=True)]))


def tile(input: Any, *dims: Any) -> Any:
    """Return ``input`` repeated; unlike :func:`repeat`, missing counts are 1."""
    counts = ints("tile", dims)
    return repeat(input, (1,) * (input.array.ndim - len(counts)) + counts)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Return the coordinates of a grid: each vector expanded along a dimension of its own.

    Parameters
    ----------
    *tensors : Tensor (n_i,)
        The coordinates along each dimension; or one sequence of them.
    indexing : {"ij", "xy"}, default "ij"
        ``"xy"`` exchanges the first two dimensions of the results.

    Returns
    -------
    tuple of Tensor (n_0, n_1, ...)
    """
    if len(tensors) == 1 and isinstance(tensors[0], Sequence):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing={indexing!r} is unknown; choose 'ij' or 'xy'")
    count = len(tensors)
    columns = [
        check_tensor("meshgrid", "tensors", t).reshape(*[-1 if d == i else 1 for d in range(count)])
        for i, t in enumerate(tensors)
    ]
    grids = broadcast_tensors(*columns)
    if indexing == "xy" and count > 1:
        grids = tuple([grid.transpose(0, 1) for grid in grids])
    return grids
