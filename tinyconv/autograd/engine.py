"""The two ways to ask for gradients: into ``.grad`` of the leaves, or as a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import DeviceError, DTypeError, GradientError, ShapeError
from .function import Edge
from .node_backward import as_tuple
from .tensor_base import TensorBase
from .walk import Walk


def backward(
    tensors: TensorBase | Sequence[TensorBase],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: TensorBase | Sequence[TensorBase] | None = None,
) -> None:
    """Add the gradients of ``tensors`` to ``.grad`` of the leaves they depend on.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        Where the walk starts.
    grad_tensors : Tensor, None, or sequence of these, optional
        A gradient for each tensor, of its shape; ``None`` is allowed for one element and means 1.
    retain_graph : bool, optional
        Keep what the graph saved, so that it can be walked again; default ``create_graph``.
    create_graph : bool, default False
        Record the walk itself, so that the gradients can be differentiated.
    inputs : Tensor or sequence of Tensor, optional
        Leaves that receive gradients; default all.

    Raises
    ------
    GradientError
        If nothing requires gradients, or the graph was consumed before.
    ShapeError
        If a given gradient does not have the shape of its tensor.
    """
    roots = _roots("backward", tensors, grad_tensors)
    walk = Walk(retain_graph, create_graph)
    if inputs is None:
        walk.run(roots)
    else:
        receivers = {_edge_of("backward", i, t): t for i, t in enumerate(as_tuple(inputs))}
        walk.restrict_to(receivers)
        walk.run(roots)
        while walk.captured:
            edge, gradient = walk.captured.popitem()
            if gradient is not None:
                walk.arrived.append((receivers[edge], gradient))
            del gradient
    del roots
    walk.accumulate()


def grad(
    outputs: TensorBase | Sequence[TensorBase],
    inputs: TensorBase | Sequence[TensorBase],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Return the gradients of ``outputs`` with respect to ``inputs``; no ``.grad`` is touched.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        What to differentiate, and with respect to what (leaves or not).
    grad_outputs : Tensor, None, or sequence of these, optional
        A gradient for each output; ``None`` is allowed for one element and means 1.
    retain_graph : bool, optional
        Keep what the graph saved; default ``create_graph``.
    create_graph : bool, default False
        Record the walk, for higher derivatives.
    allow_unused : bool, optional
        Return ``None`` for an input the outputs do not depend on, instead of raising; default
        ``materialize_grads``.
    materialize_grads : bool, default False
        Return zeros for such an input.

    Returns
    -------
    tuple of Tensor
        One gradient an input.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor(3.0, requires_grad=True)
    >>> (dx,) = tc.autograd.grad(x ** 3, x, create_graph=True)
    >>> (ddx,) = tc.autograd.grad(dx, x)
    >>> dx.item(), ddx.item()
    (27.0, 18.0)
    """
    inputs = as_tuple(inputs)
    edges = [_edge_of("grad", i, tensor) for i, tensor in enumerate(inputs)]
    walk = Walk(retain_graph, create_graph)
    walk.restrict_to(edges)
    walk.run(_roots("grad", outputs, grad_outputs))
    results = [walk.captured.get(edge) for edge in edges]
    if allow_unused is None:
        allow_unused = materialize_grads
    for i, (tensor, result) in enumerate(zip(inputs, results, strict=True)):
        if result is None and not allow_unused:
            raise GradientError(
                f"grad: the outputs do not depend on inputs[{i}] of shape "
                f"{tuple(tensor.array.shape)}; "
                "pass allow_unused=True if that is meant"
            )
        if result is None and materialize_grads:
            results[i] = tensor.wrap(tensor.xp.zeros(tensor.array.shape, dtype=tensor.array.dtype))
    return tuple(results)


def _edge_of(op: str, position: int, tensor: Any) -> Edge:
    if not isinstance(tensor, TensorBase):
        raise DTypeError(f"{op}: inputs[{position}] must be a Tensor, not {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise GradientError(f"{op}: inputs[{position}] does not require gradients")
    return tensor._edge


def _roots(op: str, tensors: Any, gradients: Any) -> list[tuple[Edge, Any]]:
    """Pair each output's edge with the gradient that enters there."""
    tensors = as_tuple(tensors)
    gradients = (None,) * len(tensors) if gradients is None else as_tuple(gradients)
    if len(gradients) != len(tensors):
        raise GradientError(f"{op}: {len(tensors)} outputs but {len(gradients)} gradients given")
    roots = []
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if not isinstance(tensor, TensorBase):
            raise DTypeError(f"{op}: an output must be a Tensor, not {type(tensor).__name__}")
        if not tensor.requires_grad:
            raise GradientError(
                f"{op}: the output of shape {tuple(tensor.array.shape)} does not require "
                "gradients and has no grad_fn; was it computed inside no_grad(), or do no inputs "
                "require them?"
            )
        if gradient is None:
            gradient = _one(op, tensor)
        else:
            gradient = _fitting(op, tensor, gradient)
        roots.append((tensor._edge, gradient))
    return roots


def _one(op: str, tensor: Any) -> Any:
    """Return the gradient of an output with respect to itself, if it has one element."""
    array = tensor.array
    if array.size != 1:
        raise GradientError(
            f"{op}: a gradient is created implicitly only for an output of one element, this one "
            f"has shape {tuple(array.shape)}; reduce it (.sum()) or pass a gradient"
        )
    return tensor.wrap(tensor.xp.ones(array.shape, dtype=array.dtype))


def _fitting(op: str, tensor: Any, gradient: Any) -> Any:
    """Return a gradient that was passed in, in the dtype of its tensor."""
    if not isinstance(gradient, TensorBase):
        raise DTypeError(f"{op}: a gradient must be a Tensor, not {type(gradient).__name__}")
    if gradient.array.shape != tensor.array.shape:
        raise ShapeError(
            f"{op}: the gradient given has shape {tuple(gradient.array.shape)}, "
            f"but its output has shape {tuple(tensor.array.shape)}"
        )
    if gradient.device is not tensor.device:
        raise DeviceError(
            f"{op}: the gradient given is on {gradient.device}, its output on {tensor.device}"
        )
    return gradient if gradient.array.dtype == tensor.array.dtype else gradient.to(tensor.dtype)
