"""Convolution in one, two and three dimensions.

As everywhere in deep learning, "convolution" is cross-correlation: the kernel is not flipped. The
arguments are checked here; what is computed, and its derivatives, is in :mod:`.correlation`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...autograd.pending import held
from ..activations.piecewise import limits_of
from ._checks import check_groups, check_operands, check_weight_shape
from ._windows import (
    Ints,
    as_batch,
    check_kernel_fits,
    hashable,
    padding_pairs,
    per_dimension,
    sizes,
)
from .correlation import Conv, Geometry, NormalisedConv


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Any:
    """Slide a bank of kernels over a sequence; arguments and errors as :func:`conv2d`.

    Parameters
    ----------
    input : Tensor
        (N, C, L) or (C, L).
    weight : Tensor
        (O, C/groups, K).
    bias, stride, padding, dilation, groups, activation
        As in :func:`conv2d`.

    Returns
    -------
    Tensor
        (N, O, L_out) or (O, L_out).
    """
    settings = stride, padding, dilation, groups, activation
    return _conv("conv1d", 1, input, weight, bias, *settings)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Any:
    """Slide a bank of kernels over images (cross-correlation: the kernel is not flipped).

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch.
    weight : Tensor
        (O, C/groups, kH, kW), of the dtype of ``input``.
    bias : Tensor, optional
        (O,), added to each output channel.
    stride : int or pair of int, default 1
        Step of the kernel.
    padding : int, tuple or str, default 0
        Zeros around the input: one number for all sides, one a dimension, a (before, after) pair
        a dimension, ``"valid"`` (none), or ``"same"`` (output size ``ceil(size / stride)``; an
        odd number of zeros puts the extra one at the end).
    dilation : int or pair of int, default 1
        Distance between the taps of the kernel.
    groups : int, default 1
        Blocks of channels that do not mix; ``C`` makes a depthwise convolution.
    activation : {None, "relu", "relu6"}
        What to apply to the result in the same pass, as one op.

    Returns
    -------
    Tensor
        (N, O, H_out, W_out) or (O, H_out, W_out), with
        ``H_out = floor((H + 2*padding - dilation*(kH - 1) - 1) / stride) + 1``.

    Raises
    ------
    ShapeError
        If shapes and groups do not fit together, or the kernel is larger than the padded input.
    DTypeError
        If input, weight and bias differ in dtype.
    ArgumentError
        If stride, padding, dilation or groups are out of range, or there is no such activation.

    Examples
    --------
    >>> import tinyconv as tc
    >>> image, edge = tc.arange(12.0).reshape(1, 1, 3, 4), tc.tensor([[[[-1.0, 1.0]]]])
    >>> tc.nn.functional.conv2d(image, edge)
    tensor([[[[1., 1., 1.],
              [1., 1., 1.],
              [1., 1., 1.]]]])
    """
    settings = stride, padding, dilation, groups, activation
    return _conv("conv2d", 2, input, weight, bias, *settings)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
) -> Any:
    """Slide a bank of kernels over volumes; arguments and errors as :func:`conv2d`.

    Parameters
    ----------
    input : Tensor
        (N, C, D, H, W) or (C, D, H, W).
    weight : Tensor
        (O, C/groups, kD, kH, kW).
    bias, stride, padding, dilation, groups, activation
        As in :func:`conv2d`.

    Returns
    -------
    Tensor
        (N, O, D_out, H_out, W_out) or (O, D_out, H_out, W_out).
    """
    settings = stride, padding, dilation, groups, activation
    return _conv("conv3d", 3, input, weight, bias, *settings)


def _conv(
    op: str,
    dims: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    activation: str | None,
) -> Any:
    """Check the arguments and apply :class:`Conv`."""
    limits = limits_of(op, activation)
    input, added = as_batch(op, input, dims)
    check_operands(op, input, weight, bias, out_axis=0, groups=groups)
    shapes = tuple(held(input).shape), tuple(weight.array.shape)
    geometry = _geometry(op, *shapes, *hashable((stride, padding, dilation)), groups)
    y = Conv.apply(input, weight, bias, geometry, limits)
    return y.squeeze(0) if added else y


def normalised_conv(
    dims: int, input: Any, weight: Any, bias: Any, settings: Any, constants: Any, eps: float
) -> Any:
    """Return a convolution normalised by constants, without a graph; ``None`` if it needs care.

    ``settings`` are stride, padding, dilation, groups and activation, ``constants`` mean, variance,
    weight and bias of a batch normalisation. All have been given to layers that fit together, as a
    rule; where they do not, the ops one after the other say so.
    """
    op, dtype, size = f"conv{dims}d", input.dtype, (weight.array.shape[0],)
    if len(held(input).shape) != dims + 2 or not dtype.is_floating_point:
        return None
    for vector in constants:
        if vector is not None and (vector.array.shape != size or vector.dtype is not dtype):
            return None
    *moves, groups, activation = settings
    check_operands(op, input, weight, bias, out_axis=0, groups=groups)
    shapes = tuple(held(input).shape), tuple(weight.array.shape)
    geometry = _geometry(op, *shapes, *hashable(tuple(moves)), groups)
    limits = limits_of(op, activation)
    return NormalisedConv.apply(input, weight, bias, *constants, eps, geometry, limits)


@lru_cache(maxsize=4096, typed=True)
def _geometry(
    op: str,
    input_shape: Ints,
    weight_shape: Ints,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Geometry:
    """Check what shapes and settings have to do with each other; cached, since layers repeat."""
    check_weight_shape(op, input_shape, weight_shape)
    spatial, kernel = sizes(input_shape), sizes(weight_shape)
    dims = len(kernel)
    stride = per_dimension(op, "stride", stride, dims)
    dilation = per_dimension(op, "dilation", dilation, dims)
    padding = padding_pairs(op, padding, spatial, kernel, stride, dilation)
    check_groups(op, input_shape, weight_shape, groups)
    check_kernel_fits(op, spatial, kernel, padding, dilation)
    return Geometry(stride, padding, dilation, groups)
