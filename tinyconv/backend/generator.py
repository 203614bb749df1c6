"""Generators: a seed and the number of draws made so far, for those who want the next numbers.

Each thread has one of its own, :func:`default_generator`.
"""

from __future__ import annotations

import operator
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from .. import config
from .random import MASK, Shape, Stream, bernoulli, integers, normal, permutation, uniform


class Generator:
    """A source of random numbers: a seed, and a counter of the draws made from it.

    One call of a method is one draw, whatever its size. Safe to share among threads, but then the
    order of draws is that of the threads; ``default_generator()`` is one for each thread.

    Parameters
    ----------
    seed : int, optional
        Any integer, of which the lowest 64 bits count. ``None`` takes one from the operating
        system.

    Examples
    --------
    >>> from tinyconv.backend import backends
    >>> from tinyconv.backend.generator import Generator
    >>> generator = Generator(0)
    >>> generator.integers(backends()["cpu"], 0, 10, (4,)).shape
    (4,)
    >>> generator.get_state()
    (0, 1)
    """

    __slots__ = ("_draws", "_lock", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self._seed, self._draws = 0, 0
        self.manual_seed(secrets.randbits(64) if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from ``seed``, at draw 0, and return the generator."""
        with self._lock:
            self._seed, self._draws = operator.index(seed) & MASK, 0
        return self

    def initial_seed(self) -> int:
        """Return the seed in use, from 0 to 2**64 - 1."""
        return self._seed

    def seed(self) -> int:
        """Start again from a seed of the operating system, and return it."""
        return self.manual_seed(secrets.randbits(64))._seed

    def get_state(self) -> tuple[int, int]:
        """Return (seed, draws made so far)."""
        with self._lock:
            return self._seed, self._draws

    def set_state(self, state: tuple[int, int]) -> None:
        """Go to a state that :meth:`get_state` has returned."""
        seed, draws = (operator.index(number) for number in state)
        with self._lock:
            self._seed, self._draws = seed & MASK, draws & MASK

    def next_draw(self) -> tuple[int, int]:
        """Return (seed, number of this draw) and count the draw: a key for the functions above."""
        with self._lock:
            draw = self._draws
            self._draws = (draw + 1) & MASK
            seed = self._seed
        watcher = _watcher.get()
        if watcher is not None:
            watcher((self, draw))
        return seed, draw

    def uniform(
        self,
        backend: Any,
        shape: Shape,
        dtype_name: str = "float32",
        stream: int = Stream.USER,
    ) -> Any:
        """Return numbers uniform on [0, 1); see :func:`uniform`."""
        return self._keyed(partial(uniform, backend, shape, dtype_name), stream)

    def normal(
        self,
        backend: Any,
        shape: Shape,
        dtype_name: str = "float32",
        stream: int = Stream.USER,
    ) -> Any:
        """Return normal numbers; see :func:`normal`."""
        return self._keyed(partial(normal, backend, shape, dtype_name), stream)

    def integers(
        self, backend: Any, low: int, high: int, shape: Shape, stream: int = Stream.USER
    ) -> Any:
        """Return int64 numbers uniform on [low, high); see :func:`integers`."""
        return self._keyed(partial(integers, backend, low, high, shape), stream)

    def permutation(self, backend: Any, n: int, stream: int = Stream.USER) -> Any:
        """Return 0 ... n-1 in random order; see :func:`permutation`."""
        return self._keyed(partial(permutation, backend, n), stream)

    def bernoulli(
        self,
        backend: Any,
        shape: Shape,
        keep_probability: float,
        stream: int = Stream.USER,
    ) -> Any:
        """Return a mask that is True with the given probability; see :func:`bernoulli`."""
        return self._keyed(partial(bernoulli, backend, shape, keep_probability), stream)

    def _keyed(self, function: Callable[[int, int, int], Any], stream: int) -> Any:
        seed, draw = self.next_draw()
        return function(seed, stream, draw)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self.get_state()

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, draws={self._draws})"


def _restored(seed: int, draws: int) -> Generator:
    generator = Generator(seed)
    generator.set_state((seed, draws))
    return generator


_watcher: ContextVar[Callable[[tuple[Generator, int]], None] | None] = ContextVar(
    "watcher", default=None
)


@contextmanager
def watched(watcher: Callable[[tuple[Generator, int]], None]) -> Iterator[None]:
    """Call ``watcher((generator, draw))`` for every draw of a generator inside the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


_local = threading.local()
_process_seed: int | None = None


def default_generator() -> Generator:
    """Return this thread's generator.

    A new thread's seed is that of the last :func:`manual_seed`, else ``config.seed``, else one of
    the operating system. So threads with a common seed draw the same numbers, in their own order.
    """
    generator: Generator | None = getattr(_local, "generator", None)
    if generator is None:
        seed = config.seed.get() if _process_seed is None else _process_seed
        generator = _local.generator = Generator(seed)
    return generator


def manual_seed(seed: int) -> Generator:
    """Seed this thread's generator, and those of threads yet to come; return it.

    Parameters
    ----------
    seed : int
        Any integer, of which the lowest 64 bits count.
    """
    global _process_seed
    generator = default_generator().manual_seed(seed)
    _process_seed = generator.initial_seed()
    return generator
