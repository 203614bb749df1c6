"""Norms of vectors and of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...backend import as_dtype
from ...backend.dtypes import promote
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import cast, check_floating, dimension
from ..reductions.statistics import norm as p_norm
from ..reductions.sums import Dim
from ..reductions.sums import sum as sum_over
from ._matrices import check_matrices
from .spectral import svdvals

#: Norms that are sums of absolute values over one dimension, and the largest or smallest of
#: them: which dimension of (-2, -1) is summed.
_SUMS = {1: 0, -1: 0, math.inf: 1, -math.inf: 1}


def _converted(op: str, name: str, value: Any, dtype: Any) -> Any:
    """Return a floating-point tensor in ``dtype``, which may only be wider."""
    check_floating(op, name, value)
    if dtype is None:
        return value
    dtype = as_dtype(dtype)
    if not dtype.is_floating_point or promote(value.dtype, dtype) is not dtype:
        raise DTypeError(
            f"{op}: dtype={dtype} would lose digits of '{name}', which is {value.dtype}; convert "
            "it with .to()"
        )
    return cast(value, dtype)


def vector_norm(
    input: Any, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """Return the norm of vectors, ``sum(|input| ** ord) ** (1 / ord)``.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    ord : number, default 2
        ``inf`` is the largest and ``-inf`` the smallest absolute value; 0 counts the elements
        that are not 0.
    dim : int or sequence of int, optional
        The dimensions of one vector, several as one long vector; default all.
    keepdim : bool, default False
        Keep the dimensions with size 1.
    dtype : DType, optional
        Convert ``input`` to it first; not a narrower one.

    Returns
    -------
    Tensor
        0 for no elements. The gradient where the norm is 0 is 0.

    Raises
    ------
    ArgumentError
        If ``ord`` is no number, or infinite or negative with no elements.
    DTypeError
        If ``input`` is not floating point, or ``dtype`` narrower.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.vector_norm(tc.tensor([3.0, 4.0])), tc.linalg.vector_norm(tc.ones(2, 3), 1)
    (tensor(5.), tensor(6.))
    """
    input = _converted("vector_norm", "input", input, dtype)
    if not isinstance(ord, int | float):
        raise ArgumentError(f"vector_norm: ord must be a number, got {ord!r}")
    return p_norm(input, ord, dim, keepdim)


def matrix_norm(
    input: Any,
    ord: float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Any:
    """Return the norm of matrices.

    Parameters
    ----------
    input : Tensor
        Floating point, at least 2 dimensions. ``"nuc"``, 2 and -2 need float32 or float64.
    ord : "fro", "nuc", inf, -inf, 1, -1, 2 or -2, default "fro"
        Root of the sum of squares; sum of singular values; largest or smallest sum of absolute
        values of a row (``inf``, ``-inf``) or of a column (1, -1); largest or smallest singular
        value (2, -2).
    dim : pair of int, default (-2, -1)
        The dimensions of rows and columns.
    keepdim : bool, default False
        Keep them with size 1.
    dtype : DType, optional
        Convert ``input`` to it first; not a narrower one.

    Returns
    -------
    Tensor
        0 for matrices without elements.

    Raises
    ------
    ArgumentError
        If ``ord`` is another, or ``dim`` no pair of two dimensions.
    ShapeError
        If there are less than 2 dimensions.
    DTypeError
        If ``input`` is not floating point, or ``dtype`` narrower.

    Examples
    --------
    >>> import tinyconv as tc
    >>> A = tc.tensor([[3.0, 0.0], [4.0, 0.0]])
    >>> tc.linalg.matrix_norm(A), tc.linalg.matrix_norm(A, 1), tc.linalg.matrix_norm(A, tc.inf)
    (tensor(5.), tensor(7.), tensor(4.))
    """
    op = "matrix_norm"
    input = check_matrices(op, "input", _converted(op, "input", input, dtype))
    axes = _pair(op, dim, input.array.ndim)
    if ord == "fro":
        return p_norm(input, 2, axes, keepdim)
    singular = ord in ("nuc", 2, -2)
    if not singular and ord not in _SUMS:
        raise ArgumentError(
            f"{op}: ord={ord!r} is not legal; choose 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2"
        )
    matrices = input.movedim(axes, (-2, -1))
    if singular:
        values = svdvals(matrices)
    else:
        values = matrices.abs().sum(-2 + _SUMS[ord])  # type: ignore[index]
    result = _reduced(values, ord)
    if keepdim:
        for axis in sorted(axes):
            result = result.unsqueeze(axis)
    return result


def _reduced(values: Any, ord: Any) -> Any:
    if ord == "nuc" or values.array.shape[-1] == 0:
        return sum_over(values, -1)
    return values.amax(-1) if ord > 0 else values.amin(-1)


def _pair(op: str, dim: Any, ndim: int) -> tuple[int, int]:
    if not isinstance(dim, Sequence) or len(dim) != 2:
        raise ArgumentError(f"{op}: dim must be a pair of dimensions, got {dim!r}")
    first, second = dimension(op, dim[0], ndim), dimension(op, dim[1], ndim)
    if first == second:
        raise ArgumentError(f"{op}: the dimensions of dim={tuple(dim)} must differ")
    return first, second


def norm(
    input: Any,
    ord: float | str | None = None,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Any:
    """Return the norm of vectors or of matrices.

    Parameters
    ----------
    input : Tensor
        Floating point.
    ord : number, "fro" or "nuc", optional
        As for :func:`matrix_norm` if ``dim`` is a pair or ``input`` has 2 dimensions, and always
        for ``"fro"`` and ``"nuc"``; else as for :func:`vector_norm`. Default: the 2-norm of all
        elements.
    dim : int or pair of int, optional
        The dimensions of a vector or a matrix; default all, where ``ord`` is given 1 or 2.
    keepdim : bool, default False
        Keep the dimensions with size 1.
    dtype : DType, optional
        Convert ``input`` to it first; not a narrower one.

    Raises
    ------
    ArgumentError
        If ``ord`` is not legal for a vector or a matrix, or ``dim`` names other than 1 or 2.
    ShapeError
        If ``ord`` is given, ``dim`` is not, and ``input`` has not 1 or 2 dimensions.
    DTypeError
        If ``input`` is not floating point, or ``dtype`` narrower.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.norm(tc.tensor([3.0, 4.0])), tc.linalg.norm(tc.tensor([[3.0, 4.0]]), "nuc")
    (tensor(5.), tensor(5.))
    """
    input = _converted("norm", "input", input, dtype)
    axes = (dim,) if isinstance(dim, int) else dim
    if axes is not None and len(axes) not in (1, 2):
        raise ArgumentError(f"norm: dim must be one dimension or two, got {tuple(axes)}")
    ndim = input.array.ndim
    if ord is None:
        return vector_norm(input, 2, axes, keepdim)
    if axes is None and not isinstance(ord, str):
        if ndim not in (1, 2):
            raise ShapeError(
                f"norm: ord={ord} without dim needs 1 or 2 dimensions, got shape "
                f"{tuple(input.array.shape)}"
            )
        axes = tuple(range(ndim))
    if isinstance(ord, str) or (axes is not None and len(axes) == 2):
        return matrix_norm(input, ord, (-2, -1) if axes is None else axes, keepdim)
    return vector_norm(input, ord, axes, keepdim)
