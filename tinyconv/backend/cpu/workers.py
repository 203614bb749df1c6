"""Worker threads that can be sent to work in a few microseconds, and sleep when there is none.

Workers are plain Python threads. Between two jobs a worker waits in compiled code, without the
GIL, for about 100 microseconds (see :mod:`.spin`); if nothing comes it sleeps on a lock, so that
an idle process uses no core. Why not one of the usual ways:

- ``concurrent.futures`` wakes sleeping threads: 30 to 50 microseconds a region;
- Numba's own threads die with a fork (OpenMP) or abort when two threads use them (workqueue).

The GIL decides what is fast. A thread that finds it taken goes to sleep on it, which costs more
than the work it came for. So the caller *hands over*: it publishes a job from compiled code, where
it does not hold the GIL, and stays there until the worker has taken the GIL, has gone through the
Python of its first task and is about to enter a compiled kernel, which gives the GIL back.
:class:`~.jit.Kernel` says when that is. A worker reports the end of its work from compiled code
too. Nobody finds the GIL taken, as a rule; where somebody does, it is slower and no less right.

A caller that has finished takes its invitation back from a worker that has not come yet: a sleeping
worker costs a small job no time.
"""

from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from . import jit
from .host import available_cores
from .placement import Place

#: Microseconds for which a worker waits for the next job before it sleeps, and a caller for the
#: end of a worker's last task.
PATIENCE = 100.0
#: Microseconds for which a caller waits until a worker has entered its first kernel, and then
#: until that kernel has given the GIL back.
HAND_OVER, RELEASE = 12.0, 1.2

# Places in the numbers of a worker; each that is waited for has a cache line (8 numbers) to itself.
ZERO, UNUSED, CALLED, DONE, AWAITED, SIZE = 0, 1, 8, 16, 24, 32


class Job:
    """Tasks 0 ... ``count - 1``, given out as tickets to whoever asks."""

    def __init__(self, task: Callable[[int], None], count: int) -> None:
        self.task, self.count = task, count
        self.tickets = itertools.count()  # next() of a counter is atomic
        self.errors: list[BaseException] = []
        self.cores: set[int] = set()  # those with a thread that works on it

    def work(self) -> None:
        """Do tasks until none is left; after an error no thread starts another."""
        task = self.task
        try:
            for number in self.tickets:
                if number >= self.count:
                    return
                task(number)
        except BaseException:
            self.count = 0
            raise


class Worker:
    """One thread, and the numbers through which it and the callers see each other.

    ``CALLED`` counts the calls and ``DONE`` the calls that the worker has answered. An entry of
    ``invitation`` is taken either by the worker, or by the caller who no longer needs it.
    """

    def __init__(self, team: Team, name: str) -> None:
        self.team = team
        memory = array("q", bytes(8 * (SIZE + 8)))
        first = -memory.buffer_info()[0] // 8 % 8  # the first number on a cache line
        self.numbers = memoryview(memory)[first : first + SIZE]  # faster to index than an array
        self.view = np.frombuffer(self.numbers, np.int64)
        self.calls = 0
        self.invitation: list[Job] = []
        self.asleep = False
        self.place = Place()
        self.wake, self.finished = threading.Lock(), threading.Lock()
        self.wake.acquire()
        self.finished.acquire()
        self.thread = threading.Thread(target=self.serve, name=name, daemon=True)
        self.thread.start()

    # -- in the caller ----------------------------------------------------------------------

    def invite(self, job: Job) -> None:
        """Call the worker, and let it have the GIL if it is awake."""
        team = self.team
        self.invitation.append(job)
        self.calls += 1
        if self.asleep:
            self.numbers[CALLED] = self.calls
        else:
            jit.entered[0] = 0
            team.wait(
                self.view, CALLED, self.calls, ZERO, jit.entered_view, 0, 1,
                team.hand_over, team.release,
            )  # fmt: skip
        if self.asleep:  # asked after the call was published, so that no sleeper is missed
            self.rouse()

    def rouse(self) -> None:
        """Wake the thread."""
        self.asleep = False
        with suppress(RuntimeError):  # it has been told already
            self.wake.release()

    def end(self) -> None:
        """Take the invitation back, or wait until the worker has finished."""
        try:
            self.invitation.pop()
        except IndexError:
            self._await_end()

    def _await_end(self) -> None:
        wait, patience = self.team.wait, self.team.patience
        self.numbers[CALLED] = self.calls  # if the caller was interrupted before it did so
        if wait(self.view, UNUSED, 0, ZERO, self.view, DONE, self.calls, patience, 0):
            return
        # First say that somebody waits, then look: the worker does it the other way round.
        while not wait(self.view, AWAITED, 1, ZERO, self.view, DONE, self.calls, 0, 0):
            self.finished.acquire()
        self.numbers[AWAITED] = 0

    # -- in the worker ----------------------------------------------------------------------

    def serve(self) -> None:
        """Answer calls until the team is closed."""
        team, numbers = self.team, self.numbers
        team.prepare_thread()
        answered = 0
        while not team.closed:
            called = team.wait(
                self.view, DONE, answered, AWAITED, self.view, CALLED, answered + 1,
                team.patience, 0,
            )  # fmt: skip
            if numbers[AWAITED]:
                numbers[AWAITED] = 0
                with suppress(RuntimeError):  # the caller has been told already
                    self.finished.release()
            if not called:
                self.asleep = True
                if numbers[CALLED] == answered and not team.closed:
                    self.wake.acquire()
                self.asleep = False
            answered = numbers[CALLED]
            self.answer()

    def answer(self) -> None:
        """Help with the job, if it is still wanted."""
        try:
            job = self.invitation.pop()
        except IndexError:
            return
        try:
            if self.team.patience:  # there are enough cores
                self.place.take(job.cores)
            job.work()
        except BaseException as error:
            job.errors.append(error)


class Team:
    """The workers of a process, made when first needed; one caller at a time has them all.

    Parameters
    ----------
    prepare_thread : callable
        What each worker calls first.
    """

    def __init__(self, prepare_thread: Callable[[], None] = lambda: None) -> None:
        self.prepare_thread = prepare_thread
        self.workers: list[Worker] = []
        self.closed = False
        self.place = Place()  # of the caller, who is not moved
        self._lock = threading.Lock()

    def run(self, job: Job, helpers: int) -> None:
        """Do the job with up to ``helpers`` workers; alone if another thread has them."""
        if self.closed or not self._lock.acquire(blocking=False):
            job.work()
            return
        try:
            self._share(job, helpers)
        finally:
            self._lock.release()
        if job.errors:
            raise job.errors.pop()

    def _share(self, job: Job, helpers: int) -> None:
        called: list[Worker] = []
        try:
            self.place.take(job.cores)
            for worker in self._first(helpers):
                called.append(worker)
                worker.invite(job)
            job.work()
        except BaseException:
            job.count = 0
            raise
        finally:
            for worker in called:
                worker.end()  # Ctrl-C may end this wait: the job is over, so the worker stops soon

    def _first(self, count: int) -> list[Worker]:
        """Return ``count`` workers, or fewer where no thread can be started."""
        if not self.workers:
            self._measure()
        if count >= available_cores():  # a core for each thread, or nobody waits on a core
            self.patience = self.hand_over = 0
        else:
            self.patience, self.hand_over = self._patience, self._hand_over
        try:
            while len(self.workers) < count and not self.closed:
                self.workers.append(Worker(self, f"tinyconv_{len(self.workers)}"))
        except RuntimeError:  # the interpreter is shutting down, or a limit of the system
            pass
        return self.workers[:count]

    def _measure(self) -> None:
        """Compile, and express times in rounds of waiting."""
        jit.load_numba()
        from . import spin

        self.wait: Any = spin.signal_and_wait.compiled()
        speed = spin.rounds_per_microsecond(self.wait, np.zeros(8, np.int64))
        self._patience, self._hand_over = int(PATIENCE * speed), int(HAND_OVER * speed)
        self.release = int(RELEASE * speed)

    def close(self) -> None:
        """Send all workers home: a thread must not be in compiled code when Python ends."""
        self.closed = True
        for worker in self.workers:
            worker.numbers[CALLED] += 1
            worker.rouse()
        for worker in self.workers:
            worker.thread.join(timeout=1.0)  # one that is in a task has a caller of its own
