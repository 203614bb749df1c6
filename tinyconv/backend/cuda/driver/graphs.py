"""A whole step recorded once and run again as one graph, with the numbers that change each time.

A graph repeats its launches with the arguments they were recorded with. Two kinds of arguments must
not stay what they were: an optimizer's numbers (learning rate, bias correction) and the counters of
random draws. While a step is recorded, these **live** numbers are put into one small array on the
device, from which their kernels read them. Before each repetition the array is written anew, by one
copy:

- optimizers take their step again, but only on the host: :func:`live_numbers` notes the numbers and
  says that nothing is to be launched (:data:`REFRESHED`);
- a generator counts the draws of a step again, and each draw's counter moves on by as much.

So learning rate schedules, bias corrections and masks go on as if the step were run line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ... import random
from ...generator import Generator, watched
from .launching import Graph, runner

#: 32-bit words for live numbers of one graph: 40 dropouts and 500 launches of optimizers, say.
WORDS = 8192
#: What :func:`live_numbers` returns when numbers have been noted and nothing is to be launched.
REFRESHED = object()

_active: ContextVar[Recorded | None] = ContextVar("recorded", default=None)


class NotRecordable(RuntimeError):
    """A step does something that a graph cannot repeat; the message says what."""


class Recorded:
    """A step that has been recorded; :meth:`replay` runs it again.

    Parameters
    ----------
    step : callable
        Called once, without arguments, while its launches are recorded instead of run.
    again : callable
        Called before each replay: takes the steps of all optimizers once more. It may only
        read and write host numbers; kernels of optimizers see to that themselves.
    """

    def __init__(self, step: Callable[[], Any], again: Callable[[], None]) -> None:
        self._host, self._device = runner().words(WORDS)
        self._again = again
        self._used = 0
        self._refreshing = False
        #: Where the words of live floats start, in the order of their launches.
        self._floats: list[tuple[int, int]] = []
        #: Where a draw's words start, whose it is, and its number.
        self._draws: list[tuple[int, Generator, int]] = []
        self._seen: list[tuple[Generator, int]] = []
        try:
            with self._in_charge(), watched(self._seen.append):
                recorded: tuple[Any, Graph] = runner().record(step)
        except BaseException:
            for generator, draw in reversed(self._seen):  # nothing has been drawn
                generator.set_state((generator.initial_seed(), draw))
            raise
        self.result, self._graph = recorded
        self._starts = {id(g): (g, draw) for g, draw in reversed(self._seen)}
        self._first = True
        self._copied: Callable[[], Any] | None = None

    def replay(self) -> None:
        """Run the step again; the first time with the numbers it was recorded with."""
        if self._copied is not None:
            self._copied()  # the GPU may not have read yet what is about to be written over
        if not self._first:
            self._refresh()
        self._first = False
        self._copied = runner().copy(self._device, self._host)
        self._graph.launch()

    def _refresh(self) -> None:
        self._refreshing = True
        self._order = iter(self._floats)
        try:
            with self._in_charge():
                self._again()
        finally:
            self._refreshing = False
        moved = {}
        for name, (generator, start) in self._starts.items():
            count = sum(1 for g, _ in self._seen if g is generator)
            seed, now = generator.get_state()
            generator.set_state((seed, now + count))
            moved[name] = (seed, now - start)
        for at, owner, draw in self._draws:
            seed, by = moved[id(owner)]
            key, counter = random.key_and_counter(seed, 0, (draw + by) & random.MASK)
            self._host[at : at + 4] = [*key, *counter[:2]]

    @contextmanager
    def _in_charge(self) -> Iterator[None]:
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def _take(self, words: int) -> int:
        at = self._used + self._used % 2  # where a number of 64 bits may lie
        self._used = at + words
        if self._used > WORDS:
            raise NotRecordable("it has too many random draws and groups of parameters")
        return at

    def numbers(self, numbers: Sequence[float], dtype: str) -> Any:
        """Note numbers; return where a kernel finds them, or :data:`REFRESHED`."""
        if self._refreshing:
            at, size = next(self._order)
        else:
            size = len(numbers) * np.dtype(dtype).itemsize // 4
            at = self._take(size)
            self._floats.append((at, size))
        self._host[at : at + size].view(dtype)[:] = numbers
        return REFRESHED if self._refreshing else self._device[at : at + size]

    def draw(self, key: Sequence[int], counter: Sequence[int]) -> Any:
        """Note a random draw; return where a kernel finds its words."""
        number = counter[0] | counter[1] << 32
        generator = next(
            (g for g, d in reversed(self._seen) if d == number and _key(g) == tuple(key)), None
        )
        at = self._take(5)
        self._host[at : at + 5] = [*key, *counter]
        if generator is not None:  # else the draw was keyed by hand, and stays what it is
            self._draws.append((at, generator, number))
        return self._device[at : at + 5]


def _key(generator: Generator) -> tuple[int, ...]:
    return random.key_and_counter(generator.initial_seed(), 0, 0)[0]


def live_numbers(numbers: Sequence[float], dtype: str = "float32") -> Any:
    """Return where a kernel finds its numbers: ``None`` in the launch itself, as ever.

    While a step is recorded, an array on the device, of words that hold numbers of the dtype;
    :data:`REFRESHED` before a replay.
    """
    active = _active.get()
    return None if active is None else active.numbers(numbers, dtype)


def live_draw(key: Sequence[int], counter: Sequence[int]) -> Any:
    """Return where a kernel finds key and counter: ``None`` in the launch itself, as ever."""
    active = _active.get()
    return None if active is None else active.draw(key, counter)


def recording() -> bool:
    """Return whether a step is being recorded: values on the device cannot be read then."""
    active = _active.get()
    return active is not None and not active._refreshing
