"""Products of tensors beside the matrix product: inner, outer, cross, Kronecker, chains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...autograd import TensorBase
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_broadcast, check_floating, check_tensor, dimension
from ..reductions.sums import sum as sum_over
from ..shapes.diagonals import diagonal as _diagonal
from ._matrices import check_alike
from .matmul import dot, matmul


def inner(input: Any, other: Any) -> Any:
    """Return the sums of products over the last dimensions, ``(..., n) (***, n) -> (..., ***)``.

    Parameters
    ----------
    input, other : Tensor
        Of equal dtype and equal last size; a 0-d tensor multiplies the other instead.

    Raises
    ------
    ShapeError
        If the last sizes differ.
    DTypeError
        If the dtypes differ.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.inner(tc.tensor([1.0, 2.0]), tc.tensor([3.0, 4.0]))
    tensor(11.)
    """
    check_alike("inner", input, other, ("input", "other"))
    if not input.array.ndim or not other.array.ndim:
        return input * other
    if input.array.shape[-1] != other.array.shape[-1]:
        raise ShapeError(
            f"inner: the last sizes of shapes {tuple(input.array.shape)} and "
            f"{tuple(other.array.shape)} differ"
        )
    return tensordot(input, other, ([-1], [-1]))


def vdot(input: Any, other: Any) -> Any:
    """Return the inner product of two vectors, ``(n,) (n,) -> ()``, as :func:`dot`."""
    check_alike("vdot", input, other, ("input", "other"))
    return dot(input, other)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """Return the inner products of vectors along a dimension.

    Parameters
    ----------
    x, y : Tensor
        Floating point, of equal dtype; shapes that broadcast.
    dim : int, default -1
        The dimension of the vectors in the common shape.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    DTypeError
        If the dtypes differ or are not floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.vecdot(tc.ones(2, 3), tc.tensor([1.0, 2.0, 3.0]))
    tensor([6., 6.])
    """
    check_alike("vecdot", x, y, ("x", "y"))
    check_floating("vecdot", "x", x)
    check_broadcast("vecdot", x.array.shape, y.array.shape)
    return sum_over(x * y, dim)


def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """Return the cross products of vectors of three elements.

    Parameters
    ----------
    input, other : Tensor
        The same number of dimensions; sizes other than that of ``dim`` broadcast.
    dim : int, default -1
        The dimension of the vectors.

    Raises
    ------
    ShapeError
        If the size of ``dim`` is not 3, or the shapes do not fit.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.cross(tc.tensor([1.0, 0.0, 0.0]), tc.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    check_tensor("cross", "input", input)
    shapes = input.array.shape, check_tensor("cross", "other", other).array.shape
    axis = dimension("cross", dim, len(shapes[0]))
    if len(shapes[0]) != len(shapes[1]) or not shapes[0] or {s[axis] for s in shapes} != {3}:
        raise ShapeError(
            f"cross: shapes {tuple(shapes[0])} and {tuple(shapes[1])} must have the same number "
            f"of dimensions, and the size 3 at dim={dim}"
        )
    return input.roll(-1, axis) * other.roll(1, axis) - input.roll(1, axis) * other.roll(-1, axis)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Return diagonals of matrices as the last dimension; arguments as ``tc.diagonal``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.diagonal(tc.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return _diagonal(check_tensor("diagonal", "A", A), offset, dim1, dim2)


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Return the sums of products over pairs of dimensions of two tensors.

    Parameters
    ----------
    a, b : Tensor
        Of equal dtype.
    dims : int, or two sequences of int, default 2
        A number means the last dimensions of ``a`` with the first of ``b``; else dimensions of
        ``a``, and as many of ``b``, paired in order. Paired sizes are equal, or one is 1.

    Returns
    -------
    Tensor
        The other dimensions of ``a``, then those of ``b``.

    Raises
    ------
    ShapeError
        If paired sizes differ.
    ArgumentError
        If ``dims`` is negative, names a dimension twice or pairs different numbers of them.
    DTypeError
        If the dtypes differ.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.tensordot(tc.ones(2, 3, 4), tc.ones(4, 3), dims=([1, 2], [1, 0]))
    tensor([12., 12.])
    """
    check_alike("tensordot", a, b, ("a", "b"))
    ndims = a.array.ndim, b.array.ndim
    first, second = _paired(dims, ndims)
    for i, j in zip(first, second, strict=True):
        sizes = a.array.shape[i], b.array.shape[j]
        if sizes[0] != sizes[1]:
            if 1 not in sizes:
                raise ShapeError(
                    f"tensordot: size {sizes[0]} of dimension {i} of a {tuple(a.array.shape)} and "
                    f"size {sizes[1]} of dimension {j} of b {tuple(b.array.shape)} differ"
                )
            # The one element of the other is a common factor.
            a, b = (a, sum_over(b, j, True)) if sizes[0] == 1 else (sum_over(a, i, True), b)
    left = [i for i in range(ndims[0]) if i not in first]
    right = [j for j in range(ndims[1]) if j not in second]
    rows, columns = [a.array.shape[i] for i in left], [b.array.shape[j] for j in right]
    count = math.prod([a.array.shape[i] for i in first])
    a = a.permute(*left, *first).reshape(math.prod(rows), count)
    b = b.permute(*second, *right).reshape(count, math.prod(columns))
    return matmul(a, b).reshape(*rows, *columns)


def _paired(dims: Any, ndims: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Return the dimensions of both tensors to sum over, counted from the front."""
    if isinstance(dims, TensorBase):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(ndims):
            raise ArgumentError(
                f"tensordot: dims={dims} must be from 0 to the number of dimensions, {min(ndims)}"
            )
        return list(range(ndims[0] - dims, ndims[0])), list(range(dims))
    if not isinstance(dims, Sequence) or len(dims) != 2:
        raise DTypeError(f"tensordot: dims must be an int or two sequences of int, got {dims!r}")
    pairs = [[d] if isinstance(d, int) else list(d) for d in dims]
    found = [
        [dimension("tensordot", d, ndim) for d in part]
        for part, ndim in zip(pairs, ndims, strict=True)
    ]
    if len(found[0]) != len(found[1]) or any(len(set(part)) != len(part) for part in found):
        raise ArgumentError(
            f"tensordot: dims={dims!r} must name as many dimensions of a as of b, each once"
        )
    return found[0], found[1]


def kron(input: Any, other: Any) -> Any:
    """Return the Kronecker product: each element of ``input`` times the whole of ``other``.

    Parameters
    ----------
    input, other : Tensor
        Any shapes; the shorter one gets dimensions of size 1 at the front.

    Returns
    -------
    Tensor
        Each size is the product of the two sizes.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.kron(tc.tensor([1, 10]), tc.tensor([1, 2, 3]))
    tensor([ 1,  2,  3, 10, 20, 30])
    """
    a = tuple(check_tensor("kron", "input", input).array.shape)
    b = tuple(check_tensor("kron", "other", other).array.shape)
    ndim = max(len(a), len(b))
    a, b = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
    left = input.reshape([n for size in a for n in (size, 1)])
    right = other.reshape([n for size in b for n in (1, size)])
    return (left * right).reshape([m * n for m, n in zip(a, b, strict=True)])


def multi_dot(tensors: Sequence[Any]) -> Any:
    """Return the product of a chain of matrices, in the order that multiplies least.

    Parameters
    ----------
    tensors : sequence of Tensor
        At least two, of equal dtype. All are matrices, but the first may be a row and the last a
        column of one dimension, which vanishes in the result.

    Raises
    ------
    ArgumentError
        If there are less than two tensors.
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.linalg.multi_dot([tc.ones(2), tc.ones(2, 3), tc.ones(3)])
    tensor(6.)
    """
    chain = list(tensors)
    if len(chain) < 2:
        raise ArgumentError(f"multi_dot: expected at least 2 tensors, got {len(chain)}")
    for i, x in enumerate(chain):
        check_alike("multi_dot", chain[0], x, ("tensors[0]", f"tensors[{i}]"))
        if x.array.ndim != 2 and not (x.array.ndim == 1 and i in (0, len(chain) - 1)):
            raise ShapeError(
                f"multi_dot: tensors[{i}] of shape {tuple(x.array.shape)} must be a matrix; only "
                "the first and the last may be vectors"
            )
    row, column = chain[0].array.ndim == 1, chain[-1].array.ndim == 1
    if row:
        chain[0] = chain[0].unsqueeze(0)
    if column:
        chain[-1] = chain[-1].unsqueeze(-1)
    sizes = [x.array.shape[0] for x in chain] + [chain[-1].array.shape[1]]
    for i, x in enumerate(chain):
        if x.array.shape[1] != sizes[i + 1]:
            raise ShapeError(
                f"multi_dot: tensors[{i}] of shape {tuple(x.array.shape)} does not fit "
                f"tensors[{i + 1}] of shape {tuple(chain[i + 1].array.shape)}"
            )
    result = _multiply(chain, _cuts(sizes), 0, len(chain) - 1)
    result = result.squeeze(0) if row else result
    return result.squeeze(-1) if column else result


def _cuts(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return where to cut each part of a chain of matrices (Cormen et al., section 15.2)."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cuts = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], cuts[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return cuts


def _multiply(chain: Sequence[Any], cuts: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = cuts[i, j]
    return matmul(_multiply(chain, cuts, i, k), _multiply(chain, cuts, k + 1, j))
