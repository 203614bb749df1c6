"""A core for each thread: what to do when the operating system lets two threads share one.

The system puts a new or woken thread where it likes, often on the core of the thread that woke it,
and may leave both there for seconds while another core idles: two threads are then as slow as one.
A worker that starts a job on a core that is taken steps aside: it forbids itself the taken cores,
which moves it at once, and allows them again, so that nothing is pinned.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

#: Seconds that a worker stays before it steps aside again: it may be pushed back by others.
PAUSE = 1e-3


def core_finder() -> Callable[[], int] | None:
    """Return the function that says which core runs this thread, or ``None`` if there is none."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError, AttributeError):
        return ctypes.PyDLL(None).sched_getcpu
    return None


class Place:
    """Where one worker runs."""

    def __init__(self) -> None:
        self._current = core_finder()
        self._moved = 0.0

    def take(self, taken: set[int]) -> None:
        """Leave the cores in ``taken`` if another is allowed, and add the own one."""
        if self._current is None:
            return
        core = self._current()
        if core in taken and time.monotonic() - self._moved > PAUSE:
            self._leave(taken)
            self._moved = time.monotonic()
            core = self._current()
        taken.add(core)

    def _leave(self, taken: set[int]) -> None:
        allowed = os.sched_getaffinity(0)
        if free := allowed - taken:
            with suppress(OSError):
                os.sched_setaffinity(0, free)
            with suppress(OSError):
                os.sched_setaffinity(0, allowed)
