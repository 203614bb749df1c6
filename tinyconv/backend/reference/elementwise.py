"""Functions of each element alone: the formula itself is the kernel. Copies, and other shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .half import formula_in_float32


def elementwise(xp: Any, function: Callable[..., Any], *operands: Any) -> Any:
    """Return ``function(*operands)``.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    function : callable
        Computes each element of its result from those of the operands at the same place, so that
        it may as well be called for parts of the arrays. It must not depend on context variables.
        It gets float32 in the place of bfloat16, and its float32 result is rounded then.
    *operands : array or number
        Shapes that broadcast; at least one is an array.
    """
    return formula_in_float32(xp, function, operands)(*operands)


def accumulate(xp: Any, total: Any, addend: Any) -> None:
    """Add an array to another of the same shape and dtype, in place."""
    total += addend


def copy(xp: Any, x: Any) -> Any:
    """Return an array of the same elements in memory of its own."""
    return xp.asarray(x, copy=True)


def reshape(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """Return the elements in row-major order in another shape: a view where memory allows one."""
    return xp.reshape(x, shape)
