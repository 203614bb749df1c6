"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..errors import ArgumentError, ShapeError
from ._operands import check_tensor, dimension


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
