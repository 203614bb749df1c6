"""Activation functions of straight pieces: ReLU and its kin, with PyTorch's gradients at kinks.

``inplace=True`` writes the result into the input's memory and returns the input; a leaf that
requires gradients then raises ``GradientError``.
"""

from __future__ import annotations

import operator
from math import inf
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...autograd import inplace as in_place
from ...autograd.pending import Promise, defer, promise_of
from ...backend.dtypes import BOOL
from ...backend.generator import Generator, default_generator
from ...backend.quiet import quiet
from ...backend.random import Stream
from ...backend.reference.activation import RELU, Limits
from ...errors import ArgumentError, ShapeError
from .._operands import check_floating, check_not_bool, check_tensor, constant
from ..elementwise.arithmetic import Mul
from ..elementwise.selection import Masked, where
from ..masks import masked_gradient

#: To what the activations clip that other ops can apply to their results in the same pass.
LIMITS: dict[str, Limits] = {"relu": RELU, "relu6": (0.0, 6.0)}


class Relu(Function):
    """max(x, 0); the gradient at 0 is 0."""

    takes_bfloat16 = True

    #: Backward can let max pooling, if that came next, apply the mask.
    clips = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = clip_pending(ctx, x, *RELU)
        if y is None:
            y = x.wrap(x.device.backend.relu(x.array))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        return masked_gradient(grad, y, RELU, ctx)


class LeakyRelu(Function):
    """x where x > 0, else slope * x."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, slope: float) -> Any:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return x.wrap(x.device.backend.leaky_relu(x.array, slope))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        if is_grad_enabled():
            return grad * slope(x, ctx.slope), None
        return grad.wrap(grad.device.backend.leaky_relu_grad(grad.array, x.array, ctx.slope)), None


class Threshold(Function):
    """x where x > threshold, else a constant."""

    @staticmethod
    def forward(ctx: Any, x: Any, threshold: float, value: float) -> Any:
        above = x.wrap(~quiet(operator.le, x.array, threshold))  # NaN passes
        ctx.save_for_backward(above)
        return x.wrap(quiet(x.xp.where, above.array, x.array, value))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (above,) = ctx.saved_tensors
        return Masked.apply(grad, above), None, None


class Hardtanh(Function):
    """min(max(x, low), high); the gradient is 1 for low < x < high, ends left out."""

    takes_bfloat16 = True

    clips = True

    @staticmethod
    def forward(ctx: Any, x: Any, low: float, high: float) -> Any:
        y = clip_pending(ctx, x, low, high)
        if y is None:
            y = x.wrap(x.device.backend.hardtanh(x.array, low, high))
        ctx.save_for_backward(y)
        ctx.limits = low, high
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        return masked_gradient(grad, y, ctx.limits, ctx), None, None


def clip_pending(ctx: Any, x: Any, low: float, high: float) -> Any:
    """Return a pending tensor clipped, computed with it in one pass, or ``None`` if it is none.

    ``x`` stays pending, and is never written to memory. The result may be pending, too.
    """
    promise = promise_of(x)
    ctx.alone = promise is not None and len(promise.reads) == 1
    result = None if promise is None else promise.clipped(low, high)
    if isinstance(result, Promise):
        return defer(result)
    return None if result is None else x.public_class(result, x.device)


def limits_of(op: str, activation: str | None) -> Limits | None:
    """Return to what an op's results are clipped by the activation that was asked for."""
    if activation is None:
        return None
    limits = LIMITS.get(activation)
    if limits is None:
        raise ArgumentError(
            f"{op}: argument 'activation' must be None, 'relu' or 'relu6', got {activation!r}; "
            "call any other one on the result"
        )
    return limits


def clip(x: Any, limits: Limits) -> Any:
    """Return a tensor clipped by one of the activations that have limits."""
    return Relu.apply(x) if limits == RELU else Hardtanh.apply(x, *limits)


def slope(x: Any, negative: float) -> Any:
    """Return a constant tensor: 1 where x > 0, and a number elsewhere."""
    positive = constant(x, x.array > 0)
    return positive + (1 - positive) * negative


def finish(op: str, input: Any, inplace: bool, function: Any, *args: Any) -> Any:
    """Apply a function, into the memory of ``input`` where that is asked for."""
    if inplace:
        return in_place.write(f"{op}_", input, lambda x: function.apply(x, *args), fresh=True)
    return function.apply(input, *args)


def relu(input: Any, inplace: bool = False) -> Any:
    """Return ``max(input, 0)``.

    Parameters
    ----------
    input : Tensor
        Any shape; integers stay integers, bools raise.
    inplace : bool, default False
        Write the result into the memory of ``input``.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``; NaN stays NaN.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.relu(tc.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if check_tensor("relu", "input", input).dtype.kind == BOOL:
        check_not_bool("relu", input)
    return finish("relu", input, inplace, Relu)


def relu6(input: Any, inplace: bool = False) -> Any:
    """Return ``min(max(input, 0), 6)``; see :func:`hardtanh`."""
    return hardtanh(input, *LIMITS["relu6"], inplace)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Return ``input`` moved into ``[min_val, max_val]``; the gradient at both ends is 0.

    Parameters
    ----------
    input : Tensor
        Any shape; integers stay integers if the ends are whole numbers.
    min_val, max_val : float
        Ends of the interval.
    inplace : bool, default False
        Write the result into the memory of ``input``.

    Raises
    ------
    ArgumentError
        If ``min_val > max_val``.
    """
    if check_tensor("hardtanh", "input", input).dtype.kind == BOOL:
        check_not_bool("hardtanh", input)
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val={min_val} is above max_val={max_val}")
    return finish("hardtanh", input, inplace, Hardtanh, *_like(input, min_val, max_val))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """Return ``input`` where it is above ``threshold``, and ``value`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Any shape; integers stay integers.
    threshold, value : float
        The border, and what replaces elements that are not above it.
    inplace : bool, default False
        Write the result into the memory of ``input``.
    """
    check_not_bool("threshold", check_tensor("threshold", "input", input))
    return finish("threshold", input, inplace, Threshold, *_like(input, threshold, value))


def _like(x: Any, *numbers: float) -> tuple[float, ...]:
    """Return numbers that do not widen the dtype of ``x``: truncated to ints beside integers."""
    return numbers if x.dtype.is_floating_point else tuple([int(number) for number in numbers])


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Return ``input`` where it is positive, and ``negative_slope * input`` elsewhere.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    negative_slope : float, default 0.01
        Slope to the left of 0 (Maas et al. 2013).
    inplace : bool, default False
        Write the result into the memory of ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.leaky_relu(tc.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    check_floating("leaky_relu", "input", input)
    return finish("leaky_relu", input, inplace, LeakyRelu, negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """Return ``input`` where it is positive, else ``weight * input``, with a learned weight.

    He et al., 2015, "Delving deep into rectifiers"; the gradient at 0 is the weight.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape; dimension 1 holds the channels.
    weight : Tensor
        One element for all channels, or one an input channel, of shape ``(C,)``.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``.

    Raises
    ------
    ShapeError
        If ``weight`` has neither one element nor one a channel.
    """
    check_floating("prelu", "input", input)
    check_floating("prelu", "weight", weight)
    channels = input.array.shape[1] if input.array.ndim > 1 else 1
    if weight.array.ndim > 1 or weight.array.size not in (1, channels):
        raise ShapeError(
            f"prelu: 'weight' has shape {tuple(weight.array.shape)}, but must have one element or "
            f"one a channel ({channels}) of input shape {tuple(input.array.shape)}"
        )
    if weight.array.size > 1:
        weight = weight.reshape(channels, *(1,) * (input.array.ndim - 2))
    return where(input > 0, input, input * weight)


def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Return ``input`` where it is positive, else ``input`` times a slope, random in training.

    Xu, Wang, Chen and Li, "Empirical evaluation of rectified activations in convolutional
    network", 2015, arXiv:1505.00853.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    lower, upper : float, default 1/8 and 1/3
        Bounds of the slopes.
    training : bool, default False
        Draw a slope for each element, uniformly from ``lower`` to ``upper``; else take their mean.
    inplace : bool, default False
        Write the result into the memory of ``input``.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Raises
    ------
    ArgumentError
        If the bounds are not finite and in order.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.rrelu(tc.tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    check_floating("rrelu", "input", input)
    check_slopes("rrelu", lower, upper)
    if not training:
        return finish("rrelu", input, inplace, LeakyRelu, (lower + upper) / 2)
    source = default_generator() if generator is None else generator
    shape = tuple(input.array.shape)
    random = source.uniform(input.device.backend, shape, input.dtype.name, Stream.DROPOUT)
    slopes = quiet(input.xp.where, input.array <= 0, random * (upper - lower) + lower, 1.0)
    return finish("rrelu", input, inplace, Mul, input.wrap(slopes))


def check_slopes(name: str, lower: float, upper: float) -> None:
    """Raise ``ArgumentError`` if the bounds of random slopes are not finite and in order."""
    if not -inf < lower <= upper < inf:
        raise ArgumentError(
            f"{name}: the slopes must have finite bounds lower <= upper, got lower={lower} and "
            f"upper={upper}"
        )
