"""Kernels on a GPU: CuPy compiles the sources with NVRTC, loads and launches them."""

from __future__ import annotations

from functools import cache
from typing import Any

import cupy
import numpy as np

from .launching import Launch, Variant, primitives

#: Never changed: CuPy starts a compiler for each other tuple of options.
OPTIONS = ("--std=c++17",)
#: Dynamic shared memory that every kernel may have; for more the driver has to be asked.
USUAL_SHARED = 48 * 1024


class CupyRunner:
    """Runs kernels on the current GPU, in CuPy's current stream."""

    def __init__(self) -> None:
        self._launches: dict[tuple[Variant, int], Launch] = {}
        self._module = cache(self._make_module)
        self._several = cupy.cuda.runtime.getDeviceCount() > 1
        self._multiprocessors: dict[int, int] = {}

    @property
    def multiprocessors(self) -> int:
        """Streaming multiprocessors of the current GPU."""
        device = self._device()
        found = self._multiprocessors.get(device)
        if found is None:
            found = int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])
            self._multiprocessors[device] = found
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
