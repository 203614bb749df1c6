"""Sorting and the largest elements."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import ArgumentError
from .._operands import check_tensor, dimension, precise
from ..indexing.gather import Gather


class SortResult(NamedTuple):
    """What :func:`sort` and :func:`topk` return."""

    values: Any
    indices: Any


def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Return the indices that sort ``input`` along ``dim``; see :func:`sort`."""
    dim = dimension("argsort", dim, check_tensor("argsort", "input", input).array.ndim)
    xp, array = input.xp, precise(input)
    if array.ndim == 0:
        return input.wrap(xp.zeros((), dtype=xp.int64))
    if array.dtype == xp.bool:
        array = xp.astype(array, xp.uint8)
    if not descending:
        return input.wrap(xp.argsort(array, axis=dim, stable=True))
    # Sorting the reversed array and reversing the result keeps equal elements in their order.
    order = xp.argsort(xp.flip(array, axis=dim), axis=dim, stable=True)
    return input.wrap(array.shape[dim] - 1 - xp.flip(order, axis=dim))


def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Return the elements sorted along a dimension, and where they were.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int, default -1
        Dimension to sort along.
    descending : bool, default False
        Largest first. NaN counts as larger than every number.
    stable : bool, default False
        Accepted for PyTorch scripts: equal elements always keep their order.

    Returns
    -------
    values : Tensor
        Differentiable.
    indices : int64 Tensor
        ``values = input.gather(dim, indices)``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.sort(tc.tensor([3.0, 1.0, 2.0])).values
    tensor([1., 2., 3.])
    """
    indices = argsort(input, dim, descending)
    return _picked(input, dim, indices)


def _picked(input: Any, dim: int, indices: Any) -> SortResult:
    ndim = input.array.ndim
    values = Gather.apply(input, indices, dim % ndim) if ndim else input.clone()
    return SortResult(values, indices)


def msort(input: Any) -> Any:
    """Return the elements sorted along the first dimension."""
    return sort(input, 0).values


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Return the ``k`` largest or smallest elements along a dimension, and where they were.

    Parameters
    ----------
    input : Tensor
        Any shape.
    k : int
        From 0 to the size of the dimension.
    dim : int, default -1
        Dimension to look along.
    largest : bool, default True
        Largest, or smallest.
    sorted : bool, default True
        Accepted for PyTorch scripts: the result is always sorted.

    Returns
    -------
    values, indices : Tensor
        As for :func:`sort`.

    Raises
    ------
    ArgumentError
        If ``k`` is out of range.
    """
    shape = check_tensor("topk", "input", input).array.shape
    dim = dimension("topk", dim, len(shape))
    size = shape[dim] if shape else 1
    if not 0 <= k <= size:
        raise ArgumentError(f"topk: k={k} must be from 0 to {size}, the size of dimension {dim}")
    order = argsort(input, dim, largest)
    indices = order.narrow(dim, 0, k) if shape else order
    return _picked(input, dim, indices)
