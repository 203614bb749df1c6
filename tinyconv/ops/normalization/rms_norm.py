"""Normalisation by the root of the mean square, without a mean taken off first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...backend.dtypes import wide
from .._operands import cast, check_floating
from .sample_norm import last_dimensions


class RmsNorm(Function):
    """y = x / sqrt(mean(x^2) + eps) * weight, averaged over the last dimensions."""

    @staticmethod
    def forward(ctx: Any, input: Any, weight: Any, dims: int, eps: float) -> Any:
        inverse = _inverse(input, dims, eps)
        ctx.save_for_backward(input, weight, inverse)
        ctx.dims, ctx.eps = dims, eps
        y = input * inverse
        return y if weight is None else y * weight

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        input, weight, inverse = ctx.saved_tensors
        if is_grad_enabled():  # what was saved is a constant, and not a function of the input
            inverse = _inverse(input, ctx.dims, ctx.eps)
        normal = input * inverse
        d_normal = grad if weight is None else grad * weight
        product = (d_normal * normal).mean(tuple(range(-ctx.dims, 0)), keepdim=True)
        d_input = inverse * (d_normal - normal * product)
        return d_input, grad * normal, None, None  # the engine sums over the batch


def _inverse(input: Any, dims: int, eps: float) -> Any:
    square = (input * input).mean(tuple(range(-dims, 0)), keepdim=True)
    return (square + eps).rsqrt()


def rms_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    eps: float | None = None,
) -> Any:
    """Divide by the root of the mean square over the last dimensions.

    Parameters
    ----------
    input : Tensor
        (..., *normalized_shape), floating point.
    normalized_shape : int or sequence of int
        The sizes of the dimensions to average over.
    weight : Tensor, optional
        ``normalized_shape``: scale of each element.
    eps : float, optional
        Added to the mean square; default the precision of the dtype in which it is computed,
        1.2e-7 in float32 (which half precision is computed in) and 2.2e-16 in float64.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``.

    Raises
    ------
    ShapeError
        If the input does not end in ``normalized_shape``, or the weight differs from it.

    References
    ----------
    Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.rms_norm(tc.tensor([3.0, 3.0, 0.0, 0.0]), 4)
    tensor([1.4142, 1.4142, 0.0000, 0.0000])
    """
    check_floating("rms_norm", "input", input)
    last = last_dimensions("rms_norm", input, normalized_shape, weight=weight)
    x = cast(input, wide(input.dtype))
    weight = None if weight is None else cast(weight, x.dtype)
    if eps is None:
        eps = float(x.xp.finfo(x.array.dtype).eps)
    return cast(RmsNorm.apply(x, weight, len(last), eps), input.dtype)
