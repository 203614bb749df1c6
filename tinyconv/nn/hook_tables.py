"""The hooks of a module: where they are kept, and how they are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import RemovableHandle
from .tree import ModuleTree


class HookedTree(ModuleTree):
    """A tree of modules with hooks; the base of :class:`~tinyconv.nn.Module`."""

    _forward_pre_hooks: dict[int, tuple[Callable[..., Any], bool]]
    _forward_hooks: dict[int, tuple[Callable[..., Any], bool, bool]]
    _backward_pre_hooks: dict[int, Callable[..., Any]]
    _backward_hooks: dict[int, Callable[..., Any]]
    _state_dict_pre_hooks: dict[int, Callable[..., Any]]
    _state_dict_hooks: dict[int, Callable[..., Any]]
    _load_state_dict_pre_hooks: dict[int, Callable[..., Any]]
    _load_state_dict_post_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        super().__init__()
        self.__dict__.update(
            _forward_pre_hooks={},
            _forward_hooks={},
            _backward_pre_hooks={},
            _backward_hooks={},
            _state_dict_pre_hooks={},
            _state_dict_hooks={},
            _load_state_dict_pre_hooks={},
            _load_state_dict_post_hooks={},
        )

    # -- calls ------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every :meth:`forward`.

        Parameters
        ----------
        hook : callable
            What it returns, if not ``None``, replaces the positional arguments. With
            ``with_kwargs`` it is called as ``hook(module, args, kwargs)`` and returns both.
        prepend : bool, default False
            Call it before the hooks already there.
        with_kwargs : bool, default False
            Show the keyword arguments too.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook out again.
        """
        return RemovableHandle(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every :meth:`forward`.

        What the hook returns, if not ``None``, replaces the output. With ``with_kwargs`` it is
        called as ``hook(module, args, kwargs, output)``. With ``always_call`` it is also called,
        with the output ``None``, where a hook before it or ``forward`` raised an error; that
        error goes on afterwards, and one that the hook itself raises then is but warned of.
        """
        return RemovableHandle(self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before gradients go back through the module.

        ``grad_output`` is a tuple with one gradient (or ``None``) an output; a returned tuple
        replaces it.
        """
        return RemovableHandle(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients have gone through.

        ``grad_input`` has one gradient (or ``None``) a positional argument of the call; a
        returned tuple replaces it. The module returns a Tensor or a tuple of Tensors.
        """
        return RemovableHandle(self._backward_hooks, hook, prepend)

    # -- state ------------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module's state is collected."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after it was collected.

        The hook may change the dict in place; by then it has the state of the modules below, and
        of what came before this module. ``local_metadata`` is an empty dict: states carry none.
        """
        return RemovableHandle(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a hook before a state is loaded, parents first.

        It is called as ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)``. ``state_dict`` has the entries for this module and those
        below, whose names start with ``prefix``, and is a copy: the hook may rename them, say.
        It may append to the three lists; a message in ``error_msgs`` is an error.
        ``local_metadata`` is what PyTorch's state dicts carry about the module, else an empty dict.
        """
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after a state was loaded, children first.

        The hook may change the two lists of ``incompatible_keys`` in place: with ``strict``, what
        is left in them when all hooks are done is an error, and the module is then again as it
        was before.
        """
        return RemovableHandle(self._load_state_dict_post_hooks, hook)
