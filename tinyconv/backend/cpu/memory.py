"""Memory for large results, used again instead of being given back to the system at each step.

A training step makes the same large arrays as the step before. Usually each goes back to the
operating system when it dies, and the next one is new memory, which the system has to clear and to
map page by page when it is first touched: that can take as long as a kernel that only adds numbers.
So memory is lent out here. :func:`empty` is ``np.empty``, but when the array and all its views have
died, its block of memory comes to a free list, from which the next array of its size is made, or of
up to an eighth less. Blocks start at a cache line, so that no vector of a loop lies across two
lines.

The list is bounded: arrays in use and free blocks together never take more than the arrays in use
took at their peak, lately. So a peak of the past is not kept for ever, and :func:`release` gives
back all free blocks at once.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from bisect import bisect_left, insort
from collections import deque
from typing import Any

import numpy as np

#: Bytes of the smallest array that is worth it; below, the C library keeps memory itself.
LEAST = 1 << 17
#: Arrays after which an old peak is forgotten, if it was not reached again.
WINDOW = 4096
#: Bytes of a page of memory.
PAGE = 4096
#: Blocks start at a multiple of so many bytes: a cache line, and the widest vector register.
ALIGNMENT = 64


class Block:
    """A piece of memory; ``size`` counts all of it."""

    __slots__ = ("address", "memory", "size")

    def __init__(self, size: int) -> None:
        # NumPy asks for huge pages where that pays.
        self.memory = np.empty(size + ALIGNMENT, np.uint8)
        address = self.memory.ctypes.data
        self.address, self.size = address + -address % ALIGNMENT, size


class Lease:
    """What an array is made from, and holds on to; its end is the end of the array's use."""

    __slots__ = ("__array_interface__", "block", "returned")

    def __init__(self, block: Block, size: int, returned: deque[Block]) -> None:
        self.block, self.returned = block, returned
        self.__array_interface__ = {
            "data": (block.address, False), "shape": (size,), "typestr": "|u1", "version": 3,
        }  # fmt: skip

    def __del__(self) -> None:
        # May run in any thread, at any moment of it: so this takes no lock.
        self.returned.append(self.block)


class FreeList:
    """Blocks that are free, by their size."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[Block]] = {}  # the sizes used last come last
        self._sizes: list[int] = []  # the same sizes in order
        self._returned: deque[Block] = deque()
        self.in_use = self.idle = 0
        #: Most bytes in use since the window began, and in the window before.
        self._peak = self._peak_before = 0
        self._count = 0

    def take(self, size: int) -> Lease | None:
        """Return the lease of ``size`` bytes, or ``None`` if the list is in use at the moment.

        Nobody waits here: it may be this very thread that is inside already, and was interrupted
        by a signal or by the garbage collector.
        """
        whole = size_class(size)
        if not self._lock.acquire(False):
            return None
        try:
            if self._returned:
                self._collect()
            block = self._smallest(whole)
            if block is not None:
                whole = block.size
                self.idle -= whole
            self._note_peak(self.in_use + whole)
            if self.idle:
                self._keep_to(max(self._peak, self._peak_before) - self.in_use - whole)
            if block is None:
                block = self._new(whole)
            self.in_use += whole
        finally:
            self._lock.release()
        return Lease(block, size, self._returned)

    def release(self) -> None:
        """Give all free blocks back."""
        if self._lock.acquire(blocking=False):
            try:
                self._collect()
                self._keep_to(0)
            finally:
                self._lock.release()

    def _smallest(self, size: int) -> Block | None:
        """Return the smallest free block that has ``size`` bytes and is not much larger."""
        if blocks := self._free.get(size):
            return blocks.pop()
        for at in range(bisect_left(self._sizes, size), len(self._sizes)):
            found = self._sizes[at]
            if found > size + size // 8:
                break
            if blocks := self._free[found]:
                return blocks.pop()
        return None

    def _new(self, size: int) -> Block:
        try:
            return Block(size)
        except MemoryError:
            self._keep_to(0)
            return Block(size)

    def _collect(self) -> None:
        """Put on the list what has come back since the last call."""
        while True:
            try:
                block = self._returned.popleft()
            except IndexError:
                return
            blocks = self._free.pop(block.size, None)
            if blocks is None:
                blocks = []
                insort(self._sizes, block.size)
            blocks.append(block)
            self._free[block.size] = blocks
            self.in_use -= block.size
            self.idle += block.size

    def _note_peak(self, in_use: int) -> None:
        self._count += 1
        if self._count >= WINDOW:
            self._count, self._peak_before, self._peak = 0, self._peak, 0
        if in_use > self._peak:
            self._peak = in_use

    def _keep_to(self, limit: int) -> None:
        """Drop free blocks, of sizes not used for long first, until they have ``limit`` bytes."""
        while self.idle > limit and self._free:
            size = next(iter(self._free))
            blocks = self._free[size]
            if blocks:
                del blocks[0]
                self.idle -= size
            else:
                del self._free[size]
                self._sizes.remove(size)


def size_class(size: int) -> int:
    """Return ``size`` rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


_list = FreeList()


def _after_fork() -> None:
    """Start anew in a forked child; arrays of the parent keep their memory."""
    global _list
    _list = FreeList()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Return a C-ordered array with arbitrary contents, over memory that may have been used before.

    Parameters
    ----------
    shape : int or tuple of int
        Its shape.
    dtype : dtype
        Its type, of numbers or bool.

    Returns
    -------
    array
    """
    dtype = np.dtype(dtype)
    size = (math.prod(shape) if isinstance(shape, tuple) else shape) * dtype.itemsize
    if size < LEAST or dtype.hasobject:
        return np.empty(shape, dtype)
    lease = _list.take(int(size))
    return np.empty(shape, dtype) if lease is None else np.ndarray(shape, dtype, np.asarray(lease))


def zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Return an array of zeros like :func:`empty`."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def is_sole(array: np.ndarray[Any, Any]) -> bool:
    """Return whether ``array`` shows all of its memory, and no other array shows any of it.

    So it is with what :func:`empty` returns, and with the transpose of a fresh array.
    """
    base = array.base
    if base is None:
        return True
    return (
        type(base) is np.ndarray
        and base.nbytes == array.nbytes
        and (base.base is None or type(base.base) is Lease)
        and _references(base) <= _SOLE
    )


_references = getattr(sys, "getrefcount", lambda _: sys.maxsize)


def _references_to_a_base() -> int:
    """Return how many references a base has that one array and one variable hold."""
    array = np.empty(2).reshape(2, 1)
    base = array.base
    return int(_references(base)) if hasattr(sys, "getrefcount") else 0


_SOLE = _references_to_a_base()


def release() -> None:
    """Give the memory of all free blocks back."""
    _list.release()
