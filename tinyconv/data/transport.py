"""Objects through a pipe, with their arrays beside the message instead of inside it.

Only the loader speaks this, between its own processes; nothing that comes from a file does.
"""

from __future__ import annotations

import io
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from ..errors import DataError
from ..ops import as_tensor
from ..tensor import Tensor

_PROTOCOL = 5  # the first that can leave arrays out of the message

Message = list[Any]


class _Pickler(ForkingPickler):
    """Sends tensors as host arrays: a worker process never touches a device."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        if not isinstance(obj.array, np.ndarray):
            raise DataError(
                f"a tensor on {obj.device} cannot travel between processes; keep samples on the "
                "CPU, or use worker_type='thread'"
            )
        return _tensor, (obj.array,)


def _tensor(array: np.ndarray[Any, Any]) -> Any:
    return as_tensor(array)


def dump(obj: Any) -> Message:
    """Return an object as a list of buffers: sizes of the arrays, the message, the arrays."""
    stream, buffers = io.BytesIO(), list[Any]()
    _Pickler(stream, _PROTOCOL, True, buffers.append).dump(obj)
    arrays = [buffer.raw() for buffer in buffers]
    sizes = np.array([array.nbytes for array in arrays], dtype=np.int64)
    return [sizes.tobytes(), stream.getvalue(), *arrays]


def send(pipe: Connection, message: Message) -> None:
    """Send what :func:`dump` returned."""
    for buffer in message:
        pipe.send_bytes(buffer)


def receive(pipe: Connection) -> Message:
    """Return the next message; raise ``EOFError`` or ``OSError`` if the other end is gone."""
    sizes = pipe.recv_bytes()
    text = pipe.recv_bytes()
    arrays = [bytearray(size) for size in np.frombuffer(sizes, dtype=np.int64).tolist()]
    for array in arrays:
        pipe.recv_bytes_into(array)
    return [sizes, text, *arrays]


def load(message: Message) -> Any:
    """Return the object of a message; its arrays use the message's memory and are writable."""
    return ForkingPickler.loads(message[1], buffers=message[2:])
