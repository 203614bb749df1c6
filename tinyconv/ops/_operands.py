"""What every op does with its arguments first: check them, and bring them to a common dtype."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from .. import config
from ..autograd import TensorBase
from ..backend import DType, as_dtype
from ..backend.dtypes import INTEGER, bfloat16, float32, result_type, scalar_kind, wide, with_scalar
from ..errors import ArgumentError, DeviceError, DTypeError, IndexRangeError, ShapeError

Number = bool | int | float


def default_dtype() -> DType:
    """Return the dtype of new floating-point tensors."""
    return as_dtype(config.dtype.get())


def check_tensor(op: str, name: str, value: Any) -> Any:
    """Return ``value`` if it is a tensor, else raise ``DTypeError``."""
    if isinstance(value, TensorBase):
        if value.device.activate is not None:
            value.device.activate()
        return value
    raise DTypeError(
        f"{op}: argument '{name}' must be a Tensor, got {type(value).__name__}; "
        "make one with tinyconv.tensor(...)"
    )


def check_floating(op: str, name: str, value: Any) -> Any:
    """Return ``value`` if it is a floating-point tensor, else raise ``DTypeError``."""
    if isinstance(value, TensorBase) and value.dtype.is_floating_point:
        if value.device.activate is not None:
            value.device.activate()
        return value
    check_tensor(op, name, value)
    raise DTypeError(
        f"{op}: argument '{name}' must be floating point, got {value.dtype}; use .float()"
    )


def check_same_dtype(op: str, name: str, value: Any, input: Any) -> None:
    """Raise ``DTypeError`` if ``value`` is no tensor of the dtype of ``input``."""
    if check_tensor(op, name, value).dtype is not input.dtype:
        raise DTypeError(
            f"{op}: argument '{name}' is {value.dtype}, but input is {input.dtype}; use "
            f".to({input.dtype.name!r})"
        )


def cast(x: Any, dtype: DType) -> Any:
    """Return ``x`` in ``dtype``, differentiably; ``x`` itself if it is that already."""
    return x if x.dtype is dtype else x.to(dtype)


def cast_vector(vector: Any, dtype: DType) -> Any:
    """Return a weight or bias (or ``None``) as the kernels of normalisation take it.

    That is in the dtype of the input, but float32 beside half precision stays as it is.
    """
    if vector is None or vector.dtype is dtype:
        return vector
    if vector.dtype is float32 and wide(dtype) is float32:
        return vector
    return cast(vector, dtype)


def as_floating(op: str, x: Any, name: str = "input") -> Any:
    """Return ``x`` if it is floating point, else ``x`` in the default floating dtype."""
    x = check_tensor(op, name, x)
    return x if x.dtype.is_floating_point else x.to(default_dtype())


def precise(x: Any) -> Any:
    """Return the array of a tensor, in float32 for bfloat16: array libraries know that but partly.

    For results that are no bfloat16 numbers, such as comparisons and indices.
    """
    return x.xp.astype(x.array, x.xp.float32) if x.dtype is bfloat16 else x.array


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a Python or NumPy number (not an array)."""
    return isinstance(value, Number) or (
        getattr(value, "shape", None) == () and hasattr(value, "item") and
        not isinstance(value, TensorBase) and hasattr(value, "__float__")
    )  # fmt: skip


def operands(op: str, a: Any, b: Any, wraps: bool = True) -> tuple[Any, Any]:
    """Return the two operands of a binary op in the dtype PyTorch gives the result.

    A Python number stays a number, and never widens the dtype of the tensor beside it; an int
    too large for an integer tensor wraps around, unless ``wraps`` is false.
    """
    a_tensor, b_tensor = isinstance(a, TensorBase), isinstance(b, TensorBase)
    if (a_tensor or b_tensor) and (a if a_tensor else b).device.activate is not None:
        (a if a_tensor else b).device.activate()
    if a_tensor and b_tensor:
        if a.device is not b.device:
            check_same_device(op, a, b)
        if a.array.dtype != b.array.dtype:
            dtype = result_type(a.dtype, a.array.ndim == 0, b.dtype, b.array.ndim == 0)
            a, b = cast(a, dtype), cast(b, dtype)
        if a.array.shape != b.array.shape:
            check_broadcast(op, a.array.shape, b.array.shape)
        return a, b
    if a_tensor:
        return _beside(a, _number(op, "other", b), wraps)
    if b_tensor:
        b, a = _beside(b, _number(op, "input", a), wraps)
        return a, b
    check_tensor(op, "input", a)
    raise AssertionError("unreachable")


def _beside(x: Any, number: Number, wraps: bool) -> tuple[Any, Number]:
    """Return a tensor and a number with which its array library can compute."""
    dtype, kind = x.dtype, scalar_kind(number)
    if kind > dtype.kind:
        return x.to(with_scalar(dtype, number, default_dtype())), number
    if kind < dtype.kind:
        return x, (number if kind else int(number))
    if wraps and kind == INTEGER:
        bits, low = 8 * dtype.itemsize, -(1 << 8 * dtype.itemsize - 1) if dtype.is_signed else 0
        number = (int(number) - low) % (1 << bits) + low
    return x, number


def floating_operands(op: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Like :func:`operands`, with integer and bool tensors in the default floating dtype."""
    a, b = operands(op, a, b)
    if isinstance(a, TensorBase):
        a = as_floating(op, a)
    if isinstance(b, TensorBase):
        b = as_floating(op, b)
    return a, b


def as_tensors(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two operands of one dtype as tensors, where one of them is a number."""
    if not isinstance(a, TensorBase):
        a = b.wrap(b.xp.asarray(a, dtype=b.array.dtype))
    if not isinstance(b, TensorBase):
        b = a.wrap(a.xp.asarray(b, dtype=a.array.dtype))
    return a, b


def _number(op: str, name: str, value: Any) -> Number:
    if isinstance(value, Number):
        # numpy.float64 is a float, but beside a float32 array it would widen the result
        return value.item() if hasattr(value, "item") else value
    if is_number(value):
        return value.item()
    raise DTypeError(
        f"{op}: argument '{name}' must be a Tensor or a number, got {type(value).__name__}; "
        "make a tensor with tinyconv.tensor(...) or tinyconv.from_numpy(...)"
    )


def check_broadcast(op: str, a: Sequence[int], b: Sequence[int]) -> None:
    """Raise ``ShapeError`` if two shapes do not broadcast."""
    for axis, (m, n) in enumerate(zip(reversed(a), reversed(b), strict=False), start=1):
        if m != n and m != 1 and n != 1:
            raise ShapeError(
                f"{op}: shapes {tuple(a)} and {tuple(b)} do not broadcast: sizes {m} and {n} "
                f"at dimension -{axis} differ and neither is 1"
            )


def raw(operand: Any) -> Any:
    """Return the array of a tensor; a number as it is."""
    return operand.array if isinstance(operand, TensorBase) else operand


def new(a: Any, b: Any, array: Any) -> Any:
    """Wrap the result of a binary op whose operands may include one number."""
    return (a if isinstance(a, TensorBase) else b).wrap(array)


def keep(ctx: Any, a: Any, b: Any) -> None:
    """Save two operands for backward: tensors safely, a number or ``None`` as it is."""
    a_tensor, b_tensor = isinstance(a, TensorBase), isinstance(b, TensorBase)
    ctx.save_for_backward(a if a_tensor else None, b if b_tensor else None)
    if not (a_tensor and b_tensor):
        ctx.numbers = (None if a_tensor else a), (None if b_tensor else b)


def kept(ctx: Any) -> tuple[Any, Any]:
    """Return what :func:`keep` saved."""
    a, b = ctx.saved_tensors
    return (ctx.numbers[0] if a is None else a), (ctx.numbers[1] if b is None else b)


def zeros_like(x: Any) -> Any:
    """Return a tensor of zeros, without history, with the shape and dtype of ``x``."""
    return x.wrap(x.xp.zeros_like(x.array))


def constant(like: Any, array: Any) -> Any:
    """Return ``array`` as a tensor without history in the dtype of the tensor ``like``."""
    return like.wrap(like.xp.astype(array, like.array.dtype, copy=False))


def is_bool(value: Any) -> bool:
    """Return whether ``value`` is a bool tensor or a Python bool."""
    if isinstance(value, TensorBase):
        return bool(value.array.dtype == value.device.xp.bool)
    return isinstance(value, bool)


def check_not_bool(op: str, *values: Any, instead: str = "convert it with .int() first") -> None:
    """Raise ``DTypeError`` if one of the operands is a bool tensor."""
    for value in values:
        if isinstance(value, TensorBase) and value.array.dtype == value.device.xp.bool:
            raise DTypeError(f"{op}: bool tensors are not supported; {instead}")


def check_same_device(op: str, *values: Any) -> None:
    """Raise ``DeviceError`` if tensors live on different devices, before their dtypes meet."""
    devices = [value.device for value in values if isinstance(value, TensorBase)]
    for position, device in enumerate(devices):
        if device is not devices[0]:
            raise DeviceError(
                f"{op}: tensor argument 0 is on {devices[0]} but {position} is on {device}; "
                f"move one with .to({str(devices[0])!r})"
            )


def dimension(op: str, dim: int, ndim: int) -> int:
    """Return a dimension counted from the front; a 0-d tensor counts as having one.

    Raises
    ------
    IndexRangeError
        If ``dim`` is outside ``[-ndim, ndim)``.
    """
    try:
        dim = operator.index(dim)
    except TypeError:
        raise DTypeError(f"{op}: dim must be an int, got {type(dim).__name__}") from None
    size = max(ndim, 1)
    if not -size <= dim < size:
        raise IndexRangeError(
            f"{op}: dim={dim} is out of range for a tensor of {ndim} dimensions "
            f"(expected {-size} to {size - 1})"
        )
    return dim + size if dim < 0 else dim


def dimensions(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return dimensions counted from the front, sorted; ``None`` means all of them."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int):
        axis = dimension(op, dim, ndim)
        return (axis,) if ndim else ()
    dims = sorted(dimension(op, d, ndim) for d in dim)
    if len(set(dims)) != len(dims):
        raise ArgumentError(f"{op}: dim {tuple(dim)} names a dimension twice")
    return tuple(dims) if ndim else ()
