"""Decorators for the two halves of a ``Function`` that autocast concerns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ..autograd import TensorBase, autocast, get_autocast_dtype, is_autocast_enabled
from ..backend import as_dtype
from ..backend.dtypes import float64

F = Callable[..., Any]


def custom_fwd(fwd: F | None = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """Decorate the ``forward`` of a :class:`~tinyconv.autograd.Function` for autocast.

    Parameters
    ----------
    fwd : callable, optional
        ``forward(ctx, *args)``; without it a decorator is returned.
    device_type : str
        Type of device that the function is for.
    cast_inputs : DType, optional
        Where autocast is enabled: cast the floating-point tensors among the arguments that are on
        such a device, float64 excepted, to this dtype, and run ``forward`` with autocast off.
        Default: run it with autocast as it is.

    Examples
    --------
    >>> import tinyconv as tc
    >>> class Square(tc.autograd.Function):
    ...     @staticmethod
    ...     @tc.amp.custom_fwd(device_type="cpu", cast_inputs=tc.float32)
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     @tc.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> with tc.autocast("cpu"):
    ...     Square.apply(tc.ones(2, dtype=tc.float16)).dtype
    tinyconv.float32
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        enabled = is_autocast_enabled(device_type)
        ctx._autocast_dtype = get_autocast_dtype(device_type)
        ctx._autocast_enabled = enabled and cast_inputs is None
        if cast_inputs is None or not enabled:
            return fwd(ctx, *args, **kwargs)
        dtype = as_dtype(cast_inputs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, dtype), **_cast(kwargs, device_type, dtype))

    return decorated


def custom_bwd(bwd: F | None = None, *, device_type: str) -> Any:
    """Decorate the ``backward`` that belongs to a ``forward`` under :func:`custom_fwd`.

    It runs with autocast as ``forward`` did.
    """
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(ctx: Any, *args: Any) -> Any:
        with autocast(device_type, ctx._autocast_dtype, enabled=ctx._autocast_enabled):
            return bwd(ctx, *args)

    return decorated


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    if isinstance(value, TensorBase):
        eligible = value.device.type == device_type and value.dtype.is_floating_point
        return value.to(dtype) if eligible and value.dtype is not float64 else value
    if isinstance(value, Mapping):
        return {key: _cast(part, device_type, dtype) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_cast(part, device_type, dtype) for part in value)
    return value
