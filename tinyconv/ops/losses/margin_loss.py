"""Losses of scores that should be on the right side of a margin: hinges, and softer ones."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_broadcast, check_floating, check_tensor
from ..activations.piecewise import relu
from ..activations.smooth import logsigmoid
from ._labels import (
    IGNORED,
    check_class_weight,
    check_range,
    class_last,
    hot,
    label_weights,
    rows_and_labels,
)
from ._losses import check_reduction, pair, reduce_losses, same_shape


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Logistic loss of labels -1 and 1, ``log(1 + exp(-target * input))``.

    Parameters
    ----------
    input : Tensor
        Scores, any shape, floating point; finite also where the exponential overflows.
    target : Tensor
        -1 or 1, of the same shape (another one that broadcasts is warned of).
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    """
    input, target = pair("soft_margin_loss", input, target)
    return reduce_losses("soft_margin_loss", -logsigmoid(input * target), reduction)


def hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Hinge of labels -1 and 1, ``max(0, 1 - target * input)``: the loss of a linear SVM.

    Keras's ``hinge``.

    Parameters
    ----------
    input : Tensor
        Scores, any shape, floating point.
    target : Tensor
        -1 or 1, of the same shape (another one that broadcasts is warned of); 0 means -1.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    References
    ----------
    Cortes and Vapnik, "Support-vector networks", Machine Learning 20 (1995).

    Examples
    --------
    >>> import tinyconv as tc
    >>> scores, labels = tc.tensor([2.0, 0.5, 0.5]), tc.tensor([1, 1, -1])
    >>> tc.nn.functional.hinge_loss(scores, labels, reduction="none")
    tensor([0.0000, 0.5000, 1.5000])
    """
    return reduce_losses("hinge_loss", _hinges("hinge_loss", input, target), reduction)


def squared_hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Square of the hinge, ``max(0, 1 - target * input)**2``; arguments as :func:`hinge_loss`.

    Keras's ``squared_hinge``.
    """
    hinges = _hinges("squared_hinge_loss", input, target)
    return reduce_losses("squared_hinge_loss", hinges * hinges, reduction)


def _hinges(op: str, input: Any, target: Any) -> Any:
    input, target = pair(op, input, target)
    return relu(1 - target.masked_fill(target == 0, -1.0) * input)


def categorical_hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Hinge of the right class against the best wrong one, ``max(0, 1 + wrong - right)``.

    Keras's ``categorical_hinge``: ``right = sum(target * input)`` and
    ``wrong = max((1 - target) * input)``, over the classes.

    Parameters
    ----------
    input : Tensor
        Scores, (N, C), (N, C, *S) or (C,), floating point.
    target : Tensor
        One-hot, of the shape of ``input``.
    reduction : {"mean", "sum", "none"}
        Over N and S.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    op = "categorical_hinge_loss"
    check_reduction(op, reduction)
    input, target = same_shape(op, input, target)
    shape = tuple(input.array.shape)
    if not shape:
        raise ShapeError(f"{op}: argument 'input' must have a dimension of classes, got shape ()")
    rows, share = class_last(input), class_last(target)
    hinges = relu(1 + ((1 - share) * rows).amax(1) - (share * rows).sum(1))
    return reduce_losses(op, hinges.reshape(shape[:1] + shape[2:] if shape[1:] else ()), reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """Loss of two scores in the wrong order, ``max(0, -target * (input1 - input2) + margin)``.

    Parameters
    ----------
    input1, input2 : Tensor
        Scores, floating point; shapes that broadcast.
    target : Tensor
        1 where ``input1`` should be the larger, -1 where ``input2`` should.
    margin : float, default 0.0
        By how much.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the three have not as many dimensions as each other, or do not broadcast.
    """
    op = "margin_ranking_loss"
    tensors = {"input1": input1, "input2": input2, "target": target}
    shapes = [tuple(check_tensor(op, n, t).array.shape) for n, t in tensors.items()]
    check_floating(op, "input1", input1)
    check_floating(op, "input2", input2)
    if len({len(shape) for shape in shapes}) > 1:
        raise ShapeError(
            f"{op}: input1, input2 and target must have equally many dimensions, got shapes "
            f"{', '.join(map(str, shapes))}"
        )
    losses = (-target * (input1 - input2) + margin).clamp(min=0)
    return reduce_losses(op, losses, reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """Hinges of the right class against each wrong one, averaged over the classes.

    ``sum over j != y of max(0, margin - input[y] + input[j])**p / C`` with ``y = target``.

    Parameters
    ----------
    input : Tensor
        Scores, (N, C) or (C,), floating point.
    target : Tensor
        Labels from 0 to C - 1: integers of shape (N,) or ().
    p : {1, 2}
        Power of each hinge.
    margin : float, default 1.0
        By how much the right class should be ahead.
    weight : Tensor, optional
        (C,): factor of the loss of each right class.
    reduction : {"mean", "sum", "none"}
        Over N.

    Raises
    ------
    ArgumentError
        If ``p`` is another.
    ShapeError
        If the shapes do not belong together.
    IndexRangeError
        If a label is not a class.

    References
    ----------
    Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
    """
    op = "multi_margin_loss"
    check_reduction(op, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"{op}: p must be 1 or 2, got {p}")
    check_floating(op, "input", input)
    _check_rows(op, input)
    check_class_weight(op, input, weight)
    rows, labels = rows_and_labels(op, input, check_tensor(op, "target", target), None)
    right = rows.gather(1, labels.unsqueeze(1))
    hinges = relu(margin - right + rows)
    hinges = hinges.masked_fill(hot(labels, rows.array.shape[1], rows) > 0, 0.0)
    losses = (hinges if p == 1 else hinges * hinges).sum(1) / rows.array.shape[1]
    if weight is not None:
        losses = losses * label_weights(labels, weight)
    return reduce_losses(op, losses.reshape(target.array.shape), reduction)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Hinges of each right class against each wrong one, where several classes are right.

    ``sum over right y and wrong j of max(0, 1 - (input[y] - input[j])) / C``.

    Parameters
    ----------
    input : Tensor
        Scores, (N, C) or (C,), floating point.
    target : Tensor
        Shape of ``input``, integers: the right classes of each row, then -1; what comes after
        the first -1 counts nothing.
    reduction : {"mean", "sum", "none"}
        Over N.

    Raises
    ------
    ShapeError
        If the shapes differ.
    IndexRangeError
        If an element of ``target`` is neither a class nor -1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> scores = tc.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> tc.nn.functional.multilabel_margin_loss(scores, tc.tensor([[3, 0, -1, 1]]))
    tensor(0.8500)
    """
    op = "multilabel_margin_loss"
    check_reduction(op, reduction)
    check_floating(op, "input", input)
    shape = _check_rows(op, input)
    if tuple(check_tensor(op, "target", target).array.shape) != shape:
        raise ShapeError(
            f"{op}: argument 'target' must have the shape of input, {shape}, got "
            f"{tuple(target.array.shape)}"
        )
    if target.dtype.kind != 1:
        raise DTypeError(f"{op}: labels must be integers, got {target.dtype}; use .long()")
    xp, classes = target.xp, shape[-1]
    rows = input.reshape(-1, classes)
    labels = xp.reshape(xp.astype(target.array, xp.int64), (-1, classes))
    shifted = xp.where(labels == IGNORED, xp.zeros_like(labels), labels)
    check_range(op, "target", xp, xp.reshape(shifted, shape), classes, " (or -1)")
    ends = xp.cumulative_sum(xp.astype(labels == IGNORED, xp.int64), axis=1)
    listed = ends == 0
    numbers = xp.arange(classes, dtype=xp.int64, device=labels.device)
    there = (xp.expand_dims(shifted, axis=2) == numbers) & xp.expand_dims(listed, axis=2)
    wrong = ~xp.any(there, axis=1)
    right = rows.gather(1, target.wrap(shifted)).unsqueeze(2)
    hinges = relu(1 - right + rows.unsqueeze(1))
    counted = xp.expand_dims(listed, axis=2) & xp.expand_dims(wrong, axis=1)
    losses = hinges.masked_fill(target.wrap(~counted), 0.0).sum((1, 2)) / classes
    return reduce_losses(op, losses.reshape(shape[:-1]), reduction)


def _check_rows(op: str, input: Any) -> tuple[int, ...]:
    """Return the shape (N, C) or (C,) of scores."""
    shape = tuple(input.array.shape)
    if len(shape) not in (1, 2) or shape[-1] == 0:
        raise ShapeError(
            f"{op}: argument 'input' must have shape (N, C) or (C,) with at least one class, got "
            f"{shape}"
        )
    return shape


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """Binary cross-entropy from scores, averaged over the classes, where several may be right.

    Parameters
    ----------
    input : Tensor
        Scores, (..., C), floating point.
    target : Tensor
        0 or 1; a shape that broadcasts with ``input``.
    weight : Tensor, optional
        Factor of the term of each class; broadcasts.
    reduction : {"mean", "sum", "none"}
        Over all dimensions but the last, over which there is always the mean.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    """
    op = "multilabel_soft_margin_loss"
    check_reduction(op, reduction)
    check_floating(op, "input", input)
    check_broadcast(op, input.array.shape, check_tensor(op, "target", target).array.shape)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    losses = losses if weight is None else losses * weight
    return reduce_losses(op, losses.mean(-1), reduction)
