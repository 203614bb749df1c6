"""New tensors filled with a constant, or holding a sequence of numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from ...autograd.memory import out_of_memory
from ...backend import as_device, as_dtype
from ...backend.dtypes import scalar_kind
from ...backend.quiet import quiet
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import TensorBase, default_dtype
from ..casting import native_dtype
from .from_data import new_leaf


def sizes(op: str, args: Sequence[Any], size: Any = None) -> tuple[int, ...]:
    """Return the shape meant by ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``."""
    if size is not None:
        args = (size,)
    if len(args) == 1 and isinstance(args[0], Sequence):
        args = args[0]
    try:
        shape = tuple([operator.index(n) for n in args])
    except TypeError:
        raise DTypeError(f"{op}: sizes must be integers, got {tuple(args)}") from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"{op}: sizes must not be negative, got {shape}")
    return shape


def _constant(name: str, doc: str) -> Any:
    def create(
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **kwargs: Any,
    ) -> Any:
        shape = sizes(name, size, kwargs.pop("size", None))
        if kwargs:
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(kwargs))!r}")
        where = as_device(device)
        wanted = default_dtype() if dtype is None else as_dtype(dtype)
        make = getattr(where.xp, name)
        try:
            array = make(shape, dtype=native_dtype(name, wanted, where))
        except MemoryError as error:
            raise out_of_memory(name, error, where) from error
        return new_leaf(array, where, requires_grad)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = doc
    return create


_PARAMETERS = """

    Parameters
    ----------
    *size : int, or one sequence of int
        Shape; ``()`` gives a scalar.
    dtype : DType, optional
        Default: the default floating dtype (float32).
    device : Device or str, optional
        Default: the default device.
    requires_grad : bool, default False
        Whether gradients are wanted.

    Returns
    -------
    Tensor
    """

zeros = _constant("zeros", "Return a tensor of zeros." + _PARAMETERS)
ones = _constant("ones", "Return a tensor of ones." + _PARAMETERS)
empty = _constant("empty", "Return a tensor of unspecified contents." + _PARAMETERS)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return a tensor of shape ``size`` filled with a number.

    Parameters
    ----------
    size : int or sequence of int
        Shape.
    fill_value : number
        Bool, int or float; decides the dtype unless one is given (bool, int64, default dtype).
    dtype, device, requires_grad
        As for :func:`zeros`.

    Returns
    -------
    Tensor
    """
    where = as_device(device)
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()
    if dtype is None:
        kind = scalar_kind(fill_value)
        wanted = default_dtype() if kind == 2 else as_dtype(("bool", "int64")[kind])
    else:
        wanted = as_dtype(dtype)
    shape = sizes("full", (size,))
    if not wanted.is_floating_point:
        fill_value = bool(fill_value) if wanted.kind == 0 else int(fill_value)
    try:
        array = where.xp.full(shape, fill_value, dtype=native_dtype("full", wanted, where))
    except MemoryError as error:
        raise out_of_memory("full", error, where) from error
    return new_leaf(array, where, requires_grad)


def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return a number as a tensor of 0 dimensions, of the default dtype unless one is given."""
    dtype = default_dtype() if dtype is None else dtype
    return full((), s, dtype=dtype, device=device, requires_grad=requires_grad)


def _like(input: Any, dtype: Any, device: Any) -> tuple[Any, Any]:
    return (
        input.dtype if dtype is None else as_dtype(dtype),
        input.device if device is None else as_device(device),
    )


def zeros_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return zeros of the shape, dtype and device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return zeros(input.array.shape, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return ones of the shape, dtype and device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return ones(input.array.shape, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return unspecified contents in the shape, dtype and device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return empty(input.array.shape, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return ``fill_value`` in the shape, dtype and device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return full(
        input.array.shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad
    )


def new_full(
    input: Any,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return a tensor of shape ``size``, filled, in the dtype and on the device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return full(size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def new_zeros(input: Any, *size: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Any:
    """Return zeros of shape ``size`` in the dtype and on the device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return zeros(*size, dtype=dtype, device=device, **kwargs)


def new_ones(input: Any, *size: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Any:
    """Return ones of shape ``size`` in the dtype and on the device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return ones(*size, dtype=dtype, device=device, **kwargs)


def new_empty(input: Any, *size: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Any:
    """Return unspecified contents of shape ``size`` in the dtype and device of ``input``."""
    dtype, device = _like(input, dtype, device)
    return empty(*size, dtype=dtype, device=device, **kwargs)


# -- sequences ------------------------------------------------------------------------------


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return ``start, start + step, ...`` below ``end``; ``arange(end)`` starts at 0.

    Parameters
    ----------
    start, end, step : number
        ``step`` may be negative, but not 0.
    dtype : DType, optional
        Default: int64 if all three are ints, else the default dtype.
    device, requires_grad
        As for :func:`zeros`.

    Returns
    -------
    Tensor
        ``ceil((end - start) / step)`` elements, none if that is negative.

    Raises
    ------
    ArgumentError
        If ``step`` is 0.
    """
    if end is None:
        start, end = 0, start
    if step == 0:
        raise ArgumentError("arange: step must not be 0")
    integers = all(isinstance(number, int) for number in (start, end, step))
    wanted = as_dtype(dtype or ("int64" if integers else default_dtype()))
    where = as_device(device)
    native = native_dtype("arange", wanted, where)
    if integers:
        array = where.xp.astype(where.xp.arange(start, end, step, dtype=where.xp.int64), native)
    else:
        count = max(math.ceil((end - start) / step), 0)
        steps = where.xp.arange(count, dtype=where.xp.float64)
        array = where.xp.astype(float(start) + float(step) * steps, native)
    return new_leaf(array, where, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return ``steps`` numbers from ``start`` to ``end``, both included, evenly spaced."""
    where = as_device(device)
    wanted = default_dtype() if dtype is None else as_dtype(dtype)
    array = where.xp.linspace(float(start), float(end), steps, dtype=where.xp.float64)
    array = where.xp.astype(array, native_dtype("linspace", wanted, where))
    return new_leaf(array, where, requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return ``steps`` numbers from ``base**start`` to ``base**end``, evenly spaced in exponent."""
    where = as_device(device)
    wanted = default_dtype() if dtype is None else as_dtype(dtype)
    exponents = where.xp.linspace(float(start), float(end), steps, dtype=where.xp.float64)
    array = quiet(where.xp.pow, where.xp.full_like(exponents, float(base)), exponents)
    array = quiet(where.xp.astype, array, native_dtype("logspace", wanted, where))
    return new_leaf(array, where, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return an ``(n, m)`` matrix with ones on the diagonal; ``m`` defaults to ``n``."""
    where = as_device(device)
    wanted = default_dtype() if dtype is None else as_dtype(dtype)
    array = where.xp.eye(n, m, dtype=native_dtype("eye", wanted, where))
    return new_leaf(array, where, requires_grad)
