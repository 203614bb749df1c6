"""Work on several cores: independent tasks on a pool of threads, the same bits on any number.

Compiled kernels and BLAS release the GIL, so plain Python threads run them in parallel. Work is
cut into tasks by the *shapes* alone, never by the number of threads; each task writes output
elements of its own, or a partial sum that is added up in the order of the tasks. Hence one thread
and sixteen give the same bits.

BLAS splits a product by its own number of threads, and its rounding changes with it. While tasks
run, it is therefore held to one thread: the tasks are the parallelism.

Nothing starts at import. A forked child starts a pool of its own.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from ... import config


def num_threads() -> int:
    """Return ``config.num_threads``, or the number of cores this process may use."""
    chosen = config.num_threads.get()
    if chosen is not None:
        return chosen
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """A thread pool that is made when first needed, and made larger when more are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._size = 0

    def submit(self, work: Callable[[], None], copies: int) -> list[Future[None]]:
        """Start ``copies`` calls of ``work``; fewer if the interpreter is shutting down."""
        with self._lock:
            if self._executor is None or self._size < copies:
                if self._executor is not None:
                    self._executor.shutdown(wait=False)
                self._executor = ThreadPoolExecutor(
                    copies, thread_name_prefix="tinyconv", initializer=_blas.limit_thread
                )
                self._size = copies
            try:
                return [self._executor.submit(work) for _ in range(copies)]
            except RuntimeError:
                return []


class Blas:
    """The number of threads of NumPy's BLAS: one inside :meth:`serial`, else as configured.

    Most builds have one number for the process. An OpenBLAS over OpenMP has one for each calling
    thread, so that every thread of the pool is told as well.
    """

    def __init__(self, libraries: list[Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._libraries = libraries
        self._depth = 0
        self._outside: list[int] = []
        self._unlimited: list[int] | None = None

    @contextmanager
    def serial(self) -> Iterator[None]:
        """Hold BLAS to one thread until the last of the callers, in any thread, has left."""
        with self._lock:
            if self._depth == 0:
                self._apply_config()
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
        """Hold BLAS to one thread in a thread of the pool, for good."""
        with self._lock:
            self._set([min(count, 1) for count in self._counts(per_thread=True)])

    def _apply_config(self) -> None:
        """Give BLAS ``config.num_threads`` threads, or back what it had before that was set."""
        chosen = config.num_threads.get()
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
        fresh._unlimited = self._unlimited
        if self._depth:
            fresh._set(self._outside)
        return fresh


def _is_per_thread(library: Any) -> bool:
    return getattr(library, "threading_layer", None) == "openmp"


_pool, _blas = Pool(), Blas()


def _after_fork() -> None:
    """Forget threads and locks of the parent."""
    global _pool, _blas
    _pool, _blas = Pool(), _blas.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run(task: Callable[[int], None], count: int) -> None:
    """Call ``task(0)`` ... ``task(count - 1)`` on the pool, this thread included.

    Returns when all have run, or raises what one of them has raised. A task may itself call
    :func:`run`; it waits for no thread that has not started.

    Parameters
    ----------
    task : callable
        Takes the number of the task; must write only what no other task reads or writes.
    count : int
        Number of tasks, which must follow from shapes alone.
    """
    workers = min(num_threads(), count)
    with _blas.serial():
        if workers <= 1:
            for number in range(count):
                task(number)
            return
        tickets = itertools.count()  # next() of a counter is atomic

        def work() -> None:
            for number in tickets:
                if number >= count:
                    return
                task(number)

        futures = _pool.submit(work, workers - 1)
        try:
            work()
        finally:
            running = [future for future in futures if not future.cancel()]
            errors = [future.exception() for future in running]
        for error in errors:
            if error is not None:
                raise error


def run_ranges(task: Callable[[int, int], None], length: int, step: int) -> None:
    """Call ``task(start, stop)`` for ``range(length)`` in pieces of ``step``."""
    step = max(step, 1)

    def piece(number: int) -> None:
        task(number * step, min((number + 1) * step, length))

    run(piece, -(-length // step))


_local = threading.local()


def workspace(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Return an uninitialised array over memory that this thread reuses.

    It is valid until the next call in the same thread.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = getattr(_local, "buffer", None)
    if buffer is None or buffer.nbytes < size:
        buffer = _local.buffer = np.empty(size, np.uint8)
    return buffer[:size].view(dtype).reshape(shape)
