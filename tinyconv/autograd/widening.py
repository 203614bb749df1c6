"""Ops on bfloat16 that are computed in float32.

Array libraries know bfloat16 but partly (see :class:`~tinyconv.backend.dtypes.BFloat16`). So an op
that does not say that it takes such arrays gets float32 copies of them, and what it returns is
rounded once: to the graph it is one node, from bfloat16 to bfloat16. It saves the tensors that it
would have saved, in bfloat16; backward gets float32 copies again, of those and of the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..backend.dtypes import bfloat16, float32, float64
from ..backend.quiet import quiet
from .tensor_base import TensorBase


def widened(node: Any, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the ``forward`` of a node that is about to be called with ``args``.

    That of its class, where none of them is bfloat16.
    """
    forward: Callable[..., Any] = type(node)._forward
    for arg in args:
        if isinstance(arg, TensorBase) and arg.dtype is bfloat16:
            return _in_float32
    return forward


def widen(tensors: Iterable[Any]) -> tuple[Any, ...]:
    """Return tensors with those of bfloat16 as float32, differentiably; ``None`` stays."""
    return tuple(
        [t.to(float32) if isinstance(t, TensorBase) and t.dtype is bfloat16 else t for t in tensors]
    )


def _in_float32(node: Any, *args: Any) -> Any:
    """Call the ``forward`` of a node's class with float32 copies, and round what it returns."""
    originals: dict[int, tuple[Any, Any]] = {}
    narrow = True
    given: list[Any] = []
    for arg in args:
        if isinstance(arg, TensorBase):
            if arg.dtype is bfloat16:
                wide = next((w for w, o in originals.values() if o is arg), None)
                if wide is None:
                    wide = arg.wrap(quiet(arg.xp.astype, arg.array, arg.xp.float32))
                    originals[id(wide)] = wide, arg
                arg = wide
            elif arg.dtype is float32 or arg.dtype is float64:
                narrow = False  # the op promotes
        given.append(arg)
    node._widened = True
    outputs = type(node)._forward(node, *given)
    single = isinstance(outputs, TensorBase)
    rounded: dict[int, Any] = {}
    for output in (outputs,) if single else outputs:
        if id(output) in originals:
            original = originals[id(output)][1]
            if any(output is tensor for tensor in node._dirty):
                original.array[...] = _round(output).array
            rounded[id(output)] = original
        elif isinstance(output, TensorBase) and narrow and output.dtype is float32:
            rounded[id(output)] = _round(output)

    def narrowed(tensors: Any) -> tuple[Any, ...]:
        known = {**{key: pair[1] for key, pair in originals.items()}, **rounded}
        return tuple([known.get(id(tensor), tensor) for tensor in tensors])

    node._to_save = narrowed(node._to_save)
    node._dirty = narrowed(node._dirty)
    node._non_differentiable = narrowed(node._non_differentiable)
    return narrowed((outputs,))[0] if single else narrowed(outputs)


def _round(tensor: Any) -> Any:
    return tensor.wrap(quiet(tensor.xp.astype, tensor.array, bfloat16.of(tensor.xp)))
