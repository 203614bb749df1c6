"""What a worker does: read the samples of one batch and put them together as NumPy arrays."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend.generator import default_generator
from ..errors import DataError
from .dataset import IterableDataset
from .draws import sample_key


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker runs this code; see :func:`get_worker_info`.

    Attributes
    ----------
    id : int
        Number of the worker, from 0.
    num_workers : int
        How many there are; 1 for an :class:`~tinyconv.data.IterableDataset`, which one worker
        reads.
    seed : int
        A number of this worker's own, from the loader's seed and epoch, below 2**64.
    dataset : Dataset
        The data set: in a thread the loader's own, in a process a copy of it.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Local(threading.local):
    info: WorkerInfo | None = None


_local = _Local()


def get_worker_info() -> WorkerInfo | None:
    """Return which worker runs this code, or ``None`` outside workers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.data.get_worker_info() is None
    True
    """
    return _local.info


@dataclass(frozen=True, slots=True)
class Job:
    """One batch to read.

    Attributes
    ----------
    number : int
        Which batch of the epoch.
    indices : list, object or None
        Samples of the batch; one index without batching; ``None`` reads on in a stream.
    seed, epoch : int
        Key of the random numbers.
    run : int
        Which pass over the loader it belongs to; each pass has a stream of its own.
    """

    number: int
    indices: Any
    seed: int
    epoch: int
    run: int


class WorkerDied(DataError):
    """A worker process ended by itself, so its pool cannot go on."""


class Cancelled(Exception):
    """The consumer does not want the batch any more."""


@dataclass
class Reader:
    """Reads the batches of a loader; a worker process has a copy.

    Attributes
    ----------
    dataset : Dataset
        Where samples come from.
    collate : callable or None
        From a list of samples to a batch; ``None`` leaves a sample as it is.
    batched : bool
        Whether a job's indices are a list.
    batch_size : int or None
        Samples of a batch of a stream.
    drop_last : bool
        Whether a stream's last batch is left out if it is not full.
    init : callable or None
        The user's ``worker_init_fn``.
    """

    dataset: Any
    collate: Callable[[Any], Any] | None
    batched: bool
    batch_size: int | None = None
    drop_last: bool = False
    init: Callable[[int], Any] | None = None
    _stream: tuple[int, Iterator[Any]] | None = field(default=None, init=False, repr=False)

    def enter_worker(self, info: WorkerInfo) -> None:
        """Make the running thread a worker."""
        _local.info = info
        default_generator().manual_seed(info.seed)
        if self.init is not None:
            self.init(info.id)

    def read(self, job: Job, wanted: Callable[[], bool] = lambda: True) -> Any:
        """Return a batch, or ``None`` at the end of a stream, in a tuple of one.

        Raises
        ------
        Exception
            What the data set or the collate function raises, with a note that names the sample
            and the batch.
        """
        if isinstance(self.dataset, IterableDataset):
            samples = self._read_stream(job)
        else:
            samples = self._read_indices(job, wanted)
        if samples is None or self.collate is None:
            return samples
        try:
            return (self.collate(samples[0]),)
        except BaseException as error:
            _note(error, f"collating batch {job.number}, samples {_shorten(job.indices)}")
            raise

    def _read_indices(self, job: Job, wanted: Callable[[], bool]) -> tuple[Any]:
        fetch = getattr(self.dataset, "__getitems__", None)
        if self.batched and fetch is not None:
            try:
                with sample_key(job.seed, job.epoch, *job.indices[:1]):
                    return (fetch(job.indices),)
            except BaseException as error:
                _note(error, f"loading batch {job.number}, samples {_shorten(job.indices)}")
                raise
        if not self.batched:
            return (self._read_sample(job, job.indices),)
        samples = []
        for index in job.indices:
            if not wanted():
                raise Cancelled
            samples.append(self._read_sample(job, index))
        return (samples,)

    def _read_sample(self, job: Job, index: Any) -> Any:
        try:
            with sample_key(job.seed, job.epoch, index):
                return self.dataset[index]
        except BaseException as error:
            _note(error, f"loading sample {index!r} (batch {job.number})")
            raise

    def _read_stream(self, job: Job) -> tuple[Any] | None:
        try:
            stream = self._open_stream(job)
            samples = self._next_samples(stream, job, job.number)
        except BaseException as error:
            _note(error, f"loading batch {job.number} of a stream")
            raise
        if len(samples) < (1 if self.batch_size is None or not self.drop_last else self.batch_size):
            return None
        return (samples[0] if self.batch_size is None else samples,)

    def _open_stream(self, job: Job) -> Iterator[Any]:
        """Return the stream of the job's pass; a new pass skips the batches before the job's."""
        if self._stream is not None and self._stream[0] > job.run:
            raise DataError(
                "another iterator over the loader has started; with persistent_workers=True "
                "only the newest one reads the stream"
            )
        if self._stream is None or self._stream[0] != job.run:
            with sample_key(job.seed, job.epoch, "stream"):
                stream = iter(self.dataset)
            for number in range(job.number):
                self._next_samples(stream, job, number)
            self._stream = job.run, stream
        return self._stream[1]

    def _next_samples(self, stream: Iterator[Any], job: Job, number: int) -> list[Any]:
        with sample_key(job.seed, job.epoch, "batch", number):
            return list(itertools.islice(stream, self.batch_size or 1))


def as_error(error: BaseException) -> Exception:
    """Return an exception fit to be raised by the loader.

    ``StopIteration`` would silently end the consumer's loop, and ``SystemExit`` its program.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = DataError(f"a data set or collate function raised {type(error).__name__}({error})")
    wrapped.__cause__ = error
    for note in getattr(error, "__notes__", []):
        wrapped.add_note(note)
    return wrapped


def worker_seed(seed: int, epoch: int, worker: int) -> int:
    """Return a number of a worker's own, below 2**64."""
    words = np.random.SeedSequence([seed, epoch, worker]).generate_state(2, np.uint32)
    return int(words[0]) << 32 | int(words[1])


def _note(error: BaseException, doing: str) -> None:
    """Add to an exception what was being done, and by which worker."""
    info = get_worker_info()
    if not isinstance(error, Cancelled):
        error.add_note(f"DataLoader: {doing}" + ("" if info is None else f", worker {info.id}"))


def _shorten(indices: Any) -> str:
    if not isinstance(indices, list) or len(indices) <= 8:
        return repr(indices)
    return f"[{', '.join(map(repr, indices[:8]))}, and {len(indices) - 8} more]"
