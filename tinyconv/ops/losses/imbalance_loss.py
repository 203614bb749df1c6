"""Losses for rare classes and small regions: focal loss and Dice loss."""

from __future__ import annotations

import math
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_floating, check_tensor
from ..activations.smooth import logsigmoid
from ._labels import (
    IGNORED,
    check_class_weight,
    hot,
    label_weights,
    reduce_labels,
    rows_and_labels,
)
from ._losses import check_reduction, reduce_losses, same_shape

DICE_MODES = ("binary", "multilabel", "multiclass")


class LogMiss(Function):
    """log(s * (1 - t) + (1 - s) * t) with s = sigmoid(x): how far from t the answer is.

    Neither it nor a derivative overflows or is lost where ``s`` rounds to 0 or 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, t: Any) -> Any:
        mixed = (x.sigmoid() * (1 - t) + (-x).sigmoid() * t).log()
        y = logsigmoid(-x).where(t == 1, logsigmoid(x).where(t == 0, mixed))
        ctx.save_for_backward(x, t, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, t, y = ctx.saved_tensors
        d_x = grad * (1 - 2 * t) * (logsigmoid(x) + logsigmoid(-x) - y).exp()
        d_t = None
        if ctx.needs_input_grad[1]:
            largest = 0.9 * math.log(float(x.xp.finfo(x.array.dtype).max))
            d_t = -grad * (x * 0.5).tanh() * (-y).clamp(max=largest).exp()
        return d_x, d_t


def check_gamma(op: str, gamma: float) -> None:
    """Raise ``ArgumentError`` if gamma is negative."""
    if not gamma >= 0:
        raise ArgumentError(f"{op}: gamma must not be negative, got {gamma}")


def check_alpha(op: str, alpha: float) -> None:
    """Raise ``ArgumentError`` if alpha is neither from 0 to 1 nor -1."""
    if not (0 <= alpha <= 1 or alpha == -1):
        raise ArgumentError(f"{op}: alpha must be from 0 to 1, or -1 for none, got {alpha}")


def sigmoid_focal_loss(
    input: Any, target: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Any:
    """Focal loss of yes-or-no questions: cross-entropy that leaves easy ones alone.

    ``-alpha_t * (1 - p_t)**gamma * log(p_t)``, where ``p_t`` is ``sigmoid(input)`` for a target
    of 1 and one minus that for 0; ``alpha_t`` is ``alpha`` and ``1 - alpha``. The same names,
    order and defaults as in torchvision, ``reduction="none"`` among them.

    Parameters
    ----------
    input : Tensor
        Scores (logits), any shape, floating point.
    target : Tensor
        Shape of ``input``: 0, 1, or a probability.
    alpha : float, default 0.25
        Weight of targets of 1, from 0 to 1; -1 means no weights.
    gamma : float, default 2.0
        How much easy questions are played down; 0 gives the cross-entropy.
    reduction : {"none", "mean", "sum"}
        Over all elements. The paper divides the sum by the number of targets of 1.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If ``alpha`` or ``gamma`` is out of range.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import tinyconv as tc
    >>> easy, hard = tc.tensor([4.0]), tc.tensor([-4.0])
    >>> tc.nn.functional.sigmoid_focal_loss(hard, tc.ones(1))
    tensor([0.9687])
    >>> tc.nn.functional.sigmoid_focal_loss(easy, tc.ones(1)) < 1e-5
    tensor([True])
    """
    op = "sigmoid_focal_loss"
    check_reduction(op, reduction)
    check_alpha(op, alpha)
    check_gamma(op, gamma)
    input, target = same_shape(op, input, target)
    target = cast(target, input.dtype)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if gamma:
        losses = losses * (LogMiss.apply(input, target) * gamma).exp()
    if alpha >= 0:
        losses = losses * (target * alpha + (1 - target) * (1 - alpha))
    return reduce_losses(op, losses, reduction)


def softmax_focal_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Focal loss of classes, ``-(1 - p)**gamma * log(p)`` with ``p = softmax(input)[target]``.

    With ``gamma=0`` it is :func:`cross_entropy`.

    Parameters
    ----------
    input : Tensor
        Scores (logits): (N, C), (N, C, *S) or (C,), floating point.
    target : Tensor
        Labels, integers of shape (N,), (N, *S) or ().
    weight : Tensor, optional
        (C,): factor of the loss of each class, the paper's alpha.
    gamma : float, default 2.0
        How much easy labels are played down.
    ignore_index : int, default -100
        Label of an element that takes no part.
    reduction : {"mean", "sum", "none"}
        The mean is divided by the sum of the weights, as in :func:`cross_entropy`.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    IndexRangeError
        If a label is not a class.
    ArgumentError
        If ``gamma`` is negative.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    op = "softmax_focal_loss"
    check_reduction(op, reduction)
    check_gamma(op, gamma)
    check_floating(op, "input", input)
    check_tensor(op, "target", target)
    check_class_weight(op, input, weight)
    rows, labels = rows_and_labels(op, input, target, ignore_index)
    right = rows.gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1)
    itself = hot(labels, rows.array.shape[1], rows) > 0
    # p is the sigmoid of how far the right score is above all others: 1 - p loses no digits.
    lead = right - rows.masked_fill(itself, -math.inf).logsumexp(1)
    losses = -(logsigmoid(-lead) * gamma).exp() * logsigmoid(lead) if gamma else -logsigmoid(lead)
    losses = losses.masked_fill(labels == IGNORED, 0.0)
    if weight is not None:
        losses = losses * label_weights(labels, weight)
    return reduce_labels(op, losses, labels, weight, target, reduction)


def dice_loss(
    input: Any,
    target: Any,
    mode: str = "multiclass",
    smooth: float = 1.0,
    squared: bool = False,
    batch: bool = False,
    from_logits: bool = True,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """One minus the Dice coefficient, the overlap of predicted and true regions.

    ``1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)``, summed over positions.

    Parameters
    ----------
    input : Tensor
        Scores (logits), floating point: (N, C, *S), or (N, *S) with ``mode="binary"``.
    target : Tensor
        0, 1 or probabilities, of the shape of ``input``; or labels, integers of shape (N, *S),
        with ``mode="multiclass"``.
    mode : {"multiclass", "multilabel", "binary"}
        Softmax over the classes; a sigmoid for each, where they may overlap; one region a sample.
    smooth : float, default 1.0
        Keeps a region that is empty, and rightly so, at a loss of 0; not negative.
    squared : bool, default False
        Squares in the denominator, ``sum(p**2) + sum(t**2)``, as in the paper.
    batch : bool, default False
        Sum over the samples too: one coefficient a class instead of one a sample and class.
    from_logits : bool, default True
        Whether ``input`` holds scores; else probabilities, taken as they are.
    ignore_index : int, default -100
        Where ``target`` is this, the position takes no part.
    reduction : {"mean", "sum", "none"}
        Over the coefficients: (N, C); (C,) with ``batch``; without C for ``"binary"``.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    IndexRangeError
        If a label is not a class.
    ArgumentError
        If ``mode`` is unknown, or ``smooth`` negative.

    References
    ----------
    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016.

    Examples
    --------
    >>> import tinyconv as tc
    >>> p, t = tc.tensor([[0.5, 1.0, 0.0]]), tc.tensor([[1.0, 1.0, 0.0]])
    >>> tc.nn.functional.dice_loss(p, t, "binary", smooth=0.0, from_logits=False)
    tensor(0.1429)
    """
    op = "dice_loss"
    check_reduction(op, reduction)
    check_dice(op, mode, smooth)
    shape = tuple(check_floating(op, "input", input).array.shape)
    if len(shape) < 2:
        raise ShapeError(
            f"{op}: argument 'input' must have shape (N, C, *S), or (N, *S) with mode='binary', "
            f"got {shape}"
        )
    classes = 1 if mode == "binary" else shape[1]
    flat = (shape[0], classes, math.prod(shape[1:]) // max(classes, 1))
    labels = check_tensor(op, "target", target)
    if mode == "multiclass" and target.array.ndim == len(shape) - 1:
        _, labels = rows_and_labels(op, input, target, ignore_index)
        t = hot(labels, classes, input).reshape(flat[0], flat[2], classes).mT
        left_out = (labels == IGNORED).reshape(flat[0], 1, flat[2])
    else:
        _, t = same_shape(op, input, target)
        t = cast(t, input.dtype).reshape(flat)
        left_out = t == ignore_index
    p = input.reshape(flat)
    if from_logits:
        p = p.softmax(1) if mode == "multiclass" else p.sigmoid()
    p, t = p.masked_fill(left_out, 0.0), t.masked_fill(left_out, 0.0)
    axes = (0, 2) if batch else (2,)
    sizes = (p * p + t * t if squared else p + t).sum(axes)
    overlap = (p * t).sum(axes) * 2
    losses = 1 - (overlap + smooth) / (sizes + smooth).clamp(min=1e-7)
    return reduce_losses(op, losses.squeeze(-1) if mode == "binary" else losses, reduction)


def check_dice(op: str, mode: str, smooth: float) -> None:
    """Raise ``ArgumentError`` if there is no such mode, or ``smooth`` is negative."""
    if mode not in DICE_MODES:
        raise ArgumentError(f"{op}: mode={mode!r} is unknown; choose {', '.join(DICE_MODES)}")
    if not smooth >= 0:
        raise ArgumentError(f"{op}: smooth must not be negative, got {smooth}")
