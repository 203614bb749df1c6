"""Losses of numbers and of probabilities: how far ``input`` is from ``target``.

Losses of class labels are in :mod:`.cross_entropy`. Each function gives one loss an element, then
reduces: ``"mean"`` (default), ``"sum"`` or ``"none"``.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd import Function
from ..backend.quiet import quiet
from ..errors import ArgumentError, ShapeError
from ._operands import cast, check_broadcast, check_floating, check_tensor
from .smooth_activation import logsigmoid


def reduce_losses(op: str, losses: Any, reduction: str) -> Any:
    """Return the mean, the sum, or the losses themselves."""
    check_reduction(op, reduction)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def check_reduction(op: str, reduction: str, extra: tuple[str, ...] = ()) -> None:
    """Raise ``ArgumentError`` if there is no such reduction."""
    choices = ("none", "mean", "sum", *extra)
    if reduction not in choices:
        raise ArgumentError(
            f"{op}: reduction={reduction!r} is unknown; choose {', '.join(choices)}"
        )


def _pair(op: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Check input and target, and warn where they broadcast: that is nearly always a mistake."""
    check_floating(op, "input", input)
    check_tensor(op, "target", target)
    shapes = tuple(input.array.shape), tuple(target.array.shape)
    if shapes[0] != shapes[1]:
        check_broadcast(op, *shapes)
        warnings.warn(
            f"{op}: input has shape {shapes[0]} and target {shapes[1]}; they broadcast, so each "
            "element is compared with several. Reshape one of them if that is not meant",
            stacklevel=3,
        )
    return input, target if target.dtype.is_floating_point else cast(target, input.dtype)


def _same_shape(op: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Check that input and target have one shape; return the target as floating point."""
    check_floating(op, "input", input)
    shapes = tuple(input.array.shape), tuple(check_tensor(op, "target", target).array.shape)
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"{op}: argument 'target' must have the shape of input, {shapes[0]}, got {shapes[1]}"
        )
    return input, target if target.dtype.is_floating_point else cast(target, input.dtype)


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Squared error, ``(input - target)**2``.

    Parameters
    ----------
    input : Tensor
        Predictions, any shape, floating point.
    target : Tensor
        True values, of the same shape (another one that broadcasts is warned of).
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Returns
    -------
    Tensor
        0-d, or the shape of the difference with ``"none"``.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.mse_loss(tc.tensor([1.0, 2.0]), tc.tensor([1.0, 4.0]))
    tensor(2.)
    """
    input, target = _pair("mse_loss", input, target)
    difference = input - target
    return reduce_losses("mse_loss", difference * difference, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Absolute error, ``|input - target|``; arguments as :func:`mse_loss`."""
    input, target = _pair("l1_loss", input, target)
    return reduce_losses("l1_loss", (input - target).abs(), reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Squared error for small differences, absolute error for large ones.

    ``0.5 * d**2`` where ``|d| < delta``, else ``delta * (|d| - 0.5*delta)``; other arguments as
    :func:`mse_loss`.

    Parameters
    ----------
    input, target, reduction
        As in :func:`mse_loss`.
    delta : float, default 1.0
        Where one goes over into the other; positive.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).
    """
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    input, target = _pair("huber_loss", input, target)
    return reduce_losses("huber_loss", _huber(input - target, delta), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """Huber loss divided by ``beta``: slope 1 far away, whatever ``beta``.

    Parameters
    ----------
    input, target, reduction
        As in :func:`mse_loss`.
    beta : float, default 1.0
        Where the square goes over into the absolute value; 0 gives :func:`l1_loss`.
    """
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    input, target = _pair("smooth_l1_loss", input, target)
    difference = input - target
    losses = _huber(difference, beta) / beta if beta else difference.abs()
    return reduce_losses("smooth_l1_loss", losses, reduction)


def _huber(difference: Any, delta: float) -> Any:
    size = difference.abs()
    square = difference * difference * 0.5
    return square.where(size < delta, (size - 0.5 * delta) * delta)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """Kullback-Leibler divergence of distributions ``target`` from ``exp(input)``.

    ``target * (log(target) - input)``, an element.

    Parameters
    ----------
    input : Tensor
        Log-probabilities, for example from ``log_softmax``.
    target : Tensor
        Probabilities, or log-probabilities with ``log_target``; the shape of ``input``.
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"batchmean"``, the sum divided by the size of the first dimension, is the divergence as
        mathematics has it; ``"mean"`` divides by the number of elements.
    log_target : bool, default False
        Whether ``target`` holds logarithms.
    """
    check_reduction("kl_div", reduction, ("batchmean",))
    input, target = _pair("kl_div", input, target)
    if log_target:
        losses = target.exp() * (target - input)
    else:  # 0 * log(0) is 0
        losses = target * (target.masked_fill(target == 0, 1.0).log() - input)
    if reduction == "batchmean":
        return losses.sum() / input.array.shape[0]
    return reduce_losses("kl_div", losses, reduction)


class BinaryCrossEntropy(Function):
    """-(t * log(p) + (1 - t) * log(1 - p)), with logarithms of at least -100."""

    @staticmethod
    def forward(ctx: Any, input: Any, target: Any) -> Any:
        ctx.save_for_backward(input, target)
        losses = quiet(_binary_cross_entropy, input.xp, input.array, target.array)
        return input.wrap(losses)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        p, t = ctx.saved_tensors
        d_target = None
        if ctx.needs_input_grad[1]:
            d_target = grad * (_clamped_log(1 - p) - _clamped_log(p))
        return grad * (p - t) / (p * (1 - p)).clamp(min=1e-12), d_target


def _binary_cross_entropy(xp: Any, p: Any, t: Any) -> Any:
    log_p, log_not_p = (xp.clip(xp.log(q), min=-100.0) for q in (p, 1 - p))
    return -(t * log_p + (1 - t) * log_not_p)


def _clamped_log(p: Any) -> Any:
    """Return log(p), or -100 where that is less; a gradient of 0 there."""
    zero = p <= 0
    return p.masked_fill(zero, 1.0).log().masked_fill(zero, -100.0).clamp(min=-100.0)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """Cross-entropy of yes-or-no questions, from probabilities.

    ``-(target * log(input) + (1 - target) * log(1 - input))``, an element. The logarithms are at
    least -100, so that a certain and wrong answer costs 100 instead of infinity.
    :func:`binary_cross_entropy_with_logits` is exact and should be preferred.

    Parameters
    ----------
    input : Tensor
        Probabilities in [0, 1], any shape.
    target : Tensor
        Shape of ``input``: 0, 1, or a probability.
    weight : Tensor, optional
        Factor of each loss; broadcasts.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If an element of ``input`` is outside [0, 1].

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.binary_cross_entropy(tc.tensor([0.9]), tc.tensor([0.0]))
    tensor(2.3026)
    """
    op = "binary_cross_entropy"
    input, target = _same_shape(op, input, target)
    p, xp = input.array, input.xp
    if not bool(xp.all((p >= 0) & (p <= 1))):
        raise ArgumentError(
            f"{op}: argument 'input' must hold probabilities in [0, 1], but has others; for scores "
            "use binary_cross_entropy_with_logits"
        )
    losses = BinaryCrossEntropy.apply(input, cast(target, input.dtype))
    return reduce_losses(op, losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Cross-entropy of yes-or-no questions, from scores: sigmoid and logarithm in one, exactly.

    ``-(pos_weight * target * log(s) + (1 - target) * log(1 - s))`` with ``s = sigmoid(input)``.

    Parameters
    ----------
    input : Tensor
        Scores (logits), any real numbers.
    target : Tensor
        Shape of ``input``: 0, 1, or a probability.
    weight : Tensor, optional
        Factor of each loss; broadcasts.
    reduction : {"mean", "sum", "none"}
        Over all elements.
    pos_weight : Tensor, optional
        Factor of the yes term; broadcasts. The ratio of no to yes balances the two.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    op = "binary_cross_entropy_with_logits"
    input, target = _same_shape(op, input, target)
    yes = target if pos_weight is None else target * pos_weight
    # The shorter (1 - t)*x - log(sigmoid(x)) subtracts two numbers of the size of x.
    losses = -(yes * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduce_losses(op, losses if weight is None else losses * weight, reduction)
