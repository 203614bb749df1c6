"""NumPy's floating-point warnings, kept from users: ``log(0)`` is -inf, as IEEE 754 has it.

``numpy.errstate`` around each operation would cost more than the operation on a small array.
NumPy keeps its error state in a context variable, so a context that has it switched off once
and for all does the same for a tenth of the time, and leaves the caller's own state alone.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("quiet", default=False)


class _QuietContext(threading.local):
    """A context of each thread in which NumPy warns of nothing; no two threads can share one."""

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        context.run(_inside.set, True)
        self.run = context.run


_context = _QuietContext()


def quiet(function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, computed without floating-point warnings.

    Parameters
    ----------
    function : callable
        Pure array code: context variables, and so the settings of ``config``, read as unset.
    *args
        Its arguments.

    Examples
    --------
    >>> import numpy as np
    >>> quiet(np.log, np.zeros(1))
    array([-inf])
    """
    if _inside.get():  # a context cannot be entered twice
        return function(*args)
    return _context.run(function, *args)
