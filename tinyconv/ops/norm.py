"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch.

In training the statistics are part of the function: a change of one element moves the mean and
the variance, and so every output of its channel. At inference they are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..autograd import Function, is_grad_enabled, no_grad
from ..errors import ArgumentError, ShapeError
from ._operands import cast, check_floating


class BatchNorm(Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with the statistics of the batch."""

    @staticmethod
    def forward(ctx: Any, input: Any, weight: Any, bias: Any, eps: float) -> Any:
        scale = None if weight is None else weight.array
        shift = None if bias is None else bias.array
        batch_norm = input.device.backend.batch_norm
        y, mean, var = map(input.wrap, batch_norm(input.array, scale, shift, eps))
        ctx.save_for_backward(input, weight, mean, var)
        ctx.mark_non_differentiable(mean, var)
        ctx.eps = eps
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Any, *_: Any) -> Any:
        input, weight, mean, var = ctx.saved_tensors
        if is_grad_enabled():
            return *_batch_norm_gradients(grad, input, weight, ctx.eps), None
        batch_norm_grad = grad.device.backend.batch_norm_grad
        scale = None if weight is None else weight.array
        grads = batch_norm_grad(grad.array, input.array, mean.array, var.array, scale, ctx.eps)
        return *map(grad.wrap, grads), None


def _batch_norm_gradients(grad: Any, input: Any, weight: Any, eps: float) -> tuple[Any, ...]:
    """Return the gradients of :class:`BatchNorm` in differentiable operations.

    The statistics are computed anew from the input, so that their own derivatives are seen.
    """
    dims = (0, *range(2, input.array.ndim))
    normalised, inverse_std = standardise(input, dims, eps)
    d_bias = grad.sum(dims)
    d_weight = (grad * normalised).sum(dims)
    d_normalised = grad if weight is None else grad * per_channel(weight, input)
    d_input = inverse_std * (
        d_normalised
        - d_normalised.mean(dims, keepdim=True)
        - normalised * (d_normalised * normalised).mean(dims, keepdim=True)
    )
    return d_input, d_weight, d_bias


def standardise(input: Any, dims: Sequence[int], eps: float) -> tuple[Any, Any]:
    """Return (x - mean) / std over ``dims``, and 1 / std; the variance is the biased one."""
    centred = input - input.mean(dims, keepdim=True)
    inverse_std = ((centred * centred).mean(dims, keepdim=True) + eps) ** -0.5
    return centred * inverse_std, inverse_std


def per_channel(vector: Any, input: Any) -> Any:
    """Return a vector (C,) so that it broadcasts against (N, C, *S)."""
    return vector.reshape(1, -1, *(1,) * (input.array.ndim - 2))


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel over the batch and all positions.

    In training the statistics are those of the batch, and the running averages are updated in
    place; else the running averages are used, and each sample is treated on its own.

    Parameters
    ----------
    input : Tensor
        (N, C, *S) with any number of spatial dimensions; floating point.
    running_mean, running_var : Tensor or None
        (C,): averages over the batches seen. ``None`` in training keeps no averages.
    weight, bias : Tensor, optional
        (C,): scale (default 1) and shift (default 0).
    training : bool, default False
        Whether to use, and to learn, the statistics of this batch.
    momentum : float, default 0.1
        Weight of the *new* value in a running average: ``running += momentum*(batch - running)``.
    eps : float, default 1e-5
        Added to the variance before its root is taken.

    Returns
    -------
    Tensor
        Shape of ``input``. The batch is normalised with the biased variance (divided by n);
        ``running_var`` averages the unbiased one (divided by n - 1).

    Raises
    ------
    ShapeError
        If a vector does not have one value a channel, or in training a channel has one value
        only (its variance would be 0).
    ArgumentError
        If running averages are needed and not given.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015, arXiv:1502.03167.
    """
    check_floating("batch_norm", "input", input)
    check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var,
                   weight=weight, bias=bias)  # fmt: skip
    weight = None if weight is None else cast(weight, input.dtype)
    bias = None if bias is None else cast(bias, input.dtype)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean and running_var are needed with training=False; without "
                "running averages, pass training=True to use the statistics of the batch"
            )
        return _with_running_averages(input, running_mean, running_var, weight, bias, eps)
    count = input.array.shape[0] * prod(input.array.shape[2:])
    if count == 1:
        raise ShapeError(
            "batch_norm: in training each channel needs more than one value, got input of shape "
            f"{tuple(input.array.shape)}; use a larger batch, or eval mode"
        )
    y, mean, var = BatchNorm.apply(input, weight, bias, eps)
    if count:
        unbiased = var * (count / (count - 1))
        update_averages(((running_mean, mean), (running_var, unbiased)), momentum)
    return y


def _with_running_averages(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, eps: float
) -> Any:
    """Normalise by constants: an affine map of each channel."""
    scale = (running_var + eps) ** -0.5
    if weight is not None:
        scale = scale * weight
    mean, scale = (cast(per_channel(v, input), input.dtype) for v in (running_mean, scale))
    y = (input - mean) * scale
    return y if bias is None else y + per_channel(bias, input)


def update_averages(pairs: Sequence[tuple[Any, Any]], momentum: float) -> None:
    """Move running averages (or ``None``) towards new tensors, in place: all of them or none."""
    with no_grad():
        updates = [
            (average, average * (1 - momentum) + cast(new, average.dtype) * momentum)
            for average, new in pairs
            if average is not None
        ]
    for average, updated in updates:
        average.array[...] = updated.array
        average._bump_version()


def check_channels(op: str, input: Any, **vectors: Any) -> None:
    """Check that the input has channels, and each vector (or ``None``) one value for each."""
    shape = tuple(input.array.shape)
    if len(shape) < 2:
        raise ShapeError(f"{op}: argument 'input' must be (N, C, ...), got shape {shape}")
    for name, vector in vectors.items():
        if vector is None:
            continue
        if tuple(check_floating(op, name, vector).array.shape) != (shape[1],):
            raise ShapeError(
                f"{op}: argument '{name}' must have shape ({shape[1]},), one value a channel of "
                f"the input of shape {shape}, got {tuple(vector.array.shape)}"
            )
