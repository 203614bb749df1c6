"""Comparisons and logic, element by element. The results have no gradient."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import inf
from typing import Any

from ...autograd import TensorBase
from ...backend.dtypes import Half, bfloat16
from ...backend.quiet import quiet
from ...errors import DTypeError
from .._operands import (
    as_tensors,
    check_same_device,
    check_tensor,
    is_bool,
    new,
    operands,
    precise,
    raw,
)

Binary = Callable[[Any, Any], Any]
Unary = Callable[[Any], Any]

_COMPARISON = """Return whether ``input {sign} other``, element by element.

    Parameters
    ----------
    input, other : Tensor or number
        Shapes that broadcast; at least one is a tensor. Different dtypes are compared in the
        dtype that holds both. A comparison with NaN is false, except ``!=``.

    Returns
    -------
    Tensor
        Broadcast shape, bool.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    """


def _comparison(name: str, sign: str, compare: Binary) -> Binary:
    """Return the public function ``name`` for an operator of arrays."""

    def function(input: Any, other: Any) -> Any:
        a, b = operands(name, input, other, wraps=False)
        check_same_device(name, a, b)
        try:
            return new(a, b, quiet(compare, *_comparable(a, b)))
        except TypeError:  # the array-API standard does not order bools
            return new(a, b, compare(_integers(a), _integers(b)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _COMPARISON.format(sign=sign)
    return function


def _comparable(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the arrays of two operands; a number stays one, but is rounded beside bfloat16.

    Array libraries round a number themselves to the dtypes of their own.
    """
    if Half.in_use and bfloat16 in (getattr(a, "dtype", None), getattr(b, "dtype", None)):
        a, b = as_tensors(a, b)
    return raw(a), raw(b)


def _integers(operand: Any) -> Any:
    """Return the array of a bool tensor as uint8, a bool as an int; else raise again."""
    if not is_bool(operand):
        raise  # the TypeError being handled
    if isinstance(operand, TensorBase):
        return operand.xp.astype(operand.array, operand.xp.uint8)
    return int(operand)


eq = _comparison("eq", "==", operator.eq)
ne = _comparison("ne", "!=", operator.ne)
lt = _comparison("lt", "<", operator.lt)
le = _comparison("le", "<=", operator.le)
gt = _comparison("gt", ">", operator.gt)
ge = _comparison("ge", ">=", operator.ge)


def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Return whether ``|input - other| <= atol + rtol * |other|``, element by element.

    Parameters
    ----------
    input, other : Tensor
        Shapes that broadcast.
    rtol, atol : float
        Relative and absolute tolerance.
    equal_nan : bool, default False
        Count NaN as close to NaN. An infinity is close to itself only.

    Returns
    -------
    Tensor
        Broadcast shape, bool.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.isclose(tc.tensor([1.0, 2.0]), tc.tensor([1.000001, 2.1]))
    tensor([ True, False])
    """
    check_tensor("isclose", "input", input)
    a, b = operands("isclose", input, check_tensor("isclose", "other", other))
    check_same_device("isclose", a, b)
    return a.wrap(quiet(_is_close, a.xp, precise(a), precise(b), rtol, atol, equal_nan))


def _is_close(xp: Any, a: Any, b: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    if not xp.isdtype(a.dtype, "real floating"):
        a, b = xp.astype(a, xp.float64), xp.astype(b, xp.float64)
    close = (a == b) | (xp.isfinite(b) & (xp.abs(a - b) <= atol + rtol * xp.abs(b)))
    return close | (xp.isnan(a) & xp.isnan(b)) if equal_nan else close


def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Return whether all elements are close; arguments as :func:`isclose`."""
    close = isclose(input, other, rtol, atol, equal_nan)
    return bool(close.xp.all(close.array))


def equal(input: Any, other: Any) -> bool:
    """Return whether two tensors have the same shape and the same elements.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.equal(tc.tensor([1.0, 2.0]), tc.tensor([1.0, 2.0]))
    True
    """
    check_tensor("equal", "input", input)
    if input.array.shape != check_tensor("equal", "other", other).array.shape:
        return False
    return bool(input.xp.all(eq(input, other).array))


# -- kinds of floating-point numbers ------------------------------------------------------------


def _kind_test(name: str, meaning: str, otherwise: bool) -> Unary:
    """Return the public function ``name``; ``otherwise`` is its answer for integers and bools."""

    def function(input: Any) -> Any:
        array, xp = check_tensor(name, "input", input).array, input.xp
        if input.dtype.is_floating_point:
            return input.wrap(getattr(xp, name)(array))
        return input.wrap(xp.full_like(array, otherwise, dtype=xp.bool))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return a bool tensor: whether each element is {meaning}."
    return function


isnan = _kind_test("isnan", "NaN", otherwise=False)
isinf = _kind_test("isinf", "plus or minus infinity", otherwise=False)
isfinite = _kind_test("isfinite", "neither NaN nor infinite", otherwise=True)


def isposinf(input: Any) -> Any:
    """Return a bool tensor: whether each element is plus infinity."""
    return eq(check_tensor("isposinf", "input", input), inf)


def isneginf(input: Any) -> Any:
    """Return a bool tensor: whether each element is minus infinity."""
    return eq(check_tensor("isneginf", "input", input), -inf)


# -- logic and bits -----------------------------------------------------------------------------


def _mask(x: Any) -> Any:
    """Return the array of a tensor as bools: what is not 0 is true. A number as a bool."""
    if not isinstance(x, TensorBase):
        return bool(x)
    return x.array if is_bool(x) else x.array != 0


def _logical(name: str, words: str) -> Binary:
    def function(input: Any, other: Any) -> Any:
        a, b = operands(name, input, other, wraps=False)
        check_same_device(name, a, b)
        compute = getattr((a if isinstance(a, TensorBase) else b).xp, name)
        return new(a, b, compute(_mask(a), _mask(b)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Return a bool tensor: {words}, element by element.\n\n"
        "    Elements of any dtype count as true where they are not 0; shapes broadcast.\n    "
    )
    return function


logical_and = _logical("logical_and", "whether both are true")
logical_or = _logical("logical_or", "whether one or both are true")
logical_xor = _logical("logical_xor", "whether exactly one is true")


def logical_not(input: Any) -> Any:
    """Return a bool tensor: whether each element is 0 or false."""
    return check_tensor("logical_not", "input", input).wrap(input.xp.logical_not(_mask(input)))


def _bitwise(name: str, symbol: str, compute: Binary) -> Binary:
    def function(input: Any, other: Any) -> Any:
        a, b = operands(name, input, other)
        check_same_device(name, a, b)
        _check_bits(name, a if isinstance(a, TensorBase) else b)
        return new(a, b, compute(raw(a), raw(b)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Return ``input {symbol} other``, bit by bit; of bools, the logical operation.\n\n"
        "    Integer or bool tensors, or a tensor and a number; shapes broadcast. Floating-point\n"
        "    tensors raise ``DTypeError``.\n    "
    )
    return function


def _check_bits(op: str, x: Any) -> None:
    if x.dtype.is_floating_point:
        raise DTypeError(f"{op}: needs integers or bools, got {x.dtype}; compare it first")


bitwise_and = _bitwise("bitwise_and", "&", operator.and_)
bitwise_or = _bitwise("bitwise_or", "|", operator.or_)
bitwise_xor = _bitwise("bitwise_xor", "^", operator.xor)
bitwise_left_shift = _bitwise("bitwise_left_shift", "<<", operator.lshift)
bitwise_right_shift = _bitwise("bitwise_right_shift", ">>", operator.rshift)


def bitwise_not(input: Any) -> Any:
    """Return the bits of an integer tensor inverted; of a bool tensor, its logical not."""
    _check_bits("bitwise_not", check_tensor("bitwise_not", "input", input))
    return input.wrap(~input.array)
