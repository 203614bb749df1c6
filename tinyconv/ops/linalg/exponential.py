"""The exponential of square matrices."""

from __future__ import annotations

import math
from typing import Any

from ...autograd import Function
from ...backend.dtypes import float32
from ...backend.quiet import quiet
from ..shapes.joining import cat
from ._matrices import check_precise, check_square, identity_mask

#: Largest 1-norm of a matrix for which the Padé approximant of an order is exact to rounding
#: (Higham, 2005, tables 2.3 and 2.4); for larger ones, exp(A) = exp(A / 2^s)^(2^s).
ORDERS = {
    True: {3: 4.258730016922831e-1, 5: 1.880152677804762, 7: 3.925724783138660},  # float32
    False: {
        3: 1.495585217958292e-2,
        5: 2.539398330063230e-1,
        7: 9.504178996162932e-1,
        13: 5.371920351148152,
    },
}


def _coefficients(order: int) -> list[float]:
    """Return those of the numerator of the diagonal Padé approximant of exp, lowest first."""
    return [
        math.comb(order, j) * math.factorial(2 * order - j) / math.factorial(2 * order)
        for j in range(order + 1)
    ]


COEFFICIENTS = {order: _coefficients(order) for order in (3, 5, 7, 13)}


def _even(xp: Any, powers: list[Any], coefficients: list[float]) -> Any:
    """Return the sum of ``coefficients[i] * A^(2 i)``, from the powers I, A^2, A^4, A^6."""
    low = sum(c * p for c, p in zip(coefficients, powers, strict=False))
    if len(coefficients) <= len(powers):
        return low
    high = sum(c * p for c, p in zip(coefficients[4:], powers[1:], strict=True))
    return low + xp.matmul(powers[3], high)


def _exponential(xp: Any, a: Any, identity: Any, orders: dict[int, float]) -> Any:
    """Return the exponentials by scaling, a Padé approximant and squaring (Higham, 2005)."""
    norm = xp.max(xp.sum(xp.abs(a), axis=-2, keepdims=True), axis=-1, keepdims=True)
    finite = xp.isfinite(norm)
    zero, nan = (xp.asarray(value, dtype=a.dtype, device=a.device) for value in (0.0, math.nan))
    largest = max(orders)
    halvings = xp.ceil(xp.log2(norm / orders[largest]))
    halvings = xp.where(finite & (halvings > 0), halvings, zero)
    scaled = xp.where(finite, a, zero) * 2**-halvings
    norm = float(xp.max(xp.where(finite, norm, zero) * 2**-halvings))
    order = min((o for o, limit in orders.items() if norm <= limit), default=largest)
    square = xp.matmul(scaled, scaled)
    powers = [identity, square]
    while len(powers) < min(order // 2, 3) + 1:
        powers.append(xp.matmul(powers[-1], square))
    numbers = COEFFICIENTS[order]
    odd = xp.matmul(scaled, _even(xp, powers, numbers[1::2]))
    even = _even(xp, powers, numbers[::2])
    result = xp.linalg.solve(even - odd, even + odd)
    for done in range(int(xp.max(halvings))):
        result = xp.where(halvings > done, xp.matmul(result, result), result)
    return xp.where(finite, result, nan)


class MatrixExp(Function):
    """exp(A) = I + A + A^2 / 2 + ..."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        ctx.save_for_backward(a)
        xp, array = a.xp, a.array
        if 0 in array.shape:
            return a.wrap(xp.asarray(array, copy=True))
        identity = xp.astype(identity_mask(a, array.shape[-1]).array, array.dtype)
        orders = ORDERS[a.dtype is float32]
        return a.wrap(quiet(_exponential, xp, array, identity, orders))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        # The upper right block of the exponential of [[X, G], [0, X]] is the derivative of exp at
        # X in the direction G (Mathias, 1996), and at X = A^T that derivative is the adjoint of
        # the one at A.
        (a,) = ctx.saved_tensors
        size = a.array.shape[-1]
        transposed = a.mT
        above = cat([transposed, grad], -1)
        below = cat([grad.new_zeros(grad.array.shape), transposed], -1)
        return MatrixExp.apply(cat([above, below], -2))[..., :size, size:]


def matrix_exp(input: Any) -> Any:
    """Return the exponential of square matrices, ``I + A + A^2/2 + A^3/6 + ...`` of A.

    Parameters
    ----------
    input : Tensor (..., n, n)
        float32 or float64.

    Returns
    -------
    Tensor (..., n, n)
        NaN for a matrix that holds NaN or infinity. The exponential of a skew-symmetric matrix is
        orthogonal, to rounding.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If the dtype is another.

    References
    ----------
    Higham, "The scaling and squaring method for the matrix exponential revisited", 2005.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.matrix_exp(tc.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return MatrixExp.apply(
        check_precise("matrix_exp", "input", check_square("matrix_exp", "input", input))
    )
