"""Watching ops run: what anomaly mode, the debug levels and the profiler are built on.

An observer is told of every op of its thread, forward and backward. Where none is installed an op
pays one look at an empty tuple.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .modes import state


class Observer:
    """Base of observers; a ``with`` block installs one in this thread.

    Examples
    --------
    >>> import tinyconv as tc
    >>> class Names(tc.autograd.Observer):
    ...     def after_forward(self, node, args, outputs):
    ...         print(type(node).__name__)
    >>> with Names():
    ...     y = tc.ones(2) + 1
    Add
    """

    #: Whether ``config.debug`` installed the observer.
    from_setting = False

    def before_forward(self, node: Any, args: tuple[Any, ...]) -> None:
        """Hear of a call of ``forward``, with the node to be and the arguments."""

    def after_forward(self, node: Any, args: tuple[Any, ...], outputs: Any) -> None:
        """Hear what ``forward`` returned."""

    def before_backward(self, node: Any, grads: Sequence[Any]) -> None:
        """Hear of a call of ``backward``, with the gradients of the outputs."""

    def after_backward(self, node: Any, grads: Sequence[Any], results: tuple[Any, ...]) -> None:
        """Hear the gradients of the arguments that ``backward`` returned."""

    def on_error(self, node: Any, args: Sequence[Any], error: Exception, in_backward: bool) -> None:
        """Hear, instead of a result, of an error raised in ``forward`` or ``backward``."""

    def __enter__(self) -> Any:
        install(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        uninstall(self)


def install(*observers: Observer) -> None:
    """Tell ``observers`` of the ops of this thread from now on."""
    _set(state.observers + observers)


def uninstall(*observers: Observer) -> None:
    """Tell ``observers`` no longer; one that is not installed is left out."""
    _set(tuple([o for o in state.observers if not any(o is gone for gone in observers)]))


def _set(observers: tuple[Any, ...]) -> None:
    if observers == type(state).observers:
        state.__dict__.pop("observers", None)  # so that the thread follows the default again
    else:
        state.observers = observers


def set_default(default: tuple[Observer, ...], own: tuple[Observer, ...]) -> None:
    """Replace the observers that came from a setting, not from a ``with`` block.

    Parameters
    ----------
    default : tuple
        For all threads.
    own : tuple
        For this thread, where the setting is overridden in it.
    """
    others = tuple([o for o in state.observers if not o.from_setting])
    type(state).observers = default
    _set((*own, *others))


class module_scope:
    """Names the module being called; ``nn.Module.__call__`` enters it if there are observers.

    Parameters
    ----------
    module : Module
        The module being called.
    """

    __slots__ = ("_before", "module")

    def __init__(self, module: Any) -> None:
        self.module = module

    def __enter__(self) -> None:
        self._before = state.module_stack
        state.module_stack = (*self._before, self.module)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        stack, state.module_stack = state.module_stack, self._before
        if isinstance(error, Exception):
            note(error, f"in module {module_path(stack)}")


def note(error: BaseException, text: str) -> None:
    """Add a line to an error's message, unless one of its kind (its first words) is there."""
    kind = text.split(" ", 2)[:2]
    if not any(n.split(" ", 2)[:2] == kind for n in getattr(error, "__notes__", ())):
        error.add_note(text)


def module_path(stack: tuple[Any, ...]) -> str:
    """Return the type of the outermost module and the name of the innermost within it.

    Returns
    -------
    str
        Such as ``"VGG.features.3"``; empty where no module is being called.
    """
    if not stack:
        return ""
    root, module = stack[0], stack[-1]
    name = next((n for n, m in root.named_modules() if m is module), None)
    if name is None:  # not registered as a submodule
        return " > ".join(type(m).__name__ for m in stack)
    return ".".join(filter(None, (type(root).__name__, name)))
