"""Worker threads that can be sent to work within a microsecond, and sleep when there is none.

Workers are plain Python threads. Between two calls a worker waits in compiled code, without the
GIL, for half a millisecond (see :func:`~.serving.serve`); if nothing comes it sleeps, so that an
idle process uses no core. Why not one of the usual ways:

- ``concurrent.futures`` wakes sleeping threads: 30 to 50 microseconds a region;
- Numba's own threads die with a fork (OpenMP) or abort when two threads use them (workqueue).

There are two kinds of calls. A *region* is one compiled kernel, which all threads run (see
:mod:`.region`): workers go from one to the next without Python. A *job* consists of tasks in
Python, each with something compiled in it, for what no kernel does alone. There the GIL decides
what is fast: a thread that finds it taken goes to sleep on it, which costs more than the work it
came for. So the caller *hands over*: it publishes a job from compiled code, where it does not hold
the GIL, and stays there until a worker has taken the GIL, has gone through the Python of its first
task and is about to enter a compiled kernel, which gives the GIL back. :class:`~.jit.Kernel` says
when that is.

A caller that has finished does not wait for a worker that has not come yet: a sleeping worker costs
a small region or job no time.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ..compiler import jit
from ..host import available_cores
from .board import (
    ASLEEP,
    CALL,
    CORE,
    FAILED,
    FIRST_LINE,
    LINE,
    LOCK,
    MOST_SEATS,
    USHER,
    Board,
    new_board,
    numbers_on_cache_lines,
)
from .board import ZERO as ZERO_ON_BOARD
from .placement import Place

#: Microseconds for which a worker waits for the next call before it sleeps, and a caller for the
#: end of a worker's last task.
PATIENCE, PATIENCE_FOR_TASKS = 500.0, 100.0
#: Microseconds for which a caller waits until a worker has entered its first kernel, and then
#: until that kernel has given the GIL back.
HAND_OVER, RELEASE = 12.0, 1.2

# Places in the numbers of a worker; each that is waited for has a cache line (8 numbers) to itself.
ZERO, UNUSED, CROWDED, DONE, AWAITED, SIZE = 0, 1, 8, 16, 24, 32


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

    ``DONE`` is the last call that the worker has answered. An entry of ``invitation`` is taken
    either by the worker, or by the caller who no longer needs it.
    """

    def __init__(self, team: Team, number: int) -> None:
        self.team, self.number = team, number
        self.numbers, self.view = numbers_on_cache_lines(SIZE)
        self.invitation: list[Job] = []
        self.place = Place()
        self.finished = threading.Lock()
        self.finished.acquire()
        self.thread = threading.Thread(target=self.serve, name=f"tinyconv_{number}", daemon=True)
        self.thread.start()

    @property
    def asleep(self) -> bool:
        """Whether the worker sleeps, and nobody has woken it."""
        return bool(self.team.board[FIRST_LINE + LINE * (self.number + 1) + ASLEEP])

    # -- in the caller ----------------------------------------------------------------------

    def end(self, call: int) -> None:
        """Take the invitation back, or wait until the worker has finished."""
        try:
            self.invitation.pop()
        except IndexError:
            self._await_end(call)

    def _await_end(self, call: int) -> None:
        wait, patience = self.team.wait, self.team.patience_for_tasks
        self.team.publish(call)  # if the caller was interrupted before it did so
        if wait(self.view, UNUSED, 0, ZERO, self.view, DONE, call, patience, 0):
            return
        # First say that somebody waits, then look: the worker does it the other way round.
        while not wait(self.view, AWAITED, 1, ZERO, self.view, DONE, call, 0, 0):
            self.finished.acquire()
        self.numbers[AWAITED] = 0

    # -- in the worker ----------------------------------------------------------------------

    def serve(self) -> None:
        """Answer calls until the team is closed."""
        team, numbers, board = self.team, self.numbers, self.team.board
        team.prepare_thread()
        seen = 0
        while not team.closed:
            patience = team.patience if self.number < team.wanted else 0
            seen = team.serve(
                team.board_view, self.number + 1, seen, self.view, DONE, AWAITED, CROWDED, patience
            )
            if numbers[AWAITED]:
                numbers[AWAITED] = 0
                with suppress(RuntimeError):  # the caller has been told already
                    self.finished.release()
            elif board[CALL] != seen and not board[USHER]:
                seen = board[CALL]
                self.answer()
            elif numbers[CROWDED]:
                self.place.take({board[CORE]})

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
        #: How many workers were asked for, and how many there are of them.
        self.wanted = self.seats = 0

    # -- regions ----------------------------------------------------------------------------

    def share(
        self, kernel: Any, args: tuple[Any, ...], length: int, step: int, helpers: int
    ) -> None:
        """Run a region with up to ``helpers`` workers; alone if another thread has them."""
        if helpers <= 0 or self.closed or not self._lock.acquire(False):
            board = _boards.pop() if _boards else _equipped()
            _run_region(board, kernel, args, length, step, 0)
            _boards.append(board)
            return
        try:
            if helpers != self.wanted:
                self._gather(helpers)
            _run_region(self.whole_board, kernel, args, length, step, self.seats)
        finally:
            self._lock.release()

    # -- jobs -------------------------------------------------------------------------------

    def run(self, job: Job, helpers: int) -> None:
        """Do the job with up to ``helpers`` workers; alone if another thread has them."""
        if self.closed or not self._lock.acquire(blocking=False):
            job.work()
            return
        try:
            self._invite(job, helpers)
        finally:
            self._lock.release()
        if job.errors:
            raise job.errors.pop()

    def _invite(self, job: Job, helpers: int) -> None:
        if helpers != self.wanted:
            self._gather(helpers)
        called, call = self.workers[:helpers], self.board[CALL] + 1
        try:
            self.place.take(job.cores)
            for worker in called:
                worker.invitation.append(job)
            self.board[USHER] = 0
            # Nobody waits for the first kernel of a worker that sleeps.
            jit.entered[0] = all(worker.asleep for worker in called)
            self.wait(
                self.board_view, CALL, call, ZERO_ON_BOARD, jit.entered_view, 0, 1,
                self.hand_over, self.release,
            )  # fmt: skip
            self.rouse(self.board_view, len(called))
            job.work()
        except BaseException:
            job.count = 0
            raise
        finally:
            for worker in called:
                # Ctrl-C may end this wait: the job is over, so the worker stops soon.
                worker.end(call)

    def publish(self, call: int) -> None:
        """Write the number of a call, if it is not there."""
        if self.board[CALL] < call:
            self.board[CALL] = call

    # -- workers ----------------------------------------------------------------------------

    def _gather(self, count: int) -> None:
        """See to it that there are ``count`` workers, or fewer where no thread can be started."""
        if not self.workers:
            self._begin()
        self.wanted = count
        if count >= available_cores():  # a core for each thread, or nobody waits on a core
            self.patience = self.patience_for_tasks = self.hand_over = 0
        else:
            self.patience = int(PATIENCE * self._speed)
            self.patience_for_tasks = int(PATIENCE_FOR_TASKS * self._speed)
            self.hand_over = int(HAND_OVER * self._speed)
        try:
            while len(self.workers) < min(count, MOST_SEATS - 1) and not self.closed:
                self._give_lock(len(self.workers) + 1)
                self.workers.append(Worker(self, len(self.workers)))
        except RuntimeError:  # the interpreter is shutting down, or a limit of the system
            pass
        self.seats = min(count, len(self.workers))

    def _begin(self) -> None:
        """Compile, and express times in rounds of waiting."""
        jit.load_numba()
        from . import serving, spin

        self.whole_board = self.board, self.board_view = _equipped()
        self.wait: Any = spin.signal_and_wait.compiled()
        self.serve: Any = serving.serve.compiled()
        self.rouse: Any = serving.rouse.compiled()
        self._speed = spin.rounds_per_microsecond(self.wait, np.zeros(8, np.int64))
        self.release = int(RELEASE * self._speed)
        stopped = np.ones(SIZE, np.int64)  # so that these return at once
        self.serve(self.board_view, 1, 0, stopped, DONE, AWAITED, CROWDED, 0)
        self.rouse(self.board_view, 0)

    def _give_lock(self, seat: int) -> None:
        """Put the lock on which the worker of a seat sleeps on the board, locked."""
        make, take = ctypes.pythonapi.PyThread_allocate_lock, ctypes.pythonapi.PyThread_acquire_lock
        make.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]
        if not self.board[FIRST_LINE + LINE * seat + LOCK]:
            lock = make()
            take(lock, 1)
            self.board[FIRST_LINE + LINE * seat + LOCK] = lock

    def close(self) -> None:
        """Send all workers home: a thread must not be in compiled code when Python ends."""
        self.closed = True
        if self.workers:
            self.board[USHER] = 0
            self.board[CALL] += 1
            self.rouse(self.board_view, len(self.workers))
        for worker in self.workers:
            worker.thread.join(timeout=1.0)  # one that is in a task has a caller of its own


#: Boards for callers who work alone.
_boards: list[Board] = []


def _equipped() -> Board:
    """Return a board for regions."""
    from .region import equip

    board = new_board()
    equip(board[1])
    return board


def _run_region(
    board: Board, kernel: Any, args: tuple[Any, ...], length: int, step: int, seats: int
) -> None:
    """Have a kernel called for all pieces of ``range(length)``."""
    numbers, view = board
    kernel(view, -1 - seats, length, step, *args)
    if numbers[FAILED]:
        numbers[FAILED] = 0
        raise MemoryError(f"{kernel.__name__}: no memory for this kernel")
