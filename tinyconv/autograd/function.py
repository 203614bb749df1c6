"""Differentiable functions. A call of one is a node of the graph, and the ``ctx`` it works with.

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    y = Square.apply(x)

The graph is made while the code runs: ``apply`` calls ``forward``, and if a gradient may be
asked for later, the node remembers who made its inputs (``edges``) and what it saved. An output
points to its node, a node to the nodes before it; nothing points forward, so a graph is freed by
reference counting alone.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from ..backend.dtypes import Half
from ..errors import DeviceError, GradientError
from .hooks import RemovableHandle
from .memory import out_of_memory
from .modes import state
from .pending import held, settle
from .saved import save
from .tensor_base import TensorBase
from .views import forbid_writing, link_views
from .widening import widen, widened

Edge = tuple[Any, int]


class Function:
    """Base class of every differentiable function; subclasses give ``forward`` and ``backward``.

    ``forward(ctx, *args)`` gets tensors and plain values, records no graph, and returns a tensor
    or a tuple of tensors. ``backward(ctx, *grads)`` gets one gradient an output and returns one
    gradient (or ``None``) an argument of ``forward``. Where ``backward`` is itself made of
    differentiable tensor operations, derivatives of any order work.
    """

    #: Whether the output shares the memory of the first argument (reshape, slicing ...).
    is_view = False

    #: Whether ``forward`` takes bfloat16 arrays as they are. Else it gets float32 ones in their
    #: place, and what it returns is rounded: array libraries know bfloat16 but partly.
    takes_bfloat16 = False

    #: Whether ``backward`` can add its gradient of the first argument to one that is there already,
    #: without a pass over memory for the sum; see :meth:`take_total`.
    adds_up = False

    #: Whether gradients that ``backward`` returns always have the shapes and dtypes of the
    #: arguments: then the engine need not look at them.
    is_exact = False

    #: The edges that the gradients of the arguments of ``forward`` take; ``None`` where none.
    edges: tuple[Edge | None, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    outputs_meta: tuple[tuple[Any, ...], ...] = ()

    #: Whether what was saved is to be there after this backward pass (``retain_graph``).
    keeps_saved = True

    # Values a node starts with; kept on the class so that making a node costs nothing.
    _to_save: tuple[Any, ...] = ()
    _saved: tuple[Any, ...] | None = ()
    _dirty: tuple[Any, ...] = ()
    _non_differentiable: tuple[Any, ...] = ()
    _materialize = True
    _tensor_hooks: dict[int, dict[int, Callable[..., Any]]] | None = None
    _retained: dict[int, weakref.ref[Any]] | None = None
    _widened = False
    _total: Any = None
    _pre_hooks: dict[int, Callable[..., Any]] | None = None
    _post_hooks: dict[int, Callable[..., Any]] | None = None
    #: What anomaly mode noted when the node was made.
    created: Any = None

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Compute the output from the arguments."""
        raise GradientError(f"{type(ctx).__name__} defines no forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what ``backward`` needs; for a ``forward`` that takes no ``ctx``."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute the gradients of the arguments from the gradients of the outputs."""
        raise GradientError(
            f"derivative of {type(ctx).__name__} is not implemented: define its backward"
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call ``forward`` and, where a gradient may be wanted, add a node to the graph."""
        grad_enabled = state.grad_enabled
        node = cls()
        device = None
        needed = False
        edges: list[Edge | None] = []
        for arg in args:
            edge = None
            if isinstance(arg, TensorBase):
                if arg.device is not device:
                    if device is not None:
                        _raise_two_devices(cls, args)
                    device = arg.device
                if arg._view is not None:
                    arg._refresh_view()
                if grad_enabled and arg._requires_grad:
                    maker = arg._grad_fn
                    edge = (arg, 0) if maker is None else (maker, arg._output_index)
                    needed = True
            edges.append(edge)
        if needed:
            node.needs_input_grad = tuple([edge is not None for edge in edges])
        else:
            node.needs_input_grad = (False,) * len(args)
        state.grad_enabled = False
        try:
            if device is not None and device.activate is not None:
                device.activate()
            forward = cls._forward
            if Half.in_use and not (cls.takes_bfloat16 or cls.is_view):
                forward = widened(node, args)
            if state.observers:
                outputs = _observed_forward(node, forward, args)
            else:
                outputs = forward(node, *args)
        except MemoryError as error:
            raise out_of_memory(cls.__name__.lower(), error, device) from error
        finally:
            state.grad_enabled = grad_enabled
        if isinstance(outputs, TensorBase):
            results: tuple[Any, ...] = (outputs,)
        else:
            results = outputs = _checked_outputs(node, outputs)
        for result in results:
            if id(result) in map(id, args):
                results, outputs = _distinct(node, args, outputs)
                break
        if cls.is_view:
            link_views(cls, args, results, grad_enabled)
        if node._dirty:
            node._join_in_place(edges, results, needed)
        elif needed:
            node._join_graph(edges, results)
        return outputs

    @staticmethod
    def _forward(ctx: Any, *args: Any) -> Any:
        """Call ``forward`` in the style the class is written in; replaced in each subclass."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.setup_context is Function.setup_context:
            cls._forward = staticmethod(cls.forward)  # type: ignore[method-assign]
        else:
            cls._forward = staticmethod(functools.partial(_two_step_forward, cls))  # type: ignore

    # -- what forward and backward may call on ctx ------------------------------------------

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs or outputs for ``backward``; the only safe way to keep a tensor."""
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept.

        Raises
        ------
        GradientError
            If the graph was already consumed by a backward pass.
        InPlaceError
            If a saved tensor was modified in place since.
        """
        if self._saved is None:
            raise GradientError(
                f"{self.name()}: trying to go backward through the graph a second time, but what "
                "it saved was freed; pass retain_graph=True to the first backward() or grad()"
            )
        tensors = tuple([None if s is None else s.unpack(self) for s in self._saved])
        return widen(tensors) if self._widened else tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs ``forward`` modified in place; they must also be returned."""
        self._dirty = tensors
        for tensor in tensors:
            settle(tensor)

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether a missing output gradient arrives as zeros (default) or as ``None``."""
        self._materialize = value

    def take_total(self) -> Any:
        """Return the array of the gradient that the first argument has so far, or ``None``.

        For ``backward`` of a class with ``adds_up``. What it takes it may overwrite; it returns the
        sum of that and of its own gradient then, in place of the latter.
        """
        total, self._total = self._total, None
        return None if total is None else total.array

    # -- the node ---------------------------------------------------------------------------

    def _join_graph(self, edges: list[Edge | None], results: tuple[Any, ...]) -> None:
        """Become the maker of ``results``, whose gradients lead on along ``edges``."""
        self.edges = tuple(edges)
        if self._to_save:
            self._saved = save(self, self._to_save, results)
            self._to_save = ()
        metas = []
        for index, result in enumerate(results):
            array, device = held(result), result.device
            metas.append((array.shape, array.dtype, device))
            floating = device.backend.dtypes[array.dtype].is_floating_point
            if floating and (not self._non_differentiable or self.is_differentiable(result)):
                result._grad_fn, result._output_index = self, index
                result._requires_grad = True
        self.outputs_meta = tuple(metas)
        self._non_differentiable = ()  # a node must not hold its outputs

    def _join_in_place(
        self, edges: list[Edge | None], results: tuple[Any, ...], needed: bool
    ) -> None:
        """Become the maker of ``results``, some of which are arguments that were modified."""
        from .inplace import check_dirty, rebase  # in-place logic stands on top of this file

        dirty, self._dirty = self._dirty, ()
        check_dirty(type(self).__name__, dirty, results)
        if needed:
            self._join_graph(edges, results)
            for tensor in dirty:
                if tensor._view is not None:
                    rebase(tensor)

    def is_differentiable(self, output: Any) -> bool:
        """Return whether gradients flow to ``output``."""
        for tensor in self._non_differentiable:
            if output is tensor:
                return False
        return output.dtype.is_floating_point

    @classmethod
    def name(cls) -> str:
        """Return the name of the node, such as ``MulBackward``."""
        return f"{cls.__name__}Backward"

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    @property
    def next_functions(self) -> tuple[Edge, ...]:
        """The nodes (or leaf tensors) that receive this node's gradients, with output numbers."""
        return tuple((None, 0) if edge is None else edge for edge in self.edges)

    def free_saved(self) -> None:
        """Let go of what was saved, if no later backward pass is to find it.

        The engine does so after ``backward``. Who calls it in ``backward`` has the memory of what
        no variable holds for the gradients.
        """
        if not self.keeps_saved:
            self.release()

    def release(self) -> None:
        """Free what was saved; a later backward pass that needs it raises."""
        if self._saved:
            self._saved = None

    def tensor_hooks(self, index: int) -> dict[int, Callable[..., Any]]:
        """Return the hooks on output ``index``, to add to."""
        if self._tensor_hooks is None:
            self._tensor_hooks = {}
        return self._tensor_hooks.setdefault(index, {})

    def retain_grad(self, tensor: TensorBase) -> None:
        """Have the engine write the gradient of an output of this node into its ``.grad``."""
        if self._retained is None:
            self._retained = {}
        # Weak: a node that held its output would be a reference cycle.
        self._retained[tensor._output_index] = weakref.ref(tensor)

    def retains_grad(self, tensor: TensorBase) -> bool:
        """Return whether :meth:`retain_grad` was called for ``tensor``."""
        reference = (self._retained or {}).get(tensor._output_index)
        return reference is not None and reference() is tensor

    def register_hook(self, hook: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after ``backward``.

        A tuple that it returns replaces ``grad_inputs``.
        """
        if self._post_hooks is None:
            self._post_hooks = {}
        return RemovableHandle(self._post_hooks, hook)

    def register_prehook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before ``backward``; a result replaces its argument."""
        if self._pre_hooks is None:
            self._pre_hooks = {}
        return RemovableHandle(self._pre_hooks, hook)


def _two_step_forward(cls: type[Function], ctx: Any, *args: Any) -> Any:
    """Run a ``forward`` without ``ctx``, then ``setup_context``."""
    output = cls.forward(*args)
    cls.setup_context(ctx, args, output)
    return output


def _observed_forward(node: Function, forward: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run ``forward`` with every observer told before and after."""
    observers = state.observers
    for observer in observers:
        observer.before_forward(node, args)
    try:
        outputs = forward(node, *args)
    except Exception as error:
        for observer in observers:
            observer.on_error(node, args, error, False)
        raise
    for observer in reversed(observers):
        observer.after_forward(node, args, outputs)
    return outputs


def _checked_outputs(node: Function, outputs: Any) -> tuple[Any, ...]:
    """Return what ``forward`` returned as a tuple, or raise if it is no tuple of tensors."""
    if isinstance(outputs, list):
        outputs = tuple(outputs)
    if isinstance(outputs, tuple) and all(isinstance(o, TensorBase) for o in outputs):
        return outputs
    what = type(outputs).__name__
    if isinstance(outputs, tuple):
        what = "a tuple of " + ", ".join(type(o).__name__ for o in outputs)
    raise GradientError(
        f"{type(node).__name__}: forward must return a tensor or a tuple of tensors, got {what}"
    )


def _distinct(node: Function, args: tuple[Any, ...], outputs: Any) -> tuple[Any, Any]:
    """Give each input that is returned, and not modified, a tensor object of its own."""
    single = not isinstance(outputs, tuple)
    results = []
    for output in (outputs,) if single else outputs:
        is_input = any(output is arg for arg in args)
        if is_input and not any(output is tensor for tensor in node._dirty):
            twin = forbid_writing(output.alias(), "an input that a Function returned as it is")
            if any(output is tensor for tensor in node._non_differentiable):
                node._non_differentiable += (twin,)
            output = twin
        results.append(output)
    return tuple(results), results[0] if single else tuple(results)


def _raise_two_devices(cls: type[Function], args: tuple[Any, ...]) -> NoReturn:
    """Name the op, two arguments, and the device of each."""
    names = [p for p in inspect.signature(cls.forward).parameters if p != "ctx"]
    placed = []
    for position, arg in enumerate(args):
        if isinstance(arg, TensorBase):
            name = names[position] if position < len(names) else f"argument {position}"
            placed.append((name, arg.device))
    first = placed[0]
    other = next(p for p in placed if p[1] is not first[1])
    raise DeviceError(
        f"{cls.__name__.lower()}: '{first[0]}' is on {first[1]} but '{other[0]}' is on "
        f"{other[1]}; move one with .to({str(first[1])!r})"
    )
