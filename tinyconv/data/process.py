"""Worker processes: how one is started, spoken to, and ended.

A process and the thread that stands for it share one pipe, which closes when either of them
dies, so a death is noticed at once and nothing (no shared memory, no queue) is left behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from .. import config
from ..errors import ArgumentError, DataError
from .fetch import Job, Reader, WorkerDied, WorkerInfo, as_error
from .transport import Message, dump, load, receive, send
from .workers import Run

_GRACE_SECONDS = 1.0


class WorkerTraceback(Exception):
    """The traceback of a worker process, as text; the cause of the error raised for it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text.rstrip()}"


def choose_context(context: str | BaseContext | None) -> BaseContext:
    """Return how processes are started: by default ``forkserver``, else ``spawn``.

    Raises
    ------
    ArgumentError
        If there is no such start method.
    DataError
        If forking would end in a crash, because kernels have started OpenMP threads.
    """
    methods = multiprocessing.get_all_start_methods()
    if context is None:
        context = "forkserver" if "forkserver" in methods else "spawn"
        # The server imports the package once, and each worker has it from the start.
        multiprocessing.set_forkserver_preload(["__main__", __name__])
    if isinstance(context, str):
        if context not in methods:
            raise ArgumentError(
                f"DataLoader: multiprocessing_context={context!r}; choose {', '.join(methods)}"
            )
        context = multiprocessing.get_context(context)
    if context.get_start_method() == "fork" and _threading_layer() == "omp":
        raise DataError(
            "DataLoader: multiprocessing_context='fork' after kernels have run on OpenMP "
            "threads would kill the workers; use 'forkserver' or 'spawn', or install tbb"
        )
    return context


def _threading_layer() -> str | None:
    """Return Numba's threading layer if it has been started in this process."""
    numba = sys.modules.get("numba")
    if numba is None:
        return None
    try:
        return str(numba.threading_layer())
    except ValueError:  # no parallel kernel has run
        return None


def start_processes(
    reader: Reader, infos: Sequence[WorkerInfo], context: BaseContext
) -> list[ProcessChannel]:
    """Start one process for each worker; all or none.

    Raises
    ------
    DataError
        If data set, ``collate_fn`` or ``worker_init_fn`` cannot be copied into a process.
    """
    message = None if context.get_start_method() == "fork" else _dump_reader(reader)
    channels: list[ProcessChannel] = []
    try:
        for info in infos:
            channels.append(ProcessChannel(reader, message, info, context))
    except BaseException:
        for channel in channels:
            channel.leave()
        raise
    return channels


def _dump_reader(reader: Reader) -> Message:
    try:
        return dump(reader)
    except Exception as error:
        raise DataError(
            f"DataLoader: data set, collate_fn or worker_init_fn cannot be copied into a worker "
            f"process ({error}); define what they use at the top level of a module, "
            "or use worker_type='thread'"
        ) from error


class ProcessChannel:
    """Has batches read by a process.

    Parameters
    ----------
    reader : Reader
        What a forked process inherits.
    message : Message or None
        The reader for a process that starts afresh.
    info : WorkerInfo
        Who the worker is.
    context : multiprocessing context
        How the process is started.
    """

    def __init__(
        self, reader: Reader, message: Message | None, info: WorkerInfo, context: BaseContext
    ) -> None:
        self._id, self._message, self._lock = info.id, message, threading.Lock()
        settings = {name: setting.get() for name, setting in config.SETTINGS.items()}
        ours, theirs = context.Pipe()
        inherited = (reader, ours) if message is None else None
        self._pipe = ours
        self._process = context.Process(  # type: ignore[attr-defined]
            target=_serve,
            args=(theirs, inherited, info.id, info.num_workers, info.seed, settings),
            name=f"tinyconv-loader-{info.id}",
            daemon=True,
        )
        try:
            self._process.start()
        finally:
            theirs.close()  # else the pipe would outlive the process

    def read(self, job: Job, run: Run) -> Any:
        """Read a batch; raise what was raised in the process, or that it died."""
        try:
            if self._message is not None:  # only now: a thread can wait for the process to start
                send(self._pipe, self._message)
                self._message = None
            send(self._pipe, dump(job))
            answer = receive(self._pipe)
        except (EOFError, OSError):
            raise WorkerDied(self._obituary(job)) from None
        batch, failure = load(answer)
        if failure is not None:
            raise _rebuild(*failure)
        return batch

    def _obituary(self, job: Job) -> str:
        with self._lock:
            self._process.join(_GRACE_SECONDS)
            code = self._process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"killed by {signal.Signals(-code).name}"
        text = (
            f"DataLoader: worker {self._id} (pid {self._process.pid}) ended unexpectedly ({how}) "
            f"while loading batch {job.number}, samples {job.indices!r:.200}"
        )
        if code == 1:  # how a start fails that runs the user's script a second time
            text += "; a script must start its work under `if __name__ == '__main__':`"
        return text

    def abort(self) -> None:
        """Break off a read that another thread waits for."""
        with self._lock, contextlib.suppress(ValueError):  # closed in the meantime
            self._process.terminate()

    def leave(self) -> None:
        """End the process: ask it, then terminate it, then kill it."""
        with contextlib.suppress(OSError):
            send(self._pipe, dump(None))
        self._pipe.close()
        with self._lock:
            self._process.join(_GRACE_SECONDS)
            for end in (self._process.terminate, self._process.kill):
                if self._process.is_alive():
                    end()
                    self._process.join(_GRACE_SECONDS)
            if not self._process.is_alive():
                self._process.close()


def _rebuild(pickled: bytes | None, summary: str, notes: list[str], text: str) -> Exception:
    """Return the exception of a worker process, with its traceback as the cause."""
    error: Any = None
    if pickled is not None:
        with contextlib.suppress(Exception):
            error = ForkingPickler.loads(pickled)
    if not isinstance(error, Exception):
        error = DataError(f"DataLoader: {summary}")
        for note in notes:
            error.add_note(note)
    error.__cause__ = WorkerTraceback(text)
    return error


# -- in the process --------------------------------------------------------------------------


def _serve(
    pipe: Connection,
    inherited: tuple[Reader, Connection] | None,
    worker: int,
    num_workers: int,
    seed: int,
    settings: dict[str, Any],
) -> None:
    """Answer jobs with (batch, None) or (None, failure) until ``None`` comes or the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        message = receive(pipe) if inherited is None else []
        if inherited is not None:
            inherited[1].close()  # else this process would never see the parent go
        failure = None
        try:
            reader = load(message) if inherited is None else inherited[0]
            _prepare(reader, WorkerInfo(worker, num_workers, seed, reader.dataset), settings)
        except BaseException as error:
            failure = _fail(as_error(error))
        while (job := load(receive(pipe))) is not None:
            send(pipe, _answer(reader, job) if failure is None else dump((None, failure)))


def _prepare(reader: Reader, info: WorkerInfo, settings: dict[str, Any]) -> None:
    """Take over the parent's settings, but on one thread of the CPU; seed all that has a seed."""
    for name, value in {**settings, "device": "cpu", "num_threads": 1}.items():
        config.SETTINGS[name].set(value)
    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    reader.enter_worker(info)


def _answer(reader: Reader, job: Job) -> Message:
    try:
        batch = reader.read(job)
    except BaseException as error:
        return dump((None, _fail(as_error(error))))
    try:
        return dump((batch, None))
    except Exception as error:
        error.add_note(f"DataLoader: sending batch {job.number} from worker process to parent")
        return dump((None, _fail(error)))


def _fail(error: Exception) -> tuple[bytes | None, str, list[str], str]:
    """Describe an exception in a way that survives the journey even if it cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    pickled = None
    with contextlib.suppress(Exception):
        pickled = bytes(ForkingPickler.dumps(error))
    summary = f"{type(error).__qualname__}: {error}"
    return pickled, summary, list(getattr(error, "__notes__", [])), text
