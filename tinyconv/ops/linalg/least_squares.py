"""Ranks, pseudo-inverses and least squares: what singular values too small to count decide."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...autograd import Function, TensorBase
from ...backend.quiet import quiet
from ...errors import ArgumentError, ShapeError
from ..reductions.sums import sum as sum_over
from ..shapes.broadcasting import broadcast_shapes
from ._matrices import check_alike, check_matrices, check_precise, check_square, decompose
from .factorization import qr
from .inverse import check_stacks, is_vector_side, solve_triangular

Tolerance = Any  # None, a number, or a tensor that broadcasts to the batch
DRIVERS = ("gelsy", "gels", "gelsd", "gelss")
TROUBLE = "has no singular values: it holds NaN or infinities, or they did not converge"


class LstsqResult(NamedTuple):
    """What :func:`lstsq` returns."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def _limit(op: str, a: Any, sizes: Any, atol: Tolerance, rtol: Tolerance) -> Any:
    """Return the array max(atol, rtol * largest size), shape (..., 1), for sizes (..., k)."""
    xp, dtype = a.xp, a.array.dtype
    given = {}
    for name, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, TensorBase):
            given[name] = xp.astype(value.array, dtype)[..., None]
        elif value is not None:
            if not isinstance(value, int | float):
                raise ArgumentError(f"{op}: {name} must be a number or a tensor, got {value!r}")
            given[name] = xp.asarray(float(value), dtype=dtype, device=a.array.device)
    absolute = given.get("atol", xp.asarray(0.0, dtype=dtype, device=a.array.device))
    relative = given.get("rtol")
    if relative is None:  # an absolute limit stands alone
        default = xp.finfo(dtype).eps * max(a.array.shape[-2:])
        relative = xp.where(
            absolute > 0, xp.zeros_like(absolute), xp.full_like(absolute, float(default))
        )
    if sizes.shape[-1] == 0:
        return absolute
    return xp.maximum(absolute, relative * xp.max(sizes, axis=-1, keepdims=True))


def _check(op: str, A: Any, hermitian: bool) -> Any:
    (check_square if hermitian else check_matrices)(op, "A", A)
    return check_precise(op, "A", A)


def matrix_rank(
    input: Any, *, atol: Tolerance = None, rtol: Tolerance = None, hermitian: bool = False
) -> Any:
    """Return the number of singular values above ``max(atol, rtol * largest)``.

    Parameters
    ----------
    input : Tensor (..., m, n)
        float32 or float64.
    atol : number or Tensor, optional
        Default 0.
    rtol : number or Tensor, optional
        Default ``max(m, n)`` times the machine epsilon, or 0 where ``atol`` is positive.
    hermitian : bool, default False
        Take the matrices as symmetric, reading their lower triangles, which is faster.

    Returns
    -------
    Tensor (...)
        int64.

    Raises
    ------
    LinAlgError
        If a matrix holds NaN or infinities.
    ShapeError
        If there are less than 2 dimensions, or symmetric matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.matrix_rank(tc.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    array, linalg = _check("matrix_rank", input, hermitian).array, input.xp.linalg
    values = linalg.eigvalsh if hermitian else linalg.svdvals
    sizes = input.xp.abs(decompose("matrix_rank", TROUBLE, values, array))
    counted = sizes > _limit("matrix_rank", input, sizes, atol, rtol)
    return input.wrap(input.xp.sum(input.xp.astype(counted, input.xp.int64), axis=-1))


class Pinv(Function):
    """The pseudo-inverse V S^+ U^T.

    Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems
    whose variables separate", 1973: right where the rank does not change.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, atol: Tolerance, rtol: Tolerance, hermitian: bool) -> Any:
        xp = a.xp

        def function(x: Any) -> Any:
            if not hermitian:
                return xp.linalg.svd(x, full_matrices=False)
            values, vectors = xp.linalg.eigh(x)
            return vectors, values, xp.matrix_transpose(vectors)

        u, s, vh = decompose("pinv", TROUBLE, function, a.array)
        counted = xp.abs(s) > _limit("pinv", a, xp.abs(s), atol, rtol)
        one = xp.ones_like(s)
        inverse = xp.where(counted, one / xp.where(counted, s, one), xp.zeros_like(s))
        scaled = xp.matrix_transpose(vh) * inverse[..., None, :]
        result = a.wrap(quiet(xp.matmul, scaled, xp.matrix_transpose(u)))
        ctx.save_for_backward(a, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, p = ctx.saved_tensors
        pt, gt = p.mT, grad.mT
        if a.array.shape[-2] <= a.array.shape[-1]:  # in the order that keeps the products small
            k = gt @ p
            inner = k @ pt
            da = inner - (p @ k).mT - (a @ p) @ inner + (pt @ p) @ (gt - k @ a)
        else:
            k = p @ gt
            inner = pt @ k
            da = inner - (k @ p).mT + ((gt - a @ k) @ p) @ pt - (inner @ p) @ a
        return da, None, None, None


def pinv(
    input: Any, *, atol: Tolerance = None, rtol: Tolerance = None, hermitian: bool = False
) -> Any:
    """Return the pseudo-inverse (Moore-Penrose inverse), ``(..., m, n) -> (..., n, m)``.

    Parameters
    ----------
    input : Tensor (..., m, n)
        float32 or float64.
    atol, rtol, hermitian
        As for :func:`matrix_rank`: singular values not above the limit count as 0.

    Returns
    -------
    Tensor (..., n, m)
        The gradient is right as long as the rank stays the same.

    Raises
    ------
    LinAlgError
        If a matrix holds NaN or infinities.
    ShapeError
        If there are less than 2 dimensions, or symmetric matrices are not square.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.pinv(tc.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    return Pinv.apply(_check("pinv", input, hermitian), atol, rtol, bool(hermitian))


def lstsq(
    input: Any, b: Any, rcond: float | None = None, *, driver: str | None = None
) -> LstsqResult:
    """Return the X of least norm that minimises ``||A X - B||``, A being ``input`` and B ``b``.

    Parameters
    ----------
    input : Tensor (..., m, n)
        float32 or float64.
    b : Tensor (..., m), (..., m, k)
        Of the same dtype; vectors or matrices by the rule of :func:`solve`.
    rcond : float, optional
        Singular values not above ``rcond`` times the largest count as 0; default ``max(m, n)``
        times the machine epsilon. ``"gels"`` takes no notice.
    driver : "gelsy", "gels", "gelsd" or "gelss", default "gelsy"
        ``"gels"`` solves by QR and wants full rank; the others go through singular values. As
        the LAPACK routines of these names, they differ in what they also return.

    Returns
    -------
    solution : Tensor (..., n, k) or (..., n)
        The gradient is right as long as the rank stays the same.
    residuals : Tensor (..., k) or (...)
        Sums of squares of ``A X - B``; empty unless m > n, all matrices have full rank and the
        driver is not ``"gelsy"``.
    rank : Tensor (...)
        int64; empty with ``"gels"``.
    singular_values : Tensor (..., min(m, n))
        Empty unless the driver is ``"gelsd"`` or ``"gelss"``.

    Raises
    ------
    ArgumentError
        If the driver is unknown.
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are others.

    Examples
    --------
    >>> import tinyconv as tc
    >>> A = tc.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> tc.linalg.lstsq(A, tc.tensor([1.0, 3.0, 5.0])).solution.round(decimals=4)
    tensor([1., 2.])
    """
    check_alike("lstsq", input, b, ("input", "b"))
    check_precise("lstsq", "input", check_matrices("lstsq", "input", input))
    driver = "gelsy" if driver is None else driver
    if driver not in DRIVERS:
        raise ArgumentError(
            f"lstsq: driver={driver!r} is not legal; choose {', '.join(map(repr, DRIVERS))}"
        )
    shape, (rows, columns) = tuple(b.array.shape), input.array.shape[-2:]
    vectors = is_vector_side(input.array.shape, shape)
    right = b.unsqueeze(-1) if vectors else b
    if right.array.ndim < 2 or right.array.shape[-2] != rows:
        raise ShapeError(
            f"lstsq: b of shape {shape} does not fit input of shape {tuple(input.array.shape)}"
        )
    check_stacks("lstsq", input, right)
    if driver == "gels":
        x = _by_qr(input, right)
        rank, sizes, full = input.new_empty(0).long(), input.new_empty(0), True
    else:
        x = Pinv.apply(input, None, rcond, False) @ right
        values = decompose("lstsq", TROUBLE, input.xp.linalg.svdvals, input.array)
        counted = values > _limit("lstsq", input, values, None, rcond)
        ranks = input.xp.sum(input.xp.astype(counted, input.xp.int64), axis=-1)
        rank, full = input.wrap(ranks), bool(input.xp.all(ranks == min(rows, columns)))
        sizes = input.new_empty(0) if driver == "gelsy" else input.wrap(values)
    residuals = input.new_empty(0)
    if rows > columns and full and driver != "gelsy":
        error = input @ x - right
        residuals = sum_over(error * error, -2)
        residuals = residuals.squeeze(-1) if vectors and right.array.ndim > 2 else residuals
    return LstsqResult(x.squeeze(-1) if vectors else x, residuals, rank, sizes)


def _by_qr(a: Any, b: Any) -> Any:
    """Solve least squares, or for the shortest solution, with matrices of full rank."""
    batch = broadcast_shapes(a.array.shape[:-2], b.array.shape[:-2])
    b = b.expand(*batch, *b.array.shape[-2:])
    if a.array.shape[-2] >= a.array.shape[-1]:
        q, r = qr(a)
        return solve_triangular(r, q.mT @ b, upper=True)
    q, r = qr(a.mT)
    return q @ solve_triangular(r.mT, b, upper=False)
