"""What a tensor is to Python, NumPy and other libraries, apart from the ops on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from . import ops
from .autograd import TensorBase
from .autograd.pending import expose
from .errors import ArgumentError, DTypeError, GradientError
from .formatting import format_tensor
from .ops._operands import check_tensor, dimension


class Size(tuple[int, ...]):
    """Shape of a tensor: a tuple of ints that knows its product."""

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"tinyconv.Size({list(self)})"


class TensorProtocols(TensorBase):
    """Attributes, conversions to Python values, the array protocols, printing and copying."""

    __slots__ = ()
    #: Makes ``numpy_array * tensor`` and ``numpy_scalar * tensor`` ask the tensor.
    __array_priority__ = 1000

    # -- attributes -------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return Size(self.array.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one dimension."""
        shape = self.shape
        return shape if dim is None else shape[dimension("size", dim, len(shape))]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.array.shape)

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(self.array.shape)

    ndimension = dim

    def numel(self) -> int:
        """Return the number of elements."""
        return math.prod(self.array.shape)

    nelement = numel

    def element_size(self) -> int:
        """Return the bytes of one element."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.dtype.itemsize * self.numel()

    def stride(self, dim: int | None = None) -> Any:
        """Return the step of each dimension in elements, or that of one dimension."""
        steps = ops.strides(self)
        return steps if dim is None else steps[dimension("stride", dim, len(steps))]

    def is_floating_point(self) -> bool:
        """Return whether the dtype is floating point."""
        return self.dtype.is_floating_point

    def is_signed(self) -> bool:
        """Return whether the dtype holds negative numbers."""
        return self.dtype.is_signed

    def is_nonzero(self) -> bool:
        """Return whether the only element is not 0."""
        return bool(self)

    def is_same_size(self, other: Any) -> bool:
        """Return whether ``other`` has the same shape."""
        return bool(self.shape == other.shape)

    @property
    def is_cpu(self) -> bool:
        """Whether the tensor is on the CPU."""
        return self.device.type == "cpu"

    @property
    def is_cuda(self) -> bool:
        """Whether the tensor is on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def data(self) -> Any:
        """The tensor without history, on the same memory; can be set to replace the contents.

        Unlike with :meth:`detach`, the graph does not notice what is written through it.
        """
        expose(self)
        other = self.alias()
        other._version = None if self._version is None else [0]
        return other

    @data.setter
    def data(self, value: Any) -> None:
        value = check_tensor("data", "value", value)
        self.array, self.device = value.array, value.device
        self._bump_version()

    # -- Python -----------------------------------------------------------------------------

    def __repr__(self) -> str:
        return format_tensor(self)

    def __format__(self, spec: str) -> str:
        if spec and self.ndim == 0:
            return format(self.item(), spec)
        return format(str(self), spec)

    #: By identity. It is Python's own, no method, as the engine keeps tensors in dicts.
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ArgumentError(
                f"bool: the truth of a tensor of shape {tuple(self.array.shape)} is ambiguous; "
                "use .any() or .all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self.numel() != 1:
            raise DTypeError(
                "only an integer tensor of one element can be an index, this one is "
                f"{self.dtype} of shape {tuple(self.array.shape)}"
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self.array.shape:
            raise DTypeError("len: a tensor of 0 dimensions has no length")
        return int(self.array.shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self.array.shape:
            raise DTypeError("iter: a tensor of 0 dimensions cannot be iterated over")
        return iter(ops.unbind(self))

    def __contains__(self, element: Any) -> bool:
        return bool(ops.any(ops.eq(self, element)))

    # -- arrays of other libraries ----------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = ops.to_numpy(self)
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"{self.dtype} cannot become {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        if self.requires_grad:
            raise GradientError(
                "dlpack: a tensor that requires gradients cannot be exported; use .detach()"
            )
        return expose(self).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[Any, int]:
        return self.array.__dlpack_device__()

    # -- copies -----------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        self._check_leaf("deepcopy")
        array = self.xp.asarray(self.array, copy=True)
        other = _rebuild(type(self), array, self.device, self.requires_grad, {})
        memo[id(self)] = other
        other.grad = deepcopy(self.grad, memo)
        if hasattr(other, "__dict__"):
            vars(other).update(deepcopy(vars(self), memo))
        return other

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        self._check_leaf("pickle")
        host = self.device.backend.to_host(self.array)
        state = vars(self) if hasattr(self, "__dict__") else {}
        return _load, (type(self), host, self.device, self.requires_grad, state)

    def _check_leaf(self, what: str) -> None:
        """Raise for a computed tensor: a copy of it would need a copy of its whole graph."""
        if self.grad_fn is not None:
            raise GradientError(
                f"{what}: only a leaf can be copied, this tensor of shape "
                f"{tuple(self.array.shape)} was computed; use .detach() or .clone()"
            )


def _rebuild(
    cls: type[Any], array: Any, device: Any, requires_grad: bool, state: dict[str, Any]
) -> Any:
    """Return a leaf of class ``cls``, whatever arguments its ``__init__`` takes."""
    tensor: Any = object.__new__(cls)
    TensorBase.__init__(tensor, array, device, requires_grad)
    if state:
        vars(tensor).update(state)
    return tensor


def _load(cls: type[Any], host: Any, device: Any, requires_grad: bool, state: Any) -> Any:
    """Return a tensor that another process sent."""
    return _rebuild(cls, device.backend.from_host(host), device, requires_grad, state)
