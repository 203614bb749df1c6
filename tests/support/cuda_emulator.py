"""The CUDA kernels on a CPU: the real sources, compiled with g++, run on NumPy arrays."""

import contextlib
import ctypes
import functools
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tinyconv import config
from tinyconv.backend import Backend, Device, cuda, register
from tinyconv.backend.cuda.driver import launching

HEADER = (Path(__file__).parent / "emulator" / "emulator.h").read_text(encoding="utf-8")
COMPILER = shutil.which("g++")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-w")
#: What finds accesses outside arrays, misaligned ones and undefined arithmetic, and aborts. Works
#: only in a process of `sanitized_python`.
SANITIZE = (
    "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
    "-fsanitize-sections=emulated_shared",
)  # fmt: skip
FOLDER = Path(tempfile.gettempdir()) / f"tinyconv-emulator-{os.getuid()}"

#: The kernels of a source with their launch bounds, and what C calls to run one of them.
NAMES = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\(([^)]*)\)\s+)?(\w+)')
ENTRY = """
extern "C" const char* emulate_{name}(const void* arguments, const unsigned* grid,
                                      const unsigned* block, unsigned shared) {{
    return emulator::run({name}, arguments, grid, block, shared, {bound});
}}
extern "C" unsigned long long bytes_of_{name}() {{ return emulator::argument_bytes({name}); }}
"""


class Memory:
    """NumPy, but new memory is poisoned, and memory of a recording stays as long as that does."""

    def __init__(self):
        self.kept = None

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, *args, **kwargs):
        return self._poisoned(np.empty(*args, **kwargs))

    def empty_like(self, *args, **kwargs):
        return self._poisoned(np.empty_like(*args, **kwargs))

    def _poisoned(self, array):
        ctypes.memset(array.ctypes.data, 0xFF, array.nbytes)  # NaN in every floating-point type
        if self.kept is None:
            return array
        self.kept.append(array)
        return array.view()


MEMORY = Memory()


class EmulatedBackend(Backend):
    """The CUDA kernels on NumPy arrays."""

    def __init__(self):
        super().__init__("emulated", MEMORY, cuda.override)
        self.records = self.measures = True

    def owns_memory(self, array):
        if MEMORY.kept is not None and any(array.base is kept for kept in MEMORY.kept):
            return True
        return super().owns_memory(array)


class Recorded:
    """Launches to be run again, and the memory they read and write."""

    def __init__(self):
        self.launches, self.arrays = [], []

    def launch(self):
        for function, *arguments in self.launches:
            function(*arguments)


def entries(source):
    """Return the C functions that run the kernels of a source."""
    return "".join(
        ENTRY.format(name=name, bound=(bound or "1024").split(",")[0])
        for bound, name in NAMES.findall(source)
    )


class Emulator:
    """Runs kernels one block at a time; see emulator.h."""

    multiprocessors = 2
    name = "emulator"

    def __init__(self, flags=()):
        self._flags = (*FLAGS, *flags)
        self._libraries = {}
        self._functions = {}
        self._recorded = None
        self._lock = threading.Lock()  # a library holds one block

    def pointer(self, array):
        return array.ctypes.data

    def record(self, work):
        self._recorded, recorded = Recorded(), None
        MEMORY.kept = self._recorded.arrays
        try:
            result = work()
        finally:
            MEMORY.kept = None
            self._recorded, recorded = None, self._recorded
        return result, recorded

    def words(self, count):
        return np.zeros(count, np.uint32), np.zeros(count, np.uint32)

    def copy(self, target, source):
        target[:] = source
        return lambda: None

    def synchronize(self):
        pass

    def seconds(self, work):
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def function(self, kernel):
        found = self._functions.get(kernel)
        if found is None:
            with self._lock:
                found = self._functions[kernel] = self._load(kernel)
        return found

    def _load(self, kernel):
        source = kernel.source
        library = self._libraries.get(source)
        if library is None:
            library = ctypes.CDLL(str(self._compile(source + entries(source))))
            self._libraries[source] = library
        size = getattr(library, f"bytes_of_{kernel.name}")
        size.restype = ctypes.c_ulonglong
        assert size() == kernel.kernel.layout.size, (
            f"{kernel.name}: its struct has {size()} bytes, the fields of the Kernel object "
            f"{kernel.kernel.layout.size}"
        )
        most = kernel.kernel.threads
        emulate = getattr(library, f"emulate_{kernel.name}")
        emulate.restype = ctypes.c_char_p

        def launch(grid, block, packed, shared):
            assert most is None or math.prod(block) <= most, (
                f"{kernel.name}: a block of {block}, but Kernel(threads={most})"
            )
            if self._recorded is not None:
                self._recorded.launches.append((launch, grid, block, packed, shared))
                return
            with self._lock:
                error = emulate(
                    packed, (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), shared
                )
            if error:
                raise RuntimeError(f"{kernel.name}: {error.decode()}")

        return launch

    def _compile(self, source):
        target = FOLDER / f"{digest_of(HEADER, source, *self._flags)}.so"
        if not target.exists():
            compile_source(source, self._flags, target)
        return target


def digest_of(*texts):
    """Return a name for what is made of some texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]


def compile_source(source, flags=FLAGS, target=None):
    """Compile CUDA C++, into ``target`` where one is given; raise with the compiler's errors."""
    header = _header(tuple(flags))
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        code, made = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        code.write_text(f'#include "{header}"\n{source}')
        where = ("-fsyntax-only",) if target is None else ("-o", str(made))
        _run_compiler(*flags, str(code), *where)
        if target is not None:
            made.replace(target)


@functools.cache
def _header(flags):
    """Return the path of the header, beside which lies what the compiler makes of it once.

    It is half of the work on a kernel.
    """
    path = FOLDER / digest_of(HEADER, *flags) / "emulator.h"
    compiled = path.with_name("emulator.h.gch")
    if not compiled.exists():
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            text, made = Path(folder) / "emulator.h", Path(folder) / "emulator.h.gch"
            text.write_text(HEADER, encoding="utf-8")
            _run_compiler(*flags, "-x", "c++-header", str(text), "-o", str(made))
            text.replace(path)
            made.replace(compiled)
    return path


def _run_compiler(*arguments):
    done = subprocess.run([COMPILER, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


@contextlib.contextmanager
def emulated(flags=(), sanitize=False):
    """Run CUDA kernels in the emulator inside the block.

    With ``sanitize`` the kernels are built with AddressSanitizer and UndefinedBehaviorSanitizer,
    which end the process at the first fault: run that in `sanitized_python`.
    """
    before = launching.use(Emulator((*flags, *(SANITIZE if sanitize else ()))))
    try:
        yield launching.runner()
    finally:
        launching.use(before)


def sanitized_python(code, *, timeout=300):
    """Run Python code in a process that sanitized kernels can be loaded into.

    Returns the finished process; its `stderr` says what the sanitizers found.
    """
    library = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(library).is_absolute(), "g++ has no AddressSanitizer"
    support, root = Path(__file__).parent, Path(__file__).parents[2]
    env = {
        **os.environ,
        "LD_PRELOAD": os.path.realpath(library),
        # Python leaves memory to the end of the process.
        "ASAN_OPTIONS": "detect_leaks=0:handle_segv=1:use_sigaltstack=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": os.pathsep.join([str(root), str(support), str(root / "tests" / "backend")]),
        "PYTHONMALLOC": "malloc",
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env, capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def register_emulated() -> None:
    """Make the device type "emulated" known: CUDA kernels on NumPy arrays.

    Its kernels run inside a block of `emulated()`.
    """
    if "emulated" not in config.DEVICE_TYPES:
        register(EmulatedBackend())


#: The one that tests on the emulated device share: each library is loaded once a process.
shared = functools.cache(Emulator)


@contextlib.contextmanager
def emulated_device():
    """Put new tensors on the emulated device, and run its kernels, inside the block."""
    register_emulated()
    before = launching.use(shared())
    try:
        with Device("emulated"):
            yield "emulated"
    finally:
        launching.use(before)
