"""Sign, exponent and neighbours of floating-point numbers, and what to put for NaN and inf."""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...backend.dtypes import BOOL, finfo
from ...backend.quiet import quiet
from ...errors import DTypeError, GradientError
from .._operands import (
    as_tensors,
    cast,
    check_tensor,
    default_dtype,
    floating_operands,
    operands,
    zeros_like,
)
from .selection import Masked


class Copysign(Function):
    """|a| with the sign of b; the gradient at a = 0 is 0."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a.wrap(quiet(_sign_taken, a.xp, a.array, b.array)))
        return a.wrap(a.xp.copysign(a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (sign,) = ctx.saved_tensors
        return grad * sign, zeros_like(grad)


def _sign_taken(xp: Any, a: Any, b: Any) -> Any:
    """Return the derivative of copysign by a: whether the sign of b is that of a, as 1 or -1."""
    same = xp.where(xp.signbit(a) == xp.signbit(b), xp.ones_like(a), -xp.ones_like(a))
    return xp.where((a == 0) | xp.isnan(a), a, same)


class Nextafter(Function):
    """The number after a in the direction of b. It has no gradient, as in PyTorch."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        return a.wrap(quiet(a.xp.nextafter, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        raise GradientError("nextafter: the function has no derivative; detach its inputs")


class NanToNum(Function):
    """x with other numbers for NaN and infinities, where the gradient is 0."""

    @staticmethod
    def forward(ctx: Any, x: Any, nan: float, posinf: float, neginf: float) -> Any:
        xp, array = x.xp, x.array
        ctx.save_for_backward(x.wrap(xp.isfinite(array)))
        result = xp.where(xp.isnan(array), nan, array)
        result = xp.where(array == xp.inf, posinf, result)
        return x.wrap(xp.where(array == -xp.inf, neginf, result))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Masked.apply(grad, *ctx.saved_tensors), None, None, None


def copysign(input: Any, other: Any) -> Any:
    """Return the size of ``input`` with the sign of ``other``.

    Parameters
    ----------
    input : Tensor
        Any shape. Integers and bools become the default float dtype.
    other : Tensor or number
        Shape that broadcasts; the sign of -0 and of a NaN counts.

    Returns
    -------
    Tensor
        Broadcast shape.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.copysign(tc.tensor([1.0, -2.0]), -0.0)
    tensor([-1., -2.])
    """
    check_tensor("copysign", "input", input)
    return Copysign.apply(*as_tensors(*floating_operands("copysign", input, other)))


def signbit(input: Any) -> Any:
    """Return a bool tensor: whether the sign is minus, which for floats includes -0.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.signbit(tc.tensor([-1.0, -0.0, 0.0]))
    tensor([ True,  True, False])
    """
    array, xp = check_tensor("signbit", "input", input).array, input.xp
    if input.dtype.is_floating_point:
        return input.wrap(xp.signbit(array))
    if input.dtype.kind == BOOL:
        return input.wrap(xp.zeros_like(array))
    return input.wrap(array < 0)


def nextafter(input: Any, other: Any) -> Any:
    """Return the next number after ``input`` that its dtype holds, in the direction of ``other``.

    Parameters
    ----------
    input, other : Tensor
        Floating point; shapes that broadcast.

    Returns
    -------
    Tensor
        Broadcast shape.

    Raises
    ------
    DTypeError
        If the inputs are not floating point.
    GradientError
        In the backward pass: there is no gradient.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.nextafter(tc.tensor([1.0]), tc.tensor([2.0]))
    >>> x.item() - 1 == 2.0**-23
    True
    """
    check_tensor("nextafter", "other", other)
    a, b = operands("nextafter", check_tensor("nextafter", "input", input), other)
    if not a.dtype.is_floating_point:
        raise DTypeError(f"nextafter: needs floating-point tensors, got {a.dtype}; use .float()")
    return Nextafter.apply(a, b)


def ldexp(input: Any, other: Any) -> Any:
    """Return ``input * 2 ** other``.

    Parameters
    ----------
    input, other : Tensor
        Shapes that broadcast. Integers and bools become the default float dtype.

    Returns
    -------
    Tensor
        Broadcast shape; ``other`` is a float in PyTorch's promotion of the dtypes.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.ldexp(tc.tensor([1.0, 3.0]), tc.tensor([4, -1]))
    tensor([16.0000,  1.5000])
    """
    check_tensor("ldexp", "input", input)
    common = operands("ldexp", input, check_tensor("ldexp", "other", other))[0].dtype
    floating = common if common.is_floating_point else default_dtype()
    return cast(input, floating) * 2.0 ** cast(other, floating)


def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """Return ``input`` with numbers for NaN and the infinities.

    Parameters
    ----------
    input : Tensor
        Any shape; integers and bools are copied.
    nan : float, default 0
        For NaN.
    posinf, neginf : float, optional
        For inf and -inf; default is the largest and the smallest number of the dtype.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``. The gradient of what was replaced is 0.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nan_to_num(tc.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    if not check_tensor("nan_to_num", "input", input).dtype.is_floating_point:
        return input.clone()
    largest = finfo(input.dtype).max
    posinf = largest if posinf is None else float(posinf)
    neginf = -largest if neginf is None else float(neginf)
    return NanToNum.apply(input, 0.0 if nan is None else float(nan), posinf, neginf)
