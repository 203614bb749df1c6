"""Products and extremes of groups of rows, each group anywhere in the tensor.

Rows are first sorted by their group. Then row ``i`` is combined with row ``i + 1`` of its group,
the result with that of row ``i + 2``, then ``i + 4`` and so on: after log2 of the largest group's
size many steps, the first row of each group holds the whole. The array-API standard has no
scatter, so this is how it is done in whole-array operations.

Hillis and Steele, "Data parallel algorithms", Communications of the ACM 29 (1986).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd import Function
from ...backend.quiet import quiet
from .._operands import constant
from ..elementwise.selection import Where, masked
from ..reductions.sums import Shift
from .gather import IndexSelect


class Segments:
    """Groups of rows that lie together: which each row belongs to, and where each begins."""

    __slots__ = ("ids", "longest", "starts")

    def __init__(self, xp: Any, ids: Any, size: int) -> None:
        self.ids = ids
        groups = xp.arange(size, dtype=xp.int64)
        self.starts = xp.searchsorted(ids, groups)
        ends = xp.searchsorted(ids, groups, side="right")
        self.longest = int(xp.max(ends - self.starts)) if size else 0

    def same(self, xp: Any, places: int) -> Any:
        """Return, as a column, whether the row ``places`` before (or behind) is of the group."""
        count, reach = self.ids.shape[0], abs(places)
        pairs = self.ids[reach:] == self.ids[: count - reach]
        none = xp.zeros((reach,), dtype=xp.bool)
        return xp.reshape(xp.concat([none, pairs] if places > 0 else [pairs, none]), (-1, 1))


def reduce_segments(rows: Any, groups: Any, size: int, reduce: str) -> Any:
    """Return the ``"prod"``, ``"amax"`` or ``"amin"`` of the rows of each group.

    Parameters
    ----------
    rows : Tensor (n, k)
        Not bool.
    groups : int64 Tensor (n,)
        Group of each row, from 0 to ``size - 1``; none may be empty.
    size : int
        Number of groups.
    reduce : str
        What to do.

    Returns
    -------
    Tensor (size, k)
    """
    xp = rows.xp
    order = xp.argsort(groups.array, stable=True)
    segments = Segments(xp, xp.take(groups.array, order), size)
    rows = IndexSelect.apply(rows, rows.wrap(order), 0)
    return {"prod": SegmentProd, "amax": SegmentAmax, "amin": SegmentAmin}[reduce].apply(
        rows, segments
    )


def _reduced(x: Any, segments: Segments, combine: Callable[..., Any]) -> Any:
    """Return the first row of each group after all rows of it have been combined into it."""
    xp, array, reach = x.xp, x.array, 1
    while reach < segments.longest:
        here = array[: array.shape[0] - reach, ...]
        both = quiet(combine, here, array[reach:, ...])
        same = segments.same(xp, -reach)[: here.shape[0], :]
        array = xp.concat([xp.where(same, both, here), array[here.shape[0] :, ...]])
        reach *= 2
    return x.wrap(xp.take(array, segments.starts, axis=0))


class SegmentProd(Function):
    """The product of each group. Its gradient is the product of all other rows of the group."""

    @staticmethod
    def forward(ctx: Any, x: Any, segments: Segments) -> Any:
        result = _reduced(x, segments, x.xp.multiply)
        ctx.save_for_backward(x, result)
        ctx.segments = segments
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, result = ctx.saved_tensors
        ids = x.wrap(ctx.segments.ids)
        if x.xp.all(x.array != 0):
            return IndexSelect.apply(grad * result, ids, 0) / x, None
        others = _product_before(x, ctx.segments, 1) * _product_before(x, ctx.segments, -1)
        return IndexSelect.apply(grad, ids, 0) * others, None


def _product_before(x: Any, segments: Segments, direction: int) -> Any:
    """Return for each row the product of those before it in its group (-1: behind it)."""

    def moved(rows: Any, places: int) -> Any:
        mask = x.wrap(segments.same(x.xp, places))
        return Where.apply(mask, Shift.apply(rows, 0, places, 1.0), 1.0)

    result, reach = moved(x, direction), 1
    while reach < segments.longest:
        result = result * moved(result, direction * reach)
        reach *= 2
    return result


class SegmentAmax(Function):
    """The largest of each group; rows that tie share the gradient evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, segments: Segments) -> Any:
        return _extreme(ctx, x, segments, x.xp.maximum)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, result = ctx.saved_tensors
        xp, ids = x.xp, x.wrap(ctx.segments.ids)
        chosen = xp.take(result.array, ids.array, axis=0)
        ties = (x.array == chosen) | (xp.isnan(x.array) & xp.isnan(chosen))
        number = x.device.backend.scatter_add(
            result.array.shape[0], ids.array, xp.astype(ties, x.array.dtype)
        )
        return masked(IndexSelect.apply(grad / constant(grad, number), ids, 0), ties), None


class SegmentAmin(SegmentAmax):
    """The smallest of each group; rows that tie share the gradient evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, segments: Segments) -> Any:
        return _extreme(ctx, x, segments, x.xp.minimum)


def _extreme(ctx: Any, x: Any, segments: Segments, combine: Callable[..., Any]) -> Any:
    result = _reduced(x, segments, combine)
    ctx.save_for_backward(x, result)
    ctx.segments = segments
    return result
