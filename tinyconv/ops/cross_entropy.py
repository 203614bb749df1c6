"""Losses of class labels: cross-entropy and negative log-likelihood, and one-hot vectors."""

from __future__ import annotations

import operator
from typing import Any

from ..autograd import Function, is_grad_enabled
from ..backend.quiet import quiet
from ..errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from ._operands import cast, check_floating, check_tensor
from .loss import check_reduction, reduce_losses
from .reduction import array_sum

#: Label of a row that takes no part; kernels give it loss and gradient 0.
IGNORED = -1


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
    slope = logits.softmax(1) - _hot(labels, logits.array.shape[1], logits)
    return slope.masked_fill((labels == IGNORED).unsqueeze(1), 0.0)


def _quotient(xp: Any, losses: Any, count: float) -> Any:
    return array_sum(xp, losses, (0,)) / count


class TotalCrossEntropy(Function):
    """The sum of the losses of :class:`CrossEntropy`, divided by a number."""

    @staticmethod
    def forward(ctx: Any, logits: Any, labels: Any, count: float) -> Any:
        kernel = logits.device.backend.softmax_cross_entropy
        losses, probabilities = kernel(logits.array, labels.array)
        ctx.save_for_backward(logits, labels, logits.wrap(probabilities))
        ctx.count = count
        return logits.wrap(quiet(_quotient, logits.xp, losses, count))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        logits, labels, probabilities = ctx.saved_tensors
        if is_grad_enabled():
            return _slope(logits, labels) * (grad / ctx.count), None, None
        kernel = grad.device.backend.softmax_cross_entropy_grad
        rows = grad.xp.broadcast_to(
            quiet(operator.truediv, grad.array, ctx.count), labels.array.shape
        )
        return grad.wrap(kernel(probabilities.array, labels.array, rows)), None, None


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
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{op}: label_smoothing must be from 0 to 1, got {label_smoothing}")
    _check_weight(op, input, weight)
    if target.dtype.is_floating_point:
        return _of_probabilities(op, input, target, weight, reduction, label_smoothing)
    rows, labels = _rows_and_labels(op, input, target, ignore_index)
    if label_smoothing:
        classes = rows.array.shape[1]
        share = _hot(labels, classes, rows) * (1 - label_smoothing) + label_smoothing / classes
        share = share.masked_fill((labels == IGNORED).unsqueeze(1), 0.0)
        losses = _soft_losses(rows, share, weight)
    else:
        if weight is None and reduction != "none":
            count = 1 if reduction == "sum" else _count(labels)
            return TotalCrossEntropy.apply(rows, labels, count)
        losses, _ = CrossEntropy.apply(rows, labels)
        if weight is not None:
            losses = losses * _label_weights(labels, weight)
    return _reduce_labels(op, losses, labels, weight, target, reduction)


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
    op = "nll_loss"
    check_floating(op, "input", input)
    check_tensor(op, "target", target)
    check_reduction(op, reduction)
    _check_weight(op, input, weight)
    rows, labels = _rows_and_labels(op, input, target, ignore_index)
    picked = rows.gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1)
    losses = (-picked).masked_fill(labels == IGNORED, 0.0)
    if weight is not None:
        losses = losses * _label_weights(labels, weight)
    return _reduce_labels(op, losses, labels, weight, target, reduction)


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
    _check_range("one_hot", "tensor", xp, labels, num_classes, "")
    classes = xp.arange(num_classes, dtype=xp.int64, device=labels.device)
    return tensor.wrap(xp.astype(xp.expand_dims(labels, axis=-1) == classes, xp.int64))


def _rows_and_labels(op: str, input: Any, target: Any, ignore_index: int) -> tuple[Any, Any]:
    """Return scores as (M, C) and checked labels as int64 (M,), ignored ones as ``IGNORED``."""
    shape, labels = tuple(input.array.shape), target.array
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if not shape or tuple(labels.shape) != expected:
        raise ShapeError(
            f"{op}: argument 'target' must have shape {expected} for input (N, C, ...) of shape "
            f"{shape}, got {tuple(labels.shape)}"
        )
    if target.dtype.kind != 1:
        raise DTypeError(f"{op}: labels must be integers, got {target.dtype}; use .long()")
    xp = target.xp
    labels = xp.astype(labels, xp.int64)  # a copy: nobody can change it before backward
    classes = shape[1] if len(shape) > 1 else shape[0]
    if not 0 <= ignore_index < classes and _in_range(xp, labels, classes):
        return _class_last(input), target.wrap(xp.reshape(labels, (-1,)))
    ignored = labels == ignore_index
    taking_part = xp.where(ignored, xp.zeros_like(labels), labels)
    _check_range(op, "target", xp, taking_part, classes, f" (or ignore_index={ignore_index})")
    labels = xp.where(ignored, xp.full_like(labels, IGNORED), labels)
    return _class_last(input), target.wrap(xp.reshape(labels, (-1,)))


def _check_range(op: str, name: str, xp: Any, labels: Any, classes: int, besides: str) -> None:
    """Raise ``IndexRangeError`` at the first label that is not a class."""
    if _in_range(xp, labels, classes):
        return
    wrong = xp.reshape((labels < 0) | (labels >= classes), (-1,))
    first = int(xp.argmax(xp.astype(wrong, xp.int32)))
    value = int(xp.reshape(labels, (-1,))[first])
    place: list[int] = []
    for size in reversed(labels.shape):
        first, position = divmod(first, size)
        place.insert(0, position)
    raise IndexRangeError(
        f"{op}: {name}{place or ''} is {value}, but there are {classes} classes, so labels must "
        f"be from 0 to {classes - 1}{besides}"
    )


def _in_range(xp: Any, labels: Any, classes: int) -> bool:
    return 0 in labels.shape or (int(xp.min(labels)) >= 0 and int(xp.max(labels)) < classes)


def _class_last(input: Any) -> Any:
    """Return (C,), (N, C) or (N, C, *S) as rows (M, C)."""
    ndim = input.array.ndim
    if ndim == 1:
        return input.unsqueeze(0)
    if ndim == 2:
        return input
    return input.permute(0, *range(2, ndim), 1).reshape(-1, input.array.shape[1])


def _check_weight(op: str, input: Any, weight: Any) -> None:
    if weight is None:
        return
    shape = tuple(input.array.shape)
    classes = shape[1] if len(shape) > 1 else shape[0]
    if tuple(check_floating(op, "weight", weight).array.shape) != (classes,):
        raise ShapeError(
            f"{op}: argument 'weight' must have shape ({classes},), one factor a class, got "
            f"{tuple(weight.array.shape)}"
        )


def _hot(labels: Any, classes: int, like: Any) -> Any:
    """Return one-hot rows in the dtype of ``like``; an ignored label gives zeros."""
    xp = labels.xp
    numbers = xp.arange(classes, dtype=xp.int64, device=labels.array.device)
    hit = xp.expand_dims(labels.array, axis=1) == numbers
    return labels.wrap(xp.astype(hit, like.array.dtype))


def _label_weights(labels: Any, weight: Any) -> Any:
    """Return the weight of each label's class, 0 where ignored."""
    picked = weight.index_select(0, labels.clamp(min=0))
    return picked.masked_fill(labels == IGNORED, 0.0)


def _reduce_labels(
    op: str, losses: Any, labels: Any, weight: Any, target: Any, reduction: str
) -> Any:
    """Reduce the losses of labels; the mean is weighted, and leaves out what is ignored."""
    if reduction == "none":
        return losses.reshape(target.array.shape)
    if reduction == "sum":
        return losses.sum()
    if weight is not None:
        return losses.sum() / _label_weights(labels, weight).sum()
    return losses.sum() / _count(labels)


def _count(labels: Any) -> int:
    """Return how many labels are not ignored."""
    return int(labels.xp.count_nonzero(labels.array != IGNORED))


def _soft_losses(rows: Any, share: Any, weight: Any) -> Any:
    """Return ``-sum of share * log_softmax(rows)``, a row."""
    products = rows.log_softmax(1) * share
    return -(products if weight is None else products * weight).sum(1)


def _of_probabilities(
    op: str, input: Any, target: Any, weight: Any, reduction: str, label_smoothing: float
) -> Any:
    """Cross-entropy against distributions over the classes."""
    shape = tuple(input.array.shape)
    if not shape or tuple(target.array.shape) != shape:
        raise ShapeError(
            f"{op}: a floating-point target holds probabilities and must have the shape of input, "
            f"{shape}, got {tuple(target.array.shape)}; for labels, use an integer dtype"
        )
    rows, share = _class_last(input), _class_last(cast(target, input.dtype))
    if label_smoothing:
        share = share * (1 - label_smoothing) + label_smoothing / rows.array.shape[1]
    losses = _soft_losses(rows, share, weight)
    return reduce_losses(op, losses.reshape(shape[:1] + shape[2:] if shape[1:] else ()), reduction)
