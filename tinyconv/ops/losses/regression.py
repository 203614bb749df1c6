"""Losses of numbers and of probabilities: how far ``input`` is from ``target``.

Losses of class labels are in :mod:`.cross_entropy`. Each function gives one loss an element, then
reduces: ``"mean"`` (default), ``"sum"`` or ``"none"``.
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...backend.cuda.driver.graphs import recording
from ...backend.quiet import quiet
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_tensor
from ..activations.smooth import logsigmoid
from ._losses import check_reduction, pair, reduce_losses, same_shape


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """Squared error, ``(input - target)**2``.

    Parameters
    ----------
    input : Tensor
        Predictions, any shape, floating point.
    target : Tensor
        True values, of the same shape (another one that broadcasts is warned of).
    reduction : {"mean", "sum", "none"}
        Over all elements; the mean is divided by the sum of the weights, if there are any.
    weight : Tensor, optional
        Shape of ``input``: factor of each loss.

    Returns
    -------
    Tensor
        0-d, or the shape of the difference with ``"none"``.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast, or ``weight`` has another one than ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.mse_loss(tc.tensor([1.0, 2.0]), tc.tensor([1.0, 4.0]))
    tensor(2.)
    """
    input, target = pair("mse_loss", input, target)
    difference = input - target
    return _weighted_mean("mse_loss", difference * difference, input, weight, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """Absolute error, ``|input - target|``; arguments as :func:`mse_loss`."""
    input, target = pair("l1_loss", input, target)
    return _weighted_mean("l1_loss", (input - target).abs(), input, weight, reduction)


def huber_loss(
    input: Any,
    target: Any,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Any = None,
) -> Any:
    """Squared error for small differences, absolute error for large ones.

    ``0.5 * d**2`` where ``|d| < delta``, else ``delta * (|d| - 0.5*delta)``; other arguments as
    :func:`mse_loss`.

    Parameters
    ----------
    input, target, reduction
        As in :func:`mse_loss`.
    delta : float, default 1.0
        Where one goes over into the other; positive.
    weight : Tensor, optional
        Shape of ``input``: factor of each loss. The mean is over the number of elements here.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).
    """
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    input, target = pair("huber_loss", input, target)
    losses = _times_weight("huber_loss", _huber(input - target, delta), input, weight)
    return reduce_losses("huber_loss", losses, reduction)


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
    input, target = pair("smooth_l1_loss", input, target)
    difference = input - target
    losses = _huber(difference, beta) / beta if beta else difference.abs()
    return reduce_losses("smooth_l1_loss", losses, reduction)


def _weighted_mean(op: str, losses: Any, input: Any, weight: Any, reduction: str) -> Any:
    """Reduce weighted losses; the mean is divided by the sum of the weights."""
    losses = _times_weight(op, losses, input, weight)
    if weight is not None and reduction == "mean":
        return losses.sum() / weight.sum()
    return reduce_losses(op, losses, reduction)


def _times_weight(op: str, losses: Any, input: Any, weight: Any) -> Any:
    if weight is None:
        return losses
    shape = tuple(check_tensor(op, "weight", weight).array.shape)
    if shape != tuple(input.array.shape):
        raise ShapeError(
            f"{op}: argument 'weight' must have the shape of input, {tuple(input.array.shape)}, "
            f"got {shape}"
        )
    return losses * weight


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
    input, target = pair("kl_div", input, target)
    if log_target:
        losses = target.exp() * (target - input)
    else:  # 0 * log(0) is 0
        losses = target * (target.masked_fill(target == 0, 1.0).log() - input)
    if reduction == "batchmean":
        return losses.sum() / (input.array.shape[0] if input.array.ndim else 1)
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
    input, target = same_shape(op, input, target)
    p, xp = input.array, input.xp
    if not recording() and not bool(xp.all((p >= 0) & (p <= 1))):
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
    input, target = same_shape(op, input, target)
    yes = target if pos_weight is None else target * pos_weight
    # The shorter (1 - t)*x - log(sigmoid(x)) subtracts two numbers of the size of x.
    losses = -(yes * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduce_losses(op, losses if weight is None else losses * weight, reduction)
