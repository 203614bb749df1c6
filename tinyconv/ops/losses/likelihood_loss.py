"""Negative log-likelihoods of numbers: of counts (Poisson), and of normal noise (Gaussian)."""

from __future__ import annotations

import math
from typing import Any

from ...autograd import TensorBase
from ...backend.cuda.driver.graphs import recording
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_broadcast, check_floating, check_tensor, is_number
from ..creation.filled import full_like
from ..elementwise.selection import AtLeast
from ._losses import check_reduction, pair, reduce_losses


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of counts that have a Poisson distribution.

    ``exp(input) - target * input``, or ``input - target * log(input + eps)`` without
    ``log_input``; a term that does not depend on ``input`` is left out, unless ``full``.

    Parameters
    ----------
    input : Tensor
        Logarithm of the expected counts, any shape, floating point.
    target : Tensor
        Counts, of the same shape (another one that broadcasts is warned of).
    log_input : bool, default True
        Whether ``input`` is the logarithm; else it is the expectation.
    full : bool, default False
        Add Stirling's approximation of ``log(target!)`` for targets above 1:
        ``target * log(target) - target + 0.5 * log(2 * pi * target)``.
    eps : float, default 1e-8
        Keeps the logarithm of an ``input`` of 0 finite.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.poisson_nll_loss(tc.tensor([0.0]), tc.tensor([3.0]))
    tensor(1.)
    """
    op = "poisson_nll_loss"
    check_reduction(op, reduction)
    input, target = pair(op, input, target)
    if log_input:
        losses = input.exp() - target * input
    else:
        losses = input - target * (input + eps).log()
    if full:
        small = target <= 1
        n = target.masked_fill(small, 1.0)
        stirling = n * n.log() - n + (n * (2 * math.pi)).log() * 0.5
        losses = losses + stirling.masked_fill(small, 0.0)
    return reduce_losses(op, losses, reduction)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of numbers with normal noise of a predicted variance.

    ``0.5 * (log(var) + (input - target)**2 / var)``, and a constant if ``full``.

    Parameters
    ----------
    input : Tensor
        Expected values, any shape, floating point.
    target : Tensor
        Samples, of a shape that broadcasts with ``input``.
    var : Tensor or float
        Variances, not negative: of the shape of ``input``; or one for the last dimension, which
        may be missing; or of size 1 in one dimension.
    full : bool, default False
        Add ``0.5 * log(2 * pi)``.
    eps : float, default 1e-6
        Smaller variances count as this; their gradient is that at ``eps``.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ArgumentError
        If a variance is negative.
    ShapeError
        If the shapes do not belong together.

    References
    ----------
    Nix and Weigend, "Estimating the mean and variance of the target probability distribution",
    ICNN 1994.

    Examples
    --------
    >>> import tinyconv as tc
    >>> mean, target = tc.tensor([1.0]), tc.tensor([3.0])
    >>> tc.nn.functional.gaussian_nll_loss(mean, target, var=1.0)
    tensor(2.)
    """
    op = "gaussian_nll_loss"
    check_reduction(op, reduction)
    check_floating(op, "input", input)
    if not check_tensor(op, "target", target).dtype.is_floating_point:
        target = cast(target, input.dtype)
    check_broadcast(op, input.array.shape, target.array.shape)
    variance = AtLeast.apply(_variance(op, var, input), eps)
    difference = input - target
    losses = (variance.log() + difference * difference / variance) * 0.5
    return reduce_losses(op, losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def _variance(op: str, var: Any, input: Any) -> Any:
    """Return checked variances of a shape that broadcasts with ``input``."""
    if is_number(var) and not isinstance(var, TensorBase):
        var = full_like(input, float(var))
    check_floating(op, "var", var)
    if not recording() and bool(var.xp.any(var.array < 0)):
        raise ArgumentError(f"{op}: argument 'var' must be at least 0, but has a negative element")
    shape, given = tuple(input.array.shape), tuple(var.array.shape)
    if given == shape:
        return var
    if given == shape[:-1]:
        return var.unsqueeze(-1)
    differing = [b for a, b in zip(shape, given, strict=False) if a != b]
    if len(given) != len(shape) or differing != [1]:
        raise ShapeError(
            f"{op}: argument 'var' must have the shape of input, {shape}, without its last "
            f"dimension, or with 1 for one dimension; got {given}"
        )
    return var
