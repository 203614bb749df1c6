"""Data types: one object a type, the same on every backend, and PyTorch's promotion rules."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from .. import config
from ..errors import DTypeError, MissingDependencyError

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


class Half(DType):
    """A floating-point type of 16 bits, whose arithmetic needs care."""

    __slots__ = ()
    #: Whether one was asked for so far; before, nobody need look for half-precision arrays.
    in_use = False

    def of(self, xp: Any) -> Any:
        """Return the array library's own dtype object."""
        Half.in_use = True
        return super().of(xp)


class BFloat16(Half):
    """The upper half of a float32: its range, and 8 bits of its precision.

    NumPy and CuPy have no such type of their own; ``ml_dtypes``, which is imported when the type is
    first used, adds it to them. What they make of it is not what they make of their own types: a
    Python number beside it widens the result, a sum is rounded at every addition, and some
    functions refuse it. So ops are given float32 arrays in its place; see
    :attr:`tinyconv.autograd.Function.takes_bfloat16`.
    """

    __slots__ = ("_natives",)

    def __init__(self) -> None:
        super().__init__("bfloat16", FLOATING, 2)
        self._natives: dict[Any, Any] = {}

    def of(self, xp: Any) -> Any:
        """Return the array library's own dtype object.

        Raises
        ------
        AttributeError
            If the library cannot hold the type.
        MissingDependencyError
            If ``ml_dtypes`` is not installed.
        """
        found = self._natives.get(xp)
        if found is None:
            Half.in_use = True
            found = self._natives[xp] = _native_bfloat16(xp)
        return found

    def native(self, xp: Any) -> Any:
        """Return what :meth:`of` has returned for ``xp``, ``None`` if it was not called."""
        return self._natives.get(xp)


def _native_bfloat16(xp: Any) -> Any:
    own = getattr(xp, "bfloat16", None)
    if own is not None:
        return own
    try:
        from ml_dtypes import bfloat16 as native
    except ImportError:
        raise MissingDependencyError(
            "bfloat16 needs the package ml_dtypes; run `pip install ml_dtypes`"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):  # of a library to which it is strange
            return xp.empty((0,), dtype=native).dtype
    except (TypeError, ValueError) as error:
        raise AttributeError(f"{xp!r} has no bfloat16") from error


float16 = Half("float16", FLOATING, 2)
bfloat16 = BFloat16()
float32 = DType("float32", FLOATING, 4)
float64 = DType("float64", FLOATING, 8)
int8 = DType("int8", INTEGER, 1)
int16 = DType("int16", INTEGER, 2)
int32 = DType("int32", INTEGER, 4)
int64 = DType("int64", INTEGER, 8)
uint8 = DType("uint8", INTEGER, 1)
bool_ = DType("bool", BOOL, 1)

DTYPES = {
    t.name: t
    for t in (
        float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, bool_
    )
}  # fmt: skip
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


def wide(dtype: DType) -> DType:
    """Return the dtype to compute in where digits matter: float32 for half precision."""
    return float32 if isinstance(dtype, Half) else dtype


@cache
def promote(a: DType, b: DType) -> DType:
    """Return the smallest dtype that holds both, as PyTorch does (int64 with float16: float16).

    Of float16 and bfloat16 neither holds the other; together they are float32.
    """
    if a is b:
        return a
    if a.kind != b.kind:
        return a if a.kind > b.kind else b
    if a.itemsize == b.itemsize == 2 and a.is_floating_point:
        return float32
    if a.is_signed != b.is_signed:  # uint8 meets a signed integer
        signed = a if a.is_signed else b
        return int16 if signed is int8 else signed
    return a if a.itemsize > b.itemsize else b


def can_cast(from_: DType, to: DType) -> bool:
    """Return whether a value of one dtype may go into the other: not to a lower kind.

    Kinds are bool, integer and floating point; how many bits there are does not matter.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.can_cast(tc.float32, tc.int64), tc.can_cast(tc.float64, tc.float16)
    (False, True)
    """
    return as_dtype(from_).kind <= as_dtype(to).kind


class finfo:
    """Limits of a floating dtype.

    Parameters
    ----------
    type : DType, optional
        Default: the default floating dtype.

    Attributes
    ----------
    bits : int
        Size of a number.
    eps : float
        Distance from 1 to the next larger number.
    max, min : float
        Largest and smallest (most negative) finite number.
    tiny, smallest_normal : float
        Smallest positive number with all digits.
    resolution : float
        A power of ten: decimal digits that a number holds.
    dtype : str
        Name of the dtype.

    Raises
    ------
    DTypeError
        If the dtype is not floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.finfo(tc.float16).max
    65504.0
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: Any = None) -> None:
        dtype = as_dtype(config.dtype.get() if type is None else type)
        if not dtype.is_floating_point:
            raise DTypeError(f"finfo: {dtype} is not floating point; use iinfo")
        # Bits of the fraction, largest exponent, decimal digits (IEEE 754).
        fraction, exponent, digits = {
            "float16": (10, 15, 3), "bfloat16": (7, 127, 2), "float32": (23, 127, 6),
            "float64": (52, 1023, 15),
        }[dtype.name]  # fmt: skip
        self.dtype, self.bits, self.eps = dtype.name, 8 * dtype.itemsize, 2.0**-fraction
        self.max = (2 - self.eps) * 2.0**exponent
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0 ** (1 - exponent)
        self.resolution = float(f"1e-{digits}")

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        numbers = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({numbers}, dtype={self.dtype})"


class iinfo:
    """Limits of an integer dtype.

    Parameters
    ----------
    type : DType
        The dtype.

    Attributes
    ----------
    bits : int
        Size of a number.
    max, min : int
        Largest and smallest number.
    dtype : str
        Name of the dtype.

    Raises
    ------
    DTypeError
        If the dtype does not hold integers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.iinfo(tc.uint8).max
    255
    """

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: Any) -> None:
        dtype = as_dtype(type)
        if dtype.kind != INTEGER:
            raise DTypeError(f"iinfo: {dtype} does not hold integers; use finfo")
        self.dtype, self.bits = dtype.name, 8 * dtype.itemsize
        self.min = -(1 << self.bits - 1) if dtype.is_signed else 0
        self.max = self.min + (1 << self.bits) - 1

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


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
