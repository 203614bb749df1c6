"""Nested Python objects as JSON plus named arrays, and back.

JSON holds what is no array. What JSON cannot say exactly is written as a dict with one key, a
tag: ``{"dict": [[key, value], ...]}`` (so that integer keys survive), ``{"tuple": [...]}``,
``{"tensor": name}``, ``{"array": name}``, ``{"scalar": name}`` (a NumPy scalar),
``{"float": "7ff8000000000000"}`` (NaN and infinities, bit for bit) and ``{"int": "0x..."}``.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, CheckpointError
from ..tensor import Tensor
from .header import CODES

#: Deepest nesting of containers that is saved or loaded.
MAX_DEPTH = 100
_MAX_JSON_INT = 2**53  # beyond it, JSON readers differ; and huge decimals are slow


class Encoder:
    """Turns an object into JSON and a table of NumPy arrays by dotted name.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        What is to be stored; tied tensors (the same memory seen the same way) once.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._names: dict[Any, str] = {}  # by place in memory

    def encode(self, obj: Any) -> str:
        """Return the JSON text that describes ``obj``.

        Raises
        ------
        ArgumentError
            If ``obj`` holds something that cannot be saved; names where it stands and its type.
        """
        return json.dumps(self._node(obj, ()), separators=(",", ":"))

    def _node(self, obj: Any, path: tuple[Any, ...]) -> Any:
        if len(path) > MAX_DEPTH:
            raise ArgumentError(f"save: {_where(path)} is nested more than {MAX_DEPTH} deep")
        if obj is None or isinstance(obj, bool):
            return obj
        if isinstance(obj, np.generic):  # before float and str, which some NumPy scalars are too
            return {"scalar": self._store(np.asarray(obj), path)}
        if isinstance(obj, str):
            return str(obj)
        if isinstance(obj, int):
            return int(obj) if abs(obj) <= _MAX_JSON_INT else {"int": hex(obj)}
        if isinstance(obj, float):
            return float(obj) if math.isfinite(obj) else {"float": struct.pack(">d", obj).hex()}
        if isinstance(obj, Tensor):
            return {"tensor": self._store_tensor(obj, path)}
        if isinstance(obj, np.ndarray):
            return {"array": self._store(obj, path)}
        if isinstance(obj, dict):
            return {"dict": [self._item(key, value, path) for key, value in obj.items()]}
        if isinstance(obj, list | tuple):
            nodes = [self._node(value, (*path, index)) for index, value in enumerate(obj)]
            return nodes if isinstance(obj, list) else {"tuple": nodes}
        raise ArgumentError(
            f"save: {_where(path)} is of type {_type_name(obj)}, which cannot be saved; use dicts, "
            "lists and tuples of tensors, arrays, numbers, strings and None (no file holds code)"
        )

    def _item(self, key: Any, value: Any, path: tuple[Any, ...]) -> list[Any]:
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise ArgumentError(
                f"save: a key of {_where(path)} is {key!r} of type {_type_name(key)}; "
                "keys are strings or integers"
            )
        if isinstance(key, int) and key.bit_length() > 64:
            raise ArgumentError(f"save: a key of {_where(path)} is an integer beyond 64 bits")
        return [self._node(key, path), self._node(value, (*path, key))]

    def _store_tensor(self, tensor: Tensor, path: tuple[Any, ...]) -> str:
        host = tensor.device.backend.to_host(tensor.array)
        key = None if host is tensor.array else id(tensor.array)  # memory of another device
        return self._store(host, path, key)

    def _store(self, array: np.ndarray[Any, Any], path: tuple[Any, ...], key: Any = None) -> str:
        """Keep an array under a name of its own, or find the name of the same memory."""
        if array.dtype.name not in CODES:
            raise ArgumentError(
                f"save: {_where(path)} is an array of dtype {array.dtype}, which cannot be saved; "
                f"supported are {', '.join(CODES)}"
            )
        if key is None:
            start = array.__array_interface__["data"][0] if array.size else id(array)
            key = (start, array.shape, array.strides, array.dtype.str)
        if key not in self._names:
            self._names[key] = name = self._new_name(path)
            self.arrays[name] = array
        return self._names[key]

    def _new_name(self, path: tuple[Any, ...]) -> str:
        dotted = ".".join(map(str, path)) or "tensor"
        name = dotted = dotted.encode(errors="backslashreplace").decode()
        number = 1
        while name in self.arrays or name == "__metadata__":
            number += 1
            name = f"{dotted}~{number}"
        return name


class Decoder:
    """Rebuilds an object from JSON and arrays.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays of the file.
    to_tensor : callable
        Makes a tensor from an array; called once a name, so that tied tensors stay tied.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray[Any, Any]],
        to_tensor: Callable[[np.ndarray[Any, Any]], Any],
    ) -> None:
        self._arrays, self._to_tensor = arrays, to_tensor
        self._tensors: dict[str, Any] = {}
        self._tags: dict[str, Callable[[Any, int], Any]] = {
            "dict": self._dict,
            "tuple": lambda value, depth: tuple(self._list(value, depth)),
            "tensor": lambda name, _: self._tensor(name),
            "array": lambda name, _: self._array(name),
            "scalar": lambda name, _: self._array(name)[()],
            "float": lambda digits, _: struct.unpack(">d", bytes.fromhex(digits))[0],
            "int": lambda digits, _: int(digits, 16),
        }

    def decode(self, text: str) -> Any:
        """Return the object that ``text`` describes.

        Raises
        ------
        CheckpointError
            If the text is not what :class:`Encoder` writes.
        """
        try:
            return self._value(json.loads(text), 0)
        except CheckpointError:
            raise
        except (ValueError, TypeError, KeyError, RecursionError, struct.error) as error:
            raise CheckpointError(f"its structure is not sound ({error})") from error

    def _value(self, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CheckpointError(f"its structure is nested more than {MAX_DEPTH} deep")
        if isinstance(node, list):
            return self._list(node, depth)
        if isinstance(node, dict):
            ((tag, value),) = node.items()
            return self._tags[tag](value, depth)
        return node

    def _list(self, nodes: Any, depth: int) -> list[Any]:
        if not isinstance(nodes, list):
            raise TypeError("a sequence is not a list")
        return [self._value(node, depth + 1) for node in nodes]

    def _dict(self, pairs: Any, depth: int) -> dict[Any, Any]:
        table = {}
        for key, value in pairs:
            table[self._key(key)] = self._value(value, depth + 1)
        if len(table) != len(pairs):
            raise ValueError("a key stands twice in a dict")
        return table

    def _key(self, node: Any) -> Any:
        key = self._value(node, 0) if isinstance(node, dict) else node
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise TypeError("a key is neither a string nor an integer")
        return key

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        return self._arrays[name]

    def _tensor(self, name: str) -> Any:
        if name not in self._tensors:
            self._tensors[name] = self._to_tensor(self._array(name))
        return self._tensors[name]


def _where(path: tuple[Any, ...]) -> str:
    """Return where in the saved object something stands, as Python would index it."""
    shown = "".join(f"[{key!r}]" for key in path[:6])
    return f"obj{shown}{'...' if len(path) > 6 else ''}"


def _type_name(obj: Any) -> str:
    return f"{type(obj).__module__}.{type(obj).__qualname__}"
