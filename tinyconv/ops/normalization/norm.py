"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch.

In training the statistics are part of the function: a change of one element moves the mean and
the variance, and so every output of its channel. At inference they are constants.

Large results are put off, so that a ReLU that follows costs no pass over memory; see
:mod:`.fusion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...autograd.pending import held, settle
from ...autograd.views import check_writable
from ...backend.dtypes import int64, wide
from ...backend.reference.activation import Limits
from ...backend.reference.norm import bessel_correction
from ...errors import ArgumentError, ShapeError
from .._operands import (
    cast,
    cast_vector,
    check_floating,
    check_same_device,
    check_tensor,
    raw,
)
from ..activations.piecewise import clip, limits_of
from ..fusion import normalised, now, statistics
from ..masks import masked_gradient, split_mask

#: Momentum of the averages, eps, and to what the result is clipped.
Settings = tuple[float, float, Limits | None]


class BatchNorm(Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with the statistics of the batch.

    Moves the running averages of mean and variance, which are no part of the graph, towards them.
    """

    takes_bfloat16 = True

    #: Backward applies the mask of a ReLU that follows.
    takes_mask = True

    adds_up = True

    @staticmethod
    def forward(
        ctx: Any, input: Any, weight: Any, bias: Any, averages: Any, settings: Settings
    ) -> Any:
        ctx.save_for_backward(input, weight)
        momentum, eps, limits = settings
        ctx.is_exact = input.dtype.itemsize > 2  # sums over half precision are float32
        ctx.eps, ctx.limits, ctx.takes_mask = eps, limits, limits is None
        moved = _to_move(averages, input)
        arrays = None if moved is None else tuple([average.array for average in moved])
        mean, var = ctx.statistics = statistics(input, arrays, momentum)
        *vectors, count = averages
        if moved is not None:
            for average in moved:
                average._bump_version()
        elif 0 not in held(input).shape:
            correction = bessel_correction(held(input).shape)
            update_averages(vectors, mean, var, correction, momentum)
        if count is not None and (moved is None or len(moved) == 2):
            count_batch(count)
        y, ctx.shift = normalised(input, (mean, var, weight, bias), eps, limits)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        if is_grad_enabled():
            input, weight = ctx.saved_tensors
            grad = _before_limits(ctx, grad, input, weight)
            return *_batch_norm_gradients(grad, input, weight, ctx.eps), None, None
        return *_kernel_gradients(ctx, grad, True), None, None


class FrozenBatchNorm(Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with constant mean and var."""

    takes_bfloat16 = True

    takes_mask = True

    adds_up = True

    @staticmethod
    def forward(
        ctx: Any, input: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float,
        limits: Limits | None = None,
    ) -> Any:  # fmt: skip
        ctx.save_for_backward(input, weight)
        ctx.is_exact = input.dtype.itemsize > 2
        ctx.eps, ctx.limits, ctx.takes_mask = eps, limits, limits is None
        # Later updates of the averages must not be seen.
        asarray, float64 = input.xp.asarray, input.xp.float64
        ctx.statistics = [asarray(v.array, dtype=float64, copy=True) for v in (mean, var)]
        frozen = not any(ctx.needs_input_grad)
        y, ctx.shift = normalised(input, (*ctx.statistics, weight, bias), eps, limits, frozen)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        if not is_grad_enabled():
            return *_kernel_gradients(ctx, grad, False), *(None,) * 4
        input, weight = ctx.saved_tensors
        grad = _before_limits(ctx, grad, input, weight)
        mean, var = map(input.wrap, ctx.statistics)
        grad, input = (cast(t, wide(t.dtype)) for t in (grad, input))
        mean, inverse_std = (
            per_channel(cast(v, input.dtype), input) for v in (mean, (var + ctx.eps) ** -0.5)
        )
        dims = (0, *range(2, input.array.ndim))
        d_weight = (grad * ((input - mean) * inverse_std)).sum(dims)
        scale = inverse_std if weight is None else inverse_std * per_channel(weight, input)
        return grad * scale, d_weight, grad.sum(dims), *(None,) * 4


def _kernel_gradients(ctx: Any, grad: Any, training: bool) -> Any:
    """Return the gradients of input, weight and bias by the backend's kernel."""
    input, weight = ctx.saved_tensors
    dy, y, limits = split_mask(grad)
    limits = ctx.limits or limits
    arrays = (dy, input.array, *ctx.statistics, raw(weight), now(ctx.shift))
    if not ctx.keeps_saved:
        ctx.shift = None  # else an optimizer would have it copied, for a backward that never comes
    batch_norm_grad = input.device.backend.batch_norm_grad
    grads = batch_norm_grad(*arrays, ctx.eps, y, limits, training, ctx.take_total())
    return map(input.wrap, grads)  # grad.wrap would look at its array


def _before_limits(ctx: Any, grad: Any, input: Any, weight: Any) -> Any:
    """Return the gradient before the result was clipped, differentiably."""
    if ctx.limits is None:
        return grad
    vectors = *ctx.statistics, raw(weight), now(ctx.shift)
    y = input.device.backend.batch_norm(input.array, *vectors, ctx.eps, None, None)
    return masked_gradient(grad, input.wrap(y), ctx.limits)


def _batch_norm_gradients(grad: Any, input: Any, weight: Any, eps: float) -> tuple[Any, ...]:
    """Return the gradients of :class:`BatchNorm` in differentiable operations.

    The statistics are computed anew from the input, so that their own derivatives are seen.
    """
    dims = (0, *range(2, input.array.ndim))
    grad, input = (cast(t, wide(t.dtype)) for t in (grad, input))
    normal, inverse_std = standardise(input, dims, eps)
    d_normal = grad if weight is None else grad * per_channel(weight, input)
    d_input = standardise_grad(d_normal, normal, inverse_std, dims)
    return d_input, (grad * normal).sum(dims), grad.sum(dims)


def standardise(input: Any, dims: Sequence[int], eps: float) -> tuple[Any, Any]:
    """Return (x - mean) / std over ``dims``, and 1 / std; the variance is the biased one."""
    centred = input - input.mean(dims, keepdim=True)
    inverse_std = ((centred * centred).mean(dims, keepdim=True) + eps) ** -0.5
    return centred * inverse_std, inverse_std


def standardise_grad(grad: Any, normal: Any, inverse_std: Any, dims: Sequence[int]) -> Any:
    """Return the gradient of :func:`standardise`, given what it returned."""
    product = (grad * normal).mean(dims, keepdim=True)
    return inverse_std * (grad - grad.mean(dims, keepdim=True) - normal * product)


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
    *,
    activation: str | None = None,
    num_batches_tracked: Any = None,
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
        (C,): scale (default 1) and shift (default 0). They may be float32 where the input is of
        half precision, and so may the running averages.
    training : bool, default False
        Whether to use, and to learn, the statistics of this batch.
    momentum : float, default 0.1
        Weight of the *new* value in a running average: ``running += momentum*(batch - running)``.
    eps : float, default 1e-5
        Added to the variance before its root is taken.
    activation : {None, "relu", "relu6"}
        What to apply to the result in the same pass, as one op.
    num_batches_tracked : Tensor, optional
        (): how many batches the running averages have seen; in training it grows by 1.

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
        If running averages are needed and not given, or there is no such activation.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015, arXiv:1502.03167.
    """
    check_floating("batch_norm", "input", input)
    limits = limits_of("batch_norm", activation)
    check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var,
                   weight=weight, bias=bias)  # fmt: skip
    weight, bias = cast_vector(weight, input.dtype), cast_vector(bias, input.dtype)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean and running_var are needed with training=False; without "
                "running averages, pass training=True to use the statistics of the batch"
            )
        return _with_running_averages(input, running_mean, running_var, weight, bias, eps, limits)
    shape = held(input).shape
    if shape[0] * prod(shape[2:]) == 1:
        raise ShapeError(
            "batch_norm: in training each channel needs more than one value, got input of shape "
            f"{tuple(shape)}; use a larger batch, or eval mode"
        )
    if num_batches_tracked is not None:
        check_writable(
            "batch_norm",
            check_tensor("batch_norm", "num_batches_tracked", num_batches_tracked),
        )
    averages = running_mean, running_var, num_batches_tracked
    return BatchNorm.apply(input, weight, bias, averages, (momentum, eps, limits))


def _with_running_averages(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, eps: float,
    limits: Limits | None,
) -> Any:  # fmt: skip
    """Normalise by constants: an affine map of each channel."""
    if not (running_mean.requires_grad or running_var.requires_grad):
        return FrozenBatchNorm.apply(input, weight, bias, running_mean, running_var, eps, limits)
    scale = (running_var + eps) ** -0.5
    if weight is not None:
        scale = scale * weight
    mean, scale = (cast(per_channel(v, input), input.dtype) for v in (running_mean, scale))
    y = (input - mean) * scale
    if bias is not None:
        y = y + per_channel(bias, input)
    return y if limits is None else clip(y, limits)


def update_averages(
    averages: Sequence[Any], mean: Any, var: Any, factor: float, momentum: float
) -> None:
    """Move running averages (or ``None``), in place, towards the arrays ``mean`` and ``var``.

    ``factor`` makes the variance the unbiased one.
    """
    kept = [average for average in averages if average is not None]
    if not kept:
        return
    settle(*kept)
    values = zip(averages, (mean, var * factor), strict=True)
    kept[0].device.backend.move_averages(
        [average.array for average in kept],
        [value for average, value in values if average is not None],
        momentum,
    )
    for average in kept:
        average._bump_version()


def _to_move(averages: tuple[Any, Any, Any], input: Any) -> tuple[Any, ...] | None:
    """Return the averages, and the count, that are about to be written to by a kernel that may."""
    mean, var, count = averages
    if mean is None or var is None or 0 in held(input).shape:
        return None
    if mean.dtype is not var.dtype or mean.dtype.itemsize == 2:
        return None
    if not (input.device is mean.device is var.device):
        check_same_device("batch_norm", input, mean, var)
    settle(mean, var)
    # No promise reads a single number: of the count there is nothing to settle.
    if count is None or count.dtype is not int64 or count.array.ndim:
        return mean, var
    return (mean, var, count) if count.device is input.device else (mean, var)


def count_batch(count: Any) -> None:
    """Add 1, in place, to the number of batches that running averages have seen."""
    array = count.array
    array[...] = array + 1
    count._bump_version()


def check_channels(op: str, input: Any, **vectors: Any) -> None:
    """Check that the input has channels, and each vector (or ``None``) one value for each."""
    shape = held(input).shape
    if len(shape) < 2:
        raise ShapeError(f"{op}: argument 'input' must be (N, C, ...), got shape {tuple(shape)}")
    size = (shape[1],)
    for name, vector in vectors.items():
        if vector is not None and check_floating(op, name, vector).array.shape != size:
            raise ShapeError(
                f"{op}: argument '{name}' must have shape {size}, one value a channel of "
                f"the input of shape {tuple(shape)}, got {tuple(vector.array.shape)}"
            )
