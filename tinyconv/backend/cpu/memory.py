"""Memory for large results, used again instead of being given back to the system at each step.

A training step makes the same large arrays as the step before. Usually each goes back to the
operating system when it dies, and the next one is new memory, which the system has to clear and to
map page by page when it is first touched: that can take as long as a kernel that only adds numbers.
So memory is lent out here. :func:`empty` is ``np.empty``, but when the array and all its views have
died, its part of memory is free for another array (see :mod:`.arena`). Parts start at a page, so
that no vector of a loop lies across two cache lines.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from .arena import PAGE, Arena

#: Bytes of the smallest array that is worth it; below, the C library keeps memory itself.
LEAST = 1 << 17


class Lease(ctypes.c_ubyte * sys.maxsize):  # type: ignore[misc]  # a class of this very call
    """What an array is made from, and holds on to; its end is the end of the array's use.

    All memory from an address on, as far as ``ctypes`` is concerned.
    """

    __slots__ = ("arena", "part")

    def __del__(self) -> None:
        # May run in any thread, at any moment of it, and when the interpreter has ended and names
        # of modules mean nothing any more: so this takes no lock, and needs no name.
        self.arena.returned.append(self.part)


_arena = Arena()


def _after_fork() -> None:
    """Start anew in a forked child; arrays of the parent keep their memory."""
    global _arena
    _arena = Arena()


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
    part = _part(shape, dtype)
    arena = _arena
    start = arena.take(part) if part else None
    if start is None:
        return np.empty(shape, dtype)
    lease = Lease.from_address(start)
    lease.arena, lease.part = arena, (start, part)
    return np.ndarray(shape, dtype, lease)


@lru_cache(maxsize=4096)
def _part(shape: int | tuple[int, ...], dtype: Any) -> int:
    """Return the bytes of whole pages that an array takes; 0 if it is better made by NumPy."""
    dtype = np.dtype(dtype)
    size = int((math.prod(shape) if isinstance(shape, tuple) else shape) * dtype.itemsize)
    return 0 if size < LEAST or dtype.hasobject else -(-size // PAGE) * PAGE


def zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Return an array of zeros like :func:`empty`."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def is_sole(array: np.ndarray[Any, Any]) -> bool:
    """Return whether ``array`` shows all of its memory, and no other array shows any of it.

    So it is with what :func:`empty` returns, and with the transpose of a fresh array. Of an array
    that was not made from another one, views hold it; whether there are any, its references tell.
    """
    base = array.base
    if base is None or type(base) is Lease:
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
    """Give the memory that no array uses back to the system."""
    _arena.release()
