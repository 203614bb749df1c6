"""Choosing between elements: by a mask, the larger or smaller of two, or into an interval.

Each result element is one of the operands' elements, so a gradient goes to whichever was chosen.
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function, TensorBase
from ...backend.dtypes import BOOL, promote
from ...backend.quiet import quiet
from ...errors import ArgumentError, DTypeError
from .._operands import (
    Number,
    cast,
    check_broadcast,
    check_not_bool,
    check_tensor,
    constant,
    default_dtype,
    is_number,
    operands,
    raw,
)


class Where(Function):
    """a where the mask is true, else b."""

    @staticmethod
    def forward(ctx: Any, mask: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(mask)
        return mask.wrap(quiet(mask.xp.where, mask.array, raw(a), raw(b)))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (mask,) = ctx.saved_tensors
        _, need_a, need_b = ctx.needs_input_grad
        return (
            None,
            Masked.apply(grad, mask) if need_a else None,
            Masked.apply(grad, mask.wrap(~mask.array)) if need_b else None,
        )


class Masked(Function):
    """x where the mask is true, else 0."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, mask: Any) -> Any:
        ctx.save_for_backward(mask)
        return x.wrap(x.device.backend.masked(x.array, mask.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Masked.apply(grad, *ctx.saved_tensors), None


def masked(x: Any, mask: Any) -> Any:
    """Return ``x`` where a bool array is true, else 0."""
    return Masked.apply(x, x.wrap(mask))


class Maximum(Function):
    """The larger of a and b, NaN if either is; a tie splits the gradient in half."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(a.xp.maximum(a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = (saved.array for saved in ctx.saved_tensors)
        grad = _halved(grad, a == b)
        return masked(grad, ~(a < b)), masked(grad, ~(b < a))


class Minimum(Function):
    """The smaller of a and b, NaN if either is; a tie splits the gradient in half."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(a.xp.minimum(a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = (saved.array for saved in ctx.saved_tensors)
        grad = _halved(grad, a == b)
        return masked(grad, ~(a > b)), masked(grad, ~(b > a))


def _halved(grad: Any, tie: Any) -> Any:
    return grad * (1 - constant(grad, tie) * 0.5) if grad.xp.any(tie) else grad


class Fmax(Function):
    """The larger of a and b, and where one is NaN the other; a takes ties."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        takes_a = (a.array >= b.array) | _is_nan(b)
        ctx.save_for_backward(a.wrap(takes_a))
        return a.wrap(a.xp.where(takes_a, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (takes_a,) = ctx.saved_tensors
        return Masked.apply(grad, takes_a), masked(grad, ~takes_a.array)


class Fmin(Fmax):
    """The smaller of a and b, and where one is NaN the other; a takes ties."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        takes_a = (a.array <= b.array) | _is_nan(b)
        ctx.save_for_backward(a.wrap(takes_a))
        return a.wrap(a.xp.where(takes_a, a.array, b.array))


def _is_nan(x: Any) -> Any:
    return x.array != x.array


class Clamp(Function):
    """min(max(x, low), high); the gradient goes to what the result equals, to x in a tie."""

    @staticmethod
    def forward(ctx: Any, x: Any, low: Any, high: Any) -> Any:
        ctx.save_for_backward(x, *(b if isinstance(b, TensorBase) else None for b in (low, high)))
        ctx.low, ctx.high = (None if isinstance(b, TensorBase) else b for b in (low, high))
        array, xp = x.array, x.xp
        if low is not None:
            array = quiet(xp.maximum, array, raw(low))
        if high is not None:
            array = quiet(xp.minimum, array, raw(high))
        return x.wrap(array)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, low, high = (raw(saved) for saved in ctx.saved_tensors)
        low = ctx.low if low is None else low
        high = ctx.high if high is None else high
        crossed = False if low is None or high is None else low > high
        need_x, need_low, need_high = ctx.needs_input_grad
        return (
            masked(grad, quiet(_inside, x, low, high)) if need_x else None,
            masked(grad, (x < low) & (crossed ^ True)) if need_low else None,
            masked(grad, (x > high) | crossed) if need_high else None,
        )


class AtLeast(Function):
    """max(x, low), with gradient 1 everywhere: what lies below can grow again."""

    @staticmethod
    def forward(ctx: Any, x: Any, low: float) -> Any:
        return x.clamp(min=low)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None


def _inside(x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Return ``input`` where ``condition`` is true and ``other`` elsewhere.

    Parameters
    ----------
    condition : Tensor
        Of bools.
    input, other : Tensor or number
        Shapes that broadcast with each other and with ``condition``. Without both, the indices
        of the true elements are returned, ``condition.nonzero(as_tuple=True)``.

    Returns
    -------
    Tensor
        Broadcast shape; dtype by PyTorch's promotion of ``input`` and ``other``.

    Raises
    ------
    DTypeError
        If ``condition`` is not a bool tensor.
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([-1.0, 2.0])
    >>> tc.where(x > 0, x, 0)
    tensor([0., 2.])
    """
    if check_tensor("where", "condition", condition).dtype.kind != BOOL:
        raise DTypeError(
            f"where: condition must be a bool tensor, got {condition.dtype}; "
            "compare it, or convert it with .bool()"
        )
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if is_number(input) and is_number(other):
        input, other = _as_tensor(condition, input), _as_tensor(condition, other)
        dtype = promote(input.dtype, other.dtype)
        a, b = cast(input, dtype), cast(other, dtype)
    else:
        a, b = operands("where", input, other)
    for choice in (a, b):
        if isinstance(choice, TensorBase):
            check_broadcast("where", condition.array.shape, choice.array.shape)
    return Where.apply(condition, a, b)


def _as_tensor(like: Any, number: Number) -> Any:
    """Return a number as a 0-d tensor on the device of ``like``."""
    dtype = default_dtype().of(like.xp) if isinstance(number, float) else None
    return like.wrap(like.xp.asarray(number, dtype=dtype))


def _two_tensors(op: str, input: Any, other: Any) -> tuple[Any, Any]:
    check_tensor(op, "input", input)
    return operands(op, input, check_tensor(op, "other", other))


def maximum(input: Any, other: Any) -> Any:
    """Return the larger of two tensors, element by element; NaN if either is NaN.

    The gradient of a tie is split in half.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.maximum(tc.tensor([1.0, 5.0]), tc.tensor([3.0, 4.0]))
    tensor([3., 5.])
    """
    return Maximum.apply(*_two_tensors("maximum", input, other))


def minimum(input: Any, other: Any) -> Any:
    """Return the smaller of two tensors, element by element; NaN if either is NaN.

    The gradient of a tie is split in half.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.minimum(tc.tensor([1.0, 5.0]), tc.tensor([3.0, 4.0]))
    tensor([1., 4.])
    """
    return Minimum.apply(*_two_tensors("minimum", input, other))


def fmax(input: Any, other: Any) -> Any:
    """Return the larger of two tensors; where one is NaN, the other.

    The gradient of a tie goes to ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.fmax(tc.tensor([1.0, float("nan")]), tc.tensor([3.0, 4.0]))
    tensor([3., 4.])
    """
    return Fmax.apply(*_two_tensors("fmax", input, other))


def fmin(input: Any, other: Any) -> Any:
    """Return the smaller of two tensors; where one is NaN, the other.

    The gradient of a tie goes to ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.fmin(tc.tensor([1.0, float("nan")]), tc.tensor([3.0, 4.0]))
    tensor([1., 4.])
    """
    return Fmin.apply(*_two_tensors("fmin", input, other))


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Return ``input`` moved into the interval ``[min, max]``.

    Parameters
    ----------
    input : Tensor
        Any shape.
    min, max : number or Tensor, optional
        Ends of the interval; one may be missing. Where ``min > max`` the result is ``max``.

    Returns
    -------
    Tensor
        Broadcast shape; a float bound makes an integer input float. NaN stays NaN. The gradient
        is 1 inside the interval and at its ends, and 0 outside.

    Raises
    ------
    ArgumentError
        If both bounds are missing.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.clamp(tc.tensor([-2.0, 0.5, 3.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    check_tensor("clamp", "input", input)
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both")
    for bound in (min, max):  # twice: a float max may make the input float after min was checked
        if bound is not None:
            input = operands("clamp", input, bound)[0]
    low = None if min is None else operands("clamp", input, min)[1]
    high = None if max is None else operands("clamp", input, max)[1]
    if isinstance(low, TensorBase) and isinstance(high, TensorBase):
        check_broadcast("clamp", low.array.shape, high.array.shape)
    check_not_bool("clamp", input)
    return Clamp.apply(input, low, high)


def clip(input: Any, min: Any = None, max: Any = None) -> Any:
    """Return ``input`` moved into ``[min, max]``; another name of :func:`clamp`."""
    return clamp(input, min, max)


def clamp_min(input: Any, min: Any) -> Any:
    """Return ``input`` where it is larger than ``min``, else ``min``; see :func:`clamp`."""
    return clamp(input, min)


def clamp_max(input: Any, max: Any) -> Any:
    """Return ``input`` where it is less than ``max``, else ``max``; see :func:`clamp`."""
    return clamp(input, max=max)
