"""Products and extremes of groups of rows, each group anywhere in the tensor."""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from .._operands import constant
from ..elementwise.selection import Where, masked
from ..reductions.sums import Shift
from .gather import IndexSelect


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
    if reduce == "prod":
        return SegmentProd.apply(rows, groups, size)
    return SegmentExtreme.apply(rows, groups, size, reduce)


class SegmentProd(Function):
    """The product of each group. Its gradient is the product of all other rows of the group."""

    @staticmethod
    def forward(ctx: Any, x: Any, groups: Any, size: int) -> Any:
        kernel = x.device.backend.scatter_reduce
        result = x.wrap(kernel(size, groups.array, x.array, "prod"))
        ctx.save_for_backward(x, groups, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, groups, result = ctx.saved_tensors
        if x.xp.all(x.array != 0):
            return IndexSelect.apply(grad * result, groups, 0) / x, None, None
        return IndexSelect.apply(grad, groups, 0) * _product_of_others(x, groups), None, None


def _product_of_others(x: Any, groups: Any) -> Any:
    """Return for each row the product of the other rows of its group, without a division."""
    xp = x.xp
    order = xp.argsort(groups.array, stable=True)
    ids, back = xp.take(groups.array, order), xp.argsort(order, stable=True)
    rows = IndexSelect.apply(x, x.wrap(order), 0)
    others = _product_before(rows, ids, 1) * _product_before(rows, ids, -1)
    return IndexSelect.apply(others, x.wrap(back), 0)


def _product_before(x: Any, ids: Any, direction: int) -> Any:
    """Return for each row the product of those before it in its group (-1: behind it).

    Rows of a group lie together. After step m each stands for 2^m rows, so few steps do.
    """

    def moved(rows: Any, places: int) -> Any:
        mask = x.wrap(_same(x.xp, ids, places))
        return Where.apply(mask, Shift.apply(rows, 0, places, 1.0), 1.0)

    result, reach = moved(x, direction), 1
    while reach < ids.shape[0] and x.xp.any(ids[reach:] == ids[:-reach]):
        result = result * moved(result, direction * reach)
        reach *= 2
    return result


def _same(xp: Any, ids: Any, places: int) -> Any:
    """Return, as a column, whether the row ``places`` before (or behind) is of the group."""
    count, reach = ids.shape[0], abs(places)
    pairs = ids[reach:] == ids[: count - reach]
    none = xp.zeros((reach,), dtype=xp.bool)
    return xp.reshape(xp.concat([none, pairs] if places > 0 else [pairs, none]), (-1, 1))


class SegmentExtreme(Function):
    """The largest or smallest of each group; rows that tie share the gradient evenly."""

    @staticmethod
    def forward(ctx: Any, x: Any, groups: Any, size: int, reduce: str) -> Any:
        kernel = x.device.backend.scatter_reduce
        result = x.wrap(kernel(size, groups.array, x.array, reduce))
        ctx.save_for_backward(x, groups, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, groups, result = ctx.saved_tensors
        xp = x.xp
        chosen = xp.take(result.array, groups.array, axis=0)
        ties = (x.array == chosen) | ((x.array != x.array) & (chosen != chosen))  # both NaN
        number = x.device.backend.scatter_add(
            result.array.shape[0], groups.array, xp.astype(ties, x.array.dtype)
        )
        share = IndexSelect.apply(grad / constant(grad, number), groups, 0)
        return masked(share, ties), None, None, None
