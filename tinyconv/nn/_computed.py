"""Tensors that a parametrization computes: what is written into them is gone at the next read."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any

from ..errors import ArgumentError
from .parameter import Parameter

#: By the id of its array: a computed tensor's array, as long as it lives, class and name.
_arrays: dict[int, tuple[weakref.ref[Any], str, str]] = {}


def note_computed(tensor: Any, owner: str, name: str) -> None:
    """Remember the memory of a tensor that was computed for ``name`` of a module of a class."""
    array = tensor.array
    key = id(array)
    with contextlib.suppress(TypeError):  # arrays of a backend that cannot be referred to weakly
        _arrays[key] = weakref.ref(array, lambda _: _arrays.pop(key, None)), owner, name


def check_lasting(op: str, tensor: Any) -> None:
    """Raise ``ArgumentError`` if ``tensor`` shows the memory of a computed one."""
    if not _arrays or isinstance(tensor, Parameter):
        return
    for reference, owner, name in list(_arrays.values()):
        array = reference()
        if (
            array is not None
            and array.__class__ is tensor.array.__class__
            and tensor.device.backend.shares_memory(tensor.array, array)
        ):
            raise ArgumentError(
                f"{op}: '{name}' of {owner} is computed by a parametrization whenever it is read, "
                "so what is written into it is lost; initialise the layer before it is "
                f"parametrized, or assign: layer.{name} = init.{op}(empty_like(layer.{name}))"
            )
