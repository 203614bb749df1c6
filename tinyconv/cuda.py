"""``tinyconv.cuda``: GPUs, their memory, streams and events, under PyTorch's names.

Without a GPU :func:`is_available` is ``False`` and :func:`device_count` is 0; everything else
raises a :class:`~tinyconv.errors.DeviceError` that says what is missing. CuPy is imported when
one of these functions is first called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from . import ops
from .autograd.memory import readable
from .backend import Device
from .backend import cuda as gpu
from .errors import ArgumentError, DeviceError, OutOfMemoryError

__all__ = [
    "DeviceProperties",
    "Event",
    "OutOfMemoryError",
    "Stream",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_summary",
    "reset_peak_memory_stats",
    "set_device",
    "set_stream",
    "stream",
    "synchronize",
]


def _cupy() -> Any:
    """Return CuPy, or raise with what is missing."""
    gpu.require()
    return import_module("cupy")


def _memory() -> Any:
    gpu.require()
    return import_module("tinyconv.backend.cuda.driver.memory")


def _index(device: Any) -> int:
    """Return the number of a GPU given as a number, a name, a device, or ``None``: the current."""
    cupy = _cupy()
    index = device
    if not isinstance(device, int | None):
        place = device if isinstance(device, Device) else Device(device)
        if place.type != "cuda":
            raise ArgumentError(f"cuda: device must be a GPU, got {str(device)!r}")
        index = place.index
    if index is None:
        return gpu.current_device()
    count = cupy.cuda.runtime.getDeviceCount()
    if not 0 <= index < count:
        raise DeviceError(f"cuda: there is no GPU {index}; there are {count}, counted from 0")
    return int(index)


# -- devices ------------------------------------------------------------------------------------


def is_available() -> bool:
    """Return whether tensors can be put on ``cuda``: CuPy, a driver, and a GPU of 8.0 or more."""
    return gpu.problem() is None


def device_count() -> int:
    """Return the number of GPUs; 0 where none can be used."""
    return int(_cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


def current_device() -> int:
    """Return the number of the GPU that ``cuda`` means in this thread."""
    _cupy()
    return gpu.current_device()


def set_device(device: Any) -> None:
    """Make a GPU the one that ``cuda`` means in this thread.

    Parameters
    ----------
    device : int, str or Device
        Its number, or a name such as ``"cuda:1"``.
    """
    gpu.set_device(_index(device))


@contextmanager
def device(device: Any) -> Iterator[None]:
    """Make a GPU the one that ``cuda`` means inside a ``with`` block; see :func:`set_device`."""
    index, before = _index(device), gpu.current_device()
    gpu.set_device(index)
    try:
        yield
    finally:
        gpu.set_device(before)


class DeviceProperties(NamedTuple):
    """What a GPU is; bytes are bytes, counts are of the whole GPU."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    warp_size: int
    max_threads_per_multi_processor: int
    regs_per_multiprocessor: int
    shared_memory_per_block: int
    shared_memory_per_block_optin: int
    shared_memory_per_multiprocessor: int
    L2_cache_size: int


def get_device_properties(device: Any = None) -> DeviceProperties:
    """Return name, compute capability, memory and sizes of a GPU; the current one by default."""
    known = _cupy().cuda.runtime.getDeviceProperties(_index(device))
    return DeviceProperties(
        name=known["name"].decode(),
        major=known["major"],
        minor=known["minor"],
        total_memory=known["totalGlobalMem"],
        multi_processor_count=known["multiProcessorCount"],
        warp_size=known["warpSize"],
        max_threads_per_multi_processor=known["maxThreadsPerMultiProcessor"],
        regs_per_multiprocessor=known["regsPerMultiprocessor"],
        shared_memory_per_block=known["sharedMemPerBlock"],
        shared_memory_per_block_optin=known["sharedMemPerBlockOptin"],
        shared_memory_per_multiprocessor=known["sharedMemPerMultiprocessor"],
        L2_cache_size=known["l2CacheSize"],
    )


def get_device_name(device: Any = None) -> str:
    """Return the name of a GPU; the current one by default."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Return the compute capability of a GPU, such as ``(9, 0)``; the current one by default."""
    known = get_device_properties(device)
    return known.major, known.minor


def synchronize(device: Any = None) -> None:
    """Wait until a GPU has done all its work; the current one by default."""
    with _cupy().cuda.Device(_index(device)) as place:
        place.synchronize()


# -- memory -------------------------------------------------------------------------------------


def memory_allocated(device: Any = None) -> int:
    """Return the bytes that arrays on a GPU take; the current one by default."""
    return int(_memory().used(_index(device)))


def memory_reserved(device: Any = None) -> int:
    """Return the bytes that the pool has taken from a GPU, in use or not."""
    return int(_memory().reserved(_index(device)))


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes that arrays have taken since :func:`reset_peak_memory_stats`.

    Counting costs a look at the pool at each allocation, so it begins with the first call of
    :func:`reset_peak_memory_stats`; before that this is :func:`memory_reserved`, which is at
    least as large.
    """
    return int(_memory().peak.get(_index(device)))


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin to count :func:`max_memory_allocated` anew."""
    _memory().peak.reset(_index(device))


def memory_summary(device: Any = None) -> str:
    """Return a table of a GPU's memory: allocated, highest, reserved, free and total."""
    index = _index(device)
    free, total = mem_get_info(index)
    rows = {
        "allocated": memory_allocated(index),
        "most allocated": max_memory_allocated(index),
        "reserved by the pool": memory_reserved(index),
        "free on the GPU": free,
        "the GPU has": total,
    }
    lines = [f"{get_device_name(index)}, cuda:{index}"]
    return "\n".join(lines + [f"{name:<22}{readable(size):>12}" for name, size in rows.items()])


def empty_cache() -> None:
    """Give memory that the pool keeps and nobody uses back to the current GPU.

    Arrays keep theirs; the next allocations take longer.
    """
    _memory().release()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Return (free bytes, all bytes) of a GPU, other programs' use counted."""
    free, total = _memory().free_and_total(_index(device))
    return int(free), int(total)


# -- streams and events -------------------------------------------------------------------------


class Stream:
    """A queue of work: what is in one stream runs in order, streams run side by side.

    Parameters
    ----------
    device : int, str or Device, optional
        The GPU; the current one by default.
    priority : int, default 0
        Lower numbers go first.

    Examples
    --------
    ::

        side = tc.cuda.Stream()
        with tc.cuda.stream(side):
            y = x @ x
        tc.cuda.current_stream().wait_stream(side)
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        index, cupy = _index(device), _cupy()
        with cupy.cuda.Device(index):
            self._native = cupy.cuda.Stream(non_blocking=True, priority=priority)
        self.device, self.priority = Device("cuda", index), priority

    @classmethod
    def _of(cls, native: Any, index: int) -> Stream:
        """Return a stream of CuPy's as one of these."""
        self = object.__new__(cls)
        self._native, self.device = native, Device("cuda", index)
        self.priority = 0 if native.ptr == 0 else int(native.priority)
        return self

    @property
    def cuda_stream(self) -> int:
        """The address that other libraries know the stream by."""
        return int(self._native.ptr)

    def synchronize(self) -> None:
        """Wait until all work of the stream is done."""
        self._native.synchronize()

    def query(self) -> bool:
        """Return whether all work of the stream is done."""
        return bool(self._native.done)

    def record_event(self, event: Event | None = None) -> Event:
        """Put an event, a new one by default, behind the work of the stream; return it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Have all later work of the stream wait for an event."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Have all later work of this stream wait for what another one has to do now."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Stream)
            and self.cuda_stream == other.cuda_stream
            and self.device is other.device
        )

    def __hash__(self) -> int:
        return hash((self.cuda_stream, self.device))

    def __repr__(self) -> str:
        return f"<tinyconv.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A mark in a stream, to wait for or to measure time by.

    Parameters
    ----------
    enable_timing : bool, default False
        Whether :meth:`elapsed_time` may be asked.
    blocking : bool, default False
        Whether :meth:`synchronize` lets the thread sleep instead of asking again and again.
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        cupy = _cupy()
        self._native = cupy.cuda.Event(block=blocking, disable_timing=not enable_timing)
        self._timed = enable_timing

    def record(self, stream: Stream | None = None) -> None:
        """Put the event behind the work of a stream; the current one by default."""
        self._native.record((current_stream() if stream is None else stream)._native)

    def wait(self, stream: Stream | None = None) -> None:
        """Have all later work of a stream, the current one by default, wait for the event."""
        (current_stream() if stream is None else stream)._native.wait_event(self._native)

    def query(self) -> bool:
        """Return whether all work before the event is done."""
        return bool(self._native.done)

    def synchronize(self) -> None:
        """Wait until all work before the event is done."""
        self._native.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds from this event to a later one.

        Raises
        ------
        ArgumentError
            If one of the two was made without ``enable_timing=True``.
        """
        if not (self._timed and end_event._timed):
            raise ArgumentError("Event.elapsed_time: both events need enable_timing=True")
        return float(_cupy().cuda.get_elapsed_time(self._native, end_event._native))


def current_stream(device: Any = None) -> Stream:
    """Return the stream that work of this thread goes to."""
    index = _index(device)
    return Stream._of(_cupy().cuda.get_current_stream(index), index)


def default_stream(device: Any = None) -> Stream:
    """Return the stream that work goes to where none was chosen."""
    return Stream._of(_cupy().cuda.Stream.null, _index(device))


def set_stream(stream: Stream) -> None:
    """Have all later work of this thread go to a stream."""
    with _cupy().cuda.Device(stream.device.index):
        stream._native.use()


@contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Have the work inside a ``with`` block go to a stream; ``None`` changes nothing."""
    if stream is None:
        yield
        return
    with _cupy().cuda.Device(stream.device.index), stream._native:
        yield


# -- random numbers -----------------------------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Do what :func:`tinyconv.manual_seed` does: one source serves all devices."""
    ops.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Do what :func:`tinyconv.manual_seed` does: one source serves all devices."""
    ops.manual_seed(seed)
