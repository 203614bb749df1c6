"""Functions of ``linalg`` with the arguments PyTorch gives them at the top level."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import ShapeError
from .._operands import check_tensor
from .determinant import SlogdetResult
from .determinant import det as _det
from .determinant import slogdet as _slogdet
from .factorization import QRResult
from .factorization import cholesky as _cholesky
from .factorization import qr as _qr
from .inverse import inv
from .least_squares import pinv
from .products import cross as _cross
from .spectral import svd as _svd
from .spectral import svdvals


class SVDColumnsResult(NamedTuple):
    """Left vectors, singular values, right vectors; vectors are columns."""

    U: Any
    S: Any
    V: Any


def cholesky(input: Any, upper: bool = False) -> Any:
    """Return the triangular factor of symmetric positive definite matrices, as ``linalg.cholesky``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cholesky(tc.tensor([[4.0]]))
    tensor([[2.]])
    """
    return _cholesky(input, upper=upper)


def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """Return the cross products of vectors of three elements, as ``linalg.cross``.

    Parameters
    ----------
    input, other : Tensor
        The same number of dimensions; sizes other than that of ``dim`` broadcast.
    dim : int, optional
        The dimension of the vectors; default the first of ``input`` with the size 3.

    Raises
    ------
    ShapeError
        If no size is 3, or the shapes do not fit.
    """
    if dim is None:
        shape = tuple(check_tensor("cross", "input", input).array.shape)
        if 3 not in shape:
            raise ShapeError(f"cross: no dimension of shape {shape} has the size 3")
        dim = shape.index(3)
    return _cross(input, other, dim=dim)


def det(input: Any) -> Any:
    """Return the determinants of square matrices, as ``linalg.det``."""
    return _det(input)


def slogdet(input: Any) -> SlogdetResult:
    """Return sign and logarithm of the absolute value of determinants, as ``linalg.slogdet``."""
    return _slogdet(input)


def inverse(input: Any) -> Any:
    """Return the inverse of square matrices, as ``linalg.inv``."""
    return inv(input)


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """Return the pseudo-inverse, as ``linalg.pinv`` with ``rtol=rcond``."""
    return pinv(input, rtol=rcond)


def qr(input: Any, some: bool = True) -> QRResult:
    """Return Q and R as ``linalg.qr`` does, with ``mode="complete"`` if ``some`` is false."""
    return _qr(input, "reduced" if some else "complete")


def svd(input: Any, some: bool = True, compute_uv: bool = True) -> SVDColumnsResult:
    """Return the singular value decomposition, ``input = U diag(S) V^T``.

    Parameters
    ----------
    input : Tensor (..., m, n)
        float32 or float64.
    some : bool, default True
        Return only the first min(m, n) columns of U and V.
    compute_uv : bool, default True
        ``False`` returns zeros for square U and V, and is faster.

    Returns
    -------
    U, S, V : Tensor
        As for ``linalg.svd``, which returns the transpose of V.
    """
    if compute_uv:
        u, s, vh = _svd(input, full_matrices=not some)
        return SVDColumnsResult(u, s, vh.mT)
    s = svdvals(input)
    *batch, m, n = input.array.shape
    return SVDColumnsResult(input.new_zeros((*batch, m, m)), s, input.new_zeros((*batch, n, n)))
