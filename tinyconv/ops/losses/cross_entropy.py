"""Losses of class labels: cross-entropy and negative log-likelihood, and one-hot vectors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...backend.cuda.driver.graphs import recording
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import cast, check_floating, check_tensor
from ._labels import (
    IGNORED,
    check_class_weight,
    check_labels,
    check_range,
    class_last,
    hot,
    label_weights,
    read_labels,
    reduce_labels,
    rows_and_labels,
)
from ._losses import check_reduction, reduce_losses


class CrossEntropy(Function):
    """loss[i] = -log(softmax(logits[i])[label[i]]), fused: stable, and with gradient p - onehot."""

    @staticmethod
    def forward(ctx: Any, logits: Any, labels: Any) -> Any:
        kernel = logits.device.backend.softmax_cross_entropy
        losses, probabilities = map(logits.wrap, kernel(logits.array, labels.array))
        ctx.save_for_backward(logits, labels, probabilities)
        ctx.mark_non_differentiable(probabilities)
        return losses, probabilities

    @staticmethod
    def backward(ctx: Any, grad: Any, _: Any) -> Any:
        logits, labels, probabilities = ctx.saved_tensors
        if is_grad_enabled():
            return _slope(logits, labels) * grad.unsqueeze(1), None
        kernel = grad.device.backend.softmax_cross_entropy_grad
        return grad.wrap(kernel(probabilities.array, labels.array, grad.array)), None


def _slope(logits: Any, labels: Any) -> Any:
    """Return ``softmax - onehot``, differentiable; 0 in rows that are ignored."""
    slope = logits.softmax(1) - hot(labels, logits.array.shape[1], logits)
    return slope.masked_fill((labels == IGNORED).unsqueeze(1), 0.0)


class MeanCrossEntropy(Function):
    """The mean of the losses of :class:`CrossEntropy`, or their sum, of labels still unchecked."""

    @staticmethod
    def forward(ctx: Any, logits: Any, target: Any, ignore_index: int, mean: bool) -> Any:
        given, classes = target.array, logits.array.shape[1]
        if not classes:  # no kernel finds the largest of no logits
            read_labels("cross_entropy", target, classes, ignore_index)
        rows = given if given.ndim == 1 else target.xp.reshape(given, (-1,))
        kernel = logits.device.backend.mean_cross_entropy
        loss, probabilities, labels, count = kernel(logits.array, rows, ignore_index, mean)
        # In a step that is being recorded no value is known: of a wrong label the loss is NaN.
        if not recording() and int(count) < 0:
            read_labels("cross_entropy", target, classes, ignore_index)  # raises
        ctx.save_for_backward(logits, target.wrap(labels), logits.wrap(probabilities))
        ctx.count = count if mean else None
        return logits.wrap(loss)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        logits, labels, probabilities = ctx.saved_tensors
        count = ctx.count  # stays on the device: nobody waits for it
        if is_grad_enabled():
            share = grad if count is None else grad / grad.wrap(count)
            return _slope(logits, labels) * share, None, None, None
        kernel = grad.device.backend.softmax_cross_entropy_grad
        share = grad.xp.reshape(grad.array, (1,))
        gradient = kernel(probabilities.array, labels.array, share, count)
        return grad.wrap(gradient), None, None, None


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Cross-entropy of classes, from scores: softmax and logarithm in one, without overflow.

    ``-log(softmax(input)[target])`` for labels, ``-sum of target * log(softmax(input))`` for
    probabilities.

    Parameters
    ----------
    input : Tensor
        Scores (logits): (N, C), (N, C, *S) for one label a position, or (C,).
    target : Tensor
        Labels from 0 to C - 1: integers of shape (N,), (N, *S) or (). Or probabilities: floating
        point, of the shape of ``input``.
    weight : Tensor, optional
        (C,): factor of the loss of each class.
    ignore_index : int, default -100
        Label of an element that takes no part.
    reduction : {"mean", "sum", "none"}
        The mean of labels is weighted: divided by the sum of their weights. The mean of
        probabilities is over N and S.
    label_smoothing : float, default 0.0
        In [0, 1]: share of the target that is spread evenly over all classes (Szegedy et al.,
        "Rethinking the Inception architecture", CVPR 2016).

    Returns
    -------
    Tensor
        0-d, or one loss a label with ``"none"``. The mean of nothing is NaN.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    IndexRangeError
        If a label is not a class.
    ArgumentError
        If ``label_smoothing`` or ``reduction`` is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> scores = tc.tensor([[2.0, 5.0]])
    >>> tc.nn.functional.cross_entropy(scores, tc.tensor([1]))
    tensor(0.0486)
    """
    op = "cross_entropy"
    check_floating(op, "input", input)
    check_tensor(op, "target", target)
    check_reduction(op, reduction)
    check_smoothing(op, label_smoothing)
    check_class_weight(op, input, weight)
    if target.dtype.is_floating_point:
        return of_shares(op, input, target, _log_softmax, weight, reduction, label_smoothing)
    if weight is None and not label_smoothing and reduction != "none":
        check_labels(op, input, target)
        return MeanCrossEntropy.apply(class_last(input), target, ignore_index, reduction == "mean")
    rows, labels = rows_and_labels(op, input, target, ignore_index)
    if label_smoothing:
        classes = rows.array.shape[1]
        share = hot(labels, classes, rows) * (1 - label_smoothing) + label_smoothing / classes
        share = share.masked_fill((labels == IGNORED).unsqueeze(1), 0.0)
        losses = _soft_losses(rows.log_softmax(1), share, weight)
    else:
        losses, _ = CrossEntropy.apply(rows, labels)
        if weight is not None:
            losses = losses * label_weights(labels, weight)
    return reduce_labels(op, losses, labels, weight, target, reduction)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of classes: ``-input[target]``, from log-probabilities.

    Parameters
    ----------
    input : Tensor
        Log-probabilities, as ``log_softmax`` gives them: (N, C), (N, C, *S) or (C,).
    target : Tensor
        Labels, integers of shape (N,), (N, *S) or ().
    weight, ignore_index, reduction
        As in :func:`cross_entropy`.

    Returns
    -------
    Tensor
        0-d, or one loss a label with ``"none"``.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    IndexRangeError
        If a label is not a class.
    """
    check_reduction("nll_loss", reduction)
    check_floating("nll_loss", "input", input)
    return of_labels("nll_loss", input, target, weight, ignore_index, reduction)


def of_labels(
    op: str, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    """Reduce ``-input[target]``, for log-probabilities."""
    check_tensor(op, "target", target)
    check_class_weight(op, input, weight)
    rows, labels = rows_and_labels(op, input, target, ignore_index)
    picked = rows.gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1)
    losses = (-picked).masked_fill(labels == IGNORED, 0.0)
    if weight is not None:
        losses = losses * label_weights(labels, weight)
    return reduce_labels(op, losses, labels, weight, target, reduction)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Return a vector for each label, with 1 at its class and 0 elsewhere.

    Parameters
    ----------
    tensor : Tensor
        Labels, integers from 0, any shape.
    num_classes : int, default -1
        Length of the vectors; -1 means the largest label + 1.

    Returns
    -------
    int64 Tensor
        (*tensor.shape, num_classes).

    Raises
    ------
    DTypeError
        If the labels are not integers.
    IndexRangeError
        If a label is not from 0 to ``num_classes - 1``.
    ArgumentError
        If ``num_classes`` is left out and there is no label to tell it.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.one_hot(tc.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if check_tensor("one_hot", "tensor", tensor).dtype.kind != 1:
        raise DTypeError(f"one_hot: labels must be integers, got {tensor.dtype}; use .long()")
    xp, labels = tensor.xp, tensor.array
    empty = 0 in labels.shape
    if num_classes == -1:
        if empty:
            raise ArgumentError("one_hot: num_classes is needed where there is no label")
        num_classes = max(int(xp.max(labels)) + 1, 1)
    if operator.index(num_classes) < 1:
        raise ArgumentError(f"one_hot: num_classes must be at least 1 (or -1), got {num_classes}")
    labels = xp.astype(labels, xp.int64)
    check_range("one_hot", "tensor", xp, labels, num_classes, "")
    classes = xp.arange(num_classes, dtype=xp.int64, device=labels.device)
    return tensor.wrap(xp.astype(xp.expand_dims(labels, axis=-1) == classes, xp.int64))


def _soft_losses(log_p: Any, share: Any, weight: Any) -> Any:
    """Return ``-sum of share * log_p``, a row."""
    products = log_p * share
    return -(products if weight is None else products * weight).sum(1)


def check_smoothing(op: str, label_smoothing: float) -> None:
    """Raise ``ArgumentError`` if the share is not from 0 to 1."""
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{op}: label_smoothing must be from 0 to 1, got {label_smoothing}")


def _log_softmax(rows: Any) -> Any:
    return rows.log_softmax(1)


def of_shares(
    op: str,
    input: Any,
    target: Any,
    log: Callable[[Any], Any],
    weight: Any,
    reduction: str,
    label_smoothing: float,
) -> Any:
    """Cross-entropy against distributions over the classes; ``log`` gives log-probabilities."""
    shape = tuple(input.array.shape)
    if not shape or tuple(target.array.shape) != shape:
        raise ShapeError(
            f"{op}: a floating-point target holds probabilities and must have the shape of input, "
            f"{shape}, got {tuple(target.array.shape)}; for labels, use an integer dtype"
        )
    rows, share = class_last(input), class_last(cast(target, input.dtype))
    if label_smoothing:
        share = share * (1 - label_smoothing) + label_smoothing / rows.array.shape[1]
    losses = _soft_losses(log(rows), share, weight)
    return reduce_losses(op, losses.reshape(shape[:1] + shape[2:] if shape[1:] else ()), reduction)
