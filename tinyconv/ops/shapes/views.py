"""Other shapes of the same elements: reshaping and reordering dimensions.

Every op here returns a view where the memory allows one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_tensor, dimension

#: Elements from which on a copy is worth a kernel of the backend.
LARGE = 1 << 14


class Reshape(Function):
    """The elements in row-major order, in another shape."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, shape: tuple[int, ...]) -> Any:
        array = x.array
        ctx.shape = array.shape
        if math.prod(array.shape) < LARGE:
            return x.wrap(x.xp.reshape(array, shape))
        return x.wrap(x.device.backend.reshape(array, shape))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Reshape.apply(grad, ctx.shape), None


class Permute(Function):
    """The dimensions in another order."""

    is_view = True

    @staticmethod
    def forward(ctx: Any, x: Any, dims: tuple[int, ...]) -> Any:
        ctx.dims = dims
        return x.wrap(x.xp.permute_dims(x.array, dims))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        inverse = [0] * len(ctx.dims)
        for position, dim in enumerate(ctx.dims):
            inverse[dim] = position
        return Permute.apply(grad, tuple(inverse)), None


def ints(op: str, values: Sequence[Any]) -> tuple[int, ...]:
    """Return the integers meant by ``f(2, 3)`` or ``f((2, 3))``."""
    if len(values) == 1 and values[0].__class__ is not int and isinstance(values[0], Sequence):
        values = values[0]
    try:
        return tuple([operator.index(n) for n in values])
    except TypeError:
        raise DTypeError(f"{op}: expected integers, got {tuple(values)}") from None


# -- the same elements in another shape -----------------------------------------------------


def reshape(input: Any, *shape: Any) -> Any:
    """Return the elements in another shape: a view where the strides allow it, else a copy.

    Parameters
    ----------
    input : Tensor
        Any shape.
    *shape : int, or one sequence of int
        New shape with as many elements; one size may be -1 and is then inferred.

    Raises
    ------
    ShapeError
        If the number of elements differs.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.reshape(tc.arange(6), (2, -1)).shape
    tinyconv.Size([2, 3])
    """
    return _reshape("reshape", input, shape)


def view(input: Any, *shape: Any) -> Any:
    """Return the elements in another shape, like :func:`reshape`.

    Where PyTorch raises because the strides allow no view, this copies: a convolution's output
    lies in channels-last memory, and ``y.view(n, -1)`` is how networks flatten it.
    """
    return _reshape("view", input, shape)


def _reshape(op: str, input: Any, shape: Sequence[Any]) -> Any:
    new = ints(op, shape)
    try:
        if min(new, default=0) < -1:  # NumPy takes any negative number for -1
            raise ValueError
        return Reshape.apply(input, new)
    except ValueError:
        old = check_tensor(op, "input", input).array.shape
        raise ShapeError(
            f"{op}: {math.prod(old)} elements of shape {tuple(old)} do not fit shape {new}"
        ) from None


def view_as(input: Any, other: Any) -> Any:
    """Return ``input`` in the shape of ``other``."""
    return _reshape("view_as", input, other.array.shape)


def reshape_as(input: Any, other: Any) -> Any:
    """Return ``input`` in the shape of ``other``."""
    return _reshape("reshape_as", input, other.array.shape)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Return ``input`` with dimensions ``start_dim`` to ``end_dim`` (included) made into one.

    Raises
    ------
    ArgumentError
        If ``start_dim`` comes after ``end_dim``.
    """
    shape = check_tensor("flatten", "input", input).array.shape
    start = dimension("flatten", start_dim, len(shape))
    end = dimension("flatten", end_dim, len(shape))
    if start > end:
        raise ArgumentError(f"flatten: start_dim={start_dim} comes after end_dim={end_dim}")
    if start == end and shape:
        return input
    middle = math.prod(shape[start : end + 1])
    return Reshape.apply(input, (*shape[:start], middle, *shape[end + 1 :]))


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Return ``input`` with dimension ``dim`` made into several, one of which may be -1."""
    shape = check_tensor("unflatten", "input", input).array.shape
    dim = dimension("unflatten", dim, len(shape))
    new = list(ints("unflatten", (sizes,)))
    if new.count(-1) == 1:
        rest = math.prod(n for n in new if n != -1)
        new[new.index(-1)] = shape[dim] // rest if rest else 0
    if math.prod(new) != shape[dim] or min(new, default=0) < 0:
        raise ShapeError(
            f"unflatten: dimension {dim} of size {shape[dim]} does not fit {tuple(sizes)}"
        )
    return Reshape.apply(input, (*shape[:dim], *new, *shape[dim + 1 :]))


def ravel(input: Any) -> Any:
    """Return ``input`` in one dimension."""
    return Reshape.apply(check_tensor("ravel", "input", input), (-1,))


def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Return ``input`` without its dimensions of size 1, or without those of ``dim`` that are."""
    shape = check_tensor("squeeze", "input", input).array.shape
    if dim is None:
        new = tuple([n for n in shape if n != 1])
    else:
        dims = [dimension("squeeze", d, len(shape)) for d in ints("squeeze", (dim,))]
        new = tuple([n for d, n in enumerate(shape) if n != 1 or d not in dims])
    return Reshape.apply(input, new)


def unsqueeze(input: Any, dim: int) -> Any:
    """Return ``input`` with a dimension of size 1 put before dimension ``dim``."""
    shape = check_tensor("unsqueeze", "input", input).array.shape
    dim = dimension("unsqueeze", dim, len(shape) + 1)
    return Reshape.apply(input, (*shape[:dim], 1, *shape[dim:]))


# -- the dimensions in another order --------------------------------------------------------


def permute(input: Any, *dims: Any) -> Any:
    """Return a view with the dimensions in the order ``dims``.

    Raises
    ------
    ArgumentError
        If ``dims`` does not name every dimension once.
    """
    ndim = check_tensor("permute", "input", input).array.ndim
    wanted = ints("permute", dims)
    order = tuple([dimension("permute", d, ndim) for d in wanted])
    if len(order) != ndim or len(set(order)) != ndim:
        raise ArgumentError(
            f"permute: dims {wanted} must name each of the {ndim} dimensions once "
            f"(input shape {tuple(input.array.shape)})"
        )
    return Permute.apply(input, order)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Return a view with two dimensions exchanged."""
    ndim = check_tensor("transpose", "input", input).array.ndim
    dim0, dim1 = dimension("transpose", dim0, ndim), dimension("transpose", dim1, ndim)
    if ndim == 0:
        return input
    order = list(range(ndim))
    order[dim0], order[dim1] = dim1, dim0
    return Permute.apply(input, tuple(order))


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Return a view with two dimensions exchanged; another name of :func:`transpose`."""
    return transpose(input, axis0, axis1)


def t(input: Any) -> Any:
    """Return the transpose of a matrix; fewer dimensions come back as they are."""
    ndim = check_tensor("t", "input", input).array.ndim
    if ndim > 2:
        raise ShapeError(
            f"t: expected at most 2 dimensions, got shape {tuple(input.array.shape)}; "
            "use .mT or .transpose(dim0, dim1)"
        )
    return Permute.apply(input, (1, 0)) if ndim == 2 else input


def reverse_dims(input: Any) -> Any:
    """Return a view with the dimensions in reverse order: the attribute ``.T``."""
    return Permute.apply(input, tuple(reversed(range(input.array.ndim))))


def matrix_transpose(input: Any) -> Any:
    """Return a view with the last two dimensions exchanged: the attribute ``.mT``."""
    if input.array.ndim < 2:
        raise ShapeError(
            f"mT: expected at least 2 dimensions, got shape {tuple(input.array.shape)}"
        )
    return transpose(input, -2, -1)


def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Return a view with dimensions ``source`` at ``destination``, the others in their order."""
    ndim = check_tensor("movedim", "input", input).array.ndim
    sources = [dimension("movedim", d, ndim) for d in ints("movedim", (source,))]
    targets = [dimension("movedim", d, ndim) for d in ints("movedim", (destination,))]
    if not len(sources) == len(targets) == len(set(sources)) == len(set(targets)):
        raise ArgumentError(
            f"movedim: source {source} and destination {destination} must name equally many "
            "dimensions, each once"
        )
    rest = iter([d for d in range(ndim) if d not in sources])
    placed = dict(zip(targets, sources, strict=True))
    return Permute.apply(
        input, tuple([placed[d] if d in placed else next(rest) for d in range(ndim)])
    )
