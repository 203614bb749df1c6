"""How much memory of a GPU is in use, now and at its highest."""

from __future__ import annotations

import threading
from typing import Any

import cupy


class Peak:
    """The highest number of bytes in use on each GPU, since counting began.

    CuPy's pool knows what is in use but not what was. Once somebody asks for the highest number,
    every allocation is followed by a look at the pool.
    """

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}
        self._lock = threading.Lock()
        self._malloc: Any = None

    def reset(self, device: int) -> None:
        """Begin to count anew on a GPU."""
        self._watch()
        with cupy.cuda.Device(device), self._lock:
            self._highest[device] = _pool().used_bytes()

    def get(self, device: int) -> int:
        """Return the highest number of bytes since :meth:`reset`.

        Before the first :meth:`reset`, the bytes that the pool has taken from the GPU, which are
        at least as many.
        """
        with cupy.cuda.Device(device), self._lock:
            found = self._highest.get(device)
            return int(_pool().total_bytes() if found is None else found)

    def _watch(self) -> None:
        """Have every allocation looked at."""
        with self._lock:
            if self._malloc is None:
                self._malloc = cupy.cuda.get_allocator()
                cupy.cuda.set_allocator(self._allocate)

    def _allocate(self, size: int) -> Any:
        memory = self._malloc(size)
        device = cupy.cuda.runtime.getDevice()
        if device in self._highest:
            used = _pool().used_bytes()
            with self._lock:
                self._highest[device] = max(self._highest[device], used)
        return memory


peak = Peak()


def _pool() -> Any:
    return cupy.get_default_memory_pool()


def used(device: int) -> int:
    """Return the bytes in use on a GPU."""
    with cupy.cuda.Device(device):
        return int(_pool().used_bytes())


def reserved(device: int) -> int:
    """Return the bytes that the pool has taken from a GPU."""
    with cupy.cuda.Device(device):
        return int(_pool().total_bytes())


def release() -> None:
    """Give memory that nobody uses back to the current GPU and to the system."""
    _pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def free_and_total(device: int) -> tuple[int, int]:
    """Return the bytes that a GPU has left, and those it has."""
    free, total = cupy.cuda.Device(device).mem_info
    return int(free), int(total)
