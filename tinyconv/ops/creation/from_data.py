"""New tensors from data: numbers, nested sequences, NumPy arrays, other libraries' arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autograd.pending import expose
from ...backend import Device, DType, as_device, as_dtype
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import TensorBase, default_dtype
from ..casting import native_dtype


def new_leaf(array: Any, device: Device, requires_grad: bool) -> Any:
    """Return a tensor that holds ``array``."""
    return TensorBase.public_class(array, device, requires_grad)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a new tensor with a copy of ``data``.

    Parameters
    ----------
    data : number, nested sequence, NumPy array or Tensor
        The elements.
    dtype : DType, optional
        Default: of an array its own; Python floats give the default dtype (float32), ints int64,
        bools bool.
    device : Device or str, optional
        Default: of a tensor its own, else the default device.
    requires_grad : bool, default False
        Whether gradients are wanted.

    Returns
    -------
    Tensor
        A leaf.

    Raises
    ------
    ShapeError
        If nested sequences have unequal lengths.
    DTypeError
        If the elements are not numbers, or of a dtype that tinyconv does not have.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    return _from_data("tensor", data, dtype, device, True, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """Return ``data`` as a tensor: itself or on the same memory where possible, else a copy."""
    if isinstance(data, TensorBase):
        return data.to(device=device, dtype=dtype)
    return _from_data("as_tensor", data, dtype, device, None, False)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Any:
    """Return ``obj`` as a tensor; ``copy`` true always copies, ``None`` only where needed.

    Raises
    ------
    ArgumentError
        If ``copy=False`` and a copy cannot be avoided.
    """
    if isinstance(obj, TensorBase):
        result = obj.to(device=device, dtype=dtype, copy=bool(copy))
        if copy is False and result is not obj:
            raise ArgumentError("asarray: copy=False, but another dtype or device needs a copy")
        return result.detach().requires_grad_(requires_grad) if requires_grad else result
    if copy is False and not hasattr(obj, "__array_interface__") and not _exports_dlpack(obj):
        raise ArgumentError(f"asarray: copy=False, but a {type(obj).__name__} has to be copied")
    return _from_data("asarray", obj, dtype, device, copy, requires_grad)


def from_numpy(ndarray: Any) -> Any:
    """Return a CPU tensor on the memory of a NumPy array: a change of one shows in the other.

    Raises
    ------
    DTypeError
        If the argument is not a NumPy array, or of a dtype that tinyconv does not have.
    """
    if not hasattr(ndarray, "__array_interface__"):
        raise DTypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}")
    return _from_data("from_numpy", ndarray, None, "cpu", None, False)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """Return a tensor on the memory of another library's array, through the DLPack protocol.

    Parameters
    ----------
    ext_tensor : object with ``__dlpack__``
        For example a PyTorch tensor or a CuPy array.
    device : Device or str, optional
        Where the tensor shall live; default is the CPU.
    copy : bool, optional
        True always copies; ``None`` only where needed.

    Raises
    ------
    DTypeError
        If the object does not speak DLPack, or has a dtype that tinyconv does not have.
    """
    if not _exports_dlpack(ext_tensor):
        raise DTypeError(f"from_dlpack: a {type(ext_tensor).__name__} has no __dlpack__")
    target = as_device("cpu" if device is None else device)
    array = target.xp.from_dlpack(ext_tensor)
    if copy:
        array = target.xp.asarray(array, copy=True)
    target.backend.dtype_of(array)  # raises for a dtype we do not have
    leaf = new_leaf(array, target, False)
    expose(leaf)
    return leaf


def _exports_dlpack(obj: Any) -> bool:
    return hasattr(obj, "__dlpack__") and hasattr(obj, "__dlpack_device__")


def _from_data(
    op: str, data: Any, dtype: Any, device: Any, copy: bool | None, requires_grad: bool
) -> Any:
    if isinstance(data, TensorBase):
        where = data.device if device is None else as_device(device)
        copied = data.detach().to(where, copy=bool(copy))
        copied = copied if dtype is None else copied.to(as_dtype(dtype))
        return new_leaf(copied.array, where, requires_grad)
    where = as_device(device)
    wanted = None if dtype is None else as_dtype(dtype)
    if _exports_dlpack(data) and not hasattr(data, "__array_interface__"):
        array = where.xp.asarray(where.xp.from_dlpack(data), copy=copy)
    else:
        array = _to_array(op, data, wanted, where, copy)
    found = where.backend.dtype_of(array)
    if wanted is None and not _carries_dtype(data):
        wanted = default_dtype() if found.is_floating_point else found
    if wanted is not None and wanted is not found:
        array = where.xp.astype(array, native_dtype(op, wanted, where))
    leaf = new_leaf(array, where, requires_grad)
    if not copy:
        expose(leaf)  # it may show the memory of ``data``
    return leaf


def _to_array(op: str, data: Any, dtype: DType | None, device: Device, copy: bool | None) -> Any:
    """Return an array with the contents of nested sequences or a NumPy array."""
    if isinstance(data, str | bytes):
        raise DTypeError(f"{op}: cannot make a tensor of a {type(data).__name__}")
    if isinstance(data, Sequence):
        data, copy = _plain(data), None
    try:
        return device.backend.asarray(data, dtype, copy)
    except OverflowError as error:
        raise ArgumentError(f"{op}: {error}") from None
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ShapeError(
                f"{op}: nested sequences must have equal lengths at each level"
            ) from None
        raise ArgumentError(f"{op}: {error}") from None
    except TypeError as error:
        raise DTypeError(
            f"{op}: cannot make a tensor of a {type(data).__name__}: {error}"
        ) from None


def _plain(data: Any) -> Any:
    """Return nested sequences with the tensors in them as lists."""
    if isinstance(data, TensorBase):
        return data.tolist()
    if isinstance(data, list | tuple) and data and not isinstance(data[0], int | float):
        return [_plain(element) for element in data]
    return data


def _carries_dtype(data: Any) -> bool:
    """Return whether the data says its dtype: an array, or sequences of arrays."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return hasattr(data, "dtype")


def new_tensor(
    input: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return a copy of ``data`` in the dtype and on the device of ``input``."""
    return tensor(
        data,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )
