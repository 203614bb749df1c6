"""Arrays of a device for checks of kernels: laid out oddly, and poisoned where they are fresh."""

from __future__ import annotations

import ctypes
import types
from collections.abc import Callable
from typing import Any

import numpy as np

import tinyconv as tc

#: What half the distance to the neighbour is, as a part of a number.
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
DTYPES = ("float32", "bfloat16", "float16")


def numpy_dtype(name: str) -> Any:
    """Return NumPy's dtype; bfloat16 is that of the package ml_dtypes."""
    if name == "bfloat16":
        return np.dtype(tc.bfloat16.of(np))  # tells the reference that it is in use, too
    return np.dtype(name)


def mapped(value: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """Return arguments of a kernel with every array changed; lists are lists of arrays."""
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    return change(value) if hasattr(value, "dtype") and hasattr(value, "shape") else value


def arrays_in(value: Any) -> list[Any]:
    """Return all arrays among arguments or results, in order."""
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays_in(item)]
    return [value] if hasattr(value, "dtype") and hasattr(value, "shape") else []


def poison(array: Any) -> Any:
    """Fill memory with bytes 0xFF, which are NaN in every floating-point type; return the array."""
    if isinstance(array, np.ndarray):
        ctypes.memset(array.ctypes.data, 0xFF, array.nbytes)
    elif array.nbytes:
        array.data.memset_async(0xFF, array.nbytes)
    return array


def poisoned(xp: Any) -> types.ModuleType:
    """Return an array namespace whose fresh memory is poisoned: what a kernel forgets is seen."""
    namespace = types.ModuleType(f"poisoned {xp.__name__}")
    namespace.__getattr__ = lambda name: getattr(xp, name)  # type: ignore[method-assign]
    namespace.empty = lambda *a, **k: poison(xp.empty(*a, **k))  # type: ignore[attr-defined]
    namespace.empty_like = lambda *a, **k: poison(xp.empty_like(*a, **k))  # type: ignore[attr-defined]
    return namespace


class Place:
    """A device of the library, its arrays and its namespace."""

    def __init__(self, name: str) -> None:
        self.backend = tc.device(name).backend
        self.xp = poisoned(self.backend.xp)
        tc.bfloat16.of(self.xp)  # the reference computes in float32 where a namespace knows it

    def put(self, array: np.ndarray, layout: str = "contiguous") -> Any:
        """Return a copy on the device, in some order of memory (:data:`LAYOUTS`)."""
        return LAYOUTS[layout](self, array) if array.ndim and array.size else self._send(array)

    def get(self, array: Any) -> np.ndarray:
        """Return a copy on the host."""
        return np.array(self.backend.to_host(array))

    def _send(self, array: np.ndarray) -> Any:
        return self.backend.from_host(np.ascontiguousarray(array).reshape(array.shape), copy=True)

    def _channels_last(self, array: np.ndarray) -> Any:
        if array.ndim < 3:
            return self._send(array)
        there = self._send(np.moveaxis(array, 1, -1))
        last = array.ndim - 1
        return self.backend.xp.permute_dims(there, (0, last, *range(1, last)))

    def _sliced(self, array: np.ndarray) -> Any:
        wide = np.full([2 * n + 1 for n in array.shape], 1, array.dtype)
        view = tuple(slice(1, 2 * n + 1, 2) for n in array.shape)
        wide[view] = array
        return self._send(wide)[view]

    def _negative(self, array: np.ndarray) -> Any:
        view = (slice(None, None, -1),) * array.ndim
        return self._send(array[view])[view]

    def _odd_address(self, array: np.ndarray) -> Any:
        flat = np.concatenate([array.reshape(-1)[:1], array.reshape(-1)])
        return self.backend.xp.reshape(self._send(flat)[1:], array.shape)


LAYOUTS: dict[str, Callable[[Place, np.ndarray], Any]] = {
    "contiguous": Place._send,
    "channels_last": Place._channels_last,
    "sliced": Place._sliced,
    "negative": Place._negative,
    "odd_address": Place._odd_address,
}
