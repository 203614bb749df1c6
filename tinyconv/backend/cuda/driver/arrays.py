"""CuPy arrays as a backend: what tensors on a GPU hold, and how they come there and back."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import cache, partial, wraps
from typing import Any

import array_api_compat.cupy as compat
import cupy
import cupyx
import numpy as np

from ....errors import DeviceError
from ...base import Backend
from ...dtypes import DType
from .. import override
from . import launching, presence
from .compiling import CupyRunner
from .graphs import NotRecordable, recording


class CudaBackend(Backend):
    """CuPy arrays of one GPU, and the kernels that run on them.

    Parameters
    ----------
    index : int
        Number of the GPU.
    several : bool
        Whether there are more: then each piece of work makes this one the current one first.
    """

    def __init__(self, index: int, several: bool) -> None:
        if several:
            self.activate = partial(activate, index)
        namespace = OnDevice(compat, self.activate) if self.activate else compat
        super().__init__("cuda", namespace, override)
        self.index = index
        self._copying: deque[tuple[Any, Any]] = deque()
        self.records = self.measures = True

    def bind(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """Return the kernel with its namespace, on this GPU."""
        bound = partial(kernel, self.xp)
        return bound if self.activate is None else on_device(bound, self.activate)

    def at(self, index: int | None) -> Backend:
        """Return the backend of a GPU, the current one for ``None``."""
        return of_device(current_device() if index is None else index)

    def asarray(self, obj: Any, dtype: DType | None = None, copy: bool | None = None) -> Any:
        """Return a CuPy array made from nested sequences, numbers, or a host or CuPy array."""
        if isinstance(obj, cupy.ndarray):
            return self.xp.asarray(obj, dtype=None if dtype is None else dtype.name, copy=copy)
        return super().asarray(np.asarray(obj), dtype, copy)

    def from_host(
        self, array: np.ndarray[Any, Any], copy: bool | None = None, non_blocking: bool = False
    ) -> Any:
        """Return a CuPy array with the contents of a NumPy array.

        With ``non_blocking`` the call does not wait for the copy: later work on the current
        stream does. That takes page-locked memory, and nobody may write to it meanwhile.
        """
        if copy is False:
            raise ValueError("memory of the CPU cannot be used by a GPU without a copy")
        if self.activate is not None:
            self.activate()
        result = cupy.asarray(array, blocking=not non_blocking)
        copying = self._copying
        while copying and copying[0][0].done:
            copying.popleft()
        if non_blocking:  # the source has to live until it is read
            event = cupy.cuda.Event(disable_timing=True)
            event.record(cupy.cuda.get_current_stream())
            copying.append((event, array))
        return result

    def from_backend(self, array: Any, source: Backend, non_blocking: bool = False) -> Any:
        """Return a copy of the array of another backend."""
        if isinstance(source, CudaBackend):
            activate(self.index)
            return array.copy(order="K")  # to the current GPU
        return self.from_host(source.to_host(array), None, non_blocking)

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """Return a NumPy array with the contents of ``array``, once all work on it is done."""
        if not isinstance(array, cupy.ndarray):
            return np.asarray(array)
        if recording():
            raise NotRecordable("it reads a value of a tensor, as item(), float() or an `if` does")
        if self.activate is not None:
            self.activate()
        return array.get()

    def shares_memory(self, a: Any, b: Any) -> bool:
        """Return whether two arrays lie in one allocation."""
        first, second = a.data.mem, b.data.mem
        if first is second:
            return True
        return bool(first.ptr < second.ptr + second.size and second.ptr < first.ptr + first.size)

    def memory_of(self, array: Any) -> Any:
        """Return where the allocation of an array begins; ``None`` if it is another library's."""
        allocation = array.data.mem
        return None if isinstance(allocation, cupy.cuda.UnownedMemory) else allocation.ptr

    def owns_memory(self, array: Any) -> bool:
        """Return whether ``array`` is the sole owner of its memory."""
        if isinstance(array.data.mem, cupy.cuda.UnownedMemory):  # another library's
            return False
        base = array.base
        if base is None:
            return True
        return bool(base.nbytes == array.nbytes and sys.getrefcount(base) <= _references())

    def is_writable(self, array: Any) -> bool:
        """Return true: memory of a GPU is never read-only."""
        return True

    def windows(self, array: Any, axis: int, size: int, step: int) -> Any:
        """Return the windows along an axis, their elements along a new last axis; a view."""
        count = (array.shape[axis] - size) // step + 1
        shape = (*array.shape[:axis], count, *array.shape[axis + 1 :], size)
        steps = list(array.strides)
        steps[axis] *= step
        return cupy.lib.stride_tricks.as_strided(array, shape, (*steps, array.strides[axis]))

    def synchronize(self) -> None:
        """Wait until all work given to this GPU is done."""
        with cupy.cuda.Device(self.index) as device:
            device.synchronize()


class OnDevice:
    """A namespace whose functions run on one GPU, whichever is the current one."""

    def __init__(self, namespace: Any, activate: Callable[[], None]) -> None:
        self.__dict__["_of"] = namespace, activate
        self.__name__ = namespace.__name__

    def __getattr__(self, name: str) -> Any:
        # Reached once a name: what is found becomes an ordinary attribute.
        namespace, activate = self._of
        found = getattr(namespace, name)
        if name == "linalg":
            found = OnDevice(found, activate)
        elif callable(found) and not isinstance(found, type):
            found = on_device(found, activate)
        setattr(self, name, found)
        return found


def on_device(function: Callable[..., Any], activate: Callable[[], None]) -> Callable[..., Any]:
    """Return the function, with a GPU made the current one before it runs."""

    def run(*args: Any, **kwargs: Any) -> Any:
        activate()
        return function(*args, **kwargs)

    return wraps(function)(run) if hasattr(function, "__name__") else run


def activate(index: int) -> None:
    """Make a GPU the one that CuPy works on in this thread."""
    if cupy.cuda.runtime.getDevice() != index:
        cupy.cuda.runtime.setDevice(index)


_thread = threading.local()


def current_device() -> int:
    """Return the number of the GPU that ``cuda`` means in this thread.

    Not CuPy's current GPU: that is the one of the tensors that were worked on last.
    """
    return int(getattr(_thread, "device", 0))


def set_device(index: int) -> None:
    """Make a GPU the one that ``cuda`` means in this thread."""
    _thread.device = index
    activate(index)


@cache
def of_device(index: int) -> CudaBackend:
    """Return the backend of a GPU.

    Raises
    ------
    DeviceError
        If there is no such GPU, or it is too old.
    """
    count = cupy.cuda.runtime.getDeviceCount()
    if index >= count:
        raise DeviceError(
            f"device 'cuda:{index}' cannot be had: there "
            + (
                "is 1 GPU, cuda:0"
                if count == 1
                else f"are {count} GPUs, cuda:0 to cuda:{count - 1}"
            )
        )
    if presence.capability(cupy, index) < presence.OLDEST:
        raise DeviceError(f"device 'cuda:{index}' cannot be had: {presence.too_old(cupy, index)}")
    if not launching.has_runner():
        launching.use(CupyRunner())
    return CudaBackend(index, count > 1)


def pinned(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a copy of a NumPy array in page-locked memory, in the same order of axes."""
    if array.size == 0:
        return array
    copy = cupyx.empty_like_pinned(array)
    copy[...] = array
    return copy


def is_pinned(array: np.ndarray[Any, Any]) -> bool:
    """Return whether a NumPy array lies in page-locked memory."""
    attributes = cupy.cuda.runtime.pointerGetAttributes(array.ctypes.data)
    return bool(attributes.type == cupy.cuda.runtime.memoryTypeHost)


@cache
def _references() -> int:
    """Return how many references a base has that one array and one variable hold."""
    array = cupy.empty(2).reshape(2, 1)
    base = array.base
    return sys.getrefcount(base)
