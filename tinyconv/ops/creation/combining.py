"""Tensors of combinations: pairs, products, powers, and the indices of elements and triangles."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from math import prod
from typing import Any

from ...backend import as_device, as_dtype
from ...backend.dtypes import INTEGER
from ...errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .._operands import check_tensor
from ..casting import native_dtype
from ..shapes.broadcasting import meshgrid
from ..shapes.joining import stack
from .filled import sizes
from .from_data import new_leaf


def cartesian_prod(*tensors: Any) -> Any:
    """Return all ways to take one element of each vector, in the order of nested loops.

    Parameters
    ----------
    *tensors : Tensor (n_i,)
        Of one dtype.

    Returns
    -------
    Tensor (n_0 * n_1 * ..., number of tensors)
        Of a single vector, that vector.

    Raises
    ------
    ShapeError, DTypeError
        If one is no vector, or dtypes differ.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cartesian_prod(tc.tensor([1, 2]), tc.tensor([7, 8]))
    tensor([[1, 7],
            [1, 8],
            [2, 7],
            [2, 8]])
    """
    op = "cartesian_prod"
    for position, vector in enumerate(tensors):
        if check_tensor(op, f"tensors[{position}]", vector).array.ndim != 1:
            raise ShapeError(
                f"{op}: tensors[{position}] must be a vector, got shape {tuple(vector.array.shape)}"
            )
        if vector.dtype is not tensors[0].dtype:
            raise DTypeError(
                f"{op}: tensors must be of one dtype, got {tensors[0].dtype} and {vector.dtype}"
            )
    if not tensors:
        raise ArgumentError(f"{op}: expected at least one tensor, got none")
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*tensors)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Return all ways to choose ``r`` elements of a vector, as rows, in their order.

    Parameters
    ----------
    input : Tensor (n,)
        The elements.
    r : int, default 2
        How many to choose; at least 0.
    with_replacement : bool, default False
        Whether an element may be chosen several times.

    Returns
    -------
    Tensor (number of ways, r)
        Of shape (0,) if ``r`` is 0, as in PyTorch.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.combinations(tc.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if check_tensor("combinations", "input", input).array.ndim != 1:
        raise ShapeError(
            f"combinations: argument 'input' must be a vector, got {tuple(input.array.shape)}"
        )
    if operator.index(r) < 0:
        raise ArgumentError(f"combinations: r must not be negative, got {r}")
    if r == 0:
        return input[:0]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = [place for way in choose(range(input.array.shape[0]), r) for place in way]
    index = input.wrap(input.xp.asarray(rows, dtype=input.xp.int64))
    return input.index_select(0, index).reshape(-1, r)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Return the powers of a vector's elements: a Vandermonde matrix.

    Parameters
    ----------
    x : Tensor (n,)
        The elements.
    N : int, optional
        Number of columns; default n.
    increasing : bool, default False
        Powers 0, 1, ... from left to right rather than from right to left.

    Returns
    -------
    Tensor (n, N)

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.vander(tc.tensor([2, 3]), 3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    if check_tensor("vander", "x", x).array.ndim != 1:
        raise ShapeError(f"vander: argument 'x' must be a vector, got {tuple(x.array.shape)}")
    count = x.array.shape[0] if N is None else operator.index(N)
    if count < 0:
        raise ArgumentError(f"vander: N must not be negative, got {N}")
    powers = [x.new_ones(x.array.shape)]
    while len(powers) < count:
        powers.append(powers[-1] * x)
    columns = powers[:count] if increasing else powers[:count][::-1]
    return stack(columns, 1) if count else x.new_empty(x.array.shape[0], 0)


# -- indices ------------------------------------------------------------------------------------

_TRIANGLE_DOC = """Return the indices of the elements {where} a diagonal of a matrix.

    Parameters
    ----------
    row, col : int
        Shape of the matrix.
    offset : int, default 0
        Which diagonal; positive is above the main one.
    dtype : DType, optional
        Of integers; default int64.
    device : Device or str, optional
        Default: the default device.

    Returns
    -------
    Tensor (2, n)
        Rows and columns, in row-major order.

    Raises
    ------
    DTypeError
        If ``dtype`` does not hold integers.
    ShapeError
        If a size is negative.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.{name}(2, 2)
    {example}
    """


def _triangle(name: str, where: str, example: str) -> Any:
    def indices(
        row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
    ) -> Any:
        place, wanted = as_device(device), as_dtype("int64" if dtype is None else dtype)
        if wanted.kind != INTEGER:
            raise DTypeError(f"{name}: dtype must hold integers, got {wanted}")
        xp, shape = place.xp, sizes(name, (row, col))
        whole = xp.ones(shape, dtype=xp.uint8)
        part = (xp.tril if name == "tril_indices" else xp.triu)(whole, k=operator.index(offset))
        array = xp.astype(xp.stack(xp.nonzero(part)), native_dtype(name, wanted, place))
        return new_leaf(array, place, False)

    indices.__name__ = indices.__qualname__ = name
    indices.__doc__ = _TRIANGLE_DOC.format(where=where, name=name, example=example)
    return indices


_LOWER = "tensor([[0, 1, 1],\n            [0, 0, 1]])"
_UPPER = "tensor([[0, 0, 1],\n            [0, 1, 1]])"
tril_indices = _triangle("tril_indices", "on and below", _LOWER)
triu_indices = _triangle("triu_indices", "on and above", _UPPER)


def unravel_index(indices: Any, shape: int | Sequence[int]) -> tuple[Any, ...]:
    """Return the index along each dimension that positions of a flattened tensor mean.

    Parameters
    ----------
    indices : integer Tensor
        Any shape; negative counts from the end.
    shape : int or sequence of int
        Shape of the tensor.

    Returns
    -------
    tuple of int64 Tensor
        One for each dimension, in the shape of ``indices``.

    Raises
    ------
    DTypeError
        If the indices are not integers.
    IndexRangeError
        If one is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.unravel_index(tc.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    if check_tensor("unravel_index", "indices", indices).dtype.kind != INTEGER:
        raise DTypeError(f"unravel_index: indices must be integers, got {indices.dtype}")
    extent = sizes("unravel_index", (shape,))
    size, xp = prod(extent), indices.xp
    place = xp.astype(indices.array, xp.int64)
    if place.size:
        low, high = int(xp.min(place)), int(xp.max(place))
        if low < -size or high >= size:
            raise IndexRangeError(
                f"unravel_index: index {high if high >= size else low} is out of range for shape "
                f"{extent} of {size} elements"
            )
    place = xp.where(place < 0, place + size, place)
    found = []
    for length in reversed(extent):
        found.append(indices.wrap(place % max(length, 1)))
        place = place // max(length, 1)
    return tuple(reversed(found))
