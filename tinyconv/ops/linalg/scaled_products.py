"""A tensor plus a matrix product: ``beta * input + alpha * product``.

``input`` broadcasts to the product. Where ``beta`` is 0 it is not looked at: its NaN and
infinities do not show up.
"""

from __future__ import annotations

from typing import Any

from ...errors import DTypeError, ShapeError
from .._operands import check_tensor
from ..elementwise.selection import masked
from ..shapes.broadcasting import broadcast_shapes
from ._matrices import check_alike
from .matmul import bmm, matmul, mm, mv, outer


def _combined(op: str, input: Any, product: Any, beta: float, alpha: float) -> Any:
    """Return ``beta * input + alpha * product`` in the shape of the product."""
    target = tuple(product.array.shape)
    try:
        fits = broadcast_shapes(input.array.shape, target) == target
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{op}: input of shape {tuple(input.array.shape)} does not broadcast to the product "
            f"of shape {target}"
        )
    if not product.dtype.is_floating_point and not input.dtype.is_floating_point:
        for name, value in (("beta", beta), ("alpha", alpha)):
            if isinstance(value, float):
                raise DTypeError(f"{op}: {name}={value} must be an int for tensors of integers")
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product + masked(input, input.xp.zeros_like(input.array, dtype=input.xp.bool))
    return product + (input if beta == 1 else input * beta)


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Return ``beta * input + alpha * (mat1 @ mat2)``.

    Parameters
    ----------
    input : Tensor
        Shape that broadcasts to (n, p); with ``beta=0`` its values do not matter.
    mat1, mat2 : Tensor (n, m), (m, p)
        All of one dtype.
    beta, alpha : number, default 1
        Ints for tensors of integers.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.addmm(tc.ones(2), tc.ones(2, 3), tc.ones(3, 2), alpha=2)
    tensor([[7., 7.],
            [7., 7.]])
    """
    check_alike("addmm", input, mat1, ("input", "mat1"))
    return _combined("addmm", input, mm(mat1, mat2), beta, alpha)


def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Return ``beta * input + alpha * (mat @ vec)``, ``(n,), (n, m), (m,) -> (n,)``.

    Arguments and errors as :func:`addmm`.
    """
    check_alike("addmv", input, mat, ("input", "mat"))
    return _combined("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Return ``beta * input + alpha * outer(vec1, vec2)``, ``(n, m), (n,), (m,) -> (n, m)``.

    Arguments and errors as :func:`addmm`; but dtypes may differ, and promote.
    """
    check_tensor("addr", "input", input)
    return _combined("addr", input, outer(vec1, vec2), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Return ``beta * input + alpha * bmm(batch1, batch2)``, ``(b, n, m) (b, m, p) -> (b, n, p)``.

    Arguments and errors as :func:`addmm`.
    """
    check_alike("baddbmm", input, batch1, ("input", "batch1"))
    return _combined("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Return ``beta * input + alpha * bmm(batch1, batch2).sum(0)``, of shape (n, p).

    Arguments and errors as :func:`addmm`; ``batch1`` is (b, n, m) and ``batch2`` (b, m, p).
    """
    check_alike("addbmm", input, batch1, ("input", "batch1"))
    check_alike("addbmm", batch1, batch2, ("batch1", "batch2"))
    a, b = batch1.array.shape, batch2.array.shape
    if len(a) != 3 or len(b) != 3 or (a[0], a[2]) != (b[0], b[1]):
        raise ShapeError(
            f"addbmm: batch1 (b, n, m) and batch2 (b, m, p) do not fit: {tuple(a)} and {tuple(b)}"
        )
    # The sum of the products is one product of long rows and long columns.
    rows = batch1.permute(1, 0, 2).reshape(a[1], a[0] * a[2])
    product = matmul(rows, batch2.reshape(b[0] * b[1], b[2]))
    return _combined("addbmm", input, product, beta, alpha)
