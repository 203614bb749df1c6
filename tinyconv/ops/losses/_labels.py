"""What losses of class labels share: labels as rows, their range, weights and means."""

from __future__ import annotations

from typing import Any

from ...backend.cuda.driver.graphs import recording
from ...errors import DTypeError, IndexRangeError, ShapeError
from .._operands import check_floating

#: Label of a row that takes no part; kernels give it loss and gradient 0.
IGNORED = -1


def rows_and_labels(op: str, input: Any, target: Any, ignore_index: int | None) -> tuple[Any, Any]:
    """Return scores as (M, C) and checked labels as int64 (M,), ignored ones as ``IGNORED``.

    ``ignore_index`` is ``None`` where no label can be ignored.
    """
    check_labels(op, input, target)
    shape = input.array.shape
    labels = read_labels(op, target, shape[1] if len(shape) > 1 else shape[0], ignore_index)
    return class_last(input), labels


def check_labels(op: str, input: Any, target: Any) -> None:
    """Raise if ``target`` does not have an integer for each row of scores (N, C, ...)."""
    shape, labels = tuple(input.array.shape), target.array
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if not shape or tuple(labels.shape) != expected:
        raise ShapeError(
            f"{op}: argument 'target' must have shape {expected} for input (N, C, ...) of shape "
            f"{shape}, got {tuple(labels.shape)}"
        )
    if target.dtype.kind != 1:
        raise DTypeError(f"{op}: labels must be integers, got {target.dtype}; use .long()")


def read_labels(op: str, target: Any, classes: int, ignore_index: int | None) -> Any:
    """Return checked labels as int64 (M,), ignored ones as ``IGNORED``."""
    xp = target.xp
    labels = xp.astype(target.array, xp.int64)  # a copy: nobody can change it before backward
    if ignore_index is None:
        check_range(op, "target", xp, labels, classes, "")
        return target.wrap(xp.reshape(labels, (-1,)))
    known = not recording()
    if known and not 0 <= ignore_index < classes and _in_range(xp, labels, classes):
        return target.wrap(xp.reshape(labels, (-1,)))
    ignored = labels == ignore_index
    if known:
        taking_part = xp.where(ignored, xp.zeros_like(labels), labels)
        check_range(op, "target", xp, taking_part, classes, f" (or ignore_index={ignore_index})")
    else:  # a negative label counts as ignored: one that is no class becomes one beyond the last
        labels = xp.where(labels < 0, xp.full_like(labels, classes), labels)
    labels = xp.where(ignored, xp.full_like(labels, IGNORED), labels)
    return target.wrap(xp.reshape(labels, (-1,)))


def check_range(op: str, name: str, xp: Any, labels: Any, classes: int, besides: str) -> None:
    """Raise ``IndexRangeError`` at the first label that is not a class.

    In a step that is being recorded no value is known; kernels make NaN of such a label.
    """
    if recording() or _in_range(xp, labels, classes):
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


def class_last(input: Any) -> Any:
    """Return (C,), (N, C) or (N, C, *S) as rows (M, C)."""
    ndim = input.array.ndim
    if ndim == 1:
        return input.unsqueeze(0)
    if ndim == 2:
        return input
    return input.permute(0, *range(2, ndim), 1).reshape(-1, input.array.shape[1])


def check_class_weight(op: str, input: Any, weight: Any) -> None:
    if weight is None:
        return
    shape = tuple(input.array.shape)
    classes = shape[1] if len(shape) > 1 else shape[0]
    if tuple(check_floating(op, "weight", weight).array.shape) != (classes,):
        raise ShapeError(
            f"{op}: argument 'weight' must have shape ({classes},), one factor a class, got "
            f"{tuple(weight.array.shape)}"
        )


def hot(labels: Any, classes: int, like: Any) -> Any:
    """Return one-hot rows in the dtype of ``like``; an ignored label gives zeros."""
    xp = labels.xp
    numbers = xp.arange(classes, dtype=xp.int64, device=labels.array.device)
    hit = xp.expand_dims(labels.array, axis=1) == numbers
    return labels.wrap(xp.astype(hit, like.array.dtype))


def label_weights(labels: Any, weight: Any) -> Any:
    """Return the weight of each label's class, 0 where ignored."""
    picked = weight.index_select(0, labels.clamp(min=0))
    return picked.masked_fill(labels == IGNORED, 0.0)


def reduce_labels(
    op: str, losses: Any, labels: Any, weight: Any, target: Any, reduction: str
) -> Any:
    """Reduce the losses of labels; the mean is weighted, and leaves out what is ignored."""
    if reduction == "none":
        return losses.reshape(target.array.shape)
    if reduction == "sum":
        return losses.sum()
    if weight is not None:
        return losses.sum() / label_weights(labels, weight).sum()
    return losses.sum() / count_labels(labels, losses)


def count_labels(labels: Any, like: Any) -> Any:
    """Return how many labels are not ignored: a number, on a GPU a tensor of the dtype of ``like``.

    There nobody has to wait for it.
    """
    xp = labels.xp
    if labels.device.backend.records:
        taking_part = xp.astype(labels.array != IGNORED, xp.int64)
        return labels.wrap(xp.astype(xp.sum(taking_part), like.array.dtype))
    return int(xp.count_nonzero(labels.array != IGNORED))
