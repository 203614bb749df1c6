"""Changing the dtype or the device of a tensor, and leaving tensors for Python values.

Casts and moves are differentiable: a gradient comes back in the dtype and on the device of the
input.
"""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..autograd.pending import expose
from ..backend import Device, DType, as_device, as_dtype
from ..backend import cuda as gpu
from ..backend.dtypes import DTYPES, FLOATING, scalar_kind, with_scalar
from ..backend.dtypes import result_type as _result_type
from ..backend.quiet import quiet
from ..errors import ArgumentError, DeviceError, DTypeError, GradientError
from ._operands import TensorBase, check_tensor, default_dtype, is_number
from .shapes.memory import Clone, contiguous, preserve_format


def native_dtype(op: str, dtype: DType, device: Device) -> Any:
    """Return the array library's own dtype object, or raise ``DTypeError`` if it has none."""
    try:
        return dtype.of(device.xp)
    except AttributeError:
        raise DTypeError(f"{op}: device {str(device)!r} has no {dtype.name}") from None


class Cast(Function):
    """The same values in another dtype."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, dtype: DType) -> Any:
        return x.wrap(quiet(x.xp.astype, x.array, native_dtype("to", dtype, x.device)))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None  # the engine casts it to the dtype of x


class Move(Function):
    """The same values on another device."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, device: Device, non_blocking: bool) -> Any:
        ctx.device, ctx.non_blocking = x.device, non_blocking
        array = device.backend.from_backend(x.array, x.device.backend, non_blocking)
        return x.public_class(array, device)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad.to(ctx.device, non_blocking=ctx.non_blocking), None, None


class Pin(Function):
    """The same values in page-locked memory of the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.wrap(gpu.pinned(x.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad


def to(input: Any, *args: Any, **kwargs: Any) -> Any:
    """Return ``input`` with another dtype, on another device, or both.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    dtype : DType, optional
        New dtype. The arguments may be given as ``to(dtype)``, ``to(device)``,
        ``to(device, dtype)``, ``to(other)`` (a tensor to imitate), or by name.
    device : Device or str, optional
        New device.
    non_blocking : bool, default False
        Whether a copy from page-locked memory (:meth:`pin_memory`) to a GPU may go on while the
        program does; what is given to the GPU next waits for it. Other copies always wait.
    copy : bool, default False
        Return new memory even if nothing changes.
    memory_format : MemoryFormat, default ``tc.preserve_format``
        Order of the elements in memory; see :func:`contiguous`.

    Returns
    -------
    Tensor
        ``input`` itself where nothing changes and ``copy`` is false.

    Raises
    ------
    DTypeError, DeviceError
        If there is no such dtype or device.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.tensor([1, 2]).to(tc.float64)
    tensor([1., 2.], dtype=tinyconv.float64)
    """
    if len(args) == 1 and not kwargs and isinstance(args[0], DType):
        return input if input.dtype is args[0] else Cast.apply(input, args[0])
    memory_format = kwargs.pop("memory_format", preserve_format)
    device, dtype, non_blocking, copy = _target(args, **kwargs)
    result = check_tensor("to", "input", input)
    if device is not None and device is not input.device:
        result = Move.apply(result, device, non_blocking)
    if dtype is not None and dtype is not input.dtype:
        result = Cast.apply(result, dtype)
    if copy and result is input:
        result = Clone.apply(input)
    return result if memory_format is preserve_format else contiguous(result, memory_format)


def _target(
    args: tuple[Any, ...],
    device: Any = None,
    dtype: Any = None,
    other: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> tuple[Device | None, DType | None, bool, bool]:
    """Sort out the many forms of the arguments of :func:`to`."""
    flags = [arg for arg in args if isinstance(arg, bool)]  # non_blocking, copy
    for arg in args:
        if isinstance(arg, bool) or arg is None:
            continue
        if isinstance(arg, TensorBase):
            other = arg
        elif isinstance(arg, Device) or (isinstance(arg, str) and arg not in DTYPES):
            device = arg
        else:
            dtype = arg
    if other is not None:
        device, dtype = other.device, other.dtype
    return (
        None if device is None else as_device(device),
        None if dtype is None else as_dtype(dtype),
        flags[0] if flags else non_blocking,
        flags[1] if len(flags) > 1 else copy,
    )


def type_as(input: Any, other: Any) -> Any:
    """Return ``input`` in the dtype, and on the device, of ``other``."""
    return to(input, other)


def to_type(input: Any, dtype: Any = None) -> Any:
    """Return the name of the dtype, or ``input`` converted to ``dtype`` where one is given."""
    return repr(input.dtype) if dtype is None else to(input, as_dtype(dtype))


def cpu(input: Any) -> Any:
    """Return ``input`` on the CPU."""
    return to(input, "cpu")


def cuda(input: Any, device: Any = None, non_blocking: bool = False) -> Any:
    """Return ``input`` on a GPU: the current one, or the one of this number or name."""
    if isinstance(device, int):
        device = f"cuda:{device}"
    return to(input, "cuda" if device is None else device, non_blocking=non_blocking)


def pin_memory(input: Any) -> Any:
    """Return ``input`` in page-locked memory, which a GPU reads faster and on its own.

    Parameters
    ----------
    input : Tensor
        On the CPU.

    Returns
    -------
    Tensor
        ``input`` itself if its memory is page-locked already.

    Raises
    ------
    DeviceError
        If the tensor is not on the CPU, or there is no GPU to read the memory.
    """
    if input.device.type != "cpu":
        raise DeviceError(f"pin_memory: only memory of the CPU can be pinned, not {input.device}")
    return input if is_pinned(input) else Pin.apply(input)


def is_pinned(input: Any) -> bool:
    """Return whether the tensor lies in page-locked memory; false where there is no GPU."""
    return input.device.type == "cpu" and gpu.is_pinned(input.array)


def _caster(name: str, alias: str) -> Any:
    dtype = as_dtype(name)

    def convert(input: Any) -> Any:
        return input if input.dtype is dtype else Cast.apply(input, dtype)

    convert.__name__ = convert.__qualname__ = alias
    convert.__doc__ = f"Return ``input`` as {name}; ``input`` itself if it is that already."
    return convert


to_half = _caster("float16", "half")
to_bfloat16 = _caster("bfloat16", "bfloat16")
to_float = _caster("float32", "float")
to_double = _caster("float64", "double")
to_char = _caster("int8", "char")
to_short = _caster("int16", "short")
to_int = _caster("int32", "int")
to_long = _caster("int64", "long")
to_byte = _caster("uint8", "byte")
to_bool = _caster("bool", "bool")


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """Return the dtype that arithmetic on two tensors or numbers has.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.result_type(tc.tensor([1, 2]), 0.5)
    tinyconv.float32
    """
    for tensor, other in ((tensor1, tensor2), (tensor2, tensor1)):
        if isinstance(tensor, TensorBase) and is_number(other):
            return with_scalar(tensor.dtype, other, default_dtype())
    return _result_type(*_dtype_of(tensor1), *_dtype_of(tensor2))


def _dtype_of(value: Any) -> tuple[DType, bool]:
    """Return the dtype of a tensor or number, and whether it is of 0 dimensions."""
    if isinstance(value, TensorBase):
        return value.dtype, value.array.ndim == 0
    if not is_number(value):
        raise DTypeError(f"result_type: expected a tensor or a number, got {type(value).__name__}")
    kind = scalar_kind(value)
    return (default_dtype() if kind == FLOATING else as_dtype(("bool", "int64")[kind])), True


def item(input: Any) -> Any:
    """Return the only element as a Python number.

    Raises
    ------
    ArgumentError
        If there is not exactly one element.
    """
    if input.array.size != 1:
        raise ArgumentError(
            f"item: a tensor of {input.array.size} elements (shape {tuple(input.array.shape)}) "
            "cannot become one number; use .tolist(), or reduce it first"
        )
    return input.device.backend.to_host(input.array).item()


def tolist(input: Any) -> Any:
    """Return the elements as nested lists of Python numbers; a number for 0 dimensions."""
    return input.device.backend.to_host(input.array).tolist()


def to_numpy(input: Any, *, force: bool = False) -> Any:
    """Return a NumPy array on the same memory.

    Parameters
    ----------
    input : Tensor
        On the CPU, and not requiring gradients.
    force : bool, default False
        Detach and bring to the CPU where needed; the array may then be a copy.

    Raises
    ------
    GradientError
        If the tensor requires gradients.
    DeviceError
        If the tensor lives on a GPU.
    """
    if not force:
        if input._requires_grad:
            raise GradientError(
                "numpy: a tensor that requires gradients cannot become a NumPy array, because "
                "the graph would not see what happens to it; use .detach().numpy()"
            )
        if input.device.type == "cuda":
            raise DeviceError(f"numpy: the tensor is on {input.device}; use .cpu().numpy()")
    return input.device.backend.to_host(expose(input))
