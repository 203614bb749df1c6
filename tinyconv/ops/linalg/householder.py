"""Householder reflections: QR in their terms, and their products."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...autograd import Function
from ...backend.quiet import quiet
from ...errors import GradientError, ShapeError
from ..elementwise.selection import where
from ._matrices import check_alike, check_matrices, check_precise, identity_mask
from .inverse import solve_triangular


class GeqrfResult(NamedTuple):
    """R and the reflectors below its diagonal, and the factor of each reflector."""

    a: Any
    tau: Any


class Geqrf(Function):
    """QR by reflections, as LAPACK's ``geqrf`` leaves it; no derivative, as in PyTorch."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        return tuple(map(a.wrap, quiet(_reflected, a.xp, a.array)))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise GradientError("geqrf: no derivative; use linalg.qr")


def _reflected(xp: Any, array: Any) -> tuple[Any, Any]:
    """Return what LAPACK's ``geqrf`` does: column after column is reflected to an axis."""
    a = xp.asarray(array, copy=True)
    rows, columns = a.shape[-2:]
    number = min(rows, columns)
    tau = xp.zeros((*a.shape[:-2], number), dtype=a.dtype, device=a.device)
    for j in range(number):
        head, tail = a[..., j, j], a[..., j + 1 :, j]
        length = _length(xp, a[..., j:, j])
        moves = xp.any(tail != 0, axis=-1)  # else the column lies on its axis already
        new = xp.where(moves, xp.where(head < 0, length, -length), head)
        one = xp.ones_like(head)
        tau[..., j] = factor = xp.where(moves, (new - head) / xp.where(moves, new, one), 0 * one)
        v = tail / xp.where(moves, head - new, one)[..., None]
        above, below = a[..., j, j + 1 :], a[..., j + 1 :, j + 1 :]
        along = xp.matmul(v[..., None, :], below)[..., 0, :] + above
        along = along * factor[..., None]
        a[..., j + 1 :, j + 1 :] = below - v[..., :, None] * along[..., None, :]
        a[..., j, j + 1 :] = above - along
        a[..., j, j], a[..., j + 1 :, j] = new, v
    return a, tau


def _length(xp: Any, vectors: Any) -> Any:
    """Return the 2-norms along the last axis, without overflow of the squares."""
    largest = xp.max(xp.abs(vectors), axis=-1, keepdims=True)
    unit = vectors / xp.where(largest > 0, largest, xp.ones_like(largest))
    return largest[..., 0] * xp.sqrt(xp.sum(unit * unit, axis=-1))


def geqrf(input: Any) -> GeqrfResult:
    """Return the QR factorization of matrices in the form of Householder reflectors.

    Parameters
    ----------
    input : Tensor (..., m, n)
        float32 or float64.

    Returns
    -------
    a : Tensor (..., m, n)
        R on and above the diagonal; below it the reflectors v, of which each has a 1 in the place
        of the diagonal.
    tau : Tensor (..., min(m, n))
        Factor of each reflection, ``I - tau v v^T``; :func:`~tinyconv.linalg.householder_product`
        makes Q of both.

    Raises
    ------
    GradientError
        In a backward pass: there is no derivative; :func:`~tinyconv.linalg.qr` has one.
    ShapeError
        If there are less than 2 dimensions.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> a, tau = tc.geqrf(tc.tensor([[3.0], [4.0]]))
    >>> a, tau
    (tensor([[-5.0000],
            [ 0.5000]]), tensor([1.6000]))
    """
    check_precise("geqrf", "input", check_matrices("geqrf", "input", input))
    return GeqrfResult(*Geqrf.apply(input))


def householder_product(input: Any, tau: Any) -> Any:
    """Return the first columns of a product of Householder reflections ``I - tau v v^T``.

    Parameters
    ----------
    input : Tensor (..., m, n), m >= n
        float32 or float64. The reflectors, below the diagonal; the rest is not read.
    tau : Tensor (..., k), k <= n
        Factor of each reflection, of the dtype and batch of ``input``.

    Returns
    -------
    Tensor (..., m, n)
        The first n columns of ``H_1 H_2 ... H_k``, computed as ``I - V T V^T`` with a triangular T
        by matrix products.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are others.

    References
    ----------
    Joffrain, Low, Quintana-Orti, van de Geijn and Van Zee, "Accumulating Householder
    transformations, revisited", 2006.

    Examples
    --------
    >>> import tinyconv as tc
    >>> Q = tc.linalg.householder_product(*tc.geqrf(tc.tensor([[3.0], [4.0]])))
    >>> Q
    tensor([[-0.6000],
            [-0.8000]])
    """
    op = "householder_product"
    check_alike(op, input, tau, ("input", "tau"))
    check_precise(op, "input", check_matrices(op, "input", input))
    shape, factors = tuple(input.array.shape), tuple(tau.array.shape)
    rows, columns = shape[-2:]
    if rows < columns:
        raise ShapeError(f"{op}: 'input' must not be wider than high, got shape {shape}")
    if not factors or factors[:-1] != shape[:-2] or factors[-1] > columns:
        raise ShapeError(
            f"{op}: 'tau' must have shape ({', '.join(map(str, (*shape[:-2], 'k')))}) with k from "
            f"0 to {columns} for 'input' of shape {shape}, got {factors}"
        )
    number = factors[-1]
    axes = identity_mask(input, rows)[:, :columns].to(input.dtype)
    v = input[..., :number].tril(-1) + axes[:, :number]
    factor = where(identity_mask(input, number), tau.unsqueeze(-1), 0)
    # H_1 ... H_k = I - V T V^T with 1/T = 1/tau on the diagonal and V^T V above it.
    t = solve_triangular(tau.unsqueeze(-1) * (v.mT @ v), factor, upper=True, unitriangular=True)
    return axes - v @ (t @ v[..., :columns, :].mT)
