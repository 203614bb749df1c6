"""Trading compute for memory: forget what a stretch of the graph saved, and recompute it.

Chen, Xu, Zhang and Guestrin, "Training Deep Nets with Sublinear Memory Cost" (2016),
https://arxiv.org/abs/1604.06174
"""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..backend.generator import default_generator
from ..errors import ArgumentError, GradientError
from .modes import enable_grad, state
from .saved import SavedElsewhere, SavedInput, keep, saving
from .tensor_base import TensorBase


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function(*args, **kwargs)`` without keeping what its ops save for backward.

    The backward pass calls ``function`` once more, with the same random numbers, to get it back.
    So memory holds the intermediate results of one checkpointed function at a time, for the price
    of a second forward pass. All kinds of gradients work: ``backward``, ``grad``, higher
    derivatives; with ``retain_graph`` what was recomputed stays. Running averages of batch
    normalisation move once (in PyTorch, twice).

    Parameters
    ----------
    function : callable
        Any function of tensors, such as a module. It must do the same when called again.
    *args, **kwargs
        Its arguments.
    use_reentrant : bool, default False
        Accepted for PyTorch's sake; both values mean the same.
    preserve_rng_state : bool, default True
        Draw the same random numbers again. ``False`` saves nothing but a few instructions, and
        is right only for a function without randomness.

    Returns
    -------
    What ``function`` returns.

    Raises
    ------
    GradientError
        In the backward pass, if the second call saved other tensors than the first.
    InPlaceError
        In the backward pass, if an argument was modified since.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.ones(3, requires_grad=True)
    >>> y = tc.autograd.checkpoint(lambda x: (x * x).exp(), x)
    >>> y.sum().backward()
    >>> x.grad
    tensor([5.4366, 5.4366, 5.4366])
    """
    if not state.grad_enabled:
        return function(*args, **kwargs)
    segment = _Segment(function, args, kwargs, preserve_rng_state)
    try:
        with saving(segment.save):
            return function(*args, **kwargs)
    finally:
        segment.drop()


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
) -> Any:
    """Apply functions one after the other, in checkpointed segments.

    Parameters
    ----------
    functions : sequence of callables, or Sequential
        What to apply.
    segments : int
        Into how many parts to cut them; the last one is not checkpointed, because its backward
        pass comes first. About the square root of their number needs least memory.
    input : Tensor
        Argument of the first.
    use_reentrant, preserve_rng_state : bool
        As in :func:`checkpoint`.

    Returns
    -------
    What the last function returns.

    Raises
    ------
    ArgumentError
        If ``segments`` is not from 1 to the number of functions.
    """
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(len(functions), 1):
        raise ArgumentError(
            f"checkpoint_sequential: segments must be from 1 to {len(functions)}, the number of "
            f"functions, got {segments}"
        )
    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        part = functions[start : start + size]
        input = checkpoint(_chain(part), input, preserve_rng_state=preserve_rng_state)
    return _chain(functions[size * (segments - 1) :])(input)


def _chain(functions: Sequence[Callable[..., Any]]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return x

    return run


class _Segment:
    """One checkpointed call: what is needed to do it again, and who waits for the results."""

    created: Any = None

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        preserve_rng_state: bool,
    ) -> None:
        self.function = function
        # Inside another checkpoint that one may drop the arguments too, hence the outer saver.
        self.args = [_keep_argument(arg) for arg in args]
        self.kwargs = {name: _keep_argument(arg) for name, arg in kwargs.items()}
        self.random = default_generator().get_state() if preserve_rng_state else None
        self.context = contextvars.copy_context()  # settings, such as the default device
        self.autocast = state.autocast
        #: Saved tensors in the order of saving; weak, as a node that is gone needs nothing.
        self.dropped: list[Callable[[], _Dropped | None]] = []
        self.metas: list[tuple[Any, ...]] = []

    def name(self) -> str:
        """Return the name that errors about modified arguments start with."""
        return "checkpoint"

    def save(self, tensor: Any, index: int, differentiable: bool) -> Any:
        """Save a tensor of the first call until its end: it may differentiate inside."""
        self.metas.append(_meta(tensor))
        if _is_parameter(tensor, index):
            self.dropped.append(_nothing)
            return SavedInput(tensor)
        dropped = _Dropped(tensor, index, differentiable, self)
        self.dropped.append(weakref.ref(dropped))
        return dropped

    def drop(self) -> None:
        """Forget what the first call saved."""
        for reference in self.dropped:
            dropped = reference()
            if dropped is not None:
                dropped.tensor = None

    def recompute(self) -> None:
        """Call the function again, and hand what it saves to those who wait for it."""
        args = [_argument(arg, self) for arg in self.args]
        kwargs = {name: _argument(arg, self) for name, arg in self.kwargs.items()}
        saver = _Recomputing(self)
        # The copy of the context may be entered once at a time, so each recompute takes its own.
        self.context.copy().run(self._call_again, saver, args, kwargs)
        if saver.number != len(self.metas):
            _raise_differs(f"{saver.number} tensors where the first saved {len(self.metas)}")

    def _call_again(self, saver: _Recomputing, args: list[Any], kwargs: dict[str, Any]) -> None:
        generator = default_generator()
        before = generator.get_state()
        if self.random is not None:
            generator.set_state(self.random)
        outer, state.recomputing = state.recomputing, True
        # Weights are cast anew: those cast before may belong to a graph that is gone.
        autocast = state.autocast, state.autocast_casts
        state.autocast, state.autocast_casts = self.autocast, {}
        try:
            with enable_grad(), saving(saver.save):
                self.function(*args, **kwargs)
        finally:
            state.recomputing = outer
            state.autocast, state.autocast_casts = autocast
            if self.random is not None:
                generator.set_state(before)


class _Dropped(SavedElsewhere):
    """A tensor that was not kept; the first to be asked for has its whole segment recomputed."""

    __slots__ = ("segment", "tensor")
    tensor: Any

    def __init__(self, tensor: Any, index: int, differentiable: bool, segment: _Segment) -> None:
        super().__init__(tensor, index, differentiable)
        self.segment, self.tensor = segment, tensor.alias()

    @property
    def array(self) -> Any:
        """The array, once it was recomputed."""
        return None if self.tensor is None else self.tensor.array

    def fetch(self, node: Any) -> Any:
        if self.tensor is None:
            self.segment.recompute()
        return self.tensor


class _Recomputing:
    """Saves the tensors of a second call, and gives each to the one who dropped it."""

    def __init__(self, segment: _Segment) -> None:
        self.segment, self.number = segment, 0

    def save(self, tensor: Any, index: int, differentiable: bool) -> Any:
        number, segment = self.number, self.segment
        self.number += 1
        if number >= len(segment.metas):
            _raise_differs(f"more than the {len(segment.metas)} tensors of the first")
        if _meta(tensor) != segment.metas[number]:
            _raise_differs(
                f"a tensor of {_text(_meta(tensor))} where the first saved one of "
                f"{_text(segment.metas[number])}, as number {number}"
            )
        dropped = segment.dropped[number]()
        kept = tensor.alias()
        if dropped is not None:
            dropped.tensor = kept
        return keep(tensor, index, differentiable)


def _keep_argument(arg: Any) -> Any:
    """Save an argument of a checkpointed call the way the surroundings save tensors."""
    if isinstance(arg, TensorBase) and arg._version is not None:
        return (state.saving or keep)(arg, -1, False)
    return arg


def _argument(kept: Any, segment: _Segment) -> Any:
    return kept.unpack(segment) if isinstance(kept, SavedInput | SavedElsewhere) else kept


def _nothing() -> None:
    """Stand in for a weak reference to a saved tensor that nobody waits for."""


def _is_parameter(tensor: Any, index: int) -> bool:
    """Return whether a saved tensor is alive anyway: the graph holds leaves that want gradients."""
    return index < 0 and tensor._requires_grad and tensor.grad_fn is None


def _meta(tensor: Any) -> tuple[Any, ...]:
    return tuple(tensor.array.shape), tensor.dtype, tensor.device


def _text(meta: tuple[Any, ...]) -> str:
    return f"shape {meta[0]} and dtype {meta[1]}"


def _raise_differs(what: str) -> None:
    raise GradientError(
        f"checkpoint: called again in the backward pass, the function saved {what}. It must do "
        "the same each time: no dependence on counters, global state or random numbers other "
        "than tinyconv's"
    )
