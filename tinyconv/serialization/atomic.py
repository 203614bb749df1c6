"""Writing a file so that a crash at any instant leaves either the old file or the new one.

The sequence is that of Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014):
write a temporary file in the same folder, fsync it, rename it over the target, fsync the folder.
A writer holds a lock on its temporary file, so the next writer can tell the leftovers of a dead
process from the work of a live one, and removes them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ..errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed: that is the lock
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".tinyconv-tmp"
_ATTEMPTS = 100
_STEM = 40  # characters of the target's name in that of its temporary file (255 bytes at most)


def atomic_write(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any], size: int) -> None:
    """Replace the file at ``path`` by what ``write`` puts into a binary file object.

    Parameters
    ----------
    path : path-like
        Target; a symbolic link is followed. Its folder must exist.
    write : callable
        Called once with a seekable file open for writing.
    size : int
        Bytes that will be written, for error messages.

    Raises
    ------
    CheckpointError
        If the file cannot be written completely. The target is unchanged and the temporary
        file is removed then.
    """
    name = os.fspath(path)
    target = os.path.realpath(name)
    _check_target(name, target)
    try:
        remove_stale(target)
        with _temporary(target) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames only closed files
            os.replace(file.name, target)
    except OSError as error:
        raise _failure(
            f"cannot write {name!r} ({size:,} bytes): {error.strerror or error}; "
            "nothing was changed",
            error,
        ) from error
    try:
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        raise _failure(
            f"{name!r} ({size:,} bytes) is written, but its folder cannot be synchronised: "
            f"{error.strerror or error}; the file may be lost if the power fails",
            error,
        ) from error


def _failure(message: str, cause: OSError) -> CheckpointError:
    error = CheckpointError(message)
    error.errno = cause.errno
    return error


def _check_target(name: str, target: str) -> None:
    """Refuse targets that a rename must not replace."""
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise CheckpointError(f"cannot write {name!r}: there is no folder {folder!r}; create it")
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise CheckpointError(f"cannot write {name!r}: it is {kind}; give the path of a file")


@contextlib.contextmanager
def _temporary(target: str) -> Iterator[BinaryIO]:
    """Open a locked temporary file beside ``target``; remove it if it is still there at the end."""
    file = _open_temporary(target)
    try:
        yield file
    finally:
        # Removed before it is closed: until then the lock keeps other writers away from it.
        if fcntl is not None:
            _unlink(file.name)
        with contextlib.suppress(OSError):
            file.close()
        _unlink(file.name)


def _open_temporary(target: str) -> BinaryIO:
    """Create and lock a new temporary file; it gets the permissions of an ordinary new file."""
    for _ in range(_ATTEMPTS):
        path = _temporary_path(target)
        try:
            file = open(path, "xb")  # noqa: SIM115 - closed by _temporary
        except FileExistsError:
            continue
        if fcntl is None:
            return file
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another writer may have taken the file for a leftover before it was locked.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return file
        file.close()
    raise FileExistsError(errno.EEXIST, "no free name for a temporary file")


def _temporary_path(target: str) -> str:
    folder, base = os.path.split(target)
    return os.path.join(folder, f".{base[:_STEM]}.{secrets.token_hex(8)}{_SUFFIX}")


def remove_stale(target: str) -> None:
    """Remove temporary files that dead writers of ``target`` left behind."""
    folder, base = os.path.split(target)
    pattern = re.compile(re.escape(f".{base[:_STEM]}.") + "[0-9a-f]{16}" + re.escape(_SUFFIX))
    names: list[str] = []
    with contextlib.suppress(OSError):  # a folder that may be written but not listed
        names = os.listdir(folder)
    for name in names:
        if pattern.fullmatch(name):
            _unlink_if_dead(os.path.join(folder, name))


def _unlink_if_dead(path: str) -> None:
    """Remove a temporary file unless a live writer holds its lock."""
    if fcntl is None:
        _unlink(path)
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(descriptor)


def _unlink(path: Any) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the platform can."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # no such thing on this file system
            raise
    finally:
        os.close(descriptor)
