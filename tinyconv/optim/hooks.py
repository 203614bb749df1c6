"""Hooks around the steps of an optimizer, and around its state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..autograd import RemovableHandle
from ..errors import DTypeError

Hook = Callable[..., Any]
#: Hooks around the steps of all optimizers.
_all_pre_hooks: dict[int, Hook] = {}
_all_post_hooks: dict[int, Hook] = {}


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before every step of every optimizer.

    As :meth:`Optimizer.register_step_pre_hook` of each of them, and before those.
    """
    return RemovableHandle(_all_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after every step of every optimizer."""
    return RemovableHandle(_all_post_hooks, hook)


class OptimizerHooks:
    """Tables of hooks; the base of :class:`~tinyconv.optim.Optimizer`."""

    def __init__(self) -> None:
        self._step_pre_hooks: dict[int, Hook] = {}
        self._step_post_hooks: dict[int, Hook] = {}
        self._state_dict_pre_hooks: dict[int, Hook] = {}
        self._state_dict_post_hooks: dict[int, Hook] = {}
        self._load_state_dict_pre_hooks: dict[int, Hook] = {}
        self._load_state_dict_post_hooks: dict[int, Hook] = {}
        self._inside_step = False

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step.

        ``args`` are the arguments of the step, the optimizer being the first. What the hook
        returns, if not ``None``, is a pair that replaces ``args`` and ``kwargs``.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook out again.
        """
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step.

        Examples
        --------
        >>> import tinyconv as tc
        >>> weight = tc.nn.Parameter(tc.ones(1))
        >>> optimizer = tc.optim.SGD([weight], lr=2.0)
        >>> handle = optimizer.register_step_post_hook(
        ...     lambda optimizer, args, kwargs: weight.detach().clamp_(min=0)
        ... )
        >>> weight.grad = tc.ones(1)
        >>> optimizer.step()
        >>> weight.item()
        0.0
        """
        return RemovableHandle(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before :meth:`state_dict` collects the state."""
        return RemovableHandle(self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` on what :meth:`state_dict` has collected.

        The hook may change the dict in place, or return another one.
        """
        return RemovableHandle(self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before :meth:`load_state_dict` takes it over.

        The hook gets a shallow copy; it may change that in place, or return another one.
        """
        return RemovableHandle(self._load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after :meth:`load_state_dict` has taken over a state."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook, prepend)


def with_step_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``step`` method that calls the hooks around itself.

    A step that calls that of its base class is one step.
    """

    @functools.wraps(step)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._inside_step or not (
            self._step_pre_hooks or self._step_post_hooks or _all_pre_hooks or _all_post_hooks
        ):
            return step(self, *args, **kwargs)
        everything: tuple[Any, ...] = (self, *args)
        self._inside_step = True
        try:
            for hook in [*_all_pre_hooks.values(), *self._step_pre_hooks.values()]:
                replaced = hook(self, everything, kwargs)
                if replaced is not None:
                    everything, kwargs = _arguments(self, replaced)
            result = step(*everything, **kwargs)
            for hook in [*self._step_post_hooks.values(), *_all_post_hooks.values()]:
                hook(self, everything, kwargs)
        finally:
            self._inside_step = False
        return result

    return hooked


def _arguments(optimizer: Any, replaced: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not isinstance(replaced, tuple) or len(replaced) != 2:
        raise DTypeError(
            f"{type(optimizer).__name__}: a hook before the step must return None or a tuple of "
            f"(args, kwargs), got {replaced!r}"
        )
    return replaced


def passed_through(hooks: dict[int, Hook], optimizer: Any, state_dict: Any) -> Any:
    """Return a state dict after some hooks, each of which may return another one."""
    for hook in list(hooks.values()):
        replaced = hook(optimizer, state_dict)
        if replaced is not None:
            state_dict = replaced
    return state_dict
