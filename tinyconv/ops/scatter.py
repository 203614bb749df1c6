"""Adding or writing elements at integer indices."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ._operands import TensorBase, cast, check_tensor, dimension
from .gather import IndexAdd, IndexSelect, check_along, check_index, positions


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """Return ``input`` with ``y[index[i, j], j] += src[i, j]`` (for ``dim=0``).

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Dimension along which ``index`` points.
    index : integer Tensor
        As many dimensions as ``input``; may repeat, the sum is deterministic.
    src : Tensor
        At least as large as ``index`` in each dimension; the rest is ignored.
    """
    dim = dimension("scatter_add", dim, check_tensor("scatter_add", "input", input).array.ndim)
    where = _positions("scatter_add", input, dim, index).reshape(-1)
    values = _source("scatter_add", input, index, src).reshape(-1)
    added = IndexAdd.apply(values, where, 0, input.array.size)
    return input + added.reshape(input.array.shape)


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """Return ``input`` with ``alpha`` times the slices of ``source`` added at ``index``."""
    shape = check_tensor("index_add", "input", input).array.shape
    dim = dimension("index_add", dim, len(shape))
    index = check_index("index_add", index, shape[dim], dim).reshape(-1)
    source = cast(check_tensor("index_add", "source", source), input.dtype)
    expected = (*shape[:dim], index.array.shape[0], *shape[dim + 1 :])
    if source.array.shape != expected:
        raise ShapeError(
            f"index_add: source must have shape {tuple(expected)}, got {tuple(source.array.shape)}"
        )
    added = IndexAdd.apply(source, index, dim, shape[dim])
    return input + (added if alpha == 1 else added * alpha)


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None) -> Any:
    """Return ``input`` with ``y[index[i, j], j] = src[i, j]`` (for ``dim=0``).

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Dimension along which ``index`` points.
    index : integer Tensor
        As many dimensions as ``input``. Where an index repeats, the last one wins.
    src : Tensor or number
        What to write; at least as large as ``index`` in each dimension.
    value : number, optional
        Another name of a number given as ``src``.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    src = value if src is None else src
    dim = dimension("scatter", dim, check_tensor("scatter", "input", input).array.ndim)
    where = _positions("scatter", input, dim, index).reshape(-1)
    flat = input.reshape(-1)
    if isinstance(src, TensorBase):
        values = _source("scatter", input, index, src).reshape(-1)
        return put(flat, 0, where, values).reshape(input.array.shape)
    return flat.masked_fill(_hit(flat, 0, where), src).reshape(input.array.shape)


def _positions(op: str, input: Any, dim: int, index: Any) -> Any:
    return positions(check_along(op, input, dim, index), dim, input.array.shape)


def _source(op: str, input: Any, index: Any, src: Any) -> Any:
    """Return the part of ``src`` that ``index`` covers, in the dtype of ``input``."""
    shape, wanted = check_tensor(op, "src", src).array.shape, index.array.shape
    if len(shape) != len(wanted) or any(s < w for s, w in zip(shape, wanted, strict=True)):
        raise ShapeError(
            f"{op}: src of shape {tuple(shape)} is smaller than index of shape {tuple(wanted)}"
        )
    if shape != wanted:
        src = src[tuple([slice(0, n) for n in wanted])]
    return cast(src, input.dtype)


def put(input: Any, dim: int, where: Any, values: Any) -> Any:
    """Return ``input`` with the slices ``values`` at ``where`` along ``dim``; the last one wins.

    The standard has no assignment by index, so the values are added into zeros, after all but
    the last for each position have been left out.
    """
    if where.array.shape[0] == 0:
        return input.clone()
    if input.dtype.kind == 0:  # there is no sum of bools
        return put(input.byte(), dim, where, values.byte()).bool()
    xp = input.xp
    order = xp.argsort(where.array, stable=True)
    ordered = xp.take(where.array, order)
    last = xp.concat([ordered[1:] != ordered[:-1], xp.ones((1,), dtype=xp.bool)])
    winners = xp.take(order, xp.nonzero(last)[0])
    targets = where.wrap(xp.take(where.array, winners))
    chosen = IndexSelect.apply(values, where.wrap(winners), dim)
    written = IndexAdd.apply(chosen, targets, dim, input.array.shape[dim])
    return written.where(_hit(input, dim, targets), input)


def _hit(input: Any, dim: int, where: Any) -> Any:
    """Return a bool tensor that broadcasts with ``input``: true at ``where`` along ``dim``."""
    xp, shape = input.xp, input.array.shape
    ones = xp.ones((where.array.shape[0], 1), dtype=xp.float32)
    counts = input.device.backend.scatter_add(shape[dim], where.array, ones)
    column = tuple([n if d == dim else 1 for d, n in enumerate(shape)])
    return input.wrap(xp.reshape(counts > 0, column))
