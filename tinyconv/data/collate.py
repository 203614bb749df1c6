"""From a list of samples to a batch.

Two steps, so that workers need no device: :func:`stack_samples` makes NumPy arrays, and
:func:`to_tensors` turns them into tensors where the batch is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import as_device
from ..errors import DataError, DTypeError
from ..ops import as_tensor
from ..tensor import Tensor
from .dataset import SampleColumns


def default_collate(batch: Sequence[Any]) -> Any:
    """Make a batch of samples: stack numbers, arrays and tensors along a new first dimension.

    Parameters
    ----------
    batch : sequence of samples
        All built the same way: tensors, arrays, numbers, strings, or dicts, tuples and lists of
        these.

    Returns
    -------
    object
        Built as one sample is, with a tensor of shape (N, ...) in place of each tensor, array
        or number: arrays keep their dtype, int gives int64, float gives float64, bool gives
        bool. Arrays and numbers become tensors on the default device, tensors stay on theirs.
        Strings and bytes stay a sequence, a tuple becomes a list, a named tuple stays one.

    Raises
    ------
    DataError
        If shapes, lengths or keys differ between samples.
    DTypeError
        If a sample holds something else; give the loader a ``collate_fn`` for it.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.data.default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ('a', 'b')]
    """
    return to_tensors(stack_samples(batch))


def default_convert(data: Any) -> Any:
    """Turn the NumPy arrays and NumPy numbers of one sample into tensors, and nothing else.

    Parameters
    ----------
    data : object
        A sample: an array, or dicts, tuples and lists that hold arrays, or anything else.

    Returns
    -------
    object
        The same with tensors in place of arrays; what the loader yields for
        ``batch_size=None``.
    """
    return to_tensors(data)


def to_tensors(data: Any, make: Callable[[Any], Any] = as_tensor) -> Any:
    """Replace the NumPy arrays of a nested structure by tensors on the default device."""

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray | np.generic) and _is_numeric(leaf.dtype):
            return make(np.asarray(leaf))
        return leaf

    return _each(data, convert)


def to_staged_tensors(data: Any) -> Any:
    """Do :func:`to_tensors` by way of page-locked memory; then a GPU copies while others work."""
    return to_tensors(data, lambda array: as_tensor(array, device="cpu").pin_memory().to(
        as_device(), non_blocking=True
    ))  # fmt: skip


def pin(data: Any) -> Any:
    """Bring the CPU tensors of a nested structure into page-locked memory.

    Objects with a method ``pin_memory`` are replaced by what it returns.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.pin_memory() if leaf.is_cpu else leaf
        return leaf.pin_memory() if hasattr(leaf, "pin_memory") else leaf

    return _each(data, convert)


def _each(data: Any, convert: Callable[[Any], Any]) -> Any:
    """Replace what is no mapping, list or tuple in a nested structure."""
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: _each(value, convert) for key, value in data.items()})
    if _is_named_tuple(data):
        return type(data)(*[_each(value, convert) for value in data])
    if type(data) in (list, tuple):
        return type(data)(_each(value, convert) for value in data)
    return convert(data)


def stack_samples(batch: Sequence[Any]) -> Any:
    """Do :func:`default_collate` as far as NumPy arrays."""
    if isinstance(batch, SampleColumns):
        return list(batch.columns)
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray):
        return _stack(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, bool | int | float | np.number | np.bool_):
        return _numbers(batch)
    if isinstance(first, Mapping):
        return _like_mapping(first, _stack_mappings(batch))
    if isinstance(first, Sequence):
        columns = [stack_samples(column) for column in _columns(batch)]
        return type(first)(*columns) if _is_named_tuple(first) else columns
    raise DTypeError(
        f"default_collate: cannot make a batch of {type(first).__module__}."
        f"{type(first).__qualname__}; samples are tensors, arrays, numbers, strings, or dicts, "
        "tuples and lists of them. Convert them in the data set, or pass collate_fn"
    )


def _stack(batch: Sequence[Any]) -> Any:
    """Stack tensors or arrays of one shape."""
    first = batch[0]
    for position, sample in enumerate(batch):
        if type(sample) is not type(first) and not isinstance(sample, Tensor | np.ndarray):
            raise DataError(f"{_differ(position)} in type: {type(first)}, {type(sample)}")
        if tuple(sample.shape) != tuple(first.shape):
            raise DataError(
                f"{_differ(position)} in shape: {tuple(first.shape)}, {tuple(sample.shape)}. "
                "Bring them to one size in the data set, or pass collate_fn"
            )
    if isinstance(first, Tensor):
        return first.wrap(first.xp.stack([sample.array for sample in batch]))
    if not _is_numeric(first.dtype):
        raise DTypeError(f"default_collate: an array of dtype {first.dtype} is no tensor")
    return np.stack([np.asarray(sample) for sample in batch])


def _is_numeric(dtype: np.dtype[Any]) -> bool:
    """Return whether there are tensors of such numbers; bfloat16 is of no kind that NumPy knows."""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def _numbers(batch: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Make one array of numbers: NumPy scalars keep their dtype, Python's are 64 bits wide."""
    try:
        array = np.asarray(batch)
    except ValueError:
        array = np.asarray(None)
    if not _is_numeric(array.dtype) or array.ndim != 1:
        names = ", ".join(sorted({type(sample).__name__ for sample in batch}))
        raise DataError(
            f"default_collate: samples of type {names} make no tensor of numbers; "
            "they must all be numbers of at most 64 bits"
        )
    return array


def _stack_mappings(batch: Sequence[Any]) -> dict[Any, Any]:
    first = batch[0]
    for position, sample in enumerate(batch):
        if not isinstance(sample, Mapping) or sample.keys() != first.keys():
            keys = list(sample) if isinstance(sample, Mapping) else type(sample)
            raise DataError(f"{_differ(position)} in keys: {list(first)}, {keys}")
    return {key: stack_samples([sample[key] for sample in batch]) for key in first}


def _columns(batch: Sequence[Any]) -> list[tuple[Any, ...]]:
    first = batch[0]
    for position, sample in enumerate(batch):
        if not isinstance(sample, Sequence) or len(sample) != len(first):
            size = len(sample) if isinstance(sample, Sequence) else type(sample)
            raise DataError(f"{_differ(position)} in length: {len(first)}, {size}")
    return list(zip(*batch, strict=True))


def _differ(position: int) -> str:
    return f"default_collate: samples 0 and {position} of the batch differ"


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _like_mapping(original: Any, values: dict[Any, Any]) -> Any:
    """Return a mapping of the original's class, or a dict where that class cannot be made so."""
    if type(original) is dict:
        return values
    try:
        return type(original)(values)
    except TypeError:
        return values
