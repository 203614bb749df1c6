"""Determinants, and logarithms of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ...autograd import Function
from ...backend.quiet import quiet
from ..elementwise.selection import where
from ._matrices import check_precise, check_square, identity_mask
from .inverse import Inv
from .spectral import svd


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the absolute value of determinants."""

    sign: Any
    logabsdet: Any


class Det(Function):
    """The determinant; its gradient is the matrix of cofactors, at singular matrices too."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        result = a.wrap(quiet(a.xp.linalg.det, a.array))
        ctx.save_for_backward(a, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, result = ctx.saved_tensors
        if a.xp.all(result.array != 0):
            return (grad * result)[..., None, None] * Inv.apply(a).mT
        return grad[..., None, None] * _cofactors(a)


class Slogdet(Function):
    """Sign and logarithm of |det|; the gradient of the logarithm is the transposed inverse."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        sign, log = (a.wrap(part) for part in quiet(a.xp.linalg.slogdet, a.array))
        ctx.save_for_backward(a, sign)
        ctx.mark_non_differentiable(sign)
        return sign, log

    @staticmethod
    def backward(ctx: Any, _: Any, grad: Any) -> Any:
        a, sign = ctx.saved_tensors
        if a.xp.all(sign.array != 0):
            return grad[..., None, None] * Inv.apply(a).mT
        return grad[..., None, None] * (_cofactors(a) / det(a)[..., None, None])


def _cofactors(a: Any) -> Any:
    """Return the derivatives of det(a) by the elements of ``a``, which may be singular.

    With a = U S V^T they are det(U) det(V) U S' V^T, where each element of S' is the product of
    all others of S (Stewart, "On the adjugate matrix", 1998).
    """
    u, s, vh = svd(a, full_matrices=False)
    linalg = a.xp.linalg
    turn = a.wrap(linalg.det(u.array) * linalg.det(vh.array))
    others = where(identity_mask(a, s.array.shape[-1]), 1, s.unsqueeze(-2)).prod(-1)
    return (u * (turn.unsqueeze(-1) * others).unsqueeze(-2)) @ vh


def det(A: Any) -> Any:
    """Return the determinants of square matrices.

    The gradient is right for singular matrices too. A second derivative at one of them exists
    where its singular values differ from each other.

    Parameters
    ----------
    A : Tensor (..., n, n)
        float32 or float64.

    Returns
    -------
    Tensor (...)

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.det(tc.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor(3.)
    """
    return Det.apply(check_precise("det", "A", check_square("det", "A", A)))


def slogdet(A: Any) -> SlogdetResult:
    """Return sign and logarithm of the absolute value of the determinants of square matrices.

    Parameters
    ----------
    A : Tensor (..., n, n)
        float32 or float64.

    Returns
    -------
    sign : Tensor (...)
        1, -1, or 0 for a singular matrix; without gradient.
    logabsdet : Tensor (...)
        -inf for a singular matrix; the gradient there is infinite.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> sign, logabsdet = tc.linalg.slogdet(tc.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> sign, logabsdet
    (tensor(-1.), tensor(0.))
    """
    return SlogdetResult(
        *Slogdet.apply(check_precise("slogdet", "A", check_square("slogdet", "A", A)))
    )


def logdet(input: Any) -> Any:
    """Return the logarithms of the determinants of square matrices, ``(..., n, n) -> (...)``.

    NaN where a determinant is negative, -inf where it is 0; errors as :func:`slogdet`.
    """
    check_precise("logdet", "input", check_square("logdet", "input", input))
    sign, log = Slogdet.apply(input)
    return where(sign < 0, math.nan, log)
