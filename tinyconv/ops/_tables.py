"""Tables of numbers that follow from shapes alone, once on each device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..backend import as_dtype


@lru_cache(maxsize=256)
def table(device: Any, numbers: tuple[float, ...], dtype: str = "int64") -> Any:
    """Return numbers as an array of a device; the same one every time, which nobody writes to.

    A copy from the host to a GPU takes longer than most kernels, and cannot be recorded.
    """
    return device.backend.asarray(numbers, as_dtype(dtype))
