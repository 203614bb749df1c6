"""Data types: one object a type, the same on every backend, and PyTorch's promotion rules."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..errors import DTypeError

#: Kind of a dtype; a higher kind wins over a lower one when dtypes meet.
BOOL, INTEGER, FLOATING = 0, 1, 2


class DType:
    """A data type such as ``tc.float32``.

    Attributes
    ----------
    name : str
        Name in the array-API standard (``"float32"``).
    kind : int
        0 for bool, 1 for integers, 2 for floating point.
    itemsize : int
        Bytes of one element.
    """

    __slots__ = ("is_floating_point", "itemsize", "kind", "name")

    def __init__(self, name: str, kind: int, itemsize: int) -> None:
        self.name, self.kind, self.itemsize = name, kind, itemsize
        self.is_floating_point = kind == FLOATING

    def __repr__(self) -> str:
        return f"tinyconv.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (as_dtype, (self.name,))

    @property
    def is_signed(self) -> bool:
        """Whether the type holds negative numbers."""
        return self.name not in ("bool", "uint8")

    def of(self, xp: Any) -> Any:
        """Return the array library's own dtype object."""
        return getattr(xp, self.name)


float16 = DType("float16", FLOATING, 2)
float32 = DType("float32", FLOATING, 4)
float64 = DType("float64", FLOATING, 8)
int8 = DType("int8", INTEGER, 1)
int16 = DType("int16", INTEGER, 2)
int32 = DType("int32", INTEGER, 4)
int64 = DType("int64", INTEGER, 8)
uint8 = DType("uint8", INTEGER, 1)
bool_ = DType("bool", BOOL, 1)

DTYPES = {t.name: t for t in (float16, float32, float64, int8, int16, int32, int64, uint8, bool_)}
_PYTHON_TYPES = {bool: "bool", int: "int64", float: "float32"}
_ALIASES = {"half": "float16", "float": "float32", "double": "float64", "long": "int64"}


def as_dtype(dtype: Any) -> DType:
    """Return the :class:`DType` for a DType, a name, or an array library's dtype.

    Raises
    ------
    DTypeError
        If tinyconv has no such dtype.
    """
    if isinstance(dtype, DType):
        return dtype
    name = _PYTHON_TYPES.get(dtype) if isinstance(dtype, type) else None
    if name is None:
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = name.rpartition(".")[2].rstrip("_")
    found = DTYPES.get(_ALIASES.get(name, name))
    if found is None:
        raise DTypeError(f"dtype {dtype!r} is not supported; choose {', '.join(DTYPES)}")
    return found


@cache
def promote(a: DType, b: DType) -> DType:
    """Return the smallest dtype that holds both, as PyTorch does (int64 with float16: float16)."""
    if a is b:
        return a
    if a.kind != b.kind:
        return a if a.kind > b.kind else b
    if a.is_signed != b.is_signed:  # uint8 meets a signed integer
        signed = a if a.is_signed else b
        return int16 if signed is int8 else signed
    return a if a.itemsize > b.itemsize else b


@cache
def result_type(a: DType, a_is_0d: bool, b: DType, b_is_0d: bool) -> DType:
    """Promotion of two tensors: a 0-d tensor only matters if its kind is higher.

    So ``float32`` of shape (3,) with ``float64`` of shape () stays ``float32``, as in PyTorch.
    """
    if a_is_0d != b_is_0d:
        strong, weak = (b, a) if a_is_0d else (a, b)
        if weak.kind <= strong.kind:
            return strong
    return promote(a, b)


def scalar_kind(value: Any) -> int:
    """Return the kind of a Python scalar."""
    if isinstance(value, bool):
        return BOOL
    return INTEGER if isinstance(value, int) else FLOATING


def with_scalar(dtype: DType, value: Any, default: DType) -> DType:
    """Promotion of a tensor with a Python scalar: the scalar never widens within its kind."""
    kind = scalar_kind(value)
    if kind <= dtype.kind:
        return dtype
    return int64 if kind == INTEGER else default
