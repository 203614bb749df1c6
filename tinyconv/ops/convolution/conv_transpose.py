"""Transposed convolution: the map that a convolution's gradient goes through, as a layer.

It puts a copy of the kernel, scaled by the input value, at every ``stride``-th output position
and adds up where they overlap; so it enlarges by ``stride``. As a matrix it is the transpose of
the convolution with the same weight: ``<conv(x, w), y> == <x, conv_transpose(y, w)>``.

Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", CVPR 2010.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...errors import ArgumentError, ShapeError
from ..images.padding import pad
from ._checks import check_operands, check_weight_shape
from ._windows import Ints, as_batch, hashable, padding_pairs, per_dimension, sizes
from .correlation import ConvInputGrad, Geometry


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transpose of :func:`conv1d`; arguments and errors as :func:`conv_transpose2d`.

    Parameters
    ----------
    input : Tensor
        (N, C, L) or (C, L).
    weight : Tensor
        (C, O/groups, K).
    bias, stride, padding, output_padding, groups, dilation
        As in :func:`conv_transpose2d`.

    Returns
    -------
    Tensor
        (N, O, L_out) or (O, L_out).
    """
    settings = (stride, padding, output_padding, dilation)
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, groups, settings)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transpose of :func:`conv2d`: enlarges images by ``stride``.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch.
    weight : Tensor
        (C, O/groups, kH, kW): what :func:`conv2d` would use to go from O channels to C.
    bias : Tensor, optional
        (O,), added to each output channel.
    stride : int or pair of int, default 1
        Distance of two neighbouring input values in the output.
    padding : int or tuple, default 0
        Positions cut off around the output: the padding of the convolution that is transposed.
    output_padding : int or pair of int, default 0
        Positions added at the end of the output. A strided convolution takes several sizes to
        the same one, and this chooses among them; below ``stride`` or ``dilation``.
    groups : int, default 1
        Blocks of channels that do not mix.
    dilation : int or pair of int, default 1
        Distance between the taps of the kernel.

    Returns
    -------
    Tensor
        (N, O, H_out, W_out) or (O, H_out, W_out), with
        ``H_out = (H - 1)*stride - 2*padding + dilation*(kH - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError
        If shapes and groups do not fit together, or nothing is left of the output.
    DTypeError
        If input, weight and bias differ in dtype.
    ArgumentError
        If a setting is out of range.
    """
    settings = (stride, padding, output_padding, dilation)
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, groups, settings)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transpose of :func:`conv3d`; arguments and errors as :func:`conv_transpose2d`.

    Parameters
    ----------
    input : Tensor
        (N, C, D, H, W) or (C, D, H, W).
    weight : Tensor
        (C, O/groups, kD, kH, kW).
    bias, stride, padding, output_padding, groups, dilation
        As in :func:`conv_transpose2d`.

    Returns
    -------
    Tensor
        (N, O, D_out, H_out, W_out) or (O, D_out, H_out, W_out).
    """
    settings = (stride, padding, output_padding, dilation)
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, groups, settings)


def _conv_transpose(
    op: str, dims: int, input: Any, weight: Any, bias: Any, groups: int, settings: tuple[Any, ...]
) -> Any:
    """Check the arguments, and apply :class:`ConvInputGrad`."""
    input, added = as_batch(op, input, dims)
    check_operands(op, input, weight, bias, out_axis=1, groups=groups)
    spatial, tail, geometry = _plan(
        op, tuple(input.array.shape), tuple(weight.array.shape), groups, hashable(settings)
    )
    if any(tail):
        y = ConvInputGrad.apply(input, weight, None, spatial, geometry)
        y = pad(y, [n for t in reversed(tail) for n in (0, t)])
        y = y if bias is None else y + bias.reshape(-1, *(1,) * dims)
    else:
        y = ConvInputGrad.apply(input, weight, bias, spatial, geometry)
    return y.squeeze(0) if added else y


@lru_cache(maxsize=4096, typed=True)
def _plan(
    op: str, input_shape: Ints, weight_shape: Ints, groups: int, settings: tuple[Any, ...]
) -> tuple[Ints, Ints, Geometry]:
    """Return the sizes to compute, the zeros to put behind them, and the geometry."""
    check_weight_shape(op, input_shape, weight_shape)
    if input_shape[1] != weight_shape[0] or weight_shape[0] % groups:
        raise ShapeError(
            f"{op}: argument 'weight' has shape {weight_shape} and groups={groups}, so input must "
            f"have {weight_shape[0]} channels, divisible by groups, got {input_shape[1]} (input "
            f"shape {input_shape}); the first size of the weight is the input channels"
        )
    kernel, size_in = sizes(weight_shape), sizes(input_shape)
    dims = len(kernel)
    stride = per_dimension(op, "stride", settings[0], dims)
    extra = per_dimension(op, "output_padding", settings[2], dims, 0)
    dilation = per_dimension(op, "dilation", settings[3], dims)
    if isinstance(settings[1], str):
        raise ArgumentError(f"{op}: argument 'padding' must be numbers, got {settings[1]!r}")
    padding = list(padding_pairs(op, settings[1], size_in, kernel, stride, dilation))
    spatial, tail = [], []
    for i, (n, k, s, d, e) in enumerate(zip(size_in, kernel, stride, dilation, extra, strict=True)):
        if e >= max(s, d):
            raise ArgumentError(
                f"{op}: argument 'output_padding' must be smaller than stride or dilation, got "
                f"output_padding {extra}, stride {stride}, dilation {dilation}"
            )
        before, after = padding[i]
        left = e
        if e >= s:  # more than this stride can tell apart: undo padding first, then add zeros
            left = max(e - after, 0)
            padding[i] = (before, after - (e - left))
        beyond = max(left - (s - 1), 0)
        spatial.append((n - 1) * s - sum(padding[i]) + d * (k - 1) + left - beyond + 1)
        tail.append(beyond)
    if any(n < 1 for n in spatial):
        raise ShapeError(
            f"{op}: nothing is left of the output: sizes would be {tuple(spatial)} for input shape "
            f"{input_shape}, kernel {kernel}, stride {stride}, padding {tuple(padding)}; use less "
            "padding or a larger input"
        )
    return tuple(spatial), tuple(tail), Geometry(stride, tuple(padding), dilation, groups)
