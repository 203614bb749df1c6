"""One pass over a loader."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .fetch import Job, WorkerDied, as_error
from .workers import Run, WorkerPool

if TYPE_CHECKING:
    from .loader import DataLoader


class LoaderIterator(Iterator[Any]):
    """Gives the batches of one epoch in order, and keeps the workers busy ahead of them.

    Parameters
    ----------
    loader : DataLoader
        Says what to read and from which position on.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._run = Run(contextvars.copy_context())
        self._loader = loader
        self._seed, self._epoch = loader._current_seed(), loader.epoch
        self._number = self._ordered = loader._position  # next batch to return, to order
        self._indices: Iterator[Any] | None = loader._orders(self._seed)
        loader._runs += 1
        self._run_number = loader._runs
        self._reader, self._finish = loader._reader()
        self._pool = loader._workers(self._reader, self._seed) if loader.num_workers else None
        self._ahead: deque[Future[Any]] = deque()

    def __next__(self) -> Any:
        if self._indices is None:
            raise StopIteration
        try:
            result = self._read() if self._pool is None else self._receive(self._pool)
            if result is not None and self._finish is not None:
                result = (self._finish(result[0]),)
        except BaseException:
            self._close()
            raise
        if result is None:
            self._close()
            self._loader._finished(self)
            raise StopIteration
        self._number += 1
        self._loader._received(self, self._number)
        return result[0]

    def __len__(self) -> int:
        return len(self._loader)

    def _next_job(self) -> Job | None:
        """Return the next batch to read, or ``None`` when the order ends."""
        assert self._indices is not None
        for indices in self._indices:
            job = Job(self._ordered, indices, self._seed, self._epoch, self._run_number)
            self._ordered += 1
            return job
        return None

    def _read(self) -> Any:
        """Read the next batch here and now."""
        job = self._next_job()
        if job is None:
            return None
        try:
            return self._reader.read(job)
        except StopIteration as error:
            raise as_error(error) from error

    def _receive(self, pool: WorkerPool) -> Any:
        """Order batches ahead, and wait for the oldest one on order."""
        loader = self._loader
        width = loader.num_workers * (loader.prefetch_factor or 1)
        while len(self._ahead) < width and (job := self._next_job()) is not None:
            self._ahead.append(pool.order(job, self._run))
        if not self._ahead:
            return None
        future = self._ahead.popleft()
        done, _ = wait([future], loader.timeout or None)
        if not done:
            pool.close()
            raise DataError(
                f"DataLoader: no batch {self._number} after timeout={loader.timeout:g} seconds; "
                "a worker hangs, or the timeout is too short"
            )
        try:
            return future.result()
        except WorkerDied:
            pool.close()  # also one that was to stay: the next epoch starts another
            raise

    def _close(self) -> None:
        """Stop reading ahead; workers that stay for the next epoch only lose their orders."""
        self._indices = None
        self._run.wanted = False
        self._ahead.clear()
        pool, self._pool = self._pool, None
        if pool is not None and pool is not self._loader._pool:
            pool.close()

    def __del__(self) -> None:
        self._run.wanted = False  # the pool itself ends when its last user is gone
