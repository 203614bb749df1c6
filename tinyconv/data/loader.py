"""The loader: batches of a data set, in an order that depends on nothing but seed and epoch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from ..backend import cuda as gpu
from ..backend.generator import Generator
from ..errors import ArgumentError, StateDictError
from .collate import (
    default_collate,
    default_convert,
    pin,
    stack_samples,
    to_staged_tensors,
    to_tensors,
)
from .dataset import IterableDataset
from .draws import seed_of
from .fetch import Reader, WorkerInfo, worker_seed
from .iterator import LoaderIterator
from .process import choose_context, start_processes
from .sampler import BatchSampler, KeyedSampler, RandomSampler, SequentialSampler
from .workers import ThreadChannel, WorkerPool

T_co = TypeVar("T_co", covariant=True)
_STATE_KEYS = ("seed", "epoch", "position")


class DataLoader(Generic[T_co]):
    """Iterates over a data set in batches, in PyTorch's way.

    The order of the samples is keyed by (seed, epoch), and what the data set draws from the
    default generator for a sample by (seed, epoch, index), where each pass is an epoch. So
    neither ``num_workers`` nor ``worker_type`` nor ``prefetch_factor`` changes a batch, and
    :meth:`state_dict` resumes exactly, in the middle of an epoch too.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``__getitem__`` and ``__len__``, or an
        :class:`~tinyconv.data.IterableDataset`. ``__getitems__(indices)`` is used for whole
        batches if there is one.
    batch_size : int or None, default 1
        Samples of a batch; ``None`` turns batching off.
    shuffle : bool, optional
        Whether the order is random, anew in each epoch; the default is no.
    sampler : Sampler or iterable of int, optional
        Another order; excludes ``shuffle``.
    batch_sampler : Sampler or iterable of lists of int, optional
        Whole batches of indices; excludes ``batch_size``, ``shuffle``, ``sampler`` and
        ``drop_last``.
    num_workers : int, default 0
        How many workers read batches ahead; 0 reads them when they are asked for. A stream
        (:class:`~tinyconv.data.IterableDataset`) is read by one.
    collate_fn : callable, optional
        From a list of samples to a batch; the default is
        :func:`~tinyconv.data.default_collate`, or without batching
        :func:`~tinyconv.data.default_convert`. It runs in the worker.
    pin_memory : bool, default False
        Whether batches come in page-locked memory, from which ``to("cuda",
        non_blocking=True)`` copies while the program goes on; where the default device is a
        GPU, batches go there that way. Without a GPU it does nothing.
    drop_last : bool, default False
        Whether a last batch that is not full is left out.
    timeout : float, default 0
        Seconds to wait for a batch of a worker before it is an error; 0 waits for ever.
    worker_init_fn : callable, optional
        Called in each worker with its number when it starts.
    multiprocessing_context : str or multiprocessing context, optional
        How processes are started; the default is ``"forkserver"`` where there is such a thing,
        else ``"spawn"``. Needs ``worker_type="process"``.
    generator : Generator, optional
        Where the seed comes from; the default is the default generator.
    prefetch_factor : int, optional
        Batches that each worker reads ahead; the default is 2.
    persistent_workers : bool, default False
        Whether workers stay for the next epoch.
    worker_type : {"thread", "process"}, default "thread"
        NumPy and compiled kernels leave the interpreter free for other threads, so threads are
        mostly enough and cost nothing to start; processes are for data sets that compute in
        plain Python. A worker process is on the CPU, on one thread.

    Attributes
    ----------
    epoch : int
        The epoch of the pass that runs, or else of the next one.

    Raises
    ------
    ArgumentError
        If arguments exclude each other or are out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> data = tc.data.TensorDataset(tc.arange(5))
    >>> for (batch,) in tc.data.DataLoader(data, batch_size=2):
    ...     print(batch)
    tensor([0, 1])
    tensor([2, 3])
    tensor([4])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        worker_type: str = "thread",
    ) -> None:
        self.dataset, self.generator, self.pin_memory = dataset, generator, pin_memory
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.worker_type, self.multiprocessing_context = worker_type, multiprocessing_context
        self.persistent_workers = persistent_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self._check_workers()
        self._check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size = None
        elif sampler is None and not isinstance(dataset, IterableDataset):
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if sampler is not None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._batched = batched
        self.epoch, self._position = 0, 0
        self._seed: int | None = None  # of a loaded state
        self._started = False  # whether a pass of this epoch has begun
        self._runs = 0  # passes so far
        self._newest: weakref.ref[LoaderIterator] | None = None
        self._pool: WorkerPool | None = None

    def _check_workers(self) -> None:
        """Check the arguments about workers."""
        if not isinstance(self.num_workers, int) or self.num_workers < 0:
            raise ArgumentError(f"DataLoader: num_workers must be >= 0, got {self.num_workers!r}")
        if self.worker_type not in ("thread", "process"):
            raise ArgumentError(
                f"DataLoader: worker_type={self.worker_type!r}; choose 'thread' or 'process'"
            )
        if self.timeout < 0:
            raise ArgumentError(f"DataLoader: timeout must be >= 0 seconds, got {self.timeout!r}")
        if not self.num_workers:
            if self.prefetch_factor is not None or self.persistent_workers:
                raise ArgumentError(
                    "DataLoader: prefetch_factor and persistent_workers need num_workers > 0"
                )
        elif self.prefetch_factor is None or self.prefetch_factor < 1:
            raise ArgumentError(
                f"DataLoader: prefetch_factor must be >= 1, got {self.prefetch_factor!r}"
            )
        if self.multiprocessing_context is not None and self.worker_type != "process":
            raise ArgumentError("DataLoader: multiprocessing_context needs worker_type='process'")

    def _check_order(
        self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
    ) -> None:
        """Check that the arguments about order and batches go together."""
        stream = isinstance(self.dataset, IterableDataset)
        if stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                "DataLoader: an IterableDataset has its own order; shuffle, sampler and "
                "batch_sampler are not for it"
            )
        if shuffle and sampler is not None:
            raise ArgumentError("DataLoader: sampler and shuffle=True exclude each other")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ArgumentError(
                "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
            )
        if batch_size is None and drop_last:
            raise ArgumentError("DataLoader: drop_last=True needs a batch_size")
        if batch_size is not None and (
            not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1
        ):
            raise ArgumentError(
                f"DataLoader: batch_size must be a positive integer or None, got {batch_size!r}"
            )

    def __len__(self) -> int:
        """Return the number of batches of an epoch (for a stream, what its length promises)."""
        if isinstance(self.dataset, IterableDataset):
            size = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return size
            return size // self.batch_size if self.drop_last else -(-size // self.batch_size)
        return len(self.batch_sampler if self._batched else self.sampler)  # type: ignore[arg-type]

    # -- epochs and state --------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass start at the beginning of an epoch.

        Parameters
        ----------
        epoch : int
            Which epoch, from 0 to 2**48 - 1.
        """
        if not isinstance(epoch, int) or not 0 <= epoch < 2**48:
            raise ArgumentError(f"DataLoader.set_epoch: epoch must be >= 0, got {epoch!r}")
        self._newest = None  # a pass that still runs no longer counts
        self.epoch, self._position, self._started = epoch, 0, False

    def state_dict(self) -> dict[str, int]:
        """Return seed, epoch and position: the number of batches of it that were received."""
        return {"seed": self._current_seed(), "epoch": self.epoch, "position": self._position}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Make the next pass go on where :meth:`state_dict` was called.

        The seed of the state then stays in force; the number and kind of workers may differ. A
        sampler with randomness of its own needs ``set_epoch(epoch)``, and a stream is read
        anew up to the position.

        Parameters
        ----------
        state_dict : mapping
            What :meth:`state_dict` returned.

        Raises
        ------
        StateDictError
            If keys are missing or unknown, or a value is not a non-negative integer.
        """
        values: list[Any] = [state_dict.get(key) for key in _STATE_KEYS]
        limits = (2**64, 2**48, 2**63)
        sound = all(
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit
            for value, limit in zip(values, limits, strict=True)
        )
        if set(state_dict) != set(_STATE_KEYS) or not sound:
            raise StateDictError(
                "DataLoader.load_state_dict: needs the non-negative integers seed, epoch and "
                f"position, got {dict(state_dict)!r}"
            )
        self._newest = None
        self._seed, self.epoch, self._position = values
        self._started = False

    def _current_seed(self) -> int:
        """Return the seed in force: of the loaded state, the generator, or the sampler's."""
        if self._seed is not None:
            return self._seed
        if self.generator is not None:
            return seed_of(self.generator)
        own = [sampler.generator for sampler in self._keyed_samplers()]
        return seed_of(own[0] if own else None)

    def _samplers(self) -> list[Any]:
        """Return the samplers in use, also the one inside a batch sampler."""
        inner = getattr(self.batch_sampler, "sampler", None)
        candidates = {id(s): s for s in (self.sampler, self.batch_sampler, inner)}
        return [sampler for sampler in candidates.values() if sampler is not None]

    def _keyed_samplers(self) -> list[KeyedSampler]:
        return [sampler for sampler in self._samplers() if isinstance(sampler, KeyedSampler)]

    # -- iterating ---------------------------------------------------------------------------

    def __iter__(self) -> Iterator[T_co]:
        if self._started:  # the last pass was left before its end
            self.epoch, self._position = self.epoch + 1, 0
        self._started = True
        iterator = LoaderIterator(self)
        self._newest = weakref.ref(iterator)
        return iterator

    def _received(self, iterator: LoaderIterator, position: int) -> None:
        """Note how far a pass is, if it is the newest."""
        if self._newest is not None and self._newest() is iterator:
            self._position = position

    def _finished(self, iterator: LoaderIterator) -> None:
        """Note that a pass is at its end, if it is the newest."""
        if self._newest is not None and self._newest() is iterator:
            self.epoch, self._position, self._started = self.epoch + 1, 0, False

    def _orders(self, seed: int) -> Iterator[Any]:
        """Return the indices of the epoch's batches, from the position on."""
        if isinstance(self.dataset, IterableDataset):
            return iter(lambda: None, 0)  # None for ever: the stream itself says when it ends
        for sampler in self._samplers():
            if isinstance(sampler, KeyedSampler):
                sampler.set_key(seed, self.epoch)
            elif hasattr(sampler, "set_epoch"):
                sampler.set_epoch(self.epoch)
        indices = iter(self.batch_sampler if self._batched else self.sampler)  # type: ignore[arg-type]
        for _ in range(self._position):
            next(indices, None)
        return indices

    def _reader(self) -> tuple[Reader, Callable[[Any], Any] | None]:
        """Return what workers do, and what is left to do where the batch is used."""
        collate: Callable[[Any], Any] | None = self.collate_fn
        pins = self.pin_memory and gpu.problem() is None
        finish: Callable[[Any], Any] | None = pin if pins else None
        make = (lambda batch: pin(to_staged_tensors(batch))) if pins else to_tensors
        if collate is default_collate:
            collate, finish = stack_samples, make
        elif collate is default_convert:
            collate, finish = None, make
        reader = Reader(
            self.dataset,
            collate,
            self._batched,
            self.batch_size,
            self.drop_last,
            self.worker_init_fn,
        )
        return reader, finish

    def _workers(self, reader: Reader, seed: int) -> WorkerPool:
        """Return running workers: those of the last epoch if they are to stay."""
        if self._pool is not None and self._pool.alive:
            return self._pool
        count = 1 if isinstance(self.dataset, IterableDataset) else self.num_workers
        infos = [
            WorkerInfo(i, count, worker_seed(seed, self.epoch, i), self.dataset)
            for i in range(count)
        ]
        if self.worker_type == "process":
            context = choose_context(self.multiprocessing_context)
            pool = WorkerPool(start_processes(reader, infos, context))
        else:
            pool = WorkerPool([ThreadChannel(reader, info) for info in infos])
        self._pool = pool if self.persistent_workers else None
        return pool
