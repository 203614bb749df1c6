"""A step of an optimizer that the device itself may leave out, and that it therefore counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

Kernel = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """What decides on the device about a step, so that the host need not wait for it.

    Attributes
    ----------
    found : array
        0-d float32; anything but 0, and the step changes nothing.
    steps : array
        0-d int64: the steps that were done. The kernel of a step that is done adds 1 first, and
        that is the number of its step.
    """

    found: Any
    steps: Any


def guarded(kernel: Kernel) -> Kernel:
    """Make a kernel of an optimizer obey its last argument, if that is a :class:`Guard`.

    Whatever the kernel has written is taken back if the step was to be left out. The kernel finds
    the number of its step in ``guard.steps``.
    """

    @wraps(kernel)
    def wrapper(xp: Any, *args: Any) -> None:
        guard = args[-1] if args else None
        if not isinstance(guard, Guard):
            kernel(xp, *args)
            return
        skip = guard.found != 0
        guard.steps[...] = guard.steps + xp.astype(~skip, guard.steps.dtype)
        written = [
            array
            for number, arrays in enumerate(args)
            if number != 1 and isinstance(arrays, list | tuple)  # all lists but the gradients
            for array in arrays
        ]
        before = [xp.asarray(array, copy=True) for array in written]
        kernel(xp, *args)
        for array, old in zip(written, before, strict=True):
            array[...] = xp.where(skip, old, array)

    return wrapper
