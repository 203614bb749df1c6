"""Joining arrays along an axis, and cutting them apart."""

from __future__ import annotations

from itertools import accumulate
from typing import Any


def concat(xp: Any, axis: int, *arrays: Any) -> Any:
    """Return arrays of one dtype, one behind the other along ``axis``."""
    return xp.concat(arrays, axis=axis)


def split(xp: Any, x: Any, sizes: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """Return pieces of ``x`` of the given sizes along ``axis``; they may share its memory."""
    before = (slice(None),) * axis
    ends = accumulate(sizes)
    return tuple(
        [x[(*before, slice(end - n, end), ...)] for n, end in zip(sizes, ends, strict=True)]
    )
