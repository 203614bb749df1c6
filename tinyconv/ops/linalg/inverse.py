"""Inverses, systems of linear equations, powers of matrices."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...backend.quiet import quiet
from ...errors import DTypeError, ShapeError
from ..elementwise.selection import masked, where
from ..shapes.broadcasting import broadcast_shapes
from ._matrices import (
    check_alike,
    check_matrices,
    check_precise,
    check_square,
    decompose,
    identity_mask,
)

#: Size of the triangular blocks that are solved as a whole; larger ones are cut in two.
BLOCK = 32


class Inv(Function):
    """The inverse of square matrices."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        result = a.wrap(decompose("inv", "is singular", a.xp.linalg.inv, a.array))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (result,) = ctx.saved_tensors
        transposed = result.mT
        return -(transposed @ grad @ transposed)


class Solve(Function):
    """X with A X = B, for matrices B; stacks broadcast."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        linalg = a.xp.linalg
        x = decompose(
            "solve", "is singular", linalg.solve, a.array, b.array, probe=linalg.inv
        )  # fmt: skip
        result = a.wrap(x)
        ctx.save_for_backward(a, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, result = ctx.saved_tensors
        db = Solve.apply(a.mT, grad)
        return -(db @ result.mT) if ctx.needs_input_grad[0] else None, db


class SolveTriangular(Function):
    """X with A X = B, where A has only a lower or an upper triangle; the rest is not read."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, upper: bool, unit: bool) -> Any:
        xp, size = a.xp, a.array.shape[-1]
        matrix = xp.triu(a.array) if upper else xp.tril(a.array)
        diagonal = identity_mask(a, size).array
        if unit:
            matrix = xp.where(diagonal, xp.asarray(1, dtype=matrix.dtype), matrix)
        batch = broadcast_shapes(matrix.shape[:-2], b.array.shape[:-2])
        right = xp.broadcast_to(b.array, (*batch, *b.array.shape[-2:]))
        regular = unit or bool(xp.all((matrix != 0) | ~diagonal))
        result = a.wrap(quiet(_substitute, xp, matrix, right, upper, regular))
        ctx.save_for_backward(a, result)
        ctx.upper, ctx.unit = upper, unit
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, result = ctx.saved_tensors
        upper, unit = ctx.upper, ctx.unit
        db = SolveTriangular.apply(a.mT, grad, not upper, unit)
        if not ctx.needs_input_grad[0]:
            return None, db, None, None
        da, edge = -(db @ result.mT), 1 if unit else 0
        return da.triu(edge) if upper else da.tril(-edge), db, None, None


def _substitute(xp: Any, a: Any, b: Any, upper: bool, regular: bool) -> Any:
    """Solve triangular systems by halves, so that nearly all work is matrix products.

    A matrix that is not ``regular`` has zeros on its diagonal: dividing by them gives infinities,
    where the solver of the array library would raise.
    """
    size = a.shape[-1]
    if size == 1:
        return b / a
    if size == 0 or (size <= BLOCK and regular):
        return xp.linalg.solve(a, b)
    half = size // 2
    parts = slice(None, half), slice(half, None)
    first, second = parts[::-1] if upper else parts
    x = _substitute(xp, a[..., first, first], b[..., first, :], upper, regular)
    rest = b[..., second, :] - xp.matmul(a[..., second, first], x)
    y = _substitute(xp, a[..., second, second], rest, upper, regular)
    return xp.concat([y, x] if upper else [x, y], axis=-2)


def inv(A: Any) -> Any:
    """Return the inverse of square matrices.

    Parameters
    ----------
    A : Tensor (..., n, n)
        float32 or float64.

    Returns
    -------
    Tensor (..., n, n)

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    ShapeError
        If the matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.inv(tc.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return Inv.apply(check_precise("inv", "A", check_square("inv", "A", A)))


def is_vector_side(a: Sequence[int], b: Sequence[int]) -> bool:
    """Return whether the right-hand side of shape ``b`` is a vector for each matrix, not a matrix.

    PyTorch's rule: it has one dimension, or exactly the shape of ``A`` without its last one.
    """
    return len(b) == 1 or (len(b) == len(a) - 1 and tuple(b) == tuple(a[:-1]))


def check_stacks(op: str, a: Any, b: Any) -> None:
    """Raise ``ShapeError`` if the batch dimensions of two stacks do not broadcast."""
    try:
        broadcast_shapes(a.array.shape[:-2], b.array.shape[:-2])
    except ShapeError:
        raise ShapeError(
            f"{op}: the batches of A {tuple(a.array.shape)} and B {tuple(b.array.shape)} do not "
            "broadcast"
        ) from None


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """Return the solution X of ``A X = B``, or of ``X A = B``.

    Parameters
    ----------
    A : Tensor (..., n, n)
        float32 or float64.
    B : Tensor (..., n), (..., n, k)
        Of the same dtype. It holds vectors if it has one dimension or the shape of ``A`` without
        its last one, else matrices; batches of matrices broadcast.
    left : bool, default True
        ``False`` solves ``X A = B``, for ``B`` of shape (..., k, n).

    Returns
    -------
    Tensor
        Shape of ``B``, with the common batch dimensions.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are others.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.solve(tc.tensor([[2.0, 0.0], [0.0, 4.0]]), tc.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    check_alike("solve", A, B, ("A", "B"))
    check_precise("solve", "A", check_square("solve", "A", A))
    shape, size = tuple(B.array.shape), A.array.shape[-1]
    vectors = is_vector_side(A.array.shape, shape)
    right = B.unsqueeze(-1) if vectors else B
    if right.array.ndim < 2 or right.array.shape[-2 if left else -1] != size:
        raise ShapeError(
            f"solve: B of shape {shape} does not fit A of shape {tuple(A.array.shape)} in "
            f"{'A X = B' if left else 'X A = B'}"
        )
    check_stacks("solve", A, right)
    if not left:
        return Solve.apply(A.mT, right.mT).mT
    result = Solve.apply(A, right)
    return result.squeeze(-1) if vectors else result


def solve_triangular(
    input: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """Return the solution X of ``A X = B``, or of ``X A = B``, for triangular A, the ``input``.

    Parameters
    ----------
    input : Tensor (..., n, n)
        float32 or float64. Only one triangle is read; there is no test for zeros on its diagonal,
        which give infinities and NaN.
    B : Tensor (..., n, k)
        Of the same dtype; batches broadcast.
    upper : bool
        Which triangle of ``input``.
    left : bool, default True
        ``False`` solves ``X A = B``, for ``B`` of shape (..., k, n).
    unitriangular : bool, default False
        Take the diagonal of ``input`` as ones, without reading it.

    Returns
    -------
    Tensor
        Shape of ``B``, with the common batch dimensions.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are others.

    Examples
    --------
    >>> import tinyconv as tc
    >>> A = tc.tensor([[1.0, 1.0], [0.0, 2.0]])
    >>> tc.linalg.solve_triangular(A, tc.tensor([[3.0], [4.0]]), upper=True)
    tensor([[1.],
            [2.]])
    """
    op = "solve_triangular"
    check_alike(op, input, B, ("input", "B"))
    check_precise(op, "input", check_square(op, "input", input))
    if check_matrices(op, "B", B).array.shape[-2 if left else -1] != input.array.shape[-1]:
        raise ShapeError(
            f"{op}: B of shape {tuple(B.array.shape)} does not fit input of shape "
            f"{tuple(input.array.shape)} in {'A X = B' if left else 'X A = B'}"
        )
    check_stacks(op, input, B)
    if left:
        return SolveTriangular.apply(input, B, bool(upper), bool(unitriangular))
    return SolveTriangular.apply(input.mT, B.mT, not upper, bool(unitriangular)).mT


def matrix_power(input: Any, n: int) -> Any:
    """Return the n-th power of square matrices.

    Parameters
    ----------
    input : Tensor (..., m, m)
        Any dtype for ``n >= 0``, float32 or float64 for a negative power.
    n : int
        0 gives the identity; negative is a power of the inverse.

    Raises
    ------
    LinAlgError
        If ``n`` is negative and a matrix singular.
    ShapeError
        If the matrices are not square.
    DTypeError
        If ``n`` is not an int.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.matrix_power(tc.tensor([[1, 1], [0, 1]]), 5)
    tensor([[1, 5],
            [0, 1]])
    """
    check_square("matrix_power", "input", input)
    try:
        n = operator.index(n)
    except TypeError:
        raise DTypeError(f"matrix_power: n must be an int, got {type(n).__name__}") from None
    if n == 0:
        zeros = masked(input, input.xp.zeros_like(input.array, dtype=input.xp.bool))
        return where(identity_mask(input, input.array.shape[-1]), 1, zeros)
    square = inv(input) if n < 0 else input
    n, result = abs(n), None
    while True:
        if n % 2:
            result = square if result is None else result @ square
        n //= 2
        if not n:
            return result.clone() if result is input else result
        square = square @ square
