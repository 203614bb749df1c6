"""Adding, writing or otherwise combining elements at integer indices."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import TensorBase, cast, check_same_dtype, check_tensor, dimension
from ..shapes.joining import cat
from .gather import IndexAdd, IndexSelect, check_along, check_index, positions
from .segments import reduce_segments

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


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


def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Any:
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
    reduce : {"add", "multiply"}, optional
        Add to, or multiply, what is there instead; see :func:`scatter_reduce`.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ArgumentError
        If ``reduce`` is unknown, or there is nothing to write.
    """
    src = value if src is None else src
    if src is None:
        raise ArgumentError("scatter: give what to write, as src or as value")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise ArgumentError(f"scatter: reduce={reduce!r} is unknown; choose add or multiply")
        if not isinstance(src, TensorBase):
            src = input.new_full(check_tensor("scatter", "index", index).array.shape, src)
        return scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")
    dim = dimension("scatter", dim, check_tensor("scatter", "input", input).array.ndim)
    where = _positions("scatter", input, dim, index).reshape(-1)
    flat = input.reshape(-1)
    if isinstance(src, TensorBase):
        values = _source("scatter", input, index, src).reshape(-1)
        return overwrite(flat, 0, where, values).reshape(input.array.shape)
    return flat.masked_fill(_hit(flat, 0, where), src).reshape(input.array.shape)


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """Return ``input`` combined with all ``src[i, j]`` that go to the same place.

    For ``dim=0`` that place is ``y[index[i, j], j]``. Gradients are right where a product has
    zeros, and elements that tie for an extreme share its gradient evenly.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        Dimension along which ``index`` points.
    index : integer Tensor
        As many dimensions as ``input``, and no larger except along ``dim``.
    src : Tensor
        Of the dtype of ``input``; at least as large as ``index`` in each dimension.
    reduce : {"sum", "prod", "mean", "amax", "amin"}
        How to combine. The mean of integers is rounded down. Bools add as "or".
    include_self : bool, default True
        Whether the element of ``input`` counts too; if not, it stays only where nothing goes.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``.

    Raises
    ------
    ArgumentError
        If ``reduce`` is unknown.
    IndexRangeError
        If an index is out of range.
    ShapeError, DTypeError
        If shapes or dtypes do not fit, or a mean of bools is asked for.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x, index = tc.zeros(2), tc.tensor([0, 1, 0])
    >>> tc.scatter_reduce(x, 0, index, tc.tensor([1.0, 2.0, 5.0]), "amax")
    tensor([5., 2.])
    """
    op = "scatter_reduce"
    dim = dimension(op, dim, check_tensor(op, "input", input).array.ndim)
    _check_reduction(op, input, reduce, REDUCTIONS)
    where = _positions(op, input, dim, index).reshape(-1)
    check_same_dtype(op, "src", src, input)
    rows = _source(op, input, index, src).reshape(-1, 1)
    combined = _combine(input.reshape(-1, 1), where, rows, reduce, include_self)
    return combined.reshape(input.array.shape)


def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """Return ``input`` with the slices of ``source`` combined into it at ``index``.

    Parameters
    ----------
    input : Tensor
        At least one dimension.
    dim : int
        Dimension of the slices.
    index : integer Tensor (n,)
        Where each slice goes; may repeat.
    source : Tensor
        Of the dtype of ``input``, and its shape, except n slices along ``dim``.
    reduce : {"prod", "mean", "amax", "amin"}
        How to combine; for sums see :func:`index_add`.
    include_self : bool, default True
        As for :func:`scatter_reduce`.

    Raises
    ------
    ArgumentError, IndexRangeError, ShapeError, DTypeError
        As for :func:`scatter_reduce`.
    """
    op = "index_reduce"
    shape = check_tensor(op, "input", input).array.shape
    dim = dimension(op, dim, len(shape))
    _check_reduction(op, input, reduce, REDUCTIONS[1:])
    index = check_index(op, index, shape[dim] if shape else 1, dim).reshape(-1)
    check_same_dtype(op, "source", source, input)
    expected = (*shape[:dim], index.array.shape[0], *shape[dim + 1 :])
    if source.array.shape != expected:
        raise ShapeError(
            f"{op}: source must have shape {tuple(expected)}, got {tuple(source.array.shape)}"
        )
    first = input.movedim(dim, 0)
    rows = [t.reshape(t.array.shape[0], first[:1].numel()) for t in (first, source.movedim(dim, 0))]
    combined = _combine(rows[0], index, rows[1], reduce, include_self)
    return combined.reshape(first.array.shape).movedim(0, dim)


def _check_reduction(op: str, input: Any, reduce: str, legal: tuple[str, ...]) -> None:
    if reduce not in legal:
        raise ArgumentError(f"{op}: reduce={reduce!r} is unknown; choose {', '.join(legal)}")
    if reduce == "mean" and input.dtype.kind == 0:
        raise DTypeError(f"{op}: bools have no mean; use .float()")


def _combine(input: Any, where: Any, rows: Any, reduce: str, include_self: bool) -> Any:
    """Return ``input`` (size, k) with each of ``rows`` (n, k) combined into row ``where[i]``."""
    xp, size = input.xp, input.array.shape[0]
    if rows.array.shape[0] == 0:
        return input.clone()
    if input.dtype.kind == 0:  # there is no sum of bools, and of bytes it would wrap around
        reduce = {"sum": "amax", "prod": "amin"}.get(reduce, reduce)
        return _combine(input.byte(), where, rows.byte(), reduce, include_self).bool()
    # Every place gets at least one row, if need be its own: then there is no empty case.
    places = xp.arange(size, dtype=xp.int64)
    if not include_self:
        places = xp.nonzero(~xp.reshape(_hit(input, 0, where).array, (-1,)))[0]
        input = IndexSelect.apply(input, where.wrap(places), 0)
    rows = cat([input, rows])
    where = where.wrap(xp.concat([places, where.array]))
    if reduce not in ("sum", "mean"):
        return reduce_segments(rows, where, size, reduce)
    total = IndexAdd.apply(rows, where, 0, size)
    if reduce == "sum":
        return total
    ones = xp.ones((rows.array.shape[0], 1), dtype=xp.float64)
    counts = input.wrap(input.device.backend.scatter_add(size, where.array, ones)).to(input.dtype)
    return total.div(counts, rounding_mode=None if input.dtype.is_floating_point else "floor")


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


def overwrite(input: Any, dim: int, where: Any, values: Any) -> Any:
    """Return ``input`` with the slices ``values`` at ``where`` along ``dim``; the last one wins."""
    if where.array.shape[0] == 0:
        return input.clone()
    xp, shape = input.xp, input.array.shape
    last = input.device.backend.scatter_last(shape[dim], where.array)
    hit = last >= 0
    chosen = IndexSelect.apply(values, where.wrap(xp.where(hit, last, xp.zeros_like(last))), dim)
    return chosen.where(_as_column(input, dim, hit), input)


def _hit(input: Any, dim: int, where: Any) -> Any:
    """Return a bool tensor that broadcasts with ``input``: true at ``where`` along ``dim``."""
    last = input.device.backend.scatter_last(input.array.shape[dim], where.array)
    return _as_column(input, dim, last >= 0)


def _as_column(input: Any, dim: int, mask: Any) -> Any:
    shape = [n if d == dim else 1 for d, n in enumerate(input.array.shape)]
    return input.wrap(input.xp.reshape(mask, tuple(shape)))
