"""Half precision in the reference kernels: compute in float32, round once at the end.

A sum of a few thousand float16 products would lose most of its digits, and bfloat16 has but 8 bits
of them. What array libraries make of bfloat16 is not even what they make of their own types (see
:class:`~tinyconv.backend.dtypes.BFloat16`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..dtypes import Half, bfloat16, float16

Kernel = Callable[..., Any]


def is_half(xp: Any, value: Any) -> bool:
    """Return whether ``value`` is an array of float16 or bfloat16."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or getattr(dtype, "itemsize", 2) != 2:
        return False
    single = getattr(xp, float16.name, None)
    return (single is not None and bool(dtype == single)) or is_bfloat16(xp, value)


def is_bfloat16(xp: Any, value: Any) -> bool:
    """Return whether ``value`` is an array of bfloat16."""
    native = bfloat16.native(xp) if Half.in_use else None
    return native is not None and getattr(value, "dtype", None) == native


def in_float32(kernel: Kernel | None = None, *, rounded: int | None = None) -> Any:
    """Make a kernel compute in float32 where an argument is a half-precision array.

    Float32 results come back in half precision. A kernel without such an argument is called as
    it is.

    Parameters
    ----------
    kernel : callable
        Its first argument is ``xp``. Without it, a decorator is returned.
    rounded : int, optional
        How many of its results are rounded; the others stay float32. Default all.
    """
    if kernel is None:
        return lambda kernel: in_float32(kernel, rounded=rounded)

    @wraps(kernel)
    def wrapper(xp: Any, *args: Any) -> Any:
        half = next((a.dtype for a in args if is_half(xp, a)), None)
        if half is None:
            return kernel(xp, *args)
        result = kernel(xp, *[_widened(xp, a) for a in args])
        if not isinstance(result, tuple):
            return _rounded(xp, result, half)
        return tuple(
            _rounded(xp, part, half) if rounded is None or i < rounded else part
            for i, part in enumerate(result)
        )

    wrapper.rounded = rounded  # type: ignore[attr-defined]
    return wrapper


def in_float32_from_now_on(kernel: Kernel, reference: Kernel) -> Kernel:
    """Make a kernel compute in float32 as its reference does, once half precision is in use.

    Until then a call costs next to nothing more.
    """
    widened = in_float32(kernel, rounded=getattr(reference, "rounded", None))

    @wraps(kernel)
    def wrapper(xp: Any, *args: Any) -> Any:
        return widened(xp, *args) if Half.in_use else kernel(xp, *args)

    return wrapper


def updates_in_float32(kernel: Kernel) -> Kernel:
    """Make a kernel that writes into lists of arrays compute in float32 where they are half.

    Such a kernel gets, after ``xp``, parameters, gradients, and lists of what is remembered of the
    parameters (or ``None``); it writes to all but the gradients.
    """

    @wraps(kernel)
    def wrapper(xp: Any, params: Any, grads: Any, *args: Any) -> None:
        if not any(is_half(xp, param) for param in params):
            kernel(xp, params, grads, *args)
            return
        for i, param in enumerate(params):  # one at a time: they may be of different dtypes
            own = [a[i : i + 1] if isinstance(a, list | tuple) else a for a in args]
            if not is_half(xp, param):
                kernel(xp, params[i : i + 1], grads[i : i + 1], *own)
                continue
            wide = [
                [xp.astype(a[0], xp.float32)] if isinstance(a, list | tuple) else a
                for a in ([param], grads[i : i + 1], *own)
            ]
            kernel(xp, *wide)
            for target, source in zip(([param], None, *own), wide, strict=True):
                if isinstance(target, list | tuple):
                    target[0][...] = xp.astype(source[0], target[0].dtype)

    return wrapper


def formula_in_float32(xp: Any, function: Callable[..., Any], operands: Any) -> Callable[..., Any]:
    """Return a formula that computes in float32, if an operand is a bfloat16 array.

    float16 is left to the array library, which knows it.
    """
    native = next((o.dtype for o in operands if is_bfloat16(xp, o)), None)
    if native is None:
        return function

    def widened(*operands: Any) -> Any:
        wide = [xp.astype(o, xp.float32) if is_bfloat16(xp, o) else o for o in operands]
        return _rounded(xp, function(*wide), native)

    return widened


def _widened(xp: Any, value: Any) -> Any:
    """Return an argument with the half-precision arrays in it, or in its tuples, as float32."""
    if is_half(xp, value):
        return xp.astype(value, xp.float32)
    if isinstance(value, tuple):
        parts = [_widened(xp, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def _rounded(xp: Any, result: Any, half: Any) -> Any:
    return xp.astype(result, half) if result.dtype == xp.float32 else result
