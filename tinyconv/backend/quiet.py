"""NumPy's floating-point warnings, kept from users: ``log(0)`` is -inf, as IEEE 754 has it.

``numpy.errstate`` around each operation would cost more than the operation on a small array: it
makes a new state each time. NumPy keeps its state in a context variable, so one that was made once
can be put there again and again, and leaves the caller's own state alone.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


class _ErrState:
    """The context variable of a NumPy that names it otherwise: it always gets the same value."""

    def set(self, value: None) -> Any:
        state = np.errstate(all="ignore")
        state.__enter__()
        return state

    def reset(self, state: Any) -> None:
        state.__exit__(None, None, None)


def _find(name: str) -> tuple[Any, Any]:
    """Return NumPy's context variable, and its value where all warnings are off."""
    with np.errstate(all="ignore"):
        context = contextvars.copy_context()
    found = ((variable, context[variable]) for variable in context if variable.name == name)
    return next(found, (_ErrState(), None))


_variable, _off = _find("numpy.ufunc.extobj")


def quiet(function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, computed without floating-point warnings.

    Parameters
    ----------
    function : callable
        Array code.
    *args
        Its arguments.

    Examples
    --------
    >>> import numpy as np
    >>> quiet(np.log, np.zeros(1))
    array([-inf])
    """
    before = _variable.set(_off)
    try:
        return function(*args)
    finally:
        _variable.reset(before)


def quietly(function: F) -> F:
    """Return a function that computes without floating-point warnings."""

    @wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        before = _variable.set(_off)
        try:
            return function(*args, **options)
        finally:
            _variable.reset(before)

    return wrapper  # type: ignore[return-value]
