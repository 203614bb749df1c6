"""Division with a whole quotient, and the remainders that go with it.

Dividing integers by zero raises; dividing floats by zero gives inf or NaN, as IEEE 754 says.
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...backend.dtypes import INTEGER
from ...backend.quiet import quiet
from ...errors import ArgumentError, DTypeError
from .._operands import as_tensors, check_not_bool, check_tensor, operands, zeros_like
from .arithmetic import true_divide


class FloorDivide(Function):
    """floor(a / b): a staircase, so its gradient is 0."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        return a.wrap(quiet(a.xp.floor_divide, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return zeros_like(grad), zeros_like(grad)


class TruncDivide(Function):
    """a / b rounded towards zero."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        return a.wrap(quiet(_trunc_divide, a.xp, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return zeros_like(grad), zeros_like(grad)


def _trunc_divide(xp: Any, a: Any, b: Any) -> Any:
    if xp.isdtype(a.dtype, "real floating"):
        return xp.trunc(a / b)
    floor = xp.floor_divide(a, b)
    too_low = ((a < 0) != (b < 0)) & (floor * b != a)
    return floor + xp.astype(too_low, a.dtype)


class Remainder(Function):
    """a - floor(a / b) * b: the sign is that of b."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(quiet(a.xp.remainder, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        return grad, -grad * FloorDivide.apply(a, b) if ctx.needs_input_grad[1] else None


class Fmod(Function):
    """a - trunc(a / b) * b: the sign is that of a."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(quiet(_fmod, a.xp, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        return grad, -grad * TruncDivide.apply(a, b) if ctx.needs_input_grad[1] else None


def _fmod(xp: Any, a: Any, b: Any) -> Any:
    size = xp.remainder(xp.abs(a), xp.abs(b))
    return xp.where(a < 0, -size, size)


def _dividend_and_divisor(op: str, input: Any, other: Any) -> tuple[Any, Any]:
    """Return both operands as tensors of one dtype, an integer divisor free of zeros."""
    a, b = operands(op, input, other)
    check_not_bool(op, a, b)
    a, b = as_tensors(a, b)
    if not b.dtype.is_floating_point and a.xp.any(b.array == 0):
        raise ArgumentError(
            f"{op}: an integer was divided by zero; convert with .float() to get inf or NaN"
        )
    return a, b


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Return ``input / other``, rounded as asked.

    Parameters
    ----------
    input, other : Tensor or number
        Shapes that broadcast; at least one is a tensor.
    rounding_mode : {None, "trunc", "floor"}
        ``None``: true division, and integers become the default float dtype. ``"trunc"``: round
        towards zero; ``"floor"``: round down. With both, integers stay integers, and the
        gradient is 0.

    Returns
    -------
    Tensor
        Broadcast shape.

    Raises
    ------
    ArgumentError
        If ``rounding_mode`` is something else, or integers are rounded after division by zero.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([-7, 7])
    >>> tc.div(x, 2), tc.div(x, 2, rounding_mode="floor"), tc.div(x, 2, rounding_mode="trunc")
    (tensor([-3.5000,  3.5000]), tensor([-4,  3]), tensor([-3,  3]))
    """
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return FloorDivide.apply(*_dividend_and_divisor("div", input, other))
    if rounding_mode == "trunc":
        return TruncDivide.apply(*_dividend_and_divisor("div", input, other))
    raise ArgumentError(
        f"div: rounding_mode={rounding_mode!r} is unknown; choose None, 'trunc' or 'floor'"
    )


def floor_divide(input: Any, other: Any) -> Any:
    """Return ``floor(input / other)``; same as ``div(..., rounding_mode="floor")``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.floor_divide(tc.tensor([-7, 7]), 2)
    tensor([-4,  3])
    """
    return FloorDivide.apply(*_dividend_and_divisor("floor_divide", input, other))


def remainder(input: Any, other: Any) -> Any:
    """Return what is left of ``input`` after division by ``other``, with the sign of ``other``.

    This is Python's ``%``. Dividing an integer by zero raises ``ArgumentError``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.remainder(tc.tensor([-7, 7]), 3)
    tensor([2, 1])
    """
    return Remainder.apply(*_dividend_and_divisor("remainder", input, other))


def fmod(input: Any, other: Any) -> Any:
    """Return what is left of ``input`` after division by ``other``, with the sign of ``input``.

    This is C's ``fmod``. Dividing an integer by zero raises ``ArgumentError``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.fmod(tc.tensor([-7, 7]), 3)
    tensor([-1,  1])
    """
    return Fmod.apply(*_dividend_and_divisor("fmod", input, other))


# -- common divisors and multiples --------------------------------------------------------------


def gcd(input: Any, other: Any) -> Any:
    """Return the greatest common divisor of two tensors of integers, never negative.

    Parameters
    ----------
    input, other : Tensor
        Integers; shapes that broadcast.

    Returns
    -------
    Tensor
        Broadcast shape; that of 0 and a number is the number's absolute value.

    Raises
    ------
    DTypeError
        If the inputs do not hold integers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.gcd(tc.tensor([12, -4, 0]), tc.tensor([18, 6, 5]))
    tensor([6, 2, 5])
    """
    a, b = _integers("gcd", input, other)
    return a.wrap(_gcd(a.xp, a.array, b.array))


def lcm(input: Any, other: Any) -> Any:
    """Return the least common multiple; that of 0 and a number is 0. Arguments as :func:`gcd`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.lcm(tc.tensor([4, 0]), tc.tensor([6, 5]))
    tensor([12,  0])
    """
    a, b = _integers("lcm", input, other)
    xp, divisor = a.xp, _gcd(a.xp, a.array, b.array)
    divisor = xp.where(divisor == 0, xp.ones_like(divisor), divisor)
    return a.wrap(xp.floor_divide(xp.abs(a.array), divisor) * xp.abs(b.array))


def _integers(op: str, input: Any, other: Any) -> tuple[Any, Any]:
    check_tensor(op, "other", other)
    a, b = operands(op, check_tensor(op, "input", input), other)
    if a.dtype.kind != INTEGER:
        raise DTypeError(f"{op}: needs integers, got {input.dtype} and {other.dtype}")
    return a, b


def _gcd(xp: Any, a: Any, b: Any) -> Any:
    """Return the greatest common divisors, by Euclid's algorithm for all elements at once."""
    a, b = xp.broadcast_arrays(xp.abs(a), xp.abs(b))
    while xp.any(b != 0):
        done = b == 0
        rest = xp.remainder(a, xp.where(done, xp.ones_like(b), b))
        a, b = xp.where(done, a, b), xp.where(done, b, rest)
    return a
