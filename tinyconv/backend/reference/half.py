"""Half precision in the reference kernels: compute in float32, round once at the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def _is_half(xp: Any, value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and xp.isdtype(dtype, "real floating") and xp.finfo(dtype).bits < 32


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a kernel compute in float32 where an argument is a half-precision array.

    A sum of a few thousand float16 products would lose most of its digits. Results come back in
    half precision. A kernel without such an argument is called as it is.
    """

    @wraps(function)
    def wrapper(xp: Any, *args: Any) -> Any:
        half = next((a.dtype for a in args if _is_half(xp, a)), None)
        if half is None:
            return function(xp, *args)
        wide = (xp.astype(a, xp.float32) if _is_half(xp, a) else a for a in args)
        result = function(xp, *wide)
        if isinstance(result, tuple):
            return tuple(xp.astype(part, half) for part in result)
        return xp.astype(result, half)

    return wrapper
