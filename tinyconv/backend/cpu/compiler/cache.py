"""The disk cache of compiled kernels: Numba's, made safe for what happens to files.

Numba keeps an index for each function, {(argument types, processor, bytecode): file}, and a file
for each entry. Four things are added to that:

- *Any failure means "not cached"*: a damaged file, a full disk or a folder that has become
  read-only makes a kernel slower to start, and never makes its call raise.
- *A lock between processes.* Two that write at once can give the same file name to different
  entries, so that a third one runs code made for other types.
- *A fingerprint* of the code instead of the time of the source file: it sees a change in a
  function, a constant or an instruction generator of another file, which ends up in the machine
  code too. It does not change when the package is installed again.
- *A record* of what was loaded (see :mod:`.compiling`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dis import get_instructions
from functools import cache
from hashlib import sha256
from numbers import Number
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from . import compiling


class KernelCache:
    """Numba's cache of one kernel, where any failure means "not cached"."""

    def __init__(self, cache: Any, function: Callable[..., Any]) -> None:
        self._cache = cache
        self._name = compiling.name_of(function)
        cache._cache_file._source_stamp = fingerprint(function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the cached machine code, or ``None``; drop a damaged index."""
        start = time.perf_counter()
        try:
            with locked(self._cache.cache_path, exclusive=False):
                found = self._cache.load_overload(signature, target)
            wanted = getattr(signature, "args", signature)
            if found is not None and found.signature.args != wanted:
                raise ValueError("the file belongs to other types")
        except Exception:
            self._drop()
            return None
        if found is not None:
            compiling.loaded(self._name, time.perf_counter() - start)
        return found

    def _drop(self) -> None:
        try:
            with locked(self._cache.cache_path, exclusive=True):
                self._cache.flush()
        except Exception:
            self._cache.disable()

    def save_overload(self, signature: Any, data: Any) -> None:
        """Save machine code if that is possible."""
        try:
            with locked(self._cache.cache_path, exclusive=True):
                self._cache.save_overload(signature, data)
        except Exception:
            self._cache.disable()


@contextmanager
def locked(folder: str, exclusive: bool) -> Iterator[None]:
    """Keep other processes from writing, and from reading if ``exclusive``, where that is known."""
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be replaced there
        yield
        return
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(Path(folder) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


# -- fingerprints ---------------------------------------------------------------------------

#: The package of all kernels.
PACKAGE = __name__.rpartition(".compiler.")[0]


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a hash of the code of ``function`` and of all of this package that it refers to.

    Objects with a state that may change count by their type only.
    """
    seen: dict[int, Any] = {}
    parts: list[str] = []
    _describe(function, seen, parts)
    return sha256("\n".join(parts).encode()).hexdigest()


def _describe(value: Any, seen: dict[int, Any], parts: list[str]) -> None:
    """Append what ``value`` contributes to machine code, and what it refers to."""
    if value is None or isinstance(value, Number | str | bytes | np.generic | np.dtype):
        parts.append(repr(value))
    elif id(value) in seen:
        parts.append("again")
    else:
        seen[id(value)] = value
        if isinstance(value, tuple | list | frozenset):
            for item in sorted(value, key=repr) if isinstance(value, frozenset) else value:
                _describe(item, seen, parts)
        elif isinstance(value, dict):
            _describe(list(value.items()), seen, parts)
        elif isinstance(value, np.ndarray):
            parts.append(f"{value.dtype} {value.shape} {sha256(value.tobytes()).hexdigest()}")
        else:
            _describe_code(value, seen, parts)


def _describe_code(value: Any, seen: dict[int, Any], parts: list[str]) -> None:
    """Describe a function, class or module; only its name if it is not of this package."""
    wrapped = getattr(value, "__wrapped__", value)  # a Kernel, an intrinsic, a cached function
    name = f"{getattr(wrapped, '__module__', '')}.{getattr(wrapped, '__qualname__', '')}"
    if isinstance(value, ModuleType):
        parts.append(value.__name__)
        if value.__name__.startswith(PACKAGE):
            parts.append(_source(value.__file__))
    elif isinstance(wrapped, FunctionType):
        parts.append(name)
        if name.split(".")[0] not in ("numba", "numpy", "llvmlite"):
            if "overload" in wrapped.__globals__:  # it may stand for another one of its file
                parts.append(_source(wrapped.__globals__.get("__file__")))
            cells = [_content(cell) for cell in wrapped.__closure__ or ()]
            _describe([wrapped.__defaults__, cells], seen, parts)
            _describe_bytecode(wrapped.__code__, wrapped.__globals__, seen, parts)
    elif isinstance(value, type):
        parts.append(name)
        if value.__module__.startswith(PACKAGE):
            for attribute in sorted(vars(value)):
                if not attribute.startswith("__") or attribute == "__init__":
                    _describe(vars(value)[attribute], seen, parts)
    else:
        parts.append(f"{type(value).__module__}.{type(value).__qualname__} {name}")


def _source(path: str | None) -> str:
    return sha256(Path(path).read_bytes()).hexdigest() if path else ""


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell
        return None


def _describe_bytecode(
    code: CodeType, names: dict[str, Any], seen: dict[int, Any], parts: list[str]
) -> None:
    parts.append(sha256(code.co_code).hexdigest())
    parts.append(repr((code.co_names, code.co_varnames, code.co_freevars)))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _describe_bytecode(constant, names, seen, parts)
        else:
            _describe(constant, seen, parts)
    for name in _globals_of(code):
        if name in names:
            _describe(names[name], seen, parts)


@cache
def _globals_of(code: CodeType) -> tuple[str, ...]:
    """Return the names of globals; in ``co_names`` attributes of the same name are among them."""
    found = (i.argval for i in get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    return tuple(dict.fromkeys(found))
