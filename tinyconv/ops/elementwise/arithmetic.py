"""Arithmetic of two tensors, or a tensor and a number: each op is its formula and its gradient.

Operands broadcast; the engine sums a gradient over the axes its operand was broadcast along.
"""

from __future__ import annotations

import operator
from typing import Any

from ...autograd import Function, TensorBase
from ...autograd.modes import is_followed
from ...errors import ArgumentError, DTypeError
from .._operands import (
    check_not_bool,
    check_tensor,
    floating_operands,
    is_bool,
    keep,
    kept,
    new,
    operands,
    raw,
)
from ._formulas import binary, formula, unary
from .selection import where


class Add(Function):
    """a + b; of two bools, a or b."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        try:
            return binary(operator.add, a, b)
        except TypeError:
            return _of_bools("logical_or", a, b)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, grad


class Sub(Function):
    """a - b."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        return binary(operator.sub, a, b)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, -grad if ctx.needs_input_grad[1] else None


class Mul(Function):
    """a * b; of two bools, a and b."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        need_a, need_b = ctx.needs_input_grad
        keep(ctx, a if need_b else None, b if need_a else None)
        try:
            return binary(operator.mul, a, b)
        except TypeError:
            return _of_bools("logical_and", a, b)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = kept(ctx)
        need_a, need_b = ctx.needs_input_grad
        times = operator.mul if is_followed() else _times
        return times(grad, b) if need_a else None, times(grad, a) if need_b else None


def _times(grad: Any, factor: Any) -> Any:
    """Return ``grad * factor``, without history, of operands that were made for each other."""
    return binary(operator.mul, grad, factor)


class Div(Function):
    """a / b."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        keep(ctx, a if ctx.needs_input_grad[1] else None, b)
        return binary(operator.truediv, a, b)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = kept(ctx)
        need_a, need_b = ctx.needs_input_grad
        return grad / b if need_a else None, _div_by_divisor(grad, a, b) if need_b else None


def _div_by_divisor(grad: Any, a: Any, b: Any) -> Any:
    """Return the gradient of a / b with respect to b."""
    return formula(lambda grad, a, b: -grad * (a / b / b), grad, a, b)


class Neg(Function):
    """-x."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return unary(operator.neg, x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return -grad


class Pow(Function):
    """a ** b. The derivatives of 0 ** b by 0, and by b where b >= 0, are 0 and not NaN."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        keep(ctx, a, b)
        try:
            return binary(operator.pow, a, b)
        except ValueError:
            raise ArgumentError(
                "pow: an integer cannot be raised to a negative integer power; "
                "convert the base with .float() first"
            ) from None

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = kept(ctx)
        need_a, need_b = ctx.needs_input_grad
        return (
            grad * _power_by_base(a, b) if need_a else None,
            grad * _power_by_exponent(a, b) if need_b else None,
        )


def _power_by_base(a: Any, b: Any) -> Any:
    """Return d(a ** b) / da."""
    if not isinstance(b, TensorBase):
        return b * a ** (b - 1) if b else 0.0
    undefined = (a == 0) & (b == 0)
    return b * a ** where(undefined, 0, b - 1)


def _power_by_exponent(a: Any, b: Any) -> Any:
    """Return d(a ** b) / db."""
    if not isinstance(a, TensorBase):
        a = b.wrap(b.xp.asarray(a, dtype=b.array.dtype))
    undefined = (a == 0) & (b >= 0)
    return a**b * where(undefined, 1, a).log()


def _of_bools(function: str, a: Any, b: Any) -> Any:
    """Combine bools, for which the array-API standard has no arithmetic; else raise again."""
    if not (is_bool(a) and is_bool(b)):
        raise  # the TypeError being handled
    xp = (a if isinstance(a, TensorBase) else b).xp
    return new(a, b, getattr(xp, function)(raw(a), raw(b)))


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return ``input + alpha * other``.

    Parameters
    ----------
    input, other : Tensor or number
        Shapes that broadcast; at least one is a tensor.
    alpha : number, default 1
        Factor of ``other``.

    Returns
    -------
    Tensor
        Broadcast shape; dtype by PyTorch's promotion: a number, or a 0-d tensor beside a larger
        one, never widens. The sum of bools is their logical or.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    DTypeError
        If an operand is neither a tensor nor a number, or ``alpha`` is a float and the operands
        are integers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.add(tc.tensor([1.0, 2.0]), 1)
    tensor([2., 3.])
    """
    if alpha != 1:
        return Add.apply(*_scaled("add", input, other, alpha))
    return Add.apply(*operands("add", input, other))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return ``input - alpha * other``; arguments and errors as :func:`add`, but no bools.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.sub(tc.tensor([1.0, 2.0]), tc.tensor([3.0, 3.0]), alpha=2)
    tensor([-5., -4.])
    """
    if is_bool(input) or is_bool(other):
        raise DTypeError(
            "sub: bool tensors cannot be subtracted; use ^ for the difference of two masks, "
            "or ~ to invert one"
        )
    if alpha != 1:
        return Sub.apply(*_scaled("sub", input, other, alpha))
    return Sub.apply(*operands("sub", input, other))


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return ``other - alpha * input``; see :func:`sub`."""
    return sub(other, input, alpha=alpha)


def _scaled(op: str, input: Any, other: Any, alpha: float) -> tuple[Any, Any]:
    """Return ``input`` and ``alpha * other`` in their common dtype."""
    a, b = operands(op, input, other)
    result = a if isinstance(a, TensorBase) else b
    if isinstance(alpha, float) and not result.dtype.is_floating_point:
        raise DTypeError(
            f"{op}: alpha={alpha} is a float, but the operands are {result.dtype}; "
            "use an int, or convert them with .float()"
        )
    return operands(op, a, bool(alpha) & b if is_bool(b) else b * alpha)


def mul(input: Any, other: Any) -> Any:
    """Return ``input * other``; of bools, their logical and.

    Parameters
    ----------
    input, other : Tensor or number
        Shapes that broadcast; at least one is a tensor.

    Returns
    -------
    Tensor
        Broadcast shape; dtype by PyTorch's promotion (see :func:`add`).

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.mul(tc.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    return Mul.apply(*operands("mul", input, other))


def true_divide(input: Any, other: Any) -> Any:
    """Return ``input / other``; integers and bools are converted to the default float dtype.

    Dividing by zero gives inf or NaN, as IEEE 754 says, and no warning.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.true_divide(tc.tensor([1, 2]), 2)
    tensor([0.5000, 1.0000])
    """
    return Div.apply(*floating_operands("div", input, other))


def neg(input: Any) -> Any:
    """Return ``-input``; a bool tensor raises ``DTypeError``."""
    check_not_bool("neg", check_tensor("neg", "input", input), instead="invert a mask with ~")
    return Neg.apply(input)


def pow(input: Any, exponent: Any) -> Any:
    """Return ``input`` to the power ``exponent``.

    Parameters
    ----------
    input, exponent : Tensor or number
        Shapes that broadcast; at least one is a tensor.

    Returns
    -------
    Tensor
        Broadcast shape; dtype by PyTorch's promotion (see :func:`add`). A negative base with a
        fractional exponent gives NaN.

    Raises
    ------
    ArgumentError
        If integers meet a negative integer exponent.
    DTypeError
        If both operands are bools.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.pow(tc.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    a, b = operands("pow", input, exponent)
    check_not_bool("pow", a, b)
    return Pow.apply(a, b)


def square(input: Any) -> Any:
    """Return ``input ** 2``, in the dtype of ``input`` (bool becomes int64).

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.square(tc.tensor([1, -2, 3]))
    tensor([1, 4, 9])
    """
    return pow(check_tensor("square", "input", input), 2)
