"""Samplers: in which order, and how often, samples are taken.

The random ones are keyed by (seed, epoch): the same key gives the same order, whatever was drawn
before and however many workers load the samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..errors import ArgumentError
from .draws import integers, permutation, seed_of, uniform

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base class: an iterable of indices (or of lists of indices, for whole batches).

    A sampler with randomness of its own defines ``set_epoch(epoch)``, so that the loader can
    resume in the middle of an epoch.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise ArgumentError(f"{type(self).__name__} has no samples; define __iter__()")


class SequentialSampler(Sampler[int]):
    """The samples in their own order.

    Parameters
    ----------
    data_source : Dataset
        Only its length is used.

    Examples
    --------
    >>> import tinyconv as tc
    >>> list(tc.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class KeyedSampler(Sampler[int]):
    """Base class of the random samplers: one order for each pair of a seed and an epoch.

    Iterating moves on to the next epoch, so that each pass has an order of its own.

    Attributes
    ----------
    generator : Generator or None
        Where the seed comes from; ``None`` means the default generator.
    epoch : int
        The epoch of the next pass.
    """

    def __init__(self, generator: Any = None) -> None:
        self.generator, self.epoch = generator, 0
        self._seed: int | None = None

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass."""
        self.epoch = epoch

    def set_key(self, seed: int, epoch: int) -> None:
        """Set seed and epoch of the next pass; the seed stands in for the generator's."""
        self._seed, self.epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        # Not a generator function: the key is that of the moment when the pass is started.
        seed, self._seed = self._seed, None
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._order(seed_of(self.generator) if seed is None else seed, epoch)

    def _order(self, seed: int, epoch: int) -> Iterator[int]:
        raise ArgumentError(f"{type(self).__name__} has no order; define _order(seed, epoch)")


class RandomSampler(KeyedSampler):
    """The samples in random order.

    Parameters
    ----------
    data_source : Dataset
        Only its length is used.
    replacement : bool, default False
        Whether a sample can be drawn again.
    num_samples : int, optional
        How many to draw; the default is the length of the data set. Without replacement, more
        than that start another order.
    generator : Generator, optional
        Where the seed comes from; the default is the default generator.

    Raises
    ------
    ArgumentError
        If ``num_samples`` is not a positive integer.

    Examples
    --------
    >>> import tinyconv as tc
    >>> sorted(tc.data.RandomSampler("abc"))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        super().__init__(generator)
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples < 1):
            raise ArgumentError(
                f"RandomSampler: num_samples must be a positive integer, got {num_samples!r}"
            )
        self.data_source, self.replacement = data_source, replacement
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """Samples of one pass."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _order(self, seed: int, epoch: int) -> Iterator[int]:
        size, wanted = len(self.data_source), self.num_samples
        if not size:
            return
        if self.replacement:
            yield from integers(size, wanted, seed, epoch).tolist()
            return
        for turn in range(math.ceil(wanted / size)):
            yield from permutation(size, seed, epoch, turn)[: wanted - turn * size].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(KeyedSampler):
    """Given indices in random order.

    Parameters
    ----------
    indices : sequence of int
        The indices.
    generator : Generator, optional
        Where the seed comes from; the default is the default generator.

    Examples
    --------
    >>> import tinyconv as tc
    >>> sorted(tc.data.SubsetRandomSampler([7, 3]))
    [3, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def _order(self, seed: int, epoch: int) -> Iterator[int]:
        order = permutation(len(self.indices), seed, epoch)
        return (self.indices[place] for place in order.tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(KeyedSampler):
    """Indices drawn with given probabilities.

    Parameters
    ----------
    weights : sequence of float, array or Tensor of shape (N,)
        One for each sample, not negative; they need not add up to 1.
    num_samples : int
        How many to draw.
    replacement : bool, default True
        Whether an index can be drawn again. Without, the draw is successive, by exponential
        races (Efraimidis & Spirakis, 2006).
    generator : Generator, optional
        Where the seed comes from; the default is the default generator.

    Raises
    ------
    ArgumentError
        If the weights are not a list of non-negative numbers with a positive sum, or without
        replacement fewer of them are positive than there are samples to draw.

    Examples
    --------
    >>> import tinyconv as tc
    >>> list(tc.data.WeightedRandomSampler([0.0, 1.0], num_samples=3))
    [1, 1, 1]
    """

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        super().__init__(generator)
        values = weights.tolist() if hasattr(weights, "tolist") else list(weights)
        self.weights = np.asarray(values, dtype=np.float64)
        if (
            self.weights.ndim != 1
            or not np.isfinite(self.weights).all()
            or (self.weights < 0).any()
            or not self.weights.sum() > 0
        ):
            raise ArgumentError(
                "WeightedRandomSampler: weights must be a list of finite numbers, none negative, "
                f"with a positive sum; got shape {self.weights.shape}"
            )
        if not isinstance(num_samples, int) or num_samples < 1:
            raise ArgumentError(
                "WeightedRandomSampler: num_samples must be a positive integer, "
                f"got {num_samples!r}"
            )
        positive = int(np.count_nonzero(self.weights))
        if not replacement and num_samples > positive:
            raise ArgumentError(
                f"WeightedRandomSampler: cannot draw {num_samples} samples without replacement "
                f"from {positive} of positive weight"
            )
        self.num_samples, self.replacement = num_samples, replacement

    def _order(self, seed: int, epoch: int) -> Iterator[int]:
        if self.replacement:
            edges = np.cumsum(self.weights)
            places = uniform(self.num_samples, seed, epoch) * edges[-1]
            last = int(np.flatnonzero(self.weights)[-1])  # where rounding may reach the end
            chosen = np.minimum(np.searchsorted(edges, places, side="right"), last)
            return iter(chosen.tolist())
        waiting = -np.log1p(-uniform(len(self.weights), seed, epoch))
        times = np.full(waiting.shape, np.inf)
        np.divide(waiting, self.weights, out=times, where=self.weights > 0)
        return iter(np.argsort(times, kind="stable")[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups the indices of another sampler into batches.

    Parameters
    ----------
    sampler : Sampler or iterable of int
        The indices.
    batch_size : int
        Indices of a batch.
    drop_last : bool
        Whether a last batch that is not full is left out.

    Raises
    ------
    ArgumentError
        If ``batch_size`` is not a positive integer.

    Examples
    --------
    >>> import tinyconv as tc
    >>> list(tc.data.BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ArgumentError(
                f"BatchSampler: batch_size must be a positive integer, got {batch_size!r}"
            )
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))  # starts the sampler's pass now

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        batch = []
        for index in indices:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
