"""Kernels on a GPU: CuPy compiles the sources with NVRTC, loads and launches them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from typing import Any

import cupy
import cupyx
import numpy as np

from .launching import Graph, Launch, Variant, primitives

#: Never changed: CuPy starts a compiler for each other tuple of options.
OPTIONS = ("--std=c++17",)
#: Dynamic shared memory that every kernel may have; for more the driver has to be asked.
USUAL_SHARED = 48 * 1024


class _Replay:
    """A captured graph, on its own stream, in order with the stream of whoever launches it."""

    def __init__(self, graph: Any, stream: Any, pool: Any) -> None:
        self._graph, self._stream, self._pool = graph, stream, pool

    def launch(self) -> None:
        """Run it after what the current stream has to do, and before what it is given later."""
        current = cupy.cuda.get_current_stream()
        self._stream.wait_event(current.record())
        self._graph.launch(self._stream)
        current.wait_event(self._stream.record())


class CupyRunner:
    """Runs kernels on the current GPU, in CuPy's current stream."""

    def __init__(self) -> None:
        self._launches: dict[tuple[Variant, int], Launch] = {}
        self._module = cache(self._make_module)
        self._several = cupy.cuda.runtime.getDeviceCount() > 1
        self._multiprocessors: dict[int, int] = {}
        self._names: dict[int, str] = {}

    @property
    def multiprocessors(self) -> int:
        """Streaming multiprocessors of the current GPU."""
        device = self._device()
        found = self._multiprocessors.get(device)
        if found is None:
            found = int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])
            self._multiprocessors[device] = found
        return found

    @property
    def name(self) -> str:
        """The kind of GPU, and the version of the compiler."""
        device = self._device()
        found = self._names.get(device)
        if found is None:
            gpu = cupy.cuda.runtime.getDeviceProperties(device)["name"].decode()
            compiler = ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
            found = self._names[device] = f"{gpu} nvrtc {compiler}"
        return found

    def function(self, kernel: Variant) -> Launch:
        """Return the compiled kernel, ready to be launched on the current GPU."""
        key = kernel, self._device()
        found = self._launches.get(key)
        if found is None:
            found = self._launches[key] = self._load(kernel)
        return found

    def pointer(self, array: Any) -> int:
        """Return the address of the first element of an array."""
        return int(array.data.ptr)

    def synchronize(self) -> None:
        """Wait until all work of the current stream is done, and raise what went wrong."""
        cupy.cuda.get_current_stream().synchronize()

    def seconds(self, work: Callable[[], None]) -> float:
        """Return how long the GPU takes for what ``work()`` launches, by its own clock."""
        stream = cupy.cuda.get_current_stream()
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        stream.synchronize()
        start.record(stream)
        work()
        end.record(stream)
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / 1000

    def record(self, work: Callable[[], Any]) -> tuple[Any, Graph]:
        """Call ``work()`` while the driver notes its launches instead of running them.

        Memory comes from a pool of its own, which lives as long as the graph: other arrays would
        otherwise get what was freed here, and a replay would write into them.
        """
        stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        stream.wait_event(cupy.cuda.get_current_stream().record())
        gc.collect()  # what is freed later on would talk to the driver in between
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            with cupy.cuda.using_allocator(pool.malloc), stream:
                stream.begin_capture()
                try:
                    result = work()
                finally:  # also after an error: the stream is of no use before this
                    graph = stream.end_capture()
        finally:
            if was_enabled:
                gc.enable()
        graph.upload(stream)
        return result, _Replay(graph, stream, pool)

    def words(self, count: int) -> tuple[Any, Any]:
        """Return an array of 32-bit words on the host, and one on the device for a copy of it."""
        return cupyx.zeros_pinned((count,), np.uint32), cupy.zeros((count,), cupy.uint32)

    def copy(self, target: Any, source: Any) -> Callable[[], Any]:
        """Copy host words in the current stream; return what waits until they may change again."""
        stream = cupy.cuda.get_current_stream()
        target.set(source, stream=stream)
        return stream.record().synchronize

    def _device(self) -> int:
        return cupy.cuda.runtime.getDevice() if self._several else 0

    def _load(self, kernel: Variant) -> Launch:
        """Return a function that launches the kernel on the GPU that is current now."""
        raw = self._module(kernel.source).get_function(kernel.name)
        function = raw.kernel  # compiled, and loaded to this GPU
        allowed = USUAL_SHARED

        def launch(
            grid: tuple[int, ...], block: tuple[int, ...], packed: bytes, shared: int
        ) -> None:
            nonlocal allowed
            if shared > allowed:
                raw.max_dynamic_shared_size_bytes = shared
                allowed = shared
            # CuPy passes an array of one element by value.
            arguments = np.frombuffer(packed, dtype=f"V{len(packed)}")
            function(grid, block, (arguments,), shared)

        return launch

    @staticmethod
    def _make_module(source: str) -> Any:
        return cupy.RawModule(code=primitives() + source, options=OPTIONS)
