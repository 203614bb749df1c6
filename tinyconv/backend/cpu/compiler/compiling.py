"""What Numba compiles and loads for tinyconv, and how a person sees that it takes its time.

:data:`record` lists every kernel that was compiled or loaded in this process. When compiling has
taken more than a second in total, a bar appears (one plain line where there is no terminal); it
never does when all kernels come from the disk cache. ``TINYCONV_PROGRESS=0`` turns it off.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from .... import config

#: Seconds of compiling after which a person is told.
SILENCE = 1.0


class Event(NamedTuple):
    """One kernel for one set of argument types."""

    kernel: str
    seconds: float
    compiled: bool


#: What was compiled or loaded, in the order in which it ended.
record: list[Event] = []

_names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a kernel: that of its file, and its own."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"


def names(dispatcher: Any, function: Callable[..., Any]) -> None:
    """Let events of ``dispatcher`` be recorded."""
    _names[dispatcher] = name_of(function)


def loaded(kernel: str, seconds: float) -> None:
    """Record that a kernel was loaded."""
    record.append(Event(kernel, seconds, False))


class Notice:
    """Tells a person that kernels are being compiled, once it has taken a while."""

    def __init__(self) -> None:
        self.total = 0.0
        self._count = 0
        self._said = False
        self._bar: Any = None
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()

    def begin(self, kernel: str) -> None:
        """Show the notice now, or later if it is not time yet."""
        wanted = config.progress.get()  # of this thread: the timer is another
        if wanted == "0":
            return
        left = SILENCE - self.total
        if left <= 0:
            self.show(kernel, wanted)
            return
        self._timer = threading.Timer(left, self.show, (kernel, wanted))
        self._timer.daemon = True
        try:
            self._timer.start()
        except RuntimeError:  # no thread to be had
            self._timer = None

    def show(self, kernel: str, wanted: str) -> None:
        """Show the bar, or say it in one line."""
        with self._lock:
            if self._bar is not None:
                return
            if wanted == "1" or sys.stderr.isatty():
                from tqdm import tqdm

                self._bar = tqdm(
                    desc=f"compiling {kernel} (once; kept on disk)", initial=self._count,
                    unit=" kernels", leave=False, file=sys.stderr, dynamic_ncols=True,
                )  # fmt: skip
            elif not self._said:
                self._said = True
                print("tinyconv: compiling kernels (once; kept on disk) ...", file=sys.stderr)

    def end(self, seconds: float) -> None:
        """Take the bar away; the next kernel shows it again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with self._lock:
            self.total += seconds
            self._count += 1
            if self._bar is not None:
                self._bar.update(1)
                self._bar.close()
                self._bar = None


_notice = Notice()
_watching = False


def _after_fork() -> None:
    """Forget the parent's bar and the lock that its thread may hold."""
    global _notice
    _notice = Notice()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def watch() -> None:
    """Listen to what Numba compiles; the caller sees to it that one thread at a time does this."""
    global _watching
    if _watching:
        return
    _watching = True
    from numba.core import event

    starts: list[tuple[Any, float]] = []  # a kernel may compile the kernels that it calls

    class Listener(event.Listener):
        def on_start(self, found: Any) -> None:
            dispatcher = found.data["dispatcher"]
            name = _names.get(dispatcher)
            if name is not None:
                if not starts:
                    _notice.begin(name)
                starts.append((dispatcher, time.perf_counter()))

        def on_end(self, found: Any) -> None:
            dispatcher = found.data["dispatcher"]
            name = _names.get(dispatcher)
            if name is not None and starts:
                seconds = time.perf_counter() - starts.pop()[1]
                record.append(Event(name, seconds, True))
                if not starts:
                    _notice.end(seconds)

    event.register("numba:compile", Listener())
