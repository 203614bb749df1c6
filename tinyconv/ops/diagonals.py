"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..errors import ArgumentError, ShapeError
from ._operands import check_tensor, dimension
from .joining import cat
from .selection import where


class Triangle(Function):
    """The lower or upper triangle of matrices, zeros elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Any, name: str, diagonal: int) -> Any:
        ctx.what = name, diagonal
        return x.wrap(getattr(x.xp, name)(x.array, k=diagonal))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Triangle.apply(grad, *ctx.what), None, None


def _check_matrix(op: str, input: Any) -> Any:
    if check_tensor(op, "input", input).array.ndim < 2:
        raise ShapeError(
            f"{op}: expected at least 2 dimensions, got shape {tuple(input.array.shape)}"
        )
    return input


def tril(input: Any, diagonal: int = 0) -> Any:
    """Return the elements on and below diagonal number ``diagonal``, zeros above."""
    return Triangle.apply(_check_matrix("tril", input), "tril", diagonal)


def triu(input: Any, diagonal: int = 0) -> Any:
    """Return the elements on and above diagonal number ``diagonal``, zeros below."""
    return Triangle.apply(_check_matrix("triu", input), "triu", diagonal)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """Return the elements with ``index[dim2] == index[dim1] + offset``, as the last dimension.

    Parameters
    ----------
    input : Tensor
        At least 2 dimensions.
    offset : int, default 0
        Positive is above the main diagonal.
    dim1, dim2 : int
        The two dimensions of the matrices; they must differ.
    """
    ndim = _check_matrix("diagonal", input).array.ndim
    dim1, dim2 = dimension("diagonal", dim1, ndim), dimension("diagonal", dim2, ndim)
    if dim1 == dim2:
        raise ArgumentError(f"diagonal: dim1 and dim2 are both {dim1}")
    matrices = input.permute([d for d in range(ndim) if d not in (dim1, dim2)] + [dim1, dim2])
    *batch, rows, columns = matrices.array.shape
    first = offset if offset >= 0 else -offset * columns
    count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    # In row-major order the next element of a diagonal is one row and one column further.
    flat = matrices.reshape(*batch, rows * columns)
    return flat[..., first : first + max(count * (columns + 1) - columns, 0) : columns + 1]


def trace(input: Any) -> Any:
    """Return the sum of the diagonal of a matrix."""
    if check_tensor("trace", "input", input).array.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, got shape {tuple(input.array.shape)}")
    return diagonal(input).sum()


_diagonal = diagonal  # "diagonal" is also the name of an argument


def diag(input: Any, diagonal: int = 0) -> Any:
    """Return a square matrix with a vector on a diagonal, or that diagonal of a matrix.

    Parameters
    ----------
    input : Tensor
        (n,) or (m, n).
    diagonal : int, default 0
        Which one; positive is above the main diagonal.

    Raises
    ------
    ShapeError
        If the input has another number of dimensions.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.diag(tc.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    ndim = check_tensor("diag", "input", input).array.ndim
    if ndim not in (1, 2):
        raise ShapeError(
            f"diag: expected a vector or a matrix, got shape {tuple(input.array.shape)}; diagonal "
            "and diag_embed take batches"
        )
    return diag_embed(input, diagonal) if ndim == 1 else _diagonal(input, diagonal)


def diagflat(input: Any, offset: int = 0) -> Any:
    """Return a square matrix with all elements of a tensor, row-major, on a diagonal."""
    return diag_embed(check_tensor("diagflat", "input", input).reshape(-1), offset)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Return square matrices with the last dimension of a tensor on a diagonal.

    Parameters
    ----------
    input : Tensor
        (..., n).
    offset : int, default 0
        Which diagonal; positive is above the main one.
    dim1, dim2 : int, default -2, -1
        The two dimensions of the matrices in the result.

    Returns
    -------
    Tensor
        One dimension more than ``input``; the matrices have ``n + abs(offset)`` rows and columns.

    Raises
    ------
    ShapeError
        If the input is a number.
    ArgumentError
        If ``dim1`` and ``dim2`` are the same.
    """
    shape = tuple(check_tensor("diag_embed", "input", input).array.shape)
    if not shape:
        raise ShapeError("diag_embed: expected at least 1 dimension, got shape ()")
    first = dimension("diag_embed", dim1, len(shape) + 1)
    second = dimension("diag_embed", dim2, len(shape) + 1)
    if first == second:
        raise ArgumentError(f"diag_embed: dim1 and dim2 are both {first}")
    size = shape[-1] + abs(offset)
    column = input.unsqueeze(-1)  # element i goes to row i - min(offset, 0) ...
    rows = input.xp.arange(shape[-1], device=input.array.device) + max(offset, 0)
    places = input.xp.arange(size, device=input.array.device)
    chosen = input.wrap(input.xp.reshape(rows, (-1, 1)) == places)  # ... and to this column
    matrices = where(chosen, column, 0)
    empty = input.new_zeros((*shape[:-1], abs(offset), size))
    matrices = cat([matrices, empty] if offset >= 0 else [empty, matrices], -2)
    return matrices.movedim((-2, -1), (first, second))
