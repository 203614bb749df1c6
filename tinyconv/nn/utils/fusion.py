"""Batch normalisation put into the weights of the layer before it, for inference.

``(w * x + b - mean) / std * scale + shift`` is a convolution with the weights ``w * scale / std``.
Modules do that by themselves at inference where it pays (``config.fusion``); here it is done for
good, so that the normalisation can be left out of a model.
"""

from __future__ import annotations

import copy
from typing import Any

from ...autograd import no_grad
from ...errors import ArgumentError
from ...ops import zeros_like
from ..parameter import Parameter
from .parametrize import is_parametrized, remove_parametrizations


@no_grad()
def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Return weight and bias of a convolution with a batch normalisation in them.

    Parameters
    ----------
    conv_w, conv_b : Tensor or None
        Of the convolution, (O, C/groups, *K) and (O,) (no bias: ``None``).
    bn_rm, bn_rv : Tensor
        Running mean and variance of the normalisation, (O,).
    bn_eps : float
        Added to the variance.
    bn_w, bn_b : Tensor or None
        Scale and shift of the normalisation, (O,).
    transpose : bool, default False
        Whether the weights are those of a transposed convolution, (C, O, *K).
    """
    conv_b = zeros_like(bn_rm) if conv_b is None else conv_b
    scale = (bn_rv + bn_eps) ** -0.5
    scale = scale if bn_w is None else scale * bn_w
    shape = [1] * conv_w.ndim
    shape[1 if transpose else 0] = -1
    weight = conv_w * scale.reshape(shape).to(conv_w.dtype)
    bias = (conv_b - bn_rm) * scale
    bias = bias if bn_b is None else bias + bn_b
    return (
        Parameter(weight, conv_w.requires_grad),
        Parameter(bias.to(conv_w.dtype), conv_b.requires_grad or conv_w.requires_grad),
    )


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """Return a copy of a convolution that also does what the batch normalisation after it does.

    Parameters
    ----------
    conv : Module
        A convolution (or, with ``transpose``, a transposed one) in evaluation mode.
    bn : Module
        A batch normalisation of its outputs, in evaluation mode, with running statistics.
    transpose : bool, default False
        Whether ``conv`` is a transposed convolution.

    Returns
    -------
    Module
        A new convolution; the two modules stay as they are. Where a parametrization computes its
        weight or bias, the new one has the computed value, as an ordinary parameter.

    Raises
    ------
    ArgumentError
        If a module is in training mode, or there are no running statistics.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> conv, bn = nn.Conv2d(3, 8, 3).eval(), nn.BatchNorm2d(8).eval()
    >>> nn.utils.fuse_conv_bn_eval(conv, bn)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """
    return _fused("fuse_conv_bn_eval", conv, bn, transpose)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """Return a copy of a linear layer that also does what the batch normalisation after it does.

    As :func:`fuse_conv_bn_eval`.
    """
    return _fused("fuse_linear_bn_eval", linear, bn, False)


def _fused(op: str, layer: Any, bn: Any, transpose: bool) -> Any:
    if layer.training or bn.training:
        raise ArgumentError(
            f"{op}: both modules must be in evaluation mode, since a normalisation by the batch is "
            "no constant; call .eval() on them"
        )
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError(f"{op}: the normalisation has no running statistics to be put in")
    fused = copy.deepcopy(layer)
    for name in ("weight", "bias"):
        if is_parametrized(fused, name):
            remove_parametrizations(fused, name)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused
