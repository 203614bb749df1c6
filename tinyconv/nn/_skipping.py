"""Initial values left out, for modules that get others at once, or where they would be lost."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from ._computed import check_lasting


class _Skipping(threading.local):
    """Whether this thread is inside :func:`skipped`."""

    depth = 0


_skipping = _Skipping()
Initializer = TypeVar("Initializer", bound=Callable[..., Any])


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Let all functions of :mod:`tinyconv.nn.init` leave their tensor as it is; nothing is drawn.

    For layers that get other values at once; :func:`tinyconv.nn.utils.skip_init` makes one.
    """
    _skipping.depth += 1
    try:
        yield
    finally:
        _skipping.depth -= 1


def skippable(function: Initializer) -> Initializer:
    """Return a function of ``nn.init``, which does nothing inside :func:`skipped`.

    It raises ``ArgumentError`` for a tensor that a parametrization computes.
    """

    @functools.wraps(function)
    def initializer(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if _skipping.depth:
            return tensor
        check_lasting(function.__name__, tensor)
        return function(tensor, *args, **kwargs)

    return cast("Initializer", initializer)
