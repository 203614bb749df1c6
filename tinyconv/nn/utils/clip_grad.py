"""Clipping gradients, so that one steep place does not throw the parameters far away.

Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013,
arXiv:1211.5063.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ...autograd import TensorBase, no_grad
from ...autograd.inplace import written
from ...errors import ArgumentError
from ...ops import clamp, norm, stack, zeros


@no_grad()
def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Any:
    """Return the norm of all elements of some tensors, as if they were one vector.

    Parameters
    ----------
    tensors : iterable of Tensor, or Tensor
        Floating point.
    norm_type : float, default 2.0
        Which norm; ``inf`` is the largest absolute value.
    error_if_nonfinite : bool, default False
        Raise if the norm is NaN or infinite.

    Returns
    -------
    Tensor
        0-d; 0 for no tensors.

    Raises
    ------
    ArgumentError
        If the norm is not finite, and that was to be an error.
    """
    tensors = listed(tensors)
    if not tensors:
        return zeros(())
    power = float(norm_type)
    if power in (1.0, 2.0, math.inf) and _alike(tensors) and all(t.numel() for t in tensors):
        arrays = [tensor.array for tensor in tensors]
        total = tensors[0].detach().wrap(tensors[0].device.backend.total_norm(arrays, power))
    else:
        total = norm(stack([norm(t.detach(), power) for t in tensors]), power)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise ArgumentError(
            f"get_total_norm: the norm of order {norm_type} of the gradients is {total.item()}, so "
            "it can't be clipped; pass error_if_nonfinite=False to go on all the same"
        )
    return total


@no_grad()
def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Any) -> None:
    """Scale gradients by ``max_norm / total_norm``, in place, if that is less than 1.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Those without a gradient are left out.
    max_norm : float
        The norm that is allowed.
    total_norm : Tensor
        What :func:`get_total_norm` returned.
    """
    grads = [p.grad for p in listed(parameters) if p.grad is not None]
    if _alike([total_norm, *grads]):
        with written("clip_grads_with_norm_", grads) as arrays:
            total_norm.device.backend.clip_to_norm(arrays, total_norm.array, float(max_norm))
        return
    factor = clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    for grad in grads:
        grad.mul_(factor.to(grad.device, grad.dtype))


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Any:
    """Scale all gradients together, in place, so that their norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Those without a gradient are left out.
    max_norm : float
        The norm that is allowed for all of them as one vector, 0 or more.
    norm_type : float, default 2.0
        Which norm; ``inf`` is the largest absolute value.
    error_if_nonfinite : bool, default False
        Raise, and change nothing, if the norm is NaN or infinite. Else NaN spreads to all.

    Returns
    -------
    Tensor
        The norm before clipping, 0-d.

    Raises
    ------
    ArgumentError
        If ``max_norm`` is negative or NaN, or the norm is not finite and that was to be an error.

    Examples
    --------
    >>> import tinyconv as tc
    >>> w = tc.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> tc.nn.utils.clip_grad_norm_(w, 1.0), w.grad
    (tensor(10.), tensor([0.6000, 0.8000]))
    """
    _check_limit("clip_grad_norm_", "max_norm", max_norm)
    parameters = listed(parameters)
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Limit each element of the gradients to ``[-clip_value, clip_value]``, in place.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Those without a gradient are left out.
    clip_value : float
        Largest absolute value, 0 or more.

    Raises
    ------
    ArgumentError
        If ``clip_value`` is negative or NaN.
    """
    _check_limit("clip_grad_value_", "clip_value", clip_value)
    for parameter in listed(parameters):
        if parameter.grad is not None:
            parameter.grad.clamp_(-float(clip_value), float(clip_value))


def listed(tensors: Any) -> list[Any]:
    """Return a list of one tensor, or of the tensors of an iterable."""
    if isinstance(tensors, TensorBase):
        return [tensors]
    if isinstance(tensors, Iterable):
        return list(tensors)
    raise ArgumentError(
        f"expected a tensor or an iterable of tensors, got {type(tensors).__name__}; pass "
        "model.parameters()"
    )


def _alike(tensors: list[Any]) -> bool:
    """Return whether tensors are of one device and one floating-point dtype."""
    first = tensors[0]
    return first.dtype.is_floating_point and all(
        t.device is first.device and t.dtype is first.dtype for t in tensors
    )


def _check_limit(op: str, name: str, value: float) -> None:
    if not float(value) >= 0:
        raise ArgumentError(f"{op}: argument '{name}' must be at least 0, got {value!r}")
