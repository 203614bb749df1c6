"""Singular values, eigenvalues of symmetric matrices, and their vectors."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...autograd import Function, is_grad_enabled
from ...errors import ArgumentError
from ..elementwise.selection import where
from ._matrices import check_matrices, check_precise, check_square, decompose, identity_mask


class SVDResult(NamedTuple):
    """Left vectors (columns), singular values, right vectors (rows)."""

    U: Any
    S: Any
    Vh: Any


class EighResult(NamedTuple):
    """Eigenvalues, ascending, and the eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


def _skew(x: Any) -> Any:
    return x - x.mT


def _gaps(values: Any, sign: int) -> Any:
    """Return v[j] - v[i] (or v[j] + v[i]) at row i and column j."""
    row, column = values.unsqueeze(-2), values.unsqueeze(-1)
    return row - column if sign < 0 else row + column


class SVD(Function):
    """U S V^T = A. Vectors that belong to equal singular values have no derivative: NaN.

    Townsend, "Differentiating the singular value decomposition", 2016.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, full_matrices: bool) -> Any:
        def function(x: Any) -> Any:
            return a.xp.linalg.svd(x, full_matrices=full_matrices)

        trouble = "has no SVD: it holds NaN or infinities, or the algorithm did not converge"
        u, s, vh = (a.wrap(part) for part in decompose("svd", trouble, function, a.array))
        ctx.save_for_backward(u, s, vh)
        ctx.set_materialize_grads(False)
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, du: Any, ds: Any, dvh: Any) -> Any:
        u, s, vh = ctx.saved_tensors
        size, rows, columns = s.array.shape[-1], u.array.shape[-2], vh.array.shape[-1]
        # Vectors beyond the first k are arbitrary: nothing may depend on them.
        u, vh = u[..., :size], vh[..., :size, :]
        if du is None and dvh is None:
            return (u * ds.unsqueeze(-2)) @ vh, None
        on_diagonal = identity_mask(s, size)
        squares = where(on_diagonal, 1, _gaps(s, -1) * _gaps(s, 1))
        middle = 0.0 if ds is None else where(on_diagonal, ds.unsqueeze(-1), 0.0)
        if du is not None:
            du = du[..., :size]
            middle = middle + _skew(u.mT @ du) / squares * s.unsqueeze(-2)
        if dvh is not None:
            dvh = dvh[..., :size, :]
            middle = middle + s.unsqueeze(-1) * (_skew(vh @ dvh.mT) / squares)
        da = u @ middle @ vh
        if du is not None and rows > size:
            da = da + ((du - u @ (u.mT @ du)) / s.unsqueeze(-2)) @ vh
        if dvh is not None and columns > size:
            da = da + u @ ((dvh - (dvh @ vh.mT) @ vh) / s.unsqueeze(-1))
        return da, None


class Eigh(Function):
    """V L V^T = A of symmetric A, from its lower triangle; the gradient is symmetric.

    Vectors that belong to equal eigenvalues have no derivative: NaN.
    """

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        values, vectors = decompose(
            "eigh", "has eigenvalues that did not converge", a.xp.linalg.eigh, a.array
        )
        values, vectors = a.wrap(values), a.wrap(vectors)
        ctx.save_for_backward(values, vectors)
        ctx.set_materialize_grads(False)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, dl: Any, dv: Any) -> Any:
        values, vectors = ctx.saved_tensors
        if dv is None:
            return (vectors * dl.unsqueeze(-2)) @ vectors.mT
        on_diagonal = identity_mask(values, values.array.shape[-1])
        middle = _skew(vectors.mT @ dv) / (2 * where(on_diagonal, 1, _gaps(values, -1)))
        if dl is not None:
            middle = middle + where(on_diagonal, dl.unsqueeze(-1), 0.0)
        return vectors @ middle @ vectors.mT


def svd(A: Any, full_matrices: bool = True) -> SVDResult:
    """Return the singular value decomposition, ``A = U diag(S) Vh``.

    Parameters
    ----------
    A : Tensor (..., m, n)
        float32 or float64.
    full_matrices : bool, default True
        Return square U and Vh; ``False`` only their first k = min(m, n) columns and rows.

    Returns
    -------
    U : Tensor (..., m, m) or (..., m, k)
    S : Tensor (..., k)
        Descending.
    Vh : Tensor (..., n, n) or (..., k, n)
        Signs of the vectors are arbitrary: a gradient means something only for what does not
        depend on them, nor on the vectors beyond the first k. Gradients of U and Vh are NaN or
        infinite where singular values are equal, and, unless m = n, where one is 0; those of S
        alone are finite everywhere.

    Raises
    ------
    LinAlgError
        If a matrix holds NaN or infinities.
    ShapeError
        If there are less than 2 dimensions.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> U, S, Vh = tc.linalg.svd(tc.tensor([[0.0, 2.0], [1.0, 0.0]]))
    >>> S
    tensor([2., 1.])
    """
    check_precise("svd", "A", check_matrices("svd", "A", A))
    return SVDResult(*SVD.apply(A, bool(full_matrices)))


def svdvals(A: Any) -> Any:
    """Return the singular values, descending, ``(..., m, n) -> (..., min(m, n))``.

    Cheaper than :func:`svd` where no gradient is wanted; errors as there.
    """
    check_precise("svdvals", "A", check_matrices("svdvals", "A", A))
    if is_grad_enabled() and A.requires_grad:
        return SVD.apply(A, False)[1]
    trouble = "has no singular values: it holds NaN or infinities, or they did not converge"
    return A.wrap(decompose("svdvals", trouble, A.xp.linalg.svdvals, A.array))


def _half(op: str, A: Any, UPLO: str) -> Any:
    """Return the matrices with the triangle that is to be read below the diagonal."""
    check_precise(op, "A", check_square(op, "A", A))
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"{op}: UPLO={UPLO!r} is not legal; choose 'L' or 'U'")
    return A.mT if UPLO.upper() == "U" else A


def eigh(input: Any, UPLO: str = "L") -> EighResult:
    """Return eigenvalues and eigenvectors of symmetric matrices, ``input = V diag(L) V^T``.

    Parameters
    ----------
    input : Tensor (..., n, n)
        float32 or float64. Only one triangle is read; the gradient is symmetric.
    UPLO : "L" or "U", default "L"
        Which triangle: the lower or the upper.

    Returns
    -------
    eigenvalues : Tensor (..., n)
        Ascending.
    eigenvectors : Tensor (..., n, n)
        Columns. Their signs are arbitrary: a gradient means something only for what does not
        depend on them, and is NaN or infinite where eigenvalues are equal. Gradients of the
        eigenvalues alone are finite everywhere.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge.
    ArgumentError
        If ``UPLO`` is another.
    ShapeError
        If the matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> L, V = tc.linalg.eigh(tc.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> L
    tensor([1., 3.])
    """
    return EighResult(*Eigh.apply(_half("eigh", input, UPLO)))


def eigvalsh(input: Any, UPLO: str = "L") -> Any:
    """Return the eigenvalues of symmetric matrices, ascending, ``(..., n, n) -> (..., n)``.

    Cheaper than :func:`eigh` where no gradient is wanted; arguments and errors as there.
    """
    lower = _half("eigvalsh", input, UPLO)
    if is_grad_enabled() and input.requires_grad:
        return Eigh.apply(lower)[0]
    trouble = "has eigenvalues that did not converge"
    return input.wrap(decompose("eigvalsh", trouble, input.xp.linalg.eigvalsh, lower.array))
