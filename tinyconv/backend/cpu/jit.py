"""``@kernel``: a Python loop that becomes machine code when it is first called.

Numba compiles a function for the argument types it meets, and can keep the machine code on disk.
This decorator puts off both the import of Numba and the compilation to the first call, and keeps
the code in ``kernels/`` of tinyconv's cache folder. If that folder cannot be used, or a file in
it is damaged, kernels are compiled in memory: slower to start, never wrong.

Numba *unpickles* what it finds in the folder, so the folder belongs to this user alone (0700); one
that others can write to is not used. A user's own ``NUMBA_CACHE_DIR`` takes precedence.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import update_wrapper
from hashlib import sha256
from pathlib import Path
from typing import Any

from ... import config

#: ``contract`` allows a fused multiply-add. Nothing else of "fast math" is allowed: sums keep
#: their order, and NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}

_compiling = threading.RLock()


def _new_lock() -> None:
    """Replace the lock in a forked child: the thread that held it does not exist there."""
    global _compiling
    _compiling = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


class Kernel:
    """A function that Numba compiles at its first call; see the module's text."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._dispatcher: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        """Run the machine code, made for the types of the arguments if they are new."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            with _compiling:
                dispatcher = self._dispatcher = self._dispatcher or _dispatcher(self._function)
        return dispatcher(*args)


def kernel(function: Callable[..., Any]) -> Kernel:
    """Compile ``function`` with Numba when it is first called, without the GIL."""
    return Kernel(function)


def cache_folder() -> Path | None:
    """Return the folder for compiled kernels, made if need be, or ``None`` if none can be used."""
    folder = config.cache_dir.get() / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(folder):
            return None
        # Numba looks for stale code by the source file alone, which does not see these options.
        folder = folder / sha256(repr(sorted(map(str, OPTIONS.items()))).encode()).hexdigest()[:8]
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None


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
    import numba

    settings: Any = numba.config
    if settings.CACHE_DIR:
        return _cached(numba, function)
    folder = cache_folder()
    if folder is None:
        return numba.njit(function, **OPTIONS)
    # Numba reads the folder while the dispatcher is made; other users of Numba keep theirs.
    settings.CACHE_DIR = str(folder)
    try:
        return _cached(numba, function)
    finally:
        settings.CACHE_DIR = ""


def _cached(numba: Any, function: Callable[..., Any]) -> Any:
    """Return a dispatcher whose cache may fail without a consequence."""
    try:
        dispatcher = numba.njit(function, cache=True, **OPTIONS)
    except (OSError, RuntimeError):  # Numba has found no folder that it can write to
        return numba.njit(function, **OPTIONS)
    if hasattr(dispatcher, "_cache"):
        dispatcher._cache = ForgivingCache(dispatcher._cache)
    return dispatcher


class ForgivingCache:
    """Numba's cache of one function, where any failure means "not cached".

    Without it, a truncated file or a full disk would make a kernel call raise.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the cached machine code, or ``None``; drop a damaged index."""
        try:
            return self._cache.load_overload(signature, target)
        except Exception:
            try:
                self._cache.flush()
            except Exception:
                self._cache.disable()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Save machine code if that is possible."""
        try:
            self._cache.save_overload(signature, data)
        except Exception:
            self._cache.disable()
