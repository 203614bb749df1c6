"""NVIDIA's run-time compiler without a GPU: the library of a pip wheel, called by ctypes."""

import ctypes
import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

#: What CuPy passes, and a report of registers, spills and shared memory from the assembler.
OPTIONS = ("--std=c++17", "-ftz=true", "--ptxas-options=-v")
#: Where the wheels of CUDA 13 and of CUDA 12 keep the library, below `nvidia`.
LAYOUTS = ("cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12")
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


class Use(NamedTuple):
    """What a compiled kernel takes: of each thread, and bytes of static shared memory."""

    registers: int
    stack: int
    spills: int
    shared: int


class CompileError(Exception):
    """The source does not compile; the message is the compiler's log."""


@functools.cache
def library():
    """Return the loaded library, or ``None`` where no wheel is installed."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for layout in LAYOUTS:
            path = Path(folder) / layout
            if path.exists():
                for part in path.parent.glob("libnvrtc-builtins.so*"):
                    ctypes.CDLL(str(part))  # which the library looks for by name
                found = ctypes.CDLL(str(path))
                found.nvrtcGetErrorString.restype = ctypes.c_char_p
                return found
    return None


def version():
    """Return the version of the compiler, such as (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def compile_source(source, arch):
    """Compile CUDA C++ for ``"sm_90"`` or the like; return the Use of each kernel by name."""
    lib, program = library(), ctypes.c_void_p()
    _check(lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"k.cu", 0, None, None))
    try:
        options = [option.encode() for option in (f"--gpu-architecture={arch}", *OPTIONS)]
        array = (ctypes.c_char_p * len(options))(*options)
        status = lib.nvrtcCompileProgram(program, len(options), array)
        log = _log(program)
        if status:
            raise CompileError(log[:4000])
        size = ctypes.c_size_t()
        _check(lib.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        assert size.value > 0, f"no machine code for {arch}"
        return parse(log)
    finally:
        lib.nvrtcDestroyProgram(ctypes.byref(program))


def parse(log):
    """Return the Use of each kernel in a report of the assembler."""
    uses = {}
    for part in re.split(r"(?=Compiling entry function)", log):
        entry = ENTRY.search(part)
        if entry:
            stack, stores, loads = map(int, SPILLS.search(part).groups())
            shared = SHARED.search(part)
            uses[entry[1]] = Use(
                int(USED.search(part)[1]), stack, stores + loads, int(shared[1]) if shared else 0
            )
    return uses


def _log(program):
    size = ctypes.c_size_t()
    _check(library().nvrtcGetProgramLogSize(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(library().nvrtcGetProgramLog(program, text))
    return text.value.decode()


def _check(status):
    assert status == 0, library().nvrtcGetErrorString(status).decode()
