"""Normalisations that treat each sample on its own, in training and at inference alike.

They differ only in what is averaged over, for an input (N, C, *S):

    layer_norm       the last dimensions, whatever they are
    group_norm       S and a group of channels
    instance_norm    S

:func:`local_response_norm` divides by the energy of neighbouring channels instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...backend.dtypes import wide
from ...errors import ArgumentError, ShapeError
from .._operands import cast, cast_vector, check_floating, check_tensor, raw
from ..pooling.pool import SumPool
from .norm import (
    batch_norm,
    check_channels,
    per_channel,
    standardise,
    standardise_grad,
    update_averages,
)


class LayerNorm(Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, averaged over the last dimensions."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, input: Any, weight: Any, bias: Any, dims: int, eps: float) -> Any:
        kernel = input.device.backend.layer_norm
        y, mean, var = map(input.wrap, kernel(input.array, dims, raw(weight), raw(bias), eps))
        ctx.save_for_backward(input, weight, mean, var)
        ctx.dims, ctx.eps = dims, eps
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        input, weight, mean, var = ctx.saved_tensors
        if not is_grad_enabled():
            kernel = grad.device.backend.layer_norm_grad
            arrays = (grad.array, input.array, mean.array, var.array, raw(weight))
            return *map(grad.wrap, kernel(*arrays, ctx.eps)), None, None
        last = tuple(range(-ctx.dims, 0))
        grad, input = (cast(t, wide(t.dtype)) for t in (grad, input))
        normal, inverse_std = standardise(input, last, ctx.eps)
        d_normal = grad if weight is None else grad * weight
        d_input = standardise_grad(d_normal, normal, inverse_std, last)
        return d_input, grad * normal, grad, None, None  # the engine sums over the batch


class GroupNorm(Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, averaged over groups of channels.

    Also returned are mean and variance (N, groups) in float64.
    """

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, input: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
        kernel = input.device.backend.group_norm
        y, mean, var = map(input.wrap, kernel(input.array, groups, raw(weight), raw(bias), eps))
        ctx.save_for_backward(input, weight, mean, var)
        ctx.mark_non_differentiable(mean, var)
        ctx.groups, ctx.eps = groups, eps
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Any, *_: Any) -> Any:
        input, weight, mean, var = ctx.saved_tensors
        if not is_grad_enabled():
            kernel = grad.device.backend.group_norm_grad
            arrays = (grad.array, input.array, mean.array, var.array, raw(weight))
            return *map(grad.wrap, kernel(*arrays, ctx.eps)), None, None
        shape = input.array.shape
        grad, input = (cast(t, wide(t.dtype)) for t in (grad, input))
        groups = (shape[0], ctx.groups, prod(shape[1:]) // ctx.groups)
        dims = (0, *range(2, len(shape)))
        normal, inverse_std = standardise(input.reshape(groups), (2,), ctx.eps)
        d_normal = grad if weight is None else grad * per_channel(weight, input)
        d_input = standardise_grad(d_normal.reshape(groups), normal, inverse_std, (2,))
        d_weight = (grad * normal.reshape(shape)).sum(dims)
        return d_input.reshape(shape), d_weight, grad.sum(dims), None, None


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """Normalise over the last dimensions.

    Parameters
    ----------
    input : Tensor
        (..., *normalized_shape), floating point.
    normalized_shape : int or sequence of int
        The sizes of the dimensions to normalise over.
    weight, bias : Tensor, optional
        ``normalized_shape``: scale and shift of each element.
    eps : float, default 1e-5
        Added to the (biased) variance.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ShapeError
        If the input does not end in ``normalized_shape``, or weight or bias differ from it.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016, arXiv:1607.06450.
    """
    check_floating("layer_norm", "input", input)
    last = last_dimensions("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return LayerNorm.apply(input, *_like(input, weight, bias), len(last), eps)


def last_dimensions(
    op: str, input: Any, normalized_shape: int | Sequence[int], **tensors: Any
) -> tuple[int, ...]:
    """Return the sizes to normalise over, those of the last dimensions of ``input``.

    Raises
    ------
    ShapeError
        If ``input`` has others, or one of ``tensors`` that is given.
    """
    shape = tuple(input.array.shape)
    last = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not last or shape[-len(last) :] != last:
        raise ShapeError(
            f"{op}: argument 'input' must have a shape that ends in normalized_shape {last}, "
            f"got {shape}"
        )
    for name, tensor in tensors.items():
        if tensor is not None and tuple(check_tensor(op, name, tensor).shape) != last:
            raise ShapeError(
                f"{op}: argument '{name}' must have shape {last}, got {tuple(tensor.shape)}"
            )
    return last


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalise each sample over groups of channels and all positions.

    Parameters
    ----------
    input : Tensor
        (N, C, *S), floating point.
    num_groups : int
        Number of groups; divides C. 1 takes all channels together, C each on its own.
    weight, bias : Tensor, optional
        (C,): scale and shift of each channel.
    eps : float, default 1e-5
        Added to the (biased) variance.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ShapeError
        If the groups do not divide the channels, or a vector does not have one value a channel.

    References
    ----------
    Wu and He, "Group normalization", ECCV 2018, arXiv:1803.08494.
    """
    check_channels("group_norm", check_floating("group_norm", "input", input),
                   weight=weight, bias=bias)  # fmt: skip
    channels = input.array.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(
            f"group_norm: num_groups={num_groups} must divide the {channels} channels of the "
            f"input of shape {tuple(input.array.shape)}"
        )
    return GroupNorm.apply(input, *_like(input, weight, bias), num_groups, eps)[0]


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel of each sample over its positions.

    Parameters
    ----------
    input : Tensor
        (N, C, *S) with at least one spatial dimension; floating point.
    running_mean, running_var : Tensor, optional
        (C,): averages over the samples seen, updated in place with ``use_input_stats``.
    weight, bias : Tensor, optional
        (C,): scale and shift of each channel.
    use_input_stats : bool, default True
        Whether to use the statistics of the input, or the running averages.
    momentum : float, default 0.1
        Weight of the *new* value in a running average.
    eps : float, default 1e-5
        Added to the (biased) variance.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ShapeError
        If a vector does not have one value a channel, or a channel has one position only.
    ArgumentError
        If running averages are needed and not given.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016, arXiv:1607.08022.
    """
    check_floating("instance_norm", "input", input)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "instance_norm: running_mean and running_var are needed with use_input_stats=False"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    check_channels("instance_norm", input, running_mean=running_mean, running_var=running_var,
                   weight=weight, bias=bias)  # fmt: skip
    count = prod(input.array.shape[2:])
    if count == 1:
        raise ShapeError(
            "instance_norm: each channel needs more than one position, got input of shape "
            f"{tuple(input.array.shape)}"
        )
    y, mean, var = GroupNorm.apply(input, *_like(input, weight, bias), input.array.shape[1], eps)
    if input.array.size:
        mean, var = (input.xp.mean(v.array, axis=0) for v in (mean, var))
        update_averages((running_mean, running_var), mean, var, count / (count - 1), momentum)
    return y


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Divide each element by the energy of ``size`` channels around it, at its position.

    ``y[c] = x[c] / (k + alpha/size * sum of x[j]**2 over the channels j around c) ** beta``

    Parameters
    ----------
    input : Tensor
        (N, C, *S), floating point.
    size : int
        Number of channels; with an even one, the extra channel is the one before.
    alpha, beta, k : float
        As in the formula. AlexNet has size 5, alpha 5e-4 (1e-4 without the division by size),
        beta 0.75, k 2.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ShapeError
        If the input has less than 3 dimensions.
    ArgumentError
        If ``size`` is less than 1.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", NeurIPS 2012, section 3.3.
    """
    shape = tuple(check_floating("local_response_norm", "input", input).array.shape)
    if len(shape) < 3:
        raise ShapeError(f"local_response_norm: argument 'input' must be (N, C, ...), got {shape}")
    if size < 1:
        raise ArgumentError(f"local_response_norm: size must be at least 1, got {size}")
    # Channels as the height of an image, positions as its width: a sum pooling over height.
    square = (input * input).reshape(shape[0], 1, shape[1], prod(shape[2:]))
    around = ((size // 2, (size - 1) // 2), (0, 0))
    energy = SumPool.apply(square, (size, 1), (1, 1), around, tuple(square.array.shape[2:]))
    return input / (energy * (alpha / size) + k).reshape(shape) ** beta


def _like(input: Any, *vectors: Any) -> Any:
    """Return weight and bias (or ``None``) in the dtype of the input."""
    return (cast_vector(v, input.dtype) for v in vectors)
