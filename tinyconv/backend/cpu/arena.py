"""Where the memory of large arrays comes from: parts of regions, used again and again.

A *region* is a range of addresses. Reserving it costs nothing: a page of it takes memory from when
it is first touched. An array gets a *part* of a region, the smallest free one that it fits into;
the rest of that stays free, and a part that comes back is joined to the free parts beside it. So
the arrays of a training step lie where those of the step before have lain, whatever their sizes,
and all of them together reach hardly further than the arrays that live at one time need.

What lies beyond the furthest part of late is given back to the system, so that a peak of the past
is not kept for ever.

An interrupt may strike anywhere in this file. It can lose a free part; it cannot lend one twice: a
part is lent only after all notes of it as a free one are gone.
"""

from __future__ import annotations

import mmap
import platform
import threading
from bisect import bisect_left, insort
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np

#: Bytes of a page of memory, to which parts are rounded up.
PAGE = 4096
#: Addresses of a region. A larger array has a region of its own.
RESERVED = 1 << 32
#: What asks the system not to count addresses as memory: else no fork might be allowed any more.
#: Python has no name for it; ``None`` where the number is not known.
NO_RESERVE = {
    "Linux x86_64": 0x4000,
    "Linux aarch64": 0x4000,
    "Darwin arm64": 0,
    "Darwin x86_64": 0,
}.get(f"{platform.system()} {platform.machine()}")
#: Arrays after which memory that was not used again is given back.
WINDOW = 4096
#: Bytes that are worth a call to give them back.
WORTH_A_CALL = 1 << 20


class Region:
    """A range of addresses, ``start`` to ``end``, and how far it has been used."""

    def __init__(self, size: int) -> None:
        self._mapped = _reserve(max(size + 2 * PAGE, RESERVED))
        if self._mapped is None:
            self._memory = np.empty(size + 2 * PAGE, np.uint8)
        else:
            self._memory = np.frombuffer(self._mapped, np.uint8)
        self._origin = self._memory.ctypes.data
        self.start = self._origin + -self._origin % PAGE
        # A page is left over: the parts of two regions are never neighbours.
        self.end = self.start + (self._memory.nbytes - 2 * PAGE) // PAGE * PAGE
        #: The end of what may have been touched; of what was lent since the window began, and in
        #: the window before.
        self.touched = self.reached = self.reached_before = self.start

    def give_back(self, start: int, end: int) -> None:
        """Let the system have the memory of free addresses; they can be used again."""
        if self._mapped is not None and end > start:
            self._mapped.madvise(mmap.MADV_DONTNEED, start - self._origin, end - start)


def _reserve(size: int) -> Any:
    """Return addresses without memory, or ``None`` where there is no such thing or not so much."""
    if NO_RESERVE is None or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    try:
        mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
    except (OSError, OverflowError, ValueError):
        return None
    with suppress(AttributeError, OSError):  # large pages: fewer of them have to be found
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return mapped


class Arena:
    """Regions, and which parts of them are free."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._regions: list[Region] = []
        #: That of the last part that was lent.
        self._region: Any = None
        #: Size and start of the free parts, in order; their sizes by start, their starts by end.
        self._free: list[tuple[int, int]] = []
        self._sizes: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        #: Start and size of parts that have come back. Whoever appends to it needs no lock.
        self.returned: deque[tuple[int, int]] = deque()
        self._count = 0

    def take(self, size: int) -> int | None:
        """Return where ``size`` bytes begin, at a page; ``None`` if the arena is busy.

        Nobody waits here: it may be this very thread that is inside already, and was interrupted
        by a signal or by the garbage collector. ``size`` is a number of whole pages.
        """
        if not self._lock.acquire(False):
            return None
        try:
            self._count += 1
            if self._count >= WINDOW:
                self._begin_window()
            returned, free = self.returned, self._free
            while returned:
                start, found = returned.pop()
                if found == size:  # and what came back last may still be in the caches
                    return start
                self._put(start, found)
            at = bisect_left(free, (size, 0))
            if at == len(free):
                self._grow(size)
                at = bisect_left(free, (size, 0))
            found, start = free.pop(at)
            self._sizes.pop(start, None)
            self._starts.pop(start + found, None)
            end = start + size
            if found > size:
                self._add(end, found - size)
            region = self._region
            if not region.start < end <= region.end:
                region = self._region = self._region_of(start)
            if end > region.reached:
                region.reached = end
                region.touched = max(end, region.touched)
        finally:
            self._lock.release()
        return start

    def release(self) -> None:
        """Give back all memory that is free now."""
        if self._lock.acquire(False):
            try:
                self._put_all()
                for size, start in self._free:
                    region = self._region_of(start)
                    region.give_back(start, min(start + size, region.touched))
                for region in self._regions:
                    region.touched = region.reached = region.reached_before = self._top(region)
            finally:
                self._lock.release()

    def _region_of(self, start: int) -> Region:
        return next(region for region in self._regions if region.start <= start < region.end)

    def _grow(self, size: int) -> None:
        """Add a region that has a free part of ``size`` bytes."""
        region = self._region = Region(size)
        self._regions.append(region)
        self._add(region.start, region.end - region.start)

    def _add(self, start: int, size: int) -> None:
        insort(self._free, (size, start))
        self._sizes[start], self._starts[start + size] = size, start

    def _put(self, start: int, size: int) -> None:
        """Note that a part is free, as one with its free neighbours."""
        sizes, starts, end = self._sizes, self._starts, start + size
        before = starts.pop(start, None)
        if before is not None:
            self._remove(start - before, before)
            sizes.pop(before, None)
            start = before
        after = sizes.pop(end, None)
        if after is not None:
            self._remove(after, end)
            end += after
            starts.pop(end, None)
        self._add(start, end - start)

    def _put_all(self) -> None:
        """Note that the parts that have come back are free."""
        while self.returned:
            self._put(*self.returned.pop())

    def _remove(self, size: int, start: int) -> None:
        free, part = self._free, (size, start)
        at = bisect_left(free, part)
        if at < len(free) and free[at] == part:
            del free[at]

    def _top(self, region: Region) -> int:
        """Return the end of the last part of a region that is in use."""
        return self._starts.get(region.end, region.end)

    def _begin_window(self) -> None:
        """Give back what was beyond reach in this window and in the one before."""
        self._count = 0
        self._put_all()
        for region in list(self._regions):
            limit = max(region.reached, region.reached_before)
            if region.touched - limit >= WORTH_A_CALL:
                region.give_back(limit, region.touched)
                region.touched = limit
            region.reached_before, region.reached = region.reached, self._top(region)
            if limit == region.start:
                self._remove(region.end - region.start, region.start)
                self._sizes.pop(region.start, None)
                self._starts.pop(region.end, None)
                self._regions.remove(region)
                self._region = self._regions[-1] if self._regions else None
