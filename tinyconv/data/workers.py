"""A pool of workers that read batches ahead.

Each worker is a thread of this process. It reads batches itself (``worker_type="thread"``), or
has them read by a process of its own and waits for it (``"process"``, see ``process.py``). So
order, errors and shutdown are handled in one place.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from .fetch import Cancelled, Job, Reader, WorkerInfo, as_error

_PATIENCE_SECONDS = 1.0  # for samples being read, before worker processes are terminated
_JOIN_SECONDS = 5.0


class Channel(Protocol):
    """How a worker thread gets a batch."""

    def read(self, job: Job, run: Run) -> Any:
        """Return what :meth:`Reader.read` returns."""

    def abort(self) -> None:
        """Break off a read, if that can be done; called from another thread."""

    def leave(self) -> None:
        """Let go of what the channel holds; called once, by the worker itself."""


class ThreadChannel:
    """Reads batches in the worker's own thread.

    Parameters
    ----------
    reader : Reader
        Shared by all workers.
    info : WorkerInfo
        Who this worker is.
    """

    def __init__(self, reader: Reader, info: WorkerInfo) -> None:
        self._reader, self._info, self._entered = reader, info, False

    def read(self, job: Job, run: Run) -> Any:
        """Read a batch under the consumer's settings."""
        return run.context.copy().run(self._read, job, run)  # two threads cannot enter one context

    def _read(self, job: Job, run: Run) -> Any:
        if not self._entered:
            self._reader.enter_worker(self._info)
            self._entered = True
        return self._reader.read(job, lambda: run.wanted)

    def abort(self) -> None:
        """Do nothing: the thread ends with the sample it is reading."""

    def leave(self) -> None:
        """Do nothing: the channel holds nothing."""


class Ticket:
    """A batch on order.

    Attributes
    ----------
    job : Job
        What to read.
    future : concurrent.futures.Future
        The batch, or the error.
    run : Run
        The pass that ordered it.
    """

    __slots__ = ("future", "job", "run")

    def __init__(self, job: Job, run: Run) -> None:
        self.job, self.run = job, run
        self.future: Future[Any] = Future()

    def cancel(self) -> None:
        """Give up an order that no worker has taken, and wake who waits for it."""
        self.future.cancel()
        self.future.set_running_or_notify_cancel()


class Run:
    """What workers know of one pass over a loader.

    Attributes
    ----------
    context : contextvars.Context
        The consumer's settings.
    wanted : bool
        Turns False when the consumer stops.
    """

    __slots__ = ("context", "wanted")

    def __init__(self, context: contextvars.Context) -> None:
        self.context, self.wanted = context, True


class WorkerPool:
    """Workers that take orders in turn; dropping the pool, or :meth:`close`, ends them.

    Parameters
    ----------
    channels : sequence of Channel
        One for each worker.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._orders: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        # The threads refer to the queue and their channel, never to the pool, so that the pool
        # dies with its last user.
        threads = [
            threading.Thread(
                target=_work, args=(channel, self._orders), name=f"tinyconv-loader-{i}", daemon=True
            )
            for i, channel in enumerate(channels)
        ]
        self._finalizer = weakref.finalize(self, _close, self._orders, list(channels), threads)
        for thread in threads:
            thread.start()

    def order(self, job: Job, run: Run) -> Future[Any]:
        """Have a batch read by the next free worker."""
        ticket = Ticket(job, run)
        self._orders.put(ticket)
        return ticket.future

    @property
    def alive(self) -> bool:
        """Whether the pool takes orders."""
        return self._finalizer.alive

    def close(self) -> None:
        """End all workers, and wait for them."""
        self._finalizer()


def _work(channel: Channel, orders: queue.SimpleQueue[Ticket | None]) -> None:
    """Serve orders until ``None`` comes."""
    while (ticket := orders.get()) is not None:
        if not ticket.run.wanted:
            ticket.cancel()
            continue
        result, error = _try(channel, ticket.job, ticket.run)
        if error is None:
            ticket.future.set_result(result)
        else:
            ticket.future.set_exception(error)
        # Between two orders a worker must not keep a batch, or an error's frames, alive.
        del ticket, result, error
    channel.leave()


def _try(channel: Channel, job: Job, run: Run) -> tuple[Any, Exception | None]:
    """Return a batch or an error; apart from the future, so that no cycle holds its frames."""
    try:
        return channel.read(job, run), None
    except Cancelled as cancelled:
        return None, cancelled
    except BaseException as error:
        return None, as_error(error)


def _close(
    orders: queue.SimpleQueue[Ticket | None],
    channels: Sequence[Channel],
    threads: Sequence[threading.Thread],
) -> None:
    """Drop all orders and end the workers (a finalizer, so no method of the pool)."""
    try:
        while (ticket := orders.get_nowait()) is not None:
            ticket.cancel()
    except queue.Empty:
        pass
    for _ in threads:
        orders.put(None)
    for thread, channel in zip(threads, channels, strict=True):
        if thread.ident is None:  # it could not be started
            channel.leave()
    # The last user of a pool may be dropped inside a worker, which cannot wait for itself.
    others = [
        (thread, channel)
        for thread, channel in zip(threads, channels, strict=True)
        if thread.ident is not None and thread is not threading.current_thread()
    ]
    for patience in (_PATIENCE_SECONDS, _JOIN_SECONDS):
        deadline = time.monotonic() + patience
        for thread, _ in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        for thread, channel in others:
            if thread.is_alive():
                channel.abort()
