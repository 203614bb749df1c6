"""Data sets: what holds samples, and ways to combine and split them."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..errors import ArgumentError, DataError, IndexRangeError
from .draws import draw_permutation

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base class of data sets whose samples are found by index.

    A subclass defines ``__getitem__(index)`` and ``__len__()``. It may define
    ``__getitems__(indices)``, which returns the samples of a whole batch at once; the
    :class:`~tinyconv.data.DataLoader` uses it where it exists.

    Examples
    --------
    >>> import tinyconv as tc
    >>> class Squares(tc.data.Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: Any) -> T_co:
        raise DataError(
            f"{type(self).__name__} has no samples by index; define __getitem__(index), "
            "or __iter__() on a subclass of IterableDataset"
        )

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base class of data sets that are read as a stream; a subclass defines ``__iter__``.

    A stream has one order, so the loader reads it with one worker whatever ``num_workers`` is,
    and a batch never depends on the number of workers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> class Count(tc.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(4))
    >>> [batch.tolist() for batch in tc.data.DataLoader(Count(), batch_size=3)]
    [[0, 1, 2], [3]]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise DataError(f"{type(self).__name__} is a stream without samples; define __iter__()")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class SampleColumns(Sequence[Any]):
    """The samples of a batch, kept column by column: a sequence of tuples.

    A data set whose samples lie in arrays returns it from ``__getitems__``, and
    :func:`~tinyconv.data.default_collate` takes the columns as they are instead of stacking
    single samples.

    Parameters
    ----------
    *columns : array or Tensor
        All of the same length, the number of samples.
    """

    def __init__(self, *columns: Any) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexRangeError(f"sample {index} of a batch of {len(self)}")
        return tuple(column[index] for column in self.columns)


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Data set of tensors (or arrays) whose first dimension counts the samples.

    Parameters
    ----------
    *tensors : Tensor or numpy.ndarray
        All with the same first dimension N.

    Raises
    ------
    DataError
        If the first dimensions differ, or there is no tensor.

    Examples
    --------
    >>> import tinyconv as tc
    >>> data = tc.data.TensorDataset(tc.zeros(3, 2), tc.tensor([5, 6, 7]))
    >>> len(data), data[1][1].item()
    (3, 6)
    """

    def __init__(self, *tensors: Any) -> None:
        sizes = [tuple(tensor.shape) for tensor in tensors]
        if not tensors or any(not size or size[0] != sizes[0][0] for size in sizes):
            raise DataError(
                "TensorDataset: the tensors must have the same first dimension, "
                f"got shapes {', '.join(map(str, sizes)) or 'of no tensors'}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices: Sequence[int]) -> SampleColumns:
        """Return a batch of samples in one step a tensor."""
        chosen = np.asarray(indices, dtype=np.int64)
        return SampleColumns(*(_take(tensor, chosen) for tensor in self.tensors))

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


def _take(tensor: Any, indices: np.ndarray[Any, Any]) -> Any:
    """Return rows of a tensor or an array; negative indices count from the end."""
    size = int(tensor.shape[0])
    wrong = indices[(indices < -size) | (indices >= size)]
    if wrong.size:
        raise IndexRangeError(f"TensorDataset: sample {wrong[0]} of {size}")
    rows = np.where(indices < 0, indices + size, indices)
    if isinstance(tensor, np.ndarray):
        return np.take(tensor, rows, axis=0)
    return tensor.wrap(tensor.xp.take(tensor.array, tensor.xp.asarray(rows), axis=0))


class Subset(Dataset[T_co]):
    """The samples of a data set at given indices, in that order.

    Parameters
    ----------
    dataset : Dataset
        The whole set.
    indices : sequence of int
        Which of its samples.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.data.Subset("abcdef", [4, 0])[0]
    'e'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    @property
    def __getitems__(self) -> Callable[[Sequence[int]], Sequence[Any]] | None:
        """Fetch a batch in one step; ``None`` where the whole set cannot."""
        fetch = getattr(self.dataset, "__getitems__", None)
        if fetch is None:
            return None
        return lambda indices: fetch([self.indices[index] for index in indices])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[Any]):
    """Several data sets one after the other.

    Parameters
    ----------
    datasets : iterable of Dataset
        At least one, each with a length.

    Attributes
    ----------
    cumulative_sizes : list of int
        Number of samples up to the end of each data set.

    Raises
    ------
    DataError
        If there is no data set, or one is a stream.

    Examples
    --------
    >>> import tinyconv as tc
    >>> both = tc.data.ConcatDataset(["ab", "cde"])
    >>> len(both), both[2], both[-1]
    (5, 'c', 'e')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DataError("ConcatDataset: needs at least one data set")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise DataError("ConcatDataset: a stream has no indices; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexRangeError(f"ConcatDataset: sample {index} of {len(self)}")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset[Any]):
    """Several streams one after the other.

    Parameters
    ----------
    datasets : iterable of IterableDataset
        The streams.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(map(len, self.datasets))


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Any = None
) -> list[Subset[Any]]:
    """Split a data set at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset
        The whole set.
    lengths : sequence of int or of float
        Sizes that add up to ``len(dataset)``, or fractions that add up to 1. Fractions are
        rounded down, and what is left over goes to the parts in turn, the first one first.
    generator : Generator, optional
        Source of the random order; the default is the default generator.

    Returns
    -------
    list of Subset
        One for each length.

    Raises
    ------
    ArgumentError
        If the lengths do not add up.

    Examples
    --------
    >>> import tinyconv as tc
    >>> train, test = tc.data.random_split(range(10), [0.8, 0.2])
    >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
    (8, 2, True)
    """
    size = len(dataset)
    sizes = _sizes(size, lengths)
    order = draw_permutation(size, generator).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - n : end]) for n, end in zip(sizes, ends, strict=True)]


def _sizes(size: int, lengths: Sequence[float]) -> list[int]:
    """Return lengths or fractions as whole numbers that add up to ``size``."""
    total = sum(lengths)
    whole = all(float(length).is_integer() for length in lengths)
    if any(length < 0 for length in lengths):
        raise ArgumentError(f"random_split: lengths {list(lengths)} must not be negative")
    if whole and total == size:
        return [int(length) for length in lengths]
    if not math.isclose(total, 1.0) or any(length > 1 for length in lengths):
        raise ArgumentError(
            f"random_split: lengths {list(lengths)} add up to {total:g}; they must add up to "
            f"the {size} samples of the data set, or to 1 as fractions"
        )
    sizes = [math.floor(size * length) for length in lengths]
    for part in range(size - sum(sizes)):
        sizes[part % len(sizes)] += 1
    return sizes
