"""Functions of two or three tensors in one step: interpolation, scaled sums, angle and length."""

from __future__ import annotations

from typing import Any

from ..autograd import Function, TensorBase
from ..backend.quiet import quiet
from ..errors import DTypeError
from ._operands import check_floating, check_tensor, floating_operands, operands
from .arithmetic import add
from .comparison import lt
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
    check_tensor("atan2", "other", other)
    return Atan2.apply(*floating_operands("atan2", check_tensor("atan2", "input", input), other))


def hypot(input: Any, other: Any) -> Any:
    """Return the length of the hypotenuse, ``sqrt(input^2 + other^2)``; inputs as :func:`atan2`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.hypot(tc.tensor([3.0]), tc.tensor([4.0]))
    tensor([5.])
    """
    check_tensor("hypot", "other", other)
    return Hypot.apply(*floating_operands("hypot", check_tensor("hypot", "input", input), other))


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
