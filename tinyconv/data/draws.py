"""Random numbers of data loading, keyed by meaning so that nothing else changes them.

The order of samples is keyed by (seed, epoch); what a data set draws for a sample, such as an
augmentation, by (seed, epoch, index of the sample).
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Any

import numpy as np

from ..backend import Device, random
from ..backend.generator import Generator, default_generator
from ..backend.random import Stream

_TURN = 1 << 48  # draws of one epoch are this far apart


def seed_of(generator: Generator | None = None) -> int:
    """Return the seed of a generator; ``None`` means the default one."""
    return (default_generator() if generator is None else generator).initial_seed()


def draw_permutation(size: int, generator: Generator | None = None) -> np.ndarray[Any, Any]:
    """Return a random order that is a generator's next draw."""
    generator = default_generator() if generator is None else generator
    return generator.permutation(Device("cpu").backend, size, Stream.SPLIT)


def permutation(size: int, seed: int, epoch: int, turn: int = 0) -> np.ndarray[Any, Any]:
    """Return the random order of an epoch; ``turn`` counts orders of the same epoch."""
    draw = turn * _TURN + epoch
    return random.permutation(Device("cpu").backend, size, seed, Stream.SHUFFLE, draw)


def integers(high: int, count: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """Return ``count`` integers of [0, high) for an epoch."""
    backend = Device("cpu").backend
    return random.integers(backend, 0, high, (count,), seed, Stream.SHUFFLE, epoch)


def uniform(count: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """Return ``count`` float64 numbers of [0, 1) for an epoch."""
    backend = Device("cpu").backend
    return random.uniform(backend, (count,), "float64", seed, Stream.SHUFFLE, epoch)


class sample_key:
    """Context in which this thread's default generator draws for one sample.

    Parameters
    ----------
    *key : object
        Seed, epoch and index of the sample; equal keys give equal numbers.
    """

    def __init__(self, *key: Any) -> None:
        text = "/".join(map(str, key)).encode()
        digest = hashlib.blake2b(text, digest_size=8, person=b"sample")
        self._seed = int.from_bytes(digest.digest(), "little")

    def __enter__(self) -> None:
        self._generator = default_generator()
        self._state = self._generator.get_state()
        self._generator.manual_seed(self._seed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._generator.set_state(self._state)
