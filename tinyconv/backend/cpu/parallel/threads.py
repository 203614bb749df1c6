"""Work on several cores: independent tasks on a team of threads, the same bits on any number.

Compiled kernels and BLAS release the GIL, so plain Python threads run them in parallel. Work is
cut into tasks by the *shapes* alone, never by the number of threads; each task writes output
elements of its own, or a partial sum that is added up in the order of the tasks. Hence one thread
and sixteen give the same bits.

BLAS splits a product by its own number of threads, and its rounding changes with it. While tasks
run that say they use BLAS, it is therefore held to one thread: the tasks are the parallelism.

Nothing starts at import. A forked child starts a team of its own.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .... import config
from ..host import available_cores
from .workers import Job, Team


def num_threads() -> int:
    """Return ``config.num_threads``, or the number of cores this process may use."""
    chosen = config.num_threads.get()
    return available_cores() if chosen is None else chosen


#: Pieces for each thread, so that none waits long for the last one.
PIECES = 8
#: For a kernel that nobody shares.
NO_BOARD = np.zeros(1, np.int64)


class Blas:
    """The number of threads of NumPy's BLAS: one inside :meth:`serial`, else as configured.

    :meth:`follow` gives it the number that is configured; :func:`run` calls it after a change.

    Most builds have one number for the process. An OpenBLAS over OpenMP has one for each calling
    thread, so that every worker is told as well.
    """

    def __init__(self, libraries: list[Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._libraries = libraries
        self._depth = 0
        self._outside: list[int] = []
        self._unlimited: list[int] | None = None
        #: The ``config.num_threads`` that BLAS was last told of.
        self.followed: int | None = None

    @contextmanager
    def serial(self) -> Iterator[None]:
        """Hold BLAS to one thread until the last of the callers, in any thread, has left."""
        with self._lock:
            if self._depth == 0:
                self._outside = self._counts(per_thread=False)
            mine = self._counts(per_thread=True)
            self._set([1] * len(mine))
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                self._set(mine)
                if self._depth == 0:
                    self._set(self._outside)

    def limit_thread(self) -> None:
        """Hold BLAS to one thread in a worker, for good."""
        with self._lock:
            self._set([min(count, 1) for count in self._counts(per_thread=True)])

    def follow(self, chosen: int | None) -> None:
        """Give BLAS ``chosen`` threads, or back what it had before there was a choice."""
        with self._lock:
            if self._depth == 0 and chosen != self.followed:
                self._choose(chosen)
                self.followed = chosen

    def _choose(self, chosen: int | None) -> None:
        if chosen is not None:
            if self._unlimited is None:
                self._unlimited = self._counts()
            self._set([chosen] * len(self._unlimited))
        elif self._unlimited is not None:
            self._set(self._unlimited)
            self._unlimited = None

    def _found(self) -> list[Any]:
        if self._libraries is None:
            from threadpoolctl import ThreadpoolController

            self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        return self._libraries

    def _counts(self, per_thread: bool | None = None) -> list[int]:
        """Return the number of threads of each library, 0 for one of the other kind."""
        return [
            library.get_num_threads()
            if per_thread is None or per_thread == _is_per_thread(library)
            else 0
            for library in self._found()
        ]

    def _set(self, counts: list[int]) -> None:
        """Set the number of threads of each library; 0 leaves it."""
        for library, count in zip(self._found(), counts, strict=True):
            if count == 0 or library.get_num_threads() == count:
                continue
            # threadpoolctl obeys only the first thread that asks, unless that one is cleared.
            # Here the lock of this object decides whose turn it is.
            clear = getattr(library, "clear_controlling_thread", lambda force: None)
            clear(force=True)
            library.set_num_threads(count)
            clear(force=True)

    def forked(self) -> Blas:
        """Return the object for a forked child, where no thread is inside :meth:`serial`."""
        fresh = Blas(self._libraries)
        fresh._unlimited, fresh.followed = self._unlimited, self.followed
        if self._depth:
            fresh._set(self._outside)
        return fresh


def _is_per_thread(library: Any) -> bool:
    return getattr(library, "threading_layer", None) == "openmp"


_blas = Blas()
_team = Team(_blas.limit_thread)


def _after_fork() -> None:
    """Forget threads, locks and cores of the parent."""
    global _team, _blas
    available_cores.cache_clear()
    _blas = _blas.forked()
    _team = Team(_blas.limit_thread)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _team.close())


def run(task: Callable[[int], None], count: int, blas: bool = False) -> None:
    """Call ``task(0)`` ... ``task(count - 1)`` on the workers and this thread.

    Returns when all have run, or raises what one of them has raised; then some may not have run. A
    task may itself call :func:`run`, and so may another thread: it does that work alone.

    Parameters
    ----------
    task : callable
        Takes the number of the task; must write only what no other task reads or writes.
    count : int
        Number of tasks, which must follow from shapes alone.
    blas : bool, default: False
        Whether tasks call BLAS (``np.matmul``, ``@``), which is then held to one thread.
    """
    chosen = config.num_threads.get()
    if chosen != _blas.followed:
        _blas.follow(chosen)
    if blas:
        with _blas.serial():
            _run(task, count)
    else:
        _run(task, count)


def _run(task: Callable[[int], None], count: int) -> None:
    helpers = min(num_threads(), count) - 1 if count > 1 else 0
    if helpers <= 0:
        for number in range(count):
            task(number)
    else:
        _team.run(Job(task, count), helpers)


def run_ranges(
    task: Callable[[int, int], None],
    length: int,
    step: int,
    blas: bool = False,
    merge: bool = False,
) -> None:
    """Call ``task(start, stop)`` for ``range(length)`` in pieces of ``step``; see :func:`run`.

    ``merge`` says that neighbouring pieces may be one, with the same bits. Then ``step`` is what
    is just worth a call, and there are no more calls than needed to keep all threads busy: one a
    thread, or several where that leaves each long enough. Between two calls a thread needs the GIL.
    """
    step = max(step, 1)
    if merge:
        pieces, calls = -(-length // step), num_threads()
        if pieces >= 2 * PIECES * calls:
            calls *= PIECES
        step *= max(-(-pieces // calls), 1)

    def piece(number: int) -> None:
        task(number * step, min((number + 1) * step, length))

    run(piece, -(-length // step), blas)


def share(kernel: Any, length: int, step: int, *args: Any, merge: bool = False) -> None:
    """Have a shared kernel (see :mod:`.region`) do ``range(length)`` in pieces of ``step``.

    ``merge`` says that neighbouring pieces may be one, with the same bits. Then ``step`` is what
    is just worth a piece, and there are no more pieces than a thread can need to even out the work.

    Parameters
    ----------
    kernel : Kernel
        Its first four parameters are ``board, seat, first, last``.
    length, step : int
        The work, and a piece of it; both follow from shapes alone.
    *args
        The other arguments of the kernel.
    merge : bool, default: False
        See above.
    """
    if length <= max(step, 0):  # nothing to share, and often so: little should happen here
        if length > 0:
            kernel(NO_BOARD, 0, 0, length, *args)
        return
    chosen = config.num_threads.get()
    if chosen != _blas.followed:
        _blas.follow(chosen)
    step, helpers = _cut(length, step, merge, available_cores() if chosen is None else chosen)
    if helpers < 0:
        kernel(NO_BOARD, 0, 0, length, *args)
    else:
        _team.share(kernel, args, length, step, helpers)


def piece_of(length: int, worth: int) -> int:
    """Return the size of a piece, for :func:`~.region.another`, as ``merge`` of :func:`share`."""
    return _cut(length, worth, True, num_threads())[0]


@lru_cache(maxsize=4096)
def _cut(length: int, step: int, merge: bool, threads: int) -> tuple[int, int]:
    """Return the size of a piece, and how many may help the caller; -1 if there is one piece."""
    pieces = -(-length // step) if step > 1 else length
    if merge:
        if threads == 1 or pieces < 2 * threads:
            pieces = min(threads, pieces)
        else:
            pieces = min(pieces // threads, PIECES) * threads
        step = -(-length // pieces)
    return max(step, 1), -1 if pieces <= 1 else min(threads, pieces) - 1


def scratch(size: int, dtype: Any, slot: int = 0) -> np.ndarray[Any, Any]:
    """Return a :func:`workspace` with a row for each seat, of ``size`` elements or more.

    Rows are a page apart: a core that runs through its row also fetches what follows, and would
    take it away from another core.
    """
    return workspace(_rows(num_threads(), size, dtype), dtype, slot)


@lru_cache(maxsize=4096)
def _rows(threads: int, size: int, dtype: Any) -> tuple[int, int]:
    """Return the shape of rows of ``size`` elements, a page and what fills a cache line apart."""
    item = np.dtype(dtype).itemsize
    apart = -(-size * item // 64) * 64 // item + 4096 // item
    return threads, size if threads == 1 else apart


class _Local(threading.local):
    """Of each thread, the memory of each slot, and the arrays made over it, by shape and dtype."""

    def __init__(self) -> None:
        self.slots: dict[int, tuple[np.ndarray[Any, Any], dict[Any, np.ndarray[Any, Any]]]] = {}


_local = _Local()
#: The memory of a slot that has none yet, and the arrays made over it.
NOTHING: tuple[np.ndarray[Any, Any], dict[Any, Any]] = np.empty(0, np.uint8), {}
#: Most arrays that are remembered for each slot.
MOST_VIEWS = 256


def workspace(shape: tuple[int, ...], dtype: Any, slot: int = 0) -> np.ndarray[Any, Any]:
    """Return an uninitialised array over memory that this thread reuses, aligned to 64 bytes.

    It is valid until the next call for the same slot in the same thread.
    """
    buffer, views = _local.slots.get(slot, NOTHING)
    view = views.get((shape, dtype))
    if view is not None:
        return view
    size = prod(shape) * np.dtype(dtype).itemsize
    if buffer.nbytes < size:
        memory = np.empty(size + 64, np.uint8)
        start = -memory.ctypes.data % 64
        buffer, views = memory[start : start + size], {}
    elif len(views) >= MOST_VIEWS:
        views = {}
    view = buffer[:size].view(dtype).reshape(shape)
    _local.slots[slot] = buffer, {**views, (shape, dtype): view}
    return view
