"""The header of a safetensors file: built on saving, checked field by field on loading.

A file is: length of the header (8 bytes, little-endian), the header (JSON), the tensor bytes.
The header maps each name to ``{"dtype", "shape", "data_offsets"}``, and ``__metadata__`` to a
dict of strings. Nothing in a header is believed before :func:`parse` has checked it against the
size of the file, so a hostile one costs neither memory nor time.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.dtypes import bfloat16
from ..errors import ArgumentError, CheckpointError

#: Bytes of the longest header read or written. The format allows 100 MB, but 100,000 tensors need
#: less than half of this.
MAX_HEADER = 16 * 2**20
_MAX_DIMS = 64  # NumPy's own limit
_MAX_COUNT = 2**63 - 1

# A header is a table of flat tables whose values are strings or short lists of naturals. All
# else, such as deep nesting, is refused before the JSON parser can spend memory on it.
# Possessive quantifiers (``*+``): no backtracking, so linear time.
_BLANKS = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"' + _BLANKS
_FIELD = _STRING + b":" + _BLANKS + rb"(?:" + _STRING + rb"|\[[0-9, \t\r\n]{0,1500}+\])" + _BLANKS


def _table_of(item: bytes) -> bytes:
    comma = b"," + _BLANKS
    return rb"\{" + _BLANKS + b"(?:" + item + b"(?:" + comma + item + rb")*+)?+\}" + _BLANKS


_ITEM = _STRING + b":" + _BLANKS + b"(?:null" + _BLANKS + b"|" + _table_of(_FIELD) + b")"
_HEADER = re.compile(_table_of(_ITEM), re.DOTALL)

DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16",
    "U32": "uint32", "I32": "int32", "U64": "uint64", "I64": "int64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip
CODES = {name: code for code, name in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where and what one tensor of a file is; offsets count from the first tensor byte."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def layout(arrays: dict[str, np.ndarray[Any, Any]]) -> list[Entry]:
    """Return the places of arrays in a file: wide dtypes first, so that each is aligned."""
    entries, begin = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        end = begin + array.nbytes
        entries.append(Entry(name, array.dtype, array.shape, begin, end))
        begin = end
    return entries


def build(metadata: dict[str, str], entries: list[Entry]) -> bytes:
    """Return length and header; the metadata stand first, in their order.

    Raises
    ------
    ArgumentError
        If the header is longer than :data:`MAX_HEADER`.
    """
    table: dict[str, Any] = {"__metadata__": metadata}
    for entry in entries:
        table[entry.name] = {
            "dtype": CODES[entry.dtype.name],
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # aligns the tensor bytes
    if len(text) > MAX_HEADER:
        raise ArgumentError(
            f"save: what is not an array takes {len(text):,} bytes, more than the "
            f"{MAX_HEADER:,} a file may hold; turn long lists of numbers into arrays"
        )
    return len(text).to_bytes(8, "little") + text


def parse(text: bytes, data_size: int) -> tuple[dict[str, str], list[Entry]]:
    """Check a header and return its metadata and its entries in the order of their bytes.

    Parameters
    ----------
    text : bytes
        The header without its length.
    data_size : int
        Bytes that follow the header in the file.

    Raises
    ------
    CheckpointError
        If anything is not as the format demands; the message says what.
    """
    if text[:1] != b"{":
        raise CheckpointError("the header does not start with '{'")
    if not _HEADER.fullmatch(text):
        raise CheckpointError("the header is not a table of tensors")
    try:
        table = json.loads(text.decode(), object_pairs_hook=_unique)
    except ValueError as error:
        raise CheckpointError(f"the header is not sound JSON ({error})") from error
    metadata = _metadata(table.pop("__metadata__", None))
    entries = [_entry(name, info) for name, info in table.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    position = 0
    for entry in entries:
        if entry.begin != position:
            raise CheckpointError(
                f"the bytes of tensor {entry.name[:80]!r} start at {entry.begin:,}, "
                f"those before end at {position:,}"
            )
        position = entry.end
    if position != data_size:
        raise CheckpointError(
            f"the header describes {position:,} bytes of tensors, the file has {data_size:,}"
        )
    return metadata, entries


def _entry(name: str, info: Any) -> Entry:
    """Check one tensor's description."""
    label = f"tensor {name[:80]!r}"
    _check_text(name, label)
    if not isinstance(info, dict) or info.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{label} is not described by dtype, shape and data_offsets")
    code, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        choices = ", ".join(DTYPES)
        raise CheckpointError(f"{label} has dtype {str(code)[:20]!r}, supported are {choices}")
    if not _is_naturals(shape) or len(shape) > _MAX_DIMS:
        raise CheckpointError(f"{label} has an impossible shape")
    if not _is_naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{label} has impossible data_offsets")
    dtype = np.dtype(bfloat16.of(np) if code == "BF16" else DTYPES[code])
    count = dtype.itemsize
    for size in shape:
        count *= size
        if count > _MAX_COUNT or size > _MAX_COUNT:
            raise CheckpointError(f"{label} has an impossible shape: it overflows")
    if offsets[1] - offsets[0] != count:
        raise CheckpointError(
            f"{label} has {offsets[1] - offsets[0]:,} bytes, its shape and dtype need {count:,}"
        )
    return Entry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _metadata(value: Any) -> dict[str, str]:
    """Check the metadata: a dict of strings."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise CheckpointError("the metadata are not a dict of strings")
    for key, text in value.items():
        _check_text(key, "the metadata")
        _check_text(text, "the metadata")
    return value


def _is_naturals(value: Any) -> bool:
    """Whether a value is a list of integers; the header's grammar has no sign and no fraction."""
    return isinstance(value, list) and all(type(number) is int for number in value)


def _check_text(text: str, label: str) -> None:
    """Refuse the surrogate escapes that JSON allows and UTF-8 does not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CheckpointError(f"{label!a} holds a lone surrogate") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands in it twice")
    return table
