"""What to say when memory runs out: which op wanted how much, and who holds the rest."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import OutOfMemoryError
from .pending import held
from .saved import SavedOutput
from .tensor_base import TensorBase

#: How many of the largest tensors a message lists.
LISTED = 5


def out_of_memory(op: str, error: MemoryError, device: Any = None) -> OutOfMemoryError:
    """Return the error to raise for one that an array library has raised.

    Parameters
    ----------
    op : str
        What needed memory.
    error : MemoryError
        Says how much.
    device : Device, optional
        Whose tensors to list; ``None`` lists those of all.
    """
    if isinstance(error, OutOfMemoryError):
        return error
    where = "" if device is None else f" on {device}"
    lines = [f"{op}: out of memory{where}: {error or 'an allocation failed'}"]
    tensors = largest_tensors(device)
    if tensors:
        lines.append("the largest tensors alive:")
        lines += [f"  {text}" for text in tensors]
    lines.append("smaller batches, tinyconv.no_grad() or checkpointing need less")
    return OutOfMemoryError("\n".join(lines))


@contextmanager
def allocating(op: str, device: Any) -> Iterator[None]:
    """Run work that is no ``Function`` on a device, and say what :func:`out_of_memory` says."""
    if device.activate is not None:
        device.activate()
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(op, error, device) from error


def largest_tensors(device: Any = None, count: int = LISTED) -> list[str]:
    """Describe the tensors that hold most memory: size, dtype, shape and maker of each.

    Outputs that the graph keeps for its backward pass count; of tensors that share memory the
    largest does.
    """
    found: dict[int, tuple[int, str]] = {}
    for thing in gc.get_objects():
        # Not isinstance: it asks for __class__, and a stranger's object may do anything then.
        if not issubclass(type(thing), TensorBase | SavedOutput):
            continue
        array = held(thing) if isinstance(thing, TensorBase) else thing.held
        size = getattr(array, "nbytes", None)
        if size is None or (device is not None and thing.device is not device):
            continue
        base = getattr(array, "base", None)
        owner = id(array if base is None else base)
        if size > found.get(owner, (-1, ""))[0]:
            found[owner] = size, _describe(thing, array, size)
    largest = sorted(found.values(), key=lambda pair: -pair[0])[:count]
    return [text for _, text in largest]


def _describe(thing: Any, array: Any, size: int) -> str:
    shape = tuple(array.shape)
    text = f"{readable(size):>9}  {getattr(array.dtype, 'name', array.dtype)} {shape}"
    if isinstance(thing, SavedOutput):
        return f"{text}, kept for a backward pass"
    if thing._grad_fn is not None:
        return f"{text}, made by {thing._grad_fn.name()}"
    return f"{text}, a {'parameter' if thing._requires_grad else 'tensor'}"


def readable(size: float) -> str:
    """Return a number of bytes in words, such as ``1.5 GiB``."""
    unit = 0
    while size >= 1024 and unit < 4:
        size /= 1024
        unit += 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[unit - 1]}"
