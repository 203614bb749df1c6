"""Functions of two or three tensors in one step: interpolation, angle and length, logarithms."""

from __future__ import annotations

from math import log
from typing import Any

from ...autograd import Function, TensorBase
from ...backend.dtypes import float64
from ...backend.quiet import quiet
from ...errors import DTypeError, GradientError
from .._operands import (
    as_tensors,
    check_floating,
    check_tensor,
    floating_operands,
    is_bool,
    operands,
)
from .arithmetic import add
from .arithmetic import pow as pow_
from .comparison import bitwise_or, lt
from .division import div
from .selection import where


class Atan2(Function):
    """The angle of the point (x, y): its gradient is (x, -y) / (x^2 + y^2), at the origin 0."""

    @staticmethod
    def forward(ctx: Any, y: Any, x: Any) -> Any:
        ctx.save_for_backward(y, x)
        return y.wrap(y.xp.atan2(y.array, x.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        y, x = ctx.saved_tensors
        squared = x * x + y * y
        scaled = grad / where(squared == 0, 1, squared)
        return scaled * x, -scaled * y


class Hypot(Function):
    """sqrt(a^2 + b^2) without overflow on the way."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        result = a.wrap(quiet(a.xp.hypot, a.array, b.array))
        ctx.save_for_backward(a, b, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b, result = ctx.saved_tensors
        return grad * (a / result), grad * (b / result)


class LogAddExp(Function):
    """log(exp(a) + exp(b)); the gradient is divided in the proportion of the exponentials."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(quiet(a.xp.logaddexp, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        return grad * (a - b).sigmoid(), grad * (b - a).sigmoid()


class LogAddExp2(Function):
    """log2(2^a + 2^b)."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(quiet(_log_add_exp2, a.xp, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        difference = (a - b) * log(2)
        return grad * difference.sigmoid(), grad * (-difference).sigmoid()


def _log_add_exp2(xp: Any, a: Any, b: Any) -> Any:
    more = xp.log1p(2.0 ** -xp.abs(a - b)) / log(2)
    return xp.maximum(a, b) + xp.where(a == b, xp.ones_like(more), more)  # inf - inf is NaN


class XLogY(Function):
    """a * log(b), and 0 where a is 0 and b any number."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(quiet(_x_log_y, a.xp, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        empty = (a == 0) & (b <= 0)
        by_a = where(empty, 0, grad * where(empty, 1, b).log()) if ctx.needs_input_grad[0] else None
        return by_a, grad * (a / b) if ctx.needs_input_grad[1] else None


def _x_log_y(xp: Any, a: Any, b: Any) -> Any:
    empty = (a == 0) & ~xp.isnan(b)
    return xp.where(empty, xp.zeros_like(a), a * xp.log(b))


class Heaviside(Function):
    """0, b or 1 where a is negative, zero or positive. It has no gradient, as in PyTorch."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        step = a.xp.astype(a.array > 0, b.array.dtype)
        return b.wrap(a.xp.where(a.array == 0, b.array, step))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        raise GradientError("heaviside: the function has no derivative; detach its input")


def atan2(input: Any, other: Any) -> Any:
    """Return the angle in radians, in [-pi, pi], of the points (``other``, ``input``).

    Parameters
    ----------
    input, other : Tensor
        y and x; shapes that broadcast. Integers become the default float dtype.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.atan2(tc.tensor([1.0, 0.0]), tc.tensor([0.0, -1.0]))
    tensor([1.5708, 3.1416])
    """
    return Atan2.apply(*_two("atan2", input, other))


def hypot(input: Any, other: Any) -> Any:
    """Return the length of the hypotenuse, ``sqrt(input^2 + other^2)``; inputs as :func:`atan2`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.hypot(tc.tensor([3.0]), tc.tensor([4.0]))
    tensor([5.])
    """
    return Hypot.apply(*_two("hypot", input, other))


def _two(op: str, input: Any, other: Any) -> tuple[Any, Any]:
    """Return two tensors in one floating dtype."""
    check_tensor(op, "other", other)
    return floating_operands(op, check_tensor(op, "input", input), other)


def logaddexp(input: Any, other: Any) -> Any:
    """Return ``log(exp(input) + exp(other))`` without overflow; inputs as :func:`atan2`.

    It is the sum of two probabilities that are given as logarithms.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.logaddexp(tc.tensor([1000.0]), tc.tensor([1000.0]))
    tensor([1000.6932])
    """
    return LogAddExp.apply(*_two("logaddexp", input, other))


def logaddexp2(input: Any, other: Any) -> Any:
    """Return ``log2(2 ** input + 2 ** other)`` without overflow; inputs as :func:`atan2`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.logaddexp2(tc.tensor([1000.0]), tc.tensor([1000.0]))
    tensor([1001.])
    """
    return LogAddExp2.apply(*_two("logaddexp2", input, other))


def xlogy(input: Any, other: Any) -> Any:
    """Return ``input * log(other)``, and 0 where ``input`` is 0, as entropies want it.

    Parameters
    ----------
    input, other : Tensor or number
        Shapes that broadcast; at least one is a tensor. Integers become the default float dtype.

    Returns
    -------
    Tensor
        Broadcast shape; NaN where ``other`` is NaN.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.xlogy(tc.tensor([0.0, 2.0]), tc.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    return XLogY.apply(*as_tensors(*floating_operands("xlogy", input, other)))


def heaviside(input: Any, values: Any) -> Any:
    """Return the step function: 0 below 0, 1 above, and ``values`` where ``input`` is 0.

    Parameters
    ----------
    input, values : Tensor
        One dtype; shapes that broadcast. NaN gives 0.

    Raises
    ------
    DTypeError
        If the dtypes differ.
    GradientError
        In the backward pass: there is no gradient.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.heaviside(tc.tensor([-1.5, 0.0, 2.0]), tc.tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    check_tensor("heaviside", "values", values)
    if check_tensor("heaviside", "input", input).dtype is not values.dtype:
        raise DTypeError(
            f"heaviside: input and values must have one dtype, got {input.dtype} and {values.dtype}"
        )
    a, b = operands("heaviside", input, values)
    if is_bool(a):
        return bitwise_or(a, b)
    return Heaviside.apply(a, b)


def float_power(input: Any, exponent: Any) -> Any:
    """Return ``input`` to the power ``exponent``, computed in float64.

    Parameters
    ----------
    input, exponent : Tensor or number
        Shapes that broadcast; at least one is a tensor.

    Returns
    -------
    Tensor
        Broadcast shape, float64.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.float_power(tc.tensor([2, 3]), -1)
    tensor([0.5000, 0.3333], dtype=tinyconv.float64)
    """
    a, b = (x.to(float64) if isinstance(x, TensorBase) else x for x in (input, exponent))
    return pow_(a, b)


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """Return ``input + weight * (end - input)``, and exactly ``end`` where the weight is 1.

    Parameters
    ----------
    input, end : Tensor
        Floating point; shapes that broadcast.
    weight : Tensor or number
        0 gives ``input``, 1 gives ``end``; others extrapolate.

    Raises
    ------
    DTypeError
        If ``input`` or ``end`` is not floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.lerp(tc.tensor([0.0, 2.0]), tc.tensor([1.0, 4.0]), 0.25)
    tensor([0.2500, 2.5000])
    """
    check_floating("lerp", "input", input)
    difference = check_floating("lerp", "end", end) - input
    if not isinstance(weight, TensorBase):
        near_start = weight < 0.5
        return input + difference * weight if near_start else end - difference * (1 - weight)
    check_floating("lerp", "weight", weight)
    return where(lt(weight, 0.5), input + weight * difference, end - (1 - weight) * difference)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """Return ``input + value * tensor1 * tensor2``.

    Parameters
    ----------
    input, tensor1, tensor2 : Tensor
        Shapes that broadcast.
    value : number, default 1
        Factor of the product.

    Examples
    --------
    >>> import tinyconv as tc
    >>> one = tc.tensor([1.0, 2.0])
    >>> tc.addcmul(one, one, one, value=10)
    tensor([11., 42.])
    """
    product = check_tensor("addcmul", "tensor1", tensor1) * tensor2
    return add(check_tensor("addcmul", "input", input), product, alpha=value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """Return ``input + value * tensor1 / tensor2``; arguments as :func:`addcmul`.

    Raises
    ------
    DTypeError
        If ``tensor1`` and ``tensor2`` are both integers: say which division is meant.
    """
    a, b = operands("addcdiv", check_tensor("addcdiv", "tensor1", tensor1), tensor2)
    if not a.dtype.is_floating_point:
        raise DTypeError(
            "addcdiv: tensor1 and tensor2 are integers; convert one with .float(), or use "
            "input + value * tinyconv.div(tensor1, tensor2, rounding_mode=...)"
        )
    return add(check_tensor("addcdiv", "input", input), div(a, b), alpha=value)
