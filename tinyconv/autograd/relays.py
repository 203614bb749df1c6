"""Identities put between nodes: a path to another tensor's edge, an end of differentiability."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..errors import GradientError
from .function import Edge, Function
from .modes import state
from .tensor_base import TensorBase


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a ``backward`` that is not itself differentiable: a second derivative then raises."""

    @functools.wraps(backward)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        enabled = state.grad_enabled
        state.grad_enabled = False
        try:
            results = backward(ctx, *grads)
        finally:
            state.grad_enabled = enabled
        if not enabled:
            return results
        if isinstance(results, tuple):
            return tuple(_end_of_graph(ctx, grads, result) for result in results)
        return _end_of_graph(ctx, grads, results)

    return wrapped


def _end_of_graph(ctx: Function, grads: tuple[Any, ...], result: Any) -> Any:
    """Return ``result`` as the output of a node whose derivative is an error.

    The node hangs on all that ``result`` may depend on: a derivative that should flow through it
    to one of these raises, it is never left out in silence.
    """
    if not isinstance(result, TensorBase):
        return result
    edges = [edge for edge in ctx.edges if edge is not None]
    edges += [g._edge for g in grads if isinstance(g, TensorBase) and g._requires_grad]
    node = _OnceDifferentiable()
    node.op, node.edges = ctx.name(), tuple(edges)
    node.outputs_meta = ((result.array.shape, result.array.dtype, result.device),)
    return _attach(result.alias(), (node, 0))


class _OnceDifferentiable(Function):
    """Identity whose derivative is an error."""

    op = ""

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        raise GradientError(f"{ctx.op} is marked once_differentiable: it has no second derivative")


class _Relay(Function):
    """Identity that leads to an edge of another tensor."""

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad


def relay(tensor: Any, edge: Edge) -> Any:
    """Return a tensor on the memory of ``tensor`` whose gradient goes to ``edge``."""
    if isinstance(edge[0], TensorBase):  # a leaf's gradients come from nodes
        node = _Relay()
        node.edges = (edge,)
        node.outputs_meta = ((tensor.array.shape, tensor.array.dtype, tensor.device),)
        edge = (node, 0)
    return _attach(tensor.alias(), edge)


def _attach(tensor: Any, edge: Edge) -> Any:
    tensor._grad_fn, tensor._output_index = edge
    tensor._requires_grad = True
    return tensor
