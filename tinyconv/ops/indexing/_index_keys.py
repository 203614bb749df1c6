"""Reading the index of ``x[index]``: what is a view of it, and what picks elements."""

from __future__ import annotations

import operator
from typing import Any

from ...errors import ArgumentError, DTypeError, IndexRangeError
from .._operands import TensorBase
from ..creation.from_data import as_tensor
from .gather import check_index

#: Index tensors, each with the dimension (of the view that the basic parts make) it picks along.
Advanced = list[tuple[int, Any]]

_ALL = slice(None)


def read_index(x: Any, index: Any) -> tuple[tuple[Any, ...], Advanced]:
    """Return the basic key, and the advanced indices with their dimension in its view."""
    items = [_read_item(x, i) for i in (index if isinstance(index, tuple) else (index,))]
    shape = x.array.shape
    taken = sum([_dims_of(item) for item in items])
    _check_count(items, taken, shape)
    key: list[Any] = []
    advanced: Advanced = []
    dim = place = 0  # dimension of x, and of the view
    for item in items:
        if item is None:
            key.append(None)
            place += 1
        elif isinstance(item, int):
            key.append(check_position(item, shape[dim], dim))
            dim += 1
        elif isinstance(item, slice):
            key.append(slice_bounds(item, shape[dim]))
            dim, place = dim + 1, place + 1
        elif item is Ellipsis:
            skipped = len(shape) - taken
            key += [_ALL] * skipped
            dim, place = dim + skipped, place + skipped
        elif item.dtype.kind:
            key.append(_ALL)
            advanced.append((place, check_index("index", item, shape[dim], dim)))
            dim, place = dim + 1, place + 1
        else:
            covered = item.array.ndim
            key += [_ALL] * covered or [None]
            for found in _true_positions(item, shape, dim):
                advanced.append((place, found))
                place += 1
            dim += covered
    return (*key, Ellipsis), advanced


def _read_item(x: Any, item: Any) -> Any:
    """Return one part of an index as ``None``, ``...``, slice, int, or tensor on x's device."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    if not isinstance(item, TensorBase):
        try:
            if not isinstance(item, bool):
                return operator.index(item)
        except TypeError:
            pass
        item = as_tensor(item, device=x.device)
        if item.array.size == 0 and item.dtype.is_floating_point:
            item = item.long()  # an empty list says nothing of its elements
    if item.array.ndim == 0 and item.dtype.kind == 1:
        return int(item.item())
    return item.to(x.device)


def _dims_of(item: Any) -> int:
    """Return how many dimensions of the tensor one part of an index takes up."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, int | slice) or item.dtype.kind:
        return 1
    return item.array.ndim


def _check_count(items: list[Any], taken: int, shape: tuple[int, ...]) -> None:
    if taken > len(shape):
        raise IndexRangeError(
            f"index: {taken} indices are too many for a tensor of {len(shape)} dimensions "
            f"(shape {tuple(shape)})"
        )
    if sum([item is Ellipsis for item in items]) > 1:
        raise IndexRangeError("index: '...' may occur only once")


def check_position(index: int, size: int, dim: int) -> int:
    """Return an index counted from the front, or raise ``IndexRangeError``."""
    if not -size <= index < size:
        raise IndexRangeError(
            f"index: index {index} is out of range for dimension {dim} of size {size}"
        )
    return index + size if index < 0 else index


def slice_bounds(item: slice, size: int) -> slice:
    """Return the slice with bounds inside ``[0, size]``."""
    if item.step is not None and operator.index(item.step) < 1:
        raise ArgumentError(
            f"index: the step of a slice must be positive, got {item.step}; use flip()"
        )
    try:
        start, stop, step = item.indices(size)
    except TypeError:
        raise DTypeError(f"index: the bounds of a slice must be integers, got {item}") from None
    return slice(start, max(start, stop), step)


def _true_positions(mask: Any, shape: tuple[int, ...], dim: int) -> list[Any]:
    """Return the indices of the true elements of a mask that starts at dimension ``dim``."""
    xp, array = mask.xp, mask.array
    if array.ndim == 0:  # True keeps, and False empties, a new dimension of size 1
        return [mask.wrap(xp.zeros((int(array),), dtype=xp.int64))]
    if array.shape != shape[dim : dim + array.ndim]:
        raise IndexRangeError(
            f"index: a mask of shape {tuple(array.shape)} does not fit a tensor of shape "
            f"{tuple(shape)} at dimension {dim}"
        )
    return [mask.wrap(found) for found in xp.nonzero(array)]
