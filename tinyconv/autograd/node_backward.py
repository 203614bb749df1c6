"""The backward of one node: run between its hooks, and what it returns checked."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import GradientError
from .function import Function
from .memory import out_of_memory
from .modes import state
from .pending import held
from .tensor_base import TensorBase
from .widening import widen


def run_backward(node: Function, grads: list[Any]) -> tuple[Any, ...]:
    """Run ``backward`` of a node."""
    if node._pre_hooks is None and node._post_hooks is None and not state.observers:
        return _backward(node, grads)
    return _watched_backward(node, grads)


def _backward(node: Function, grads: list[Any]) -> tuple[Any, ...]:
    try:
        results = node.backward(node, *(widen(grads) if node._widened else grads))
    except MemoryError as error:
        raise out_of_memory(node.name(), error, node.outputs_meta[0][2]) from error
    results = results if isinstance(results, tuple) else (results,)
    return results if node.is_exact else _checked(node, results)


def _watched_backward(node: Function, grads: list[Any]) -> tuple[Any, ...]:
    """Run ``backward`` between the hooks of the node, with the observers told."""
    for hook in list((node._pre_hooks or {}).values()):
        replaced = hook(tuple(grads))
        if replaced is not None:
            grads = list(as_tuple(replaced))
    results = _observed_backward(node, grads) if state.observers else _backward(node, grads)
    for hook in list((node._post_hooks or {}).values()):
        replaced = hook(results, tuple(grads))
        if replaced is not None:
            results = _checked(node, as_tuple(replaced))
    return results


def _observed_backward(node: Function, grads: list[Any]) -> tuple[Any, ...]:
    """Run ``backward`` with every observer told before and after."""
    observers = state.observers
    for observer in observers:
        observer.before_backward(node, grads)
    try:
        results = _backward(node, grads)
    except Exception as error:
        for observer in observers:
            observer.on_error(node, grads, error, True)
        raise
    for observer in reversed(observers):
        observer.after_backward(node, grads, results)
    return results


def _checked(node: Function, results: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check what a node's backward returned, and bring it to the shape and dtype of its argument.

    An argument that was broadcast gets the sum over the axes it was broadcast along: this is
    done here, once, so that the rule of an op need not care.
    """
    edges = node.edges
    if len(results) != len(edges):
        if len(results) < len(edges) or any(r is not None for r in results[len(edges) :]):
            raise GradientError(
                f"{node.name()}: backward returned {len(results)} gradients, "
                f"but forward has {len(edges)} arguments"
            )
        results = results[: len(edges)]
    changed = None
    for position, (edge, gradient) in enumerate(zip(edges, results, strict=True)):
        if edge is None or gradient is None:
            continue
        if not isinstance(gradient, TensorBase):
            _raise_not_tensor(node, position, gradient)
        target, index = edge
        if isinstance(target, TensorBase):
            wanted = target.array
            shape, dtype = wanted.shape, wanted.dtype
        else:
            shape, dtype, _ = target.outputs_meta[index]
        array = held(gradient)
        if array.shape == shape and array.dtype == dtype:
            continue
        if array.shape != shape:
            gradient = _summed_to(node, position, gradient, shape)
        if array.dtype != dtype:
            gradient = gradient.to(gradient.device.backend.dtypes[dtype])
        changed = list(results) if changed is None else changed
        changed[position] = gradient
    return results if changed is None else tuple(changed)


def _summed_to(node: Function, position: int, gradient: Any, shape: tuple[int, ...]) -> Any:
    """Return ``gradient`` summed over the axes along which ``shape`` was broadcast to its own."""
    wide = gradient.array.shape
    extra = len(wide) - len(shape)
    if extra >= 0 and all(s in (1, w) for s, w in zip(shape, wide[extra:], strict=True)):
        return gradient.sum_to_size(shape)
    raise GradientError(
        f"{node.name()}: backward returned a gradient of shape {tuple(wide)} for argument "
        f"{position}, which has shape {tuple(shape)}"
    )


def _raise_not_tensor(node: Function, position: int, gradient: Any) -> NoReturn:
    raise GradientError(
        f"{node.name()}: backward must return tensors or None, the gradient of argument "
        f"{position} is {type(gradient).__name__}"
    )


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a list or tuple as a tuple, anything else as a tuple of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
