"""The CUDA kernels on a CPU: the real sources, compiled with g++, run on NumPy arrays."""

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tinyconv.backend import Backend, cuda, register
from tinyconv.backend.cuda import launching

HEADER = (Path(__file__).parent / "emulator" / "emulator.h").read_text(encoding="utf-8")
COMPILER = shutil.which("g++")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-w")
FOLDER = Path(tempfile.gettempdir()) / f"tinyconv-emulator-{os.getuid()}"

#: The kernels of a source, and what C calls to run one of them.
NAMES = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)')
ENTRY = """
extern "C" const char* emulate_{name}(const void* arguments, const unsigned* grid,
                                      const unsigned* block, unsigned shared) {{
    return emulator::run({name}, arguments, grid, block, shared);
}}
extern "C" unsigned long long bytes_of_{name}() {{ return emulator::argument_bytes({name}); }}
"""


class Emulator:
    """Runs kernels one block at a time; see emulator.h."""

    multiprocessors = 2

    def __init__(self, flags=()):
        self._flags = (*FLAGS, *flags)
        self._libraries = {}
        self._functions = {}

    def pointer(self, array):
        return array.ctypes.data

    def synchronize(self):
        pass

    def function(self, kernel):
        found = self._functions.get(kernel)
        if found is None:
            found = self._functions[kernel] = self._load(kernel)
        return found

    def _load(self, kernel):
        source = kernel.source
        library = self._libraries.get(source)
        if library is None:
            entries = "".join(ENTRY.format(name=name) for name in NAMES.findall(source))
            library = ctypes.CDLL(str(self._compile(HEADER + source + entries)))
            self._libraries[source] = library
        size = getattr(library, f"bytes_of_{kernel.name}")
        size.restype = ctypes.c_ulonglong
        assert size() == kernel.kernel.layout.size, (
            f"{kernel.name}: its struct has {size()} bytes, the fields of the Kernel object "
            f"{kernel.kernel.layout.size}"
        )
        emulate = getattr(library, f"emulate_{kernel.name}")
        emulate.restype = ctypes.c_char_p

        def launch(grid, block, packed, shared):
            error = emulate(packed, (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), shared)
            if error:
                raise RuntimeError(f"{kernel.name}: {error.decode()}")

        return launch

    def _compile(self, source):
        digest = hashlib.sha256((source + " ".join(self._flags)).encode()).hexdigest()[:24]
        target = FOLDER / f"{digest}.so"
        if not target.exists():
            FOLDER.mkdir(mode=0o700, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                code, made = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
                code.write_text(source)
                done = subprocess.run(
                    [COMPILER, *self._flags, str(code), "-o", str(made)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr[:4000]
                made.replace(target)
        return target


@contextlib.contextmanager
def emulated(flags=()):
    """Run CUDA kernels in the emulator inside the block."""
    before = launching.use(Emulator(flags))
    try:
        yield launching.runner()
    finally:
        launching.use(before)


def register_emulated() -> None:
    """Make the device type "emulated" known: CUDA kernels on NumPy arrays."""
    from tinyconv import config

    if "emulated" not in config.DEVICE_TYPES and COMPILER:
        register(Backend("emulated", np, cuda.override))
