"""``@kernel``: a Python loop that becomes machine code when it is first called.

Numba compiles a function for the argument types it meets, and can keep the machine code on disk.
This decorator puts off both the import of Numba and the compilation to the first call, and keeps
the code in ``kernels/`` of tinyconv's cache folder (see :mod:`.cache`). If that folder cannot be
used, or a file in it is damaged, kernels are compiled in memory: slower to start, never wrong.
``python -m tinyconv warmup`` compiles all of them ahead of time.

Numba *unpickles* what it finds in the folder, so the folder belongs to this user alone (0700); one
that others can write to is not used. A user's own ``NUMBA_CACHE_DIR`` takes precedence.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from collections.abc import Callable
from functools import cache, update_wrapper
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .... import config
from . import compiling

#: ``contract`` allows a fused multiply-add. Nothing else of "fast math" is allowed: sums keep
#: their order, and NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}

#: Set to 1 by every call of a kernel, just before it gives the GIL back; see :mod:`.workers`.
entered = array("q", [0])
entered_view = np.frombuffer(entered, np.int64)

_compiling = threading.RLock()


def load_numba() -> Any:
    """Import Numba, in one thread at a time, and return it.

    Python lets a second thread import a part of a package whose import has not ended; Numba's parts
    do not survive that. So whoever imports a part of Numba calls this first.
    """
    with _compiling:
        import numba

        _let_kernels_call_kernels()
        return numba


@cache
def _let_kernels_call_kernels() -> None:
    """Have Numba take a :class:`Kernel` that another one calls for what it compiles of it."""
    from numba import types
    from numba.extending import typeof_impl

    typeof_impl.register(Kernel, lambda kernel, _: types.Dispatcher(kernel.compiled()))


def _numba_lock() -> Any:
    """Return the lock that Numba holds while it compiles."""
    module = sys.modules.get("numba.core.compiler_lock")
    return getattr(module, "global_compiler_lock", threading.RLock())


_held: list[Any] = []


def _before_fork() -> None:
    """Wait until no thread compiles: a child would inherit its locks, but not the thread."""
    _held[:] = [_numba_lock(), _compiling]
    for lock in _held:
        lock.acquire()


def _after_fork() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


class Kernel:
    """A function that Numba compiles at its first call; see the module's text."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._dispatcher: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        """Run the machine code, made for the types of the arguments if they are new."""
        dispatcher = self._dispatcher or self.compiled()
        entered[0] = 1
        return dispatcher(*args)

    def compiled(self) -> Callable[..., Any]:
        """Return Numba's dispatcher, which compiles for the types that it meets."""
        with _compiling:
            self._dispatcher = self._dispatcher or _dispatcher(self._function)
        return self._dispatcher


def kernel(function: Callable[..., Any]) -> Kernel:
    """Compile ``function`` with Numba when it is first called, without the GIL."""
    return Kernel(function)


def jitable(function: Callable[..., Any], *values: Any) -> Callable[..., Any]:
    """Return ``function`` for use in kernels; ``values`` are those that it was made from.

    Numba names machine code by the function's name, the types of its arguments, and a counter of
    the process. In the cache, code of several processes meets, so that two functions of one name
    could be taken for each other: each that a factory makes needs a name of its own.
    """
    numba = load_numba()
    function.__qualname__ += repr(values)
    return numba.extending.register_jitable(function)


def cache_folder() -> Path | None:
    """Return the folder for compiled kernels, made if need be, or ``None`` if none can be used."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(own) if own else config.cache_dir.get() / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not own and not _private(folder):
            return None
        # Numba does not ask whether the code that it finds was compiled with these options.
        folder = folder / sha256(repr(_options()).encode()).hexdigest()[:8]
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None


def _options() -> list[tuple[str, str]]:
    """Return all that machine code depends on, besides its source and the processor."""
    settings: Any = load_numba().config
    names = ("BOUNDSCHECK", "OPT", "SLP_VECTORIZE", "LOOP_VECTORIZE")
    variables = [(name, str(getattr(settings, name, ""))) for name in names]
    return sorted((name, str(value)) for name, value in OPTIONS.items()) + variables


def _private(folder: Path) -> bool:
    """Make ``folder`` writable for its owner only; return whether the owner is this user."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    if status.st_uid != os.getuid():
        return False
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return True


def _dispatcher(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return Numba's lazy compiler for ``function``, with a disk cache if there can be one."""
    numba = load_numba()
    compiling.watch()
    settings: Any = numba.config
    folder = cache_folder()
    if folder is None:
        dispatcher = numba.njit(function, **OPTIONS)
        compiling.names(dispatcher, function)
        return dispatcher
    # Numba reads the folder while the dispatcher is made; other users of Numba keep theirs.
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder)
    try:
        dispatcher = numba.njit(function, cache=True, **OPTIONS)
    except (OSError, RuntimeError):  # Numba has found no folder that it can write to
        dispatcher = numba.njit(function, **OPTIONS)
    finally:
        settings.CACHE_DIR = before
    from .cache import KernelCache

    dispatcher._cache = KernelCache(dispatcher._cache, function)
    compiling.names(dispatcher, function)
    return dispatcher
