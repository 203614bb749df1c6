"""``save`` and ``load``."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Any, BinaryIO

import numpy as np

from ..backend import as_device
from ..errors import CheckpointError, DTypeError
from ..ops import as_tensor
from .atomic import atomic_write
from .header import MAX_HEADER, Entry, build, layout, parse
from .structure import Decoder, Encoder

FORMAT = 1
_CHECKSUM, _FORMAT, _STRUCTURE = "tinyconv.sha256", "tinyconv.format", "tinyconv.structure"
_BLANK = "0" * 64
# The checksum is the first field, so that its place is the same in every file.
_PREFIX = f'{{"__metadata__":{{"{_CHECKSUM}":"'.encode()
_DIGEST = slice(8 + len(_PREFIX), 8 + len(_PREFIX) + len(_BLANK))


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write tensors and plain Python values to one file, whole or not at all.

    The file is in the safetensors format: tensors under dotted names (``model.conv.weight``),
    everything else as JSON in its metadata, with a checksum over all of it. It appears under
    its name only when it is complete and on disk, so a crash never costs the file that was
    there before.

    Parameters
    ----------
    obj : object
        A tensor, a NumPy array or number, a Python number, string, bool or None, or dicts
        (keys: strings or integers), lists and tuples of these, up to 100 deep. Tensors may be
        on any device and of any dtype; the same tensor met twice is stored once. Subclasses of
        dict, list and tuple come back as the plain type, parameters as plain tensors.
    path : path-like
        File to write, by custom with the ending ``.safetensors``. Its folder must exist.

    Raises
    ------
    ArgumentError
        If ``obj`` holds anything else; the message says where.
    CheckpointError
        If the file cannot be written; nothing is changed then.

    Examples
    --------
    >>> import tempfile
    >>> import tinyconv as tc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tc.save({"weights": tc.ones(2), "epoch": 3}, f"{folder}/point.safetensors")
    ...     tc.load(f"{folder}/point.safetensors")
    {'weights': tensor([1., 1.]), 'epoch': 3}
    """
    encoder = Encoder()
    metadata = {_CHECKSUM: _BLANK, _FORMAT: str(FORMAT), _STRUCTURE: encoder.encode(obj)}
    entries = layout(encoder.arrays)
    head = build(metadata, entries)
    size = len(head) + (entries[-1].end if entries else 0)

    def write(file: BinaryIO) -> None:
        digest = hashlib.sha256(head)
        file.write(head)
        for entry in entries:
            data = _bytes_of(encoder.arrays[entry.name])
            digest.update(data)
            file.write(data)
        file.seek(_DIGEST.start)
        file.write(digest.hexdigest().encode())

    atomic_write(path, write, size)


def load(
    path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True
) -> Any:
    """Read a file written by :func:`save`, or any safetensors file.

    Parameters
    ----------
    path : path-like
        File to read.
    map_location : str or Device, optional
        Device of the tensors; the default is the default device. NumPy arrays stay such.
    weights_only : bool, default True
        Taken for PyTorch's sake: a file never holds code, so it changes nothing.

    Returns
    -------
    object
        What was saved. Files of other libraries give a dict of tensors by name.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another kind, or written by a newer tinyconv.
        Every flipped bit and every missing byte is found. Nothing is allocated for sizes that
        the file does not have.
    DeviceError
        If ``map_location`` is not a device that can be had.

    Examples
    --------
    >>> import tempfile
    >>> import tinyconv as tc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tc.save((tc.arange(3), [1.5, "text", None]), f"{folder}/mixed.safetensors")
    ...     tc.load(f"{folder}/mixed.safetensors")
    (tensor([0, 1, 2]), [1.5, 'text', None])
    """
    name = os.fspath(path)
    device = as_device(map_location)

    def to_tensor(array: np.ndarray[Any, Any]) -> Any:
        return as_tensor(array, device=device)

    try:
        metadata, arrays = _read(name)
        if not any(key.startswith("tinyconv.") for key in metadata):
            return {key: to_tensor(array) for key, array in arrays.items()}
        return Decoder(arrays, to_tensor).decode(metadata[_STRUCTURE])
    except (CheckpointError, DTypeError) as error:
        raise CheckpointError(f"cannot load {name!r}: {error}") from error
    except OSError as error:
        failure = CheckpointError(f"cannot load {name!r}: {error.strerror or error}")
        failure.errno = error.errno
        raise failure from error
    except MemoryError as error:
        raise CheckpointError(f"cannot load {name!r}: it does not fit into memory") from error


def _read(name: str) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    """Return metadata and arrays of a file, all from one open descriptor, verified."""
    if not stat.S_ISREG(os.stat(name).st_mode):  # asked first: opening a FIFO would wait
        raise CheckpointError("it is not a regular file")
    with open(name, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = _read_head(file, size)
        metadata, entries = parse(head[8:], size - len(head))
        ours = any(key.startswith("tinyconv.") for key in metadata)
        if ours:
            _check_format(head, metadata)
        digest = hashlib.sha256(head[: _DIGEST.start] + _BLANK.encode() + head[_DIGEST.stop :])
        arrays = {}
        for entry in entries:
            arrays[entry.name], data = _read_array(file, entry)
            if ours:
                digest.update(data)
    if ours and digest.hexdigest() != metadata[_CHECKSUM]:
        raise CheckpointError("its checksum does not match: the file is damaged")
    return metadata, arrays


def _read_head(file: BinaryIO, size: int) -> bytes:
    """Return length and header of a file, once the length is plausible."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    implausible = len(start) < 8 or length > size - 8
    # A header of 640 or 1,152 bytes starts like a pickle.
    is_pickle = implausible and start[:2] in (b"\x80\x02", b"\x80\x04")
    if is_pickle or start[:4] == b"PK\x03\x04":
        raise CheckpointError(
            "it is a PyTorch or pickle file, which can hold code; write it anew "
            "with safetensors.torch.save_file"
        )
    if implausible:
        raise CheckpointError("it is not a safetensors file, or it is truncated")
    if length > MAX_HEADER:
        raise CheckpointError(f"its header has {length:,} bytes, more than {MAX_HEADER:,}")
    head = start + file.read(length)
    if len(head) < 8 + length:
        raise CheckpointError("it is truncated")
    return head


def _check_format(head: bytes, metadata: dict[str, str]) -> None:
    """Check that a file that calls itself ours is one, of a version this code reads."""
    if not head.startswith(_PREFIX, 8) or not {_FORMAT, _STRUCTURE} <= metadata.keys():
        raise CheckpointError("its metadata are damaged")
    if metadata[_FORMAT] != str(FORMAT):
        raise CheckpointError(
            f"its format is {metadata[_FORMAT][:20]!r}, this tinyconv reads {FORMAT}; "
            "a newer tinyconv may have written it"
        )


def _read_array(file: BinaryIO, entry: Entry) -> tuple[np.ndarray[Any, Any], Any]:
    """Read one tensor from where the file stands, into memory of its own; return also its bytes."""
    label = f"tensor {entry.name[:80]!r}"
    try:
        array = np.empty(entry.shape, entry.dtype.newbyteorder("<"))
    except ValueError as error:  # more elements than NumPy can count, none of them stored
        raise CheckpointError(f"{label} has an impossible shape: {error}") from error
    data = array.reshape(-1).view(np.uint8)
    if file.readinto(data) < len(data):  # type: ignore[attr-defined]
        raise CheckpointError(f"it is truncated in {label}")
    if entry.dtype == bool and (data > 1).any():
        raise CheckpointError(f"{label} is bool, but holds other bytes than 0 and 1")
    return array.astype(entry.dtype, copy=False), data


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    """Return an array's elements, in row-major order, little-endian, as bytes."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data
