"""One backward pass: a walk from the outputs to the leaves, each node after all its users.

The walk keeps its own stack, so the depth of a graph is limited by memory alone. Gradients reach
``.grad`` only when the whole walk has succeeded: an error leaves every ``.grad`` as it was.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from .. import config
from ..errors import GradientError, ShapeError
from . import references
from .function import Edge, Function
from .modes import enable_grad, state
from .node_backward import run_backward
from .pending import settle
from .tensor_base import TensorBase

#: Elements from which a sum, or a copy, is worth a kernel of the backend.
LARGE = 1 << 17


class Walk:
    """A backward pass through everything that some roots depend on."""

    def __init__(self, retain_graph: bool | None, create_graph: bool) -> None:
        self.retain = create_graph if retain_graph is None else retain_graph
        self.create = create_graph
        self.wanted: set[Edge] | None = None
        #: Gradients so far, by target, then output number.
        self.buffers: dict[Any, list[Any]] = {}
        #: Edges whose buffer holds a sum that this walk made, and so may add to in place.
        self.sums: set[Edge] = set()
        #: How many edges into a target have not delivered yet.
        self.waiting: dict[Any, int] = {}
        #: Tensors whose ``.grad`` grows, with the gradient to add.
        self.arrived: list[tuple[TensorBase, Any]] = []
        self.captured: dict[Edge, Any] = {}
        #: Whether nodes may add their gradients to what is there: nobody looks at these.
        self.adds_up = not (create_graph or state.observers) and config.fusion.get() == "auto"

    def restrict_to(self, edges: Iterable[Edge]) -> None:
        """Compute gradients for these edges only."""
        self.wanted = set(edges)

    # -- the walk ---------------------------------------------------------------------------

    def run(self, roots: list[tuple[Edge, Any]]) -> None:
        """Walk from ``roots``, pairs of an edge and the gradient that enters there."""
        starts = list({id(edge[0]): edge[0] for edge, _ in roots}.values())
        self._count(starts)
        useful = None if self.wanted is None else self._useful(starts)
        enabled, autocast = state.grad_enabled, state.autocast
        # An op goes back in the dtype in which it went forward.
        state.grad_enabled, state.autocast = self.create, None
        waiting = self.waiting
        try:
            for edge, gradient in roots:
                self._deliver(edge, gradient)
            ready = [target for target in starts if waiting[target] == 0]
            while ready:
                target = ready.pop()
                if isinstance(target, TensorBase):
                    self._finish_leaf(target)
                    continue
                grads = self._run_node(target, useful)
                for position, edge in enumerate(target.edges):
                    if edge is None:
                        continue
                    if grads is not None and grads[position] is not None:
                        self._deliver(edge, grads[position])
                    following = edge[0]
                    left = waiting[following] = waiting[following] - 1
                    if left == 0:
                        if isinstance(following, TensorBase):
                            self._finish_leaf(following)
                        else:
                            ready.append(following)
                grads = None  # so that no gradient outlives its use
        finally:
            state.grad_enabled, state.autocast = enabled, autocast

    def _count(self, starts: list[Any]) -> None:
        """Count, for everything reachable, the edges that lead to it."""
        waiting = self.waiting
        for target in starts:
            waiting[target] = 0
        stack = [target for target in starts if not isinstance(target, TensorBase)]
        while stack:
            for edge in stack.pop().edges:
                if edge is None:
                    continue
                following = edge[0]
                if following in waiting:
                    waiting[following] += 1
                else:
                    waiting[following] = 1
                    if not isinstance(following, TensorBase):
                        stack.append(following)

    def _useful(self, starts: list[Any]) -> set[Any]:
        """Return the nodes behind which a wanted edge lies."""
        goals = {target for target, _ in self.wanted or ()}
        useful: set[Any] = set()
        seen: set[Any] = set()
        stack = [(start, False) for start in starts]
        while stack:  # depth first; a node is judged after everything behind it
            node, behind_done = stack.pop()
            if isinstance(node, TensorBase):
                continue
            following = [edge[0] for edge in node.edges if edge is not None]
            if behind_done:
                if any(f in useful or f in goals for f in following):
                    useful.add(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((f, False) for f in following)
        return useful

    def _deliver(self, edge: Edge, gradient: Any) -> None:
        """Add a gradient to what has arrived at an edge."""
        target, index = edge
        buffer = self.buffers.get(target)
        if buffer is None:
            size = 1 if isinstance(target, TensorBase) else len(target.outputs_meta)
            buffer = self.buffers[target] = [None] * size
        before = buffer[index]
        if before is None:
            buffer[index] = gradient
        elif self.create:
            buffer[index] = before + gradient
        elif edge in self.sums:
            _add_to(before, gradient)
        else:
            buffer[index] = _sum(before, gradient)
            self.sums.add(edge)

    def _run_node(self, node: Function, useful: set[Any] | None) -> tuple[Any, ...] | None:
        """Return the gradients of a node's inputs, or ``None`` if none are defined or wanted."""
        grads = self.buffers.pop(node, None)
        if grads is None:
            return None
        if node._tensor_hooks is not None or node._retained is not None:
            self._call_tensor_hooks(node, grads)
        if self.wanted is not None:
            for index, gradient in enumerate(grads):
                if (node, index) in self.wanted:
                    self.captured[(node, index)] = gradient
        if useful is not None and node not in useful:
            return None
        if node._materialize:
            for index, gradient in enumerate(grads):
                if gradient is None:
                    grads[index] = _zeros(node.outputs_meta[index])
        node.keeps_saved = self.retain
        run = self._add_up if node.adds_up and self.adds_up else run_backward
        results = run(node, grads)
        if not self.retain:
            node.release()
        return results

    def _add_up(self, node: Function, grads: list[Any]) -> tuple[Any, ...]:
        """Run a node, and have it add its gradient of the first argument to what is there."""
        edge, node._total = node.edges[0], None
        buffer = None if edge is None or node._post_hooks else self.buffers.get(edge[0])
        if edge is None or buffer is None or buffer[edge[1]] is None:
            return run_backward(node, grads)
        before, buffer[edge[1]] = buffer[edge[1]], None
        if edge in self.sums or (references.count(before) <= references.SOLE and _is_sole(before)):
            node._total = before
        lent = node._total is not None
        results = run_backward(node, grads)
        if lent and node._total is None:
            self.sums.add(edge)  # it is the first of the results, and comes back with them
        else:
            node._total, buffer[edge[1]] = None, before
        return results

    def _call_tensor_hooks(self, node: Function, grads: list[Any]) -> None:
        for index, hooks in (node._tensor_hooks or {}).items():
            if grads[index] is not None:
                grads[index] = _call_hooks(hooks, grads[index])
        for index, reference in (node._retained or {}).items():
            tensor = reference()
            written_anyway = self.wanted is not None and (node, index) in self.wanted
            if tensor is not None and grads[index] is not None and not written_anyway:
                self.arrived.append((tensor, grads[index]))

    def _finish_leaf(self, leaf: TensorBase) -> None:
        buffer = self.buffers.pop(leaf, None)
        if buffer is None:
            return
        gradient = buffer[0]
        if leaf._hooks:
            gradient = _call_hooks(leaf._hooks, gradient)
        if self.wanted is None:
            self.arrived.append((leaf, gradient))
        elif (leaf, 0) in self.wanted:
            self.captured[(leaf, 0)] = gradient

    # -- writing .grad ----------------------------------------------------------------------

    def accumulate(self) -> None:
        """Add to each ``.grad`` what arrived for it: all of them, or none if one does not fit."""
        arrived = self.arrived
        for tensor, gradient in arrived:
            if tensor.grad is not None:
                _check_fits(tensor, gradient)
        if self.create:
            with enable_grad():
                sums = [g.clone() if t.grad is None else t.grad + g for t, g in arrived]
            for (tensor, _), total in zip(arrived, sums, strict=True):
                tensor.grad = total
            return
        while arrived:
            tensor, gradient = arrived.pop()
            if tensor.grad is not None:
                settle(tensor.grad)
                _add_to(tensor.grad, gradient)
                tensor.grad._bump_version()
            elif references.count(gradient) > references.SOLE:
                tensor.grad = _copy(gradient)
            else:
                tensor.grad = _own(gradient)


def _sum(a: Any, b: Any) -> Any:
    """Return a + b, without history."""
    if a.array.size < LARGE and a.device.activate is None:
        return a.wrap(a.array + b.array)
    return a.wrap(a.device.backend.elementwise(operator.add, a.array, b.array))


def _add_to(a: Any, b: Any) -> None:
    """Add b to the memory of a."""
    if a.array.size < LARGE and a.device.activate is None:
        a.array += b.array
    else:
        a.device.backend.accumulate(a.array, b.array)


def _own(gradient: Any) -> Any:
    """Return a gradient nobody else holds; its array is copied if someone holds that."""
    if not _is_sole(gradient):
        return _copy(gradient)
    made_here = type(gradient) is gradient.public_class and not gradient._requires_grad
    return gradient if made_here and gradient._view is None else gradient.wrap(gradient.array)


def _is_sole(tensor: Any) -> bool:
    """Return whether nobody but ``tensor`` holds its array, or another array of that memory."""
    array = tensor.array
    tensor.array = None
    sole = references.count(array) <= references.SOLE
    tensor.array = array
    return sole and bool(tensor.device.backend.owns_memory(array))


def _copy(gradient: Any) -> Any:
    if gradient.array.size < LARGE and gradient.device.activate is None:
        return gradient.wrap(gradient.xp.asarray(gradient.array, copy=True))
    return gradient.wrap(gradient.device.backend.copy(gradient.array))


def _check_fits(tensor: Any, gradient: Any) -> None:
    """Raise if ``tensor.grad``, which a user may have set, cannot take ``gradient``."""
    grad = tensor.grad
    if grad.array.shape != gradient.array.shape or grad.device is not gradient.device:
        raise ShapeError(
            f"backward: .grad has shape {tuple(grad.array.shape)} on {grad.device}, its tensor "
            f"got a gradient of shape {tuple(gradient.array.shape)} on {gradient.device}"
        )


# -- helpers ------------------------------------------------------------------------------------


def _zeros(meta: tuple[Any, ...]) -> Any:
    """Return the gradient of an output that nobody used, without spending memory on it."""
    shape, dtype, device = meta
    zero = device.xp.zeros((), dtype=dtype)
    return TensorBase.public_class(device.xp.broadcast_to(zero, shape), device)


def _call_hooks(hooks: dict[int, Any], gradient: Any) -> Any:
    for hook in list(hooks.values()):
        replaced = hook(gradient)
        if replaced is None:
            continue
        if not isinstance(replaced, TensorBase) or replaced.array.shape != gradient.array.shape:
            what = getattr(getattr(replaced, "array", None), "shape", type(replaced).__name__)
            raise GradientError(
                f"hook of a tensor: must return None or a gradient of shape "
                f"{tuple(gradient.array.shape)}, got {what}"
            )
        gradient = replaced
    return gradient
