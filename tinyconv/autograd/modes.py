"""Grad modes, and the other per-thread state of the graph."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from ..backend import DType

F = TypeVar("F", bound=Callable[..., Any])


class AutocastSetting(NamedTuple):
    """What autocast does with ops on one type of device."""

    device_type: str
    dtype: DType
    cache_enabled: bool


class _State(threading.local):
    """What differs between threads; class attributes are the values a new thread starts with."""

    grad_enabled = True
    inference = False
    #: Whether a checkpointed function is being called again.
    recomputing = False
    #: Objects told of every op: anomaly mode, profiler, debug checks (see ``observer.py``).
    observers: tuple[Any, ...] = ()
    #: What keeps a tensor for the backward pass, if not the default (see ``saved.py``).
    saving: Any = None
    #: Device types that autocast is enabled for, each with its setting; ``None`` where for none.
    autocast: dict[str, AutocastSetting] | None = None
    #: Autocast contexts around this place, and the weights cast inside the outermost one.
    autocast_depth = 0
    autocast_casts: dict[Any, tuple[Any, ...]]
    #: Modules being called, outermost first; kept only while an observer wants to name them.
    module_stack: tuple[Any, ...] = ()

    def __init__(self) -> None:
        self.autocast_casts = {}


state = _State()


class _Mode:
    """Base of the grad modes: a context manager, and a decorator that enters anew each call."""

    grad: bool

    def __init__(self) -> None:
        self._previous: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._previous.append((state.grad_enabled, state.inference))
        state.grad_enabled = self.grad and not state.inference

    def __exit__(self, *exc: Any) -> None:
        state.grad_enabled, state.inference = self._previous.pop()

    def _clone(self) -> _Mode:
        return type(self)()

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return self._decorate_generator(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._clone():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _decorate_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Put the mode in force while the generator runs, and the caller's while it waits."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with self._clone():
                generator = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(next, generator)
            try:
                while True:
                    try:
                        with self._clone():
                            value = step()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        step = functools.partial(generator.send, (yield value))
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        step = functools.partial(generator.throw, error)
            finally:
                with self._clone():
                    generator.close()

        return wrapped


class no_grad(_Mode):
    """Record no graph inside the block, or inside the decorated function.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.ones(2, requires_grad=True)
    >>> with tc.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    grad = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """Serve ``@no_grad`` without parentheses too."""
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()  # type: ignore[misc]
        return mode(function)


class enable_grad(no_grad):
    """Record the graph inside the block, also within :class:`no_grad`.

    Within :class:`inference_mode` nothing is recorded all the same.
    """

    grad = True


class inference_mode(_Mode):
    """Like :class:`no_grad`, and tensors made inside can never enter a graph.

    Parameters
    ----------
    mode : bool, default True
        ``False`` switches back to recording, also within another :class:`inference_mode`.
    """

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        """Serve ``@inference_mode`` without parentheses too."""
        self = super().__new__(cls)
        if not callable(mode):
            return self
        self.__init__()  # type: ignore[misc]
        return self(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = mode

    def __enter__(self) -> None:
        self._previous.append((state.grad_enabled, state.inference))
        state.grad_enabled, state.inference = not self.mode, self.mode

    def _clone(self) -> _Mode:
        return inference_mode(self.mode)


class set_grad_enabled(_Mode):
    """Turn recording on or off: at once when called, back again at the end of a ``with`` block.

    Parameters
    ----------
    mode : bool
        Whether to record the graph.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.grad = bool(mode)
        self._before = state.grad_enabled
        state.grad_enabled = self.grad and not state.inference

    def __enter__(self) -> None:
        """Entering changes nothing: the mode is in force since the call."""

    def __exit__(self, *exc: Any) -> None:
        state.grad_enabled = self._before

    def _clone(self) -> _Mode:
        return set_grad_enabled(self.grad)

    def __call__(self, function: F) -> F:
        """Decorate ``function``; the mode holds inside it only."""
        self.__exit__()
        return super().__call__(function)


def is_recomputing() -> bool:
    """Return whether a checkpointed function is being called again, in the backward pass.

    What a layer does besides its result, such as moving a running average, was done the first time.
    """
    return state.recomputing


def is_grad_enabled() -> bool:
    """Return whether ops in this thread record the graph."""
    return state.grad_enabled


def is_followed() -> bool:
    """Return whether somebody follows the ops of this thread: the graph, or an observer.

    Where nobody does, a backward may call kernels in place of ops.
    """
    return state.grad_enabled or bool(state.observers)


def is_inference_mode_enabled() -> bool:
    """Return whether this thread is inside :class:`inference_mode`."""
    return state.inference
