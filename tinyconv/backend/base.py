"""The backend protocol: an array namespace, and kernels that may be overridden one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..errors import DTypeError
from .cpu.memory import is_sole
from .dtypes import DType, as_dtype
from .quiet import quietly
from .reference import KERNELS


class Backend:
    """An array library plus kernels; each kernel is an attribute, ``backend.conv(x, w, ...)``.

    A kernel takes and returns arrays and knows nothing about gradients. The reference kernels
    in :mod:`tinyconv.backend.reference` are plain array-API code, so they run on every array
    library; an override has the same signature and replaces one of them by something faster.

    Parameters
    ----------
    name : str
        Device type under which tensors find this backend.
    xp : namespace
        An array-API namespace (2024.12), such as ``numpy``.
    overrides : mapping or callable, optional
        Kernel by name, or a function from a name to a kernel or ``None``. A kernel's first
        argument is ``xp``.
    """

    #: Makes the device of the arrays the one that their library works on; ``None`` where there
    #: is but one.
    activate: Callable[[], None] | None = None

    def __init__(
        self,
        name: str,
        xp: Any,
        overrides: Mapping[str, Callable[..., Any]]
        | Callable[[str], Callable[..., Any] | None]
        | None = None,
    ) -> None:
        self.name, self.xp = name, xp
        self._overrides: Callable[[str], Callable[..., Any] | None] = (
            overrides if callable(overrides) else dict(overrides or {}).get
        )
        #: The :class:`~tinyconv.backend.dtypes.DType` for each of the array library's own.
        self.dtypes: Mapping[Any, DType] = _DTypes(xp)
        #: Whether launches of kernels can be recorded and repeated as one graph.
        self.records = False
        #: Whether convolutions of one tap normalise what they read, if they are given a prologue,
        #: so that a normalised map need not be in memory.
        self.normalises = False
        #: Whether convolutions find mean and variance of their results while they write them.
        self.measures = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Reached once a kernel: the bound kernel becomes an ordinary attribute.
        if name not in KERNELS:
            raise AttributeError(f"backend {self.__dict__.get('name')!r} has no kernel {name!r}")
        kernel = self.bind(self._overrides(name) or KERNELS[name])
        setattr(self, name, kernel)
        return kernel

    def bind(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """Return a kernel with its namespace, as it becomes an attribute."""
        # NaN and infinity pass through a kernel as IEEE 754 has it, without NumPy's warnings.
        return partial(quietly(kernel), self.xp)

    def at(self, index: int | None) -> Backend:
        """Return the backend in charge of device number ``index``; ``None`` is the current one."""
        return self

    def __repr__(self) -> str:
        return f"Backend({self.name!r}, {getattr(self.xp, '__name__', self.xp)})"

    def overridden(self) -> list[str]:
        """Return the names of the kernels that are not the reference ones."""
        return [name for name in KERNELS if self._overrides(name) is not None]

    def dtype_of(self, array: Any) -> DType:
        """Return the :class:`~tinyconv.backend.dtypes.DType` of an array."""
        return self.dtypes[array.dtype]

    def asarray(self, obj: Any, dtype: DType | None = None, copy: bool | None = None) -> Any:
        """Return an array of this library made from nested sequences, numbers or a host array."""
        if isinstance(obj, np.ndarray | np.generic):
            obj = np.asarray(obj, dtype=None if dtype is None else dtype.of(np))
            if not obj.dtype.isnative:
                obj = obj.astype(obj.dtype.newbyteorder("="))
            return self.from_host(obj, copy)
        native = None if dtype is None else dtype.of(self.xp)
        return self.xp.asarray(obj, dtype=native, copy=copy)

    def from_host(self, array: np.ndarray[Any, Any], copy: bool | None = None) -> Any:
        """Return this library's array with the contents of a NumPy array."""
        return self.xp.asarray(array, copy=copy)

    def from_backend(self, array: Any, source: Backend, non_blocking: bool = False) -> Any:
        """Return a copy of the array of another backend; a CPU always waits for it."""
        return self.from_host(source.to_host(array), copy=True)

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """Return a NumPy array with the contents of ``array``; shares memory where it can."""
        if isinstance(array, np.ndarray):
            return array
        try:
            return np.from_dlpack(array)
        except (AttributeError, TypeError, RuntimeError, BufferError) as error:
            raise DTypeError(f"{self!r} cannot bring an array to the host: {error}") from error

    def shares_memory(self, a: Any, b: Any) -> bool:
        """Return whether ``a`` is a view of the memory of ``b`` (or may be: a safe guess)."""
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            owner = b if b.base is None else b.base
            if a is owner or a.base is owner:
                return True
            return a.base is not None and _owner(a) is _owner(b)
        return True

    def memory_of(self, array: Any) -> Any:
        """Return what tells the memory of an array from that of others, as long as both live.

        Arrays with different answers never overlap, unless one of them is ``None``: nobody knows.
        """
        if isinstance(array, np.ndarray):
            return id(array if array.base is None else _owner(array))
        return None

    def may_overlap(self, a: Any, b: Any) -> bool:
        """Return whether a write to one array may change the other."""
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return np.may_share_memory(a, b)
        return self.shares_memory(a, b) or self.shares_memory(b, a)

    def owns_memory(self, array: Any) -> bool:
        """Return whether ``array`` is the sole, writable owner of its memory."""
        return isinstance(array, np.ndarray) and array.flags.writeable and is_sole(array)

    def is_writable(self, array: Any) -> bool:
        """Return whether ``array`` may be written to, as far as the array library knows."""
        return not isinstance(array, np.ndarray) or array.flags.writeable

    def windows(self, array: Any, axis: int, size: int, step: int) -> Any:
        """Return the windows along an axis, their elements along a new last axis.

        A view where the library lets one set strides, read-only where windows overlap; else new.
        """
        count = (array.shape[axis] - size) // step + 1
        if isinstance(array, np.ndarray):
            shape = (*array.shape[:axis], count, *array.shape[axis + 1 :], size)
            steps = list(array.strides)
            steps[axis] *= step
            return np.lib.stride_tricks.as_strided(
                array, shape, (*steps, array.strides[axis]),
                writeable=step >= size and array.flags.writeable,
            )  # fmt: skip
        before = (slice(None),) * axis
        taps = [
            array[(*before, slice(k, k + (count - 1) * step + 1, step), ...)] for k in range(size)
        ]
        if not taps:
            return self.xp.empty(
                (*array.shape[:axis], count, *array.shape[axis + 1 :], 0), dtype=array.dtype
            )
        return self.xp.stack(taps, axis=-1)

    def synchronize(self) -> None:
        """Wait until all work given to the device is done; a CPU has nothing to wait for."""


class _DTypes(dict[Any, DType]):
    """Data types by the array library's own, each found when it is first asked for."""

    def __init__(self, xp: Any) -> None:
        super().__init__()
        self._xp = xp

    def __missing__(self, native: Any) -> DType:
        found = self[native] = self._match(native)
        return found

    def _match(self, native: Any) -> DType:
        for name in ("float32", "float64", "int64", "bool", "uint8", "int32", "int16", "int8"):
            if getattr(self._xp, name) == native:
                return as_dtype(name)
        found = as_dtype(native)
        found.of(self._xp)  # so that halves are known to be in use
        return found


def _owner(array: Any) -> Any:
    """Return the first array of a chain of views.

    NumPy shortens the chain to one step, but not across memory that another library owns, nor
    across strides that were set by hand, where an object in between holds the array.
    """
    while True:
        base = array.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            return array
        array = base
