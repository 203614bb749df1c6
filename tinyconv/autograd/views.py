"""Which tensors share memory, and how to make a view anew from its base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import GradientError, InPlaceError
from .modes import state
from .pending import promise_of

if TYPE_CHECKING:
    from .function import Function

#: The view ops that lead from the base to a view, last first: (those before, op, arguments
#: after the first, number of the output).
Steps = tuple[Any, Any, tuple[Any, ...], int]


class View:
    """What a view knows of the tensor whose memory it shows.

    The base is never itself a view: a view of a view adds its step to those of the first. So a
    chain of views, however long, finds out in one look whether the base was modified.
    """

    __slots__ = ("base", "hides_grad", "made_from", "problem", "steps", "version")

    def __init__(
        self, base: Any, steps: Steps | None, problem: str | None = None, hides_grad: bool = False
    ) -> None:
        self.base, self.steps = base, steps
        #: Why a write would leave a wrong graph, if it would; and whether it always would, as the
        #: memory belongs to a tensor that requires gradients, although the view does not.
        self.problem, self.hides_grad = problem, hides_grad
        #: History and version of the base when the history of the view was made.
        self.made_from = None if base is None else base._grad_fn
        self.version = None if base is None else base._version[0]


def link_views(
    function: type[Function], args: tuple[Any, ...], results: tuple[Any, ...], recording: bool
) -> None:
    """Let results that share the memory of the first argument share its version and follow it."""
    source = args[0]
    shares_memory = source.device.backend.shares_memory
    for index, result in enumerate(results):
        if not shares_memory(result.array, source.array):
            continue
        result._version = source._version
        if source._version is None:
            continue
        parent = source._view
        if not recording:
            hides_grad = source._requires_grad or (parent is not None and parent.hides_grad)
            result._view = View(None, None, "a view made inside no_grad()", hides_grad)
        elif parent is None:
            result._view = View(source, (None, function, args[1:], index))
        elif parent.problem is not None:
            result._view = View(None, None, parent.problem, parent.hides_grad)
        else:
            result._view = View(parent.base, (parent.steps, function, args[1:], index))


def base_of(view: View) -> Any:
    """Return the base of a view, or ``None``.

    A base that got another shape in place is a view now; what it was before is its base, and the
    one that this view was made of.
    """
    if view.base is not None and view.base._view is not None:
        view.base = view.base._view.base
    return view.base


def forbid_writing(view: Any, what: str) -> Any:
    """Make an in-place op on ``view`` an error where the graph would come out wrong."""
    view._view = View(None, None, what)
    return view


def replay(steps: Steps | None, base: Any) -> Any:
    """Apply the view ops of ``steps`` to another base."""
    chain = []
    while steps is not None:
        chain.append(steps[1:])
        steps = steps[0]
    for function, args, index in reversed(chain):
        result = function.apply(base, *args)
        base = result[index] if isinstance(result, tuple) else result
    return base


def check_writable(op: str, x: Any, value_requires_grad: bool = False) -> None:
    """Raise if the memory of ``x`` is read-only, or an in-place op would leave a wrong graph."""
    if promise_of(x) is None and not x.device.backend.is_writable(x.array):
        raise InPlaceError(
            f"{op}: the memory of this tensor of shape {tuple(x.array.shape)} cannot be written: "
            "it is an expanded view, or came from a read-only array; clone() it first"
        )
    check_history(op, x, value_requires_grad)


def check_history(op: str, x: Any, value_requires_grad: bool = False) -> None:
    """Raise if an in-place op on ``x`` would leave a wrong graph."""
    if x._version is None and not state.inference:
        raise GradientError(
            f"{op}: a tensor made in inference mode cannot be modified outside of it; "
            "clone() it first"
        )
    if not state.grad_enabled:
        return
    needs_grad, view = x.requires_grad or value_requires_grad, x._view
    if x._requires_grad and x._grad_fn is None:
        _raise_leaf(op, "a leaf that requires gradients")
    if view is None:
        return
    base = base_of(view)
    if base is not None and base._requires_grad and base._grad_fn is None:
        _raise_leaf(op, "a view of a leaf that requires gradients")
    if view.problem is not None and (needs_grad or view.hides_grad):
        raise GradientError(
            f"{op}: {view.problem} cannot be modified in place while the graph is recorded; "
            "clone() it first"
        )


def _raise_leaf(op: str, what: str) -> None:
    raise GradientError(
        f"{op}: {what} cannot be modified in place; do it inside no_grad(), or on a clone()"
    )
