"""Handles of hooks: what ``register_*`` returns, to take the hook back."""

from __future__ import annotations

import itertools
from typing import Any

_numbers = itertools.count()


class RemovableHandle:
    """Takes a registered hook out again; also usable in a ``with`` block.

    Parameters
    ----------
    hooks : dict
        The hooks by number, in the order of registration.
    hook : callable
        The hook to add.
    prepend : bool, default False
        Put the hook before those already there.
    """

    __slots__ = ("__weakref__", "_hooks", "id")

    def __init__(self, hooks: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self._hooks, self.id = hooks, next(_numbers)
        others = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[self.id] = hook
        hooks.update(others)

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()
