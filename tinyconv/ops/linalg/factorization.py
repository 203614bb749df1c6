"""Cholesky and QR: a matrix as a product of two simpler ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...autograd import Function
from ...backend.quiet import quiet
from ...errors import ArgumentError, GradientError, LinAlgError
from ..shapes.joining import cat
from ._matrices import check_matrices, check_precise, check_square, decompose
from .inverse import SolveTriangular


class QRResult(NamedTuple):
    """Orthogonal and upper triangular factors."""

    Q: Any
    R: Any


def _mirrored(m: Any) -> Any:
    """Return the symmetric matrices with the lower triangles of ``m``."""
    return m.tril() + m.tril(-1).mT


def _divided(b: Any, a: Any, upper: bool) -> Any:
    """Return X with X A = B for triangular A."""
    return SolveTriangular.apply(a.mT, b.mT, not upper, False).mT


class Cholesky(Function):
    """L with L L^T = A, from the lower triangle of A; the gradient is symmetric.

    Murray, "Differentiation of the Cholesky decomposition", 2016.
    """

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        xp, trouble = a.xp, "is not positive definite"
        result = a.wrap(decompose("cholesky", trouble, xp.linalg.cholesky, a.array))
        if not xp.all(xp.linalg.diagonal(result.array) > 0):  # NaN in, NaN out
            raise LinAlgError(f"cholesky: a matrix {trouble}: it holds NaN")
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (lower,) = ctx.saved_tensors
        middle = _mirrored(lower.mT @ grad) / 2
        return _divided(SolveTriangular.apply(lower.mT, middle, True, False), lower, False)


class QR(Function):
    """Q R = A with the factors square (``complete``) or as narrow as A, for A not wider than high.

    Walter & Lehmann, "Algorithmic differentiation of linear algebra functions", 2010.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, complete: bool) -> Any:
        mode = "complete" if complete else "reduced"
        q, r = (a.wrap(part) for part in quiet(lambda: a.xp.linalg.qr(a.array, mode=mode)))
        ctx.save_for_backward(q, r)
        ctx.set_materialize_grads(False)
        return q, r

    @staticmethod
    def backward(ctx: Any, dq: Any, dr: Any) -> Any:
        q, r = ctx.saved_tensors
        if r.array.shape[-2] != r.array.shape[-1]:
            raise GradientError(
                "qr: no derivative with mode='complete' for matrices with more rows than columns; "
                "use mode='reduced'"
            )
        terms = [] if dr is None else [r @ dr.mT]
        terms += [] if dq is None else [-(dq.mT @ q)]
        da = q @ _mirrored(terms[0] if len(terms) == 1 else terms[0] + terms[1])
        return _divided(da if dq is None else dq + da, r.mT, False), None


class TriangleOfQR(Function):
    """R of Q R = A alone."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        return a.wrap(quiet(lambda: a.xp.linalg.qr(a.array, mode="reduced"))[1])

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        raise GradientError("qr: the derivative needs Q, which mode='r' drops; use mode='reduced'")


def cholesky(input: Any, *, upper: bool = False) -> Any:
    """Return the triangular factor of symmetric positive definite matrices, ``input = L L^T``.

    Parameters
    ----------
    input : Tensor (..., n, n)
        float32 or float64. Only the triangle that ``upper`` names is read; the gradient is
        symmetric.
    upper : bool, default False
        Return ``U = L^T`` with ``input = U^T U``.

    Returns
    -------
    Tensor (..., n, n)

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.
    ShapeError
        If the matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.cholesky(tc.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    check_precise("cholesky", "input", check_square("cholesky", "input", input))
    return Cholesky.apply(input.mT).mT if upper else Cholesky.apply(input)


def qr(A: Any, mode: str = "reduced") -> QRResult:
    """Return orthogonal Q and upper triangular R with ``A = Q R``.

    Parameters
    ----------
    A : Tensor (..., m, n)
        float32 or float64.
    mode : "reduced", "complete" or "r", default "reduced"
        With k = min(m, n): Q (..., m, k) and R (..., k, n); Q (..., m, m) and R (..., m, n); an
        empty Q and R (..., k, n).

    Returns
    -------
    Q, R : Tensor
        Gradients are those of PyTorch: they want the first k columns linearly independent, and
        there are none for ``mode="r"``, and for ``mode="complete"`` with m > n.

    Raises
    ------
    ArgumentError
        If the mode is another.
    GradientError
        In a backward pass through a mode that has none.
    ShapeError
        If there are less than 2 dimensions.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> Q, R = tc.linalg.qr(tc.tensor([[3.0, 1.0], [4.0, 3.0]]))
    >>> tc.allclose(Q @ R, tc.tensor([[3.0, 1.0], [4.0, 3.0]]))
    True
    """
    check_precise("qr", "A", check_matrices("qr", "A", A))
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode={mode!r} is not legal; choose 'reduced', 'complete' or 'r'")
    if mode == "r":
        return QRResult(A.new_empty(0), TriangleOfQR.apply(A))
    rows, columns = A.array.shape[-2:]
    if rows >= columns:
        return QRResult(*QR.apply(A, mode == "complete"))
    # The columns beyond the square are Q times those of R, which says their gradient too.
    q, r = QR.apply(A[..., :rows], False)
    return QRResult(q, cat([r, q.mT @ A[..., rows:]], -1))
