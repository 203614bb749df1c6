"""Stacking, splitting and padding with dimensions of size 1, by NumPy's names for them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_tensor, dimension
from ..indexing.getitem import narrow
from .joining import cat


def atleast_1d(*tensors: Any) -> Any:
    """Return each tensor with at least 1 dimension: a number becomes a vector of one element."""
    return _each("atleast_1d", tensors, lambda x: x.reshape(1) if x.array.ndim == 0 else x)


def atleast_2d(*tensors: Any) -> Any:
    """Return each tensor with at least 2 dimensions; a vector becomes a row."""

    def widen(x: Any) -> Any:
        return x.reshape(1, -1) if x.array.ndim < 2 else x

    return _each("atleast_2d", tensors, widen)


def atleast_3d(*tensors: Any) -> Any:
    """Return each tensor with at least 3 dimensions: (n,) as (1, n, 1), (m, n) as (m, n, 1)."""

    def widen(x: Any) -> Any:
        ndim = x.array.ndim
        if ndim < 2:
            return x.reshape(1, -1, 1)
        return x.unsqueeze(-1) if ndim == 2 else x

    return _each("atleast_3d", tensors, widen)


def _each(op: str, tensors: tuple[Any, ...], widen: Callable[[Any], Any]) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], list | tuple):
        return widen(check_tensor(op, "input", tensors[0]))
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple(widen(check_tensor(op, "tensors", x)) for x in given)


def hstack(tensors: Sequence[Any]) -> Any:
    """Return the tensors side by side: along dimension 1, vectors along 0.

    Parameters
    ----------
    tensors : sequence of Tensor
        Equal shapes except along that dimension; numbers count as vectors of one element.
    """
    tensors = atleast_1d(_listed("hstack", tensors))
    return cat(tensors, 0 if tensors[0].array.ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """Return the tensors one above the other, along dimension 0; vectors count as rows."""
    return cat(atleast_2d(_listed("vstack", tensors)), 0)


def dstack(tensors: Sequence[Any]) -> Any:
    """Return the tensors one behind the other, along dimension 2; see :func:`atleast_3d`."""
    return cat(atleast_3d(_listed("dstack", tensors)), 2)


def column_stack(tensors: Sequence[Any]) -> Any:
    """Return the tensors side by side, along dimension 1; vectors count as columns."""
    columns = [
        x.reshape(-1, 1) if x.array.ndim < 2 else x for x in _listed("column_stack", tensors)
    ]
    return cat(columns, 1)


def _listed(op: str, tensors: Sequence[Any]) -> list[Any]:
    tensors = [check_tensor(op, "tensors", x) for x in tensors]
    if not tensors:
        raise ArgumentError(f"{op}: argument 'tensors' must hold at least one tensor")
    return tensors


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Return views of the tensor cut along a dimension, as ``numpy.array_split`` cuts it.

    Parameters
    ----------
    input : Tensor
        At least 1 dimension.
    indices_or_sections : int or sequence of int
        A number of pieces, of which the first are one longer if it does not divide the size; or
        the indices before which to cut (negative ones count from the end).
    dim : int, default 0
        Dimension along which to cut.

    Raises
    ------
    ArgumentError
        If the number of pieces is below 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.tensor_split(tc.arange(5), 2), tc.tensor_split(tc.arange(5), (1,))
    ((tensor([0, 1, 2]), tensor([3, 4])), (tensor([0]), tensor([1, 2, 3, 4])))
    """
    op = "tensor_split"
    ndim = check_tensor(op, "input", input).array.ndim
    if ndim == 0:
        raise ShapeError(f"{op}: argument 'input' must have at least 1 dimension, got shape ()")
    dim = dimension(op, dim, ndim)
    size = input.array.shape[dim]
    if isinstance(indices_or_sections, list | tuple):
        try:
            bounds = [slice(operator.index(i)).indices(size)[1] for i in indices_or_sections]
        except TypeError:
            raise DTypeError(
                f"{op}: the places of cuts must be ints, got {indices_or_sections!r}"
            ) from None
    else:
        pieces = operator.index(indices_or_sections)
        if pieces < 1:
            raise ArgumentError(f"{op}: the number of pieces must be at least 1, got {pieces}")
        longer, rest = size % pieces, size // pieces
        bounds = [i * rest + min(i, longer) for i in range(1, pieces)]
    starts, stops = [0, *bounds], [*bounds, size]
    return tuple(
        narrow(input, dim, start, max(stop - start, 0))
        for start, stop in zip(starts, stops, strict=True)
    )


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Cut along dimension 1 (vectors along 0), as :func:`tensor_split`; pieces must be equal."""
    ndim = check_tensor("hsplit", "input", input).array.ndim
    return _equal_split("hsplit", input, indices_or_sections, 0 if ndim == 1 else 1, 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Cut along dimension 0, as :func:`tensor_split`; pieces must be equal."""
    return _equal_split("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """Cut along dimension 2, as :func:`tensor_split`; pieces must be equal."""
    return _equal_split("dsplit", input, indices_or_sections, 2, 3)


def _equal_split(op: str, input: Any, sections: Any, dim: int, least: int) -> tuple[Any, ...]:
    shape = tuple(check_tensor(op, "input", input).array.shape)
    if len(shape) < least:
        raise ShapeError(
            f"{op}: argument 'input' must have at least {least} dimensions, got shape {shape}"
        )
    if isinstance(sections, int) and (sections < 1 or shape[dim] % sections):
        raise ArgumentError(
            f"{op}: {sections} equal pieces can't be cut from size {shape[dim]} along dimension "
            f"{dim}; tensor_split makes pieces of different sizes"
        )
    return tensor_split(input, sections, dim)


def block_diag(*tensors: Any) -> Any:
    """Return a matrix with the given matrices along its diagonal, and zeros elsewhere.

    Parameters
    ----------
    *tensors : Tensor
        Matrices; vectors count as rows, numbers as 1 x 1.
    """
    matrices = [atleast_2d(check_tensor("block_diag", "tensors", x)) for x in tensors]
    if not matrices or any(m.array.ndim != 2 for m in matrices):
        raise ShapeError(
            "block_diag: needs one or more tensors of at most 2 dimensions, got shapes "
            f"{[tuple(m.array.shape) for m in matrices]}"
        )
    width = sum(m.array.shape[1] for m in matrices)
    rows, before = [], 0
    for m in matrices:
        height, wide = m.array.shape
        left, right = m.new_zeros((height, before)), m.new_zeros((height, width - before - wide))
        rows.append(cat([left, m, right], 1))
        before += wide
    return cat(rows, 0)
