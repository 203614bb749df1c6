"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...autograd.inplace import write
from ...errors import ArgumentError, ShapeError
from .._operands import check_tensor, dimension
from ..elementwise.selection import where
from .joining import cat


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
    matrices, _ = matrices_last("diagonal", input, dim1, dim2)
    *batch, rows, columns = matrices.array.shape
    flat = matrices.reshape(*batch, rows * columns)
    return flat[..., diagonal_slice(rows, columns, offset)]


def matrices_last(op: str, input: Any, dim1: int, dim2: int) -> tuple[Any, list[int]]:
    """Return ``input`` with two dimensions moved to the end, and the order of the dimensions."""
    ndim = _check_matrix(op, input).array.ndim
    dim1, dim2 = dimension(op, dim1, ndim), dimension(op, dim2, ndim)
    if dim1 == dim2:
        raise ArgumentError(f"{op}: dim1 and dim2 are both {dim1}")
    order = [d for d in range(ndim) if d not in (dim1, dim2)] + [dim1, dim2]
    return input.permute(order), order


def diagonal_slice(rows: int, columns: int, offset: int) -> slice:
    """Return where a diagonal lies among the row-major elements of a matrix."""
    first = offset if offset >= 0 else -offset * columns
    count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    # The next element of a diagonal is one row and one column further.
    return slice(first, first + max(count * (columns + 1) - columns, 0), columns + 1)


def fill_diagonal_(input: Any, fill_value: float, wrap: bool = False) -> Any:
    """Fill the main diagonal with a number, in place, and return the tensor.

    Parameters
    ----------
    input : Tensor
        At least 2 dimensions; with more than 2, all of one size: the elements whose indices are
        all the same are filled.
    fill_value : number
        Converted to the dtype of ``input``.
    wrap : bool, default False
        Let the diagonal of a tall matrix begin anew below its square part, one row left out.

    Raises
    ------
    ShapeError
        If the shape is not as above.
    """
    op = "fill_diagonal_"
    shape = _check_matrix(op, input).array.shape
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ShapeError(f"{op}: all dimensions must have one size, got shape {tuple(shape)}")
    size, columns = input.array.size, shape[-1]
    # From one element to the next, every index grows by one.
    step = sum([columns**power for power in range(len(shape))])
    end = size if wrap or len(shape) > 2 else min(size, columns * columns)
    if not input.dtype.is_floating_point:
        fill_value = int(fill_value)
    xp = input.xp
    places = xp.reshape(xp.arange(size, dtype=xp.int64), shape)
    mask = input.wrap((places % max(step, 1) == 0) & (places < end))
    return write(op, input, lambda x: x.masked_fill(mask, fill_value))


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
