"""Cross-correlation and its two gradients, as nodes of the graph.

It is linear in the input and in the weight, and so its gradients are of its own kind:

    Conv            y  = x  * w       x (N, C, *S), w (O, C/groups, *K), y (N, O, *out)
    ConvInputGrad   dx = dy * w       the transposed map; also transposed convolution
    ConvWeightGrad  dw = x  * dy      correlation of the input with the output's gradient

The derivative of each with respect to either operand is one of the other two, so derivatives of
any order are made of these three.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from ...autograd import Function
from ...autograd.modes import is_followed
from ...autograd.pending import held
from ...backend.reference.activation import Limits
from ...backend.reference.windows import output_size
from .._operands import raw
from ..fusion import before_prologue, convolved
from ..masks import masked_gradient
from ..reductions.sums import total
from ._windows import Ints, Padding, sizes


class Geometry(NamedTuple):
    """How the kernel moves; in the order in which kernels take it."""

    stride: Ints
    padding: Padding
    dilation: Ints
    groups: int


class Conv(Function):
    """y[n, o] = bias[o] + sum over channels c of: x[n, c] cross-correlated with weight[o, c].

    Clipped to ``limits``, if there are any.
    """

    takes_bfloat16 = True

    adds_up = True

    @staticmethod
    def forward(
        ctx: Any,
        input: Any,
        weight: Any,
        bias: Any,
        geometry: Geometry,
        limits: Limits | None = None,
    ) -> Any:
        plan = _plan(tuple(held(input).shape), tuple(weight.array.shape), geometry)
        (ctx.spatial, ctx.kernel, shape, one_tap), ctx.geometry = plan, geometry
        need_input, need_weight, *_ = ctx.needs_input_grad
        trained = need_input or need_weight
        y = convolved(input, weight, bias, geometry, shape, one_tap, limits, trained)
        ctx.is_exact = weight.dtype.itemsize > 2  # half precision is rounded by the engine
        x, w = input if need_weight else None, weight if need_input else None
        ctx.save_for_backward(x, w, None if limits is None else y)
        ctx.limits, ctx.clips = limits, limits is not None  # as Relu has it
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        input, weight, clipped = ctx.saved_tensors
        need_input, need_weight, need_bias, *_ = ctx.needs_input_grad
        d_input = d_weight = d_bias = None
        if clipped is not None:
            grad = masked_gradient(grad, clipped, ctx.limits)
            clipped = None
            ctx.free_saved()
        followed = is_followed()
        if need_input:
            input_grad = ConvInputGrad.apply if followed else _input_grad
            arguments = (grad, weight, None, ctx.spatial, ctx.geometry, ctx.take_total())
            d_input = input_grad(*arguments)
        if need_weight:
            weight_grad = ConvWeightGrad.apply if followed else _weight_grad
            d_weight = weight_grad(input, grad, ctx.kernel, ctx.geometry)
        if need_bias:
            axes = (0, *range(2, len(ctx.spatial) + 2))
            d_bias = grad.sum(axes) if followed else grad.wrap(total(grad, grad.array, axes))
        return d_input, d_weight, d_bias, None, None


class NormalisedConv(Function):
    """A convolution, normalised by constants and clipped, where no gradient is asked for."""

    takes_bfloat16 = True

    @staticmethod
    def forward(
        ctx: Any, input: Any, weight: Any, bias: Any, mean: Any, var: Any, scale: Any, shift: Any,
        eps: float, geometry: Geometry, limits: Limits | None,
    ) -> Any:  # fmt: skip
        *_, shape, one_tap = _plan(tuple(held(input).shape), tuple(weight.array.shape), geometry)
        norm = mean, var, scale, shift, eps
        return convolved(input, weight, bias, geometry, shape, one_tap, limits, norm=norm)


class ConvInputGrad(Function):
    """dx[n, c, i] = bias[c] + sum over what has read i of: weight[o, c, t] * dy[n, o, p].

    Optionally plus ``total``, an array that no gradient is asked for, and that may be overwritten.
    """

    takes_bfloat16 = True

    @staticmethod
    def forward(
        ctx: Any,
        input: Any,
        weight: Any,
        bias: Any,
        spatial: Ints,
        geometry: Geometry,
        total: Any = None,
    ) -> Any:
        need_input, need_weight, *_ = ctx.needs_input_grad
        ctx.save_for_backward(input if need_weight else None, weight if need_input else None)
        ctx.kernel, ctx.geometry = sizes(weight.array.shape), geometry
        return _input_grad(input, weight, bias, spatial, geometry, total)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        input, weight = ctx.saved_tensors
        need_input, need_weight, need_bias, *_ = ctx.needs_input_grad
        d_input = d_weight = d_bias = None
        if need_input:
            d_input = Conv.apply(grad, weight, None, ctx.geometry)
        if need_weight:
            d_weight = ConvWeightGrad.apply(grad, input, ctx.kernel, ctx.geometry)
        if need_bias:
            d_bias = grad.sum((0, *range(2, grad.array.ndim)))
        return d_input, d_weight, d_bias, None, None, None


class ConvWeightGrad(Function):
    """dw[o, c, t] = sum of dy[n, o, p] * x[n, c, i] over all n and all p that read i with tap t."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, input: Any, grad: Any, kernel: Ints, geometry: Geometry) -> Any:
        need_input, need_grad, *_ = ctx.needs_input_grad
        ctx.save_for_backward(input if need_grad else None, grad if need_input else None)
        ctx.spatial, ctx.geometry = sizes(input.array.shape), geometry
        return _weight_grad(input, grad, kernel, geometry)

    @staticmethod
    def backward(ctx: Any, grad_weight: Any) -> Any:
        input, grad = ctx.saved_tensors
        need_input, need_grad, *_ = ctx.needs_input_grad
        d_input = d_grad = None
        if need_input:
            d_input = ConvInputGrad.apply(grad, grad_weight, None, ctx.spatial, ctx.geometry)
        if need_grad:
            d_grad = Conv.apply(input, grad_weight, None, ctx.geometry)
        return d_input, d_grad, None, None


def _input_grad(
    grad: Any, weight: Any, bias: Any, spatial: Ints, geometry: Geometry, total: Any
) -> Any:
    """Return what :class:`ConvInputGrad` computes."""
    conv_input_grad = grad.device.backend.conv_input_grad
    arrays = grad.array, weight.array
    return grad.wrap(conv_input_grad(*arrays, spatial, *geometry, raw(bias), total))


def _weight_grad(input: Any, grad: Any, kernel: Ints, geometry: Geometry) -> Any:
    """Return what :class:`ConvWeightGrad` computes."""
    conv_weight_grad = input.device.backend.conv_weight_grad
    x, prologue = before_prologue(input) or (input.array, None)
    return grad.wrap(conv_weight_grad(x, grad.array, kernel, *geometry, prologue))


@lru_cache(maxsize=4096)
def _plan(
    input_shape: Ints, weight_shape: Ints, geometry: Geometry
) -> tuple[Ints, Ints, Ints, bool]:
    """Return sizes of images and kernels, the shape of the result, and whether there is one tap."""
    stride, padding, dilation, groups = geometry
    spatial, kernel = sizes(input_shape), sizes(weight_shape)
    out = output_size(spatial, kernel, stride, padding, dilation)
    one_tap = groups == prod(kernel) == 1 and not any(map(any, padding))
    return spatial, kernel, (input_shape[0], weight_shape[0], *out), one_tap
