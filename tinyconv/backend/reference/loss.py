"""Softmax and cross-entropy in one step.

    p[i, k] = exp(z[i, k]) / sum over j of exp(z[i, j])
    loss[i] = -log p[i, target[i]] = log(sum over j of exp(z[i, j])) - z[i, target[i]]

Subtracting the largest logit of a row from the whole row changes neither, and keeps ``exp`` from
overflowing. Together the two have the plain gradient ``p - onehot(target)``; apart, a probability
that underflows to 0 gives ``log(0)``.
"""

from __future__ import annotations

from math import nan
from typing import Any

from .half import in_float32


@in_float32
def softmax_cross_entropy(xp: Any, logits: Any, target: Any) -> tuple[Any, Any]:
    """Return the loss of each row, and the probabilities.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    logits : array (M, K)
        Scores, any real numbers.
    target : int64 array (M,)
        Class of each row, below K. A negative one marks a row that is ignored: its loss is 0.

    Returns
    -------
    loss : array (M,)
    probabilities : array (M, K)
    """
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    total = xp.sum(exponentials, axis=1, keepdims=True)
    ignored = target < 0
    column = xp.where(ignored, xp.zeros_like(target), target)[:, None]
    loss = (xp.log(total) - xp.take_along_axis(shifted, column, axis=1))[:, 0]
    return xp.where(ignored, xp.zeros_like(loss), loss), exponentials / total


@in_float32(rounded=2)
def mean_cross_entropy(
    xp: Any, logits: Any, labels: Any, ignored: int, mean: bool
) -> tuple[Any, Any, Any, Any]:
    """Return the mean or the sum of the losses, and what its gradient takes; labels are checked.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    logits : array (M, K)
        Scores, any real numbers.
    labels : integer array (M,)
        Class of each row, or ``ignored``.
    ignored : int
        Label of a row that takes no part.
    mean : bool
        Whether the sum is divided by the number of rows that take part.

    Returns
    -------
    loss : array ()
    probabilities : array (M, K)
    target : int64 array (M,)
        The labels, -1 where they are ignored.
    count : int64 array ()
        How many rows take part. -1 if a label is no class: then the loss is NaN, and the other
        results mean nothing.
    """
    labels = xp.astype(labels, xp.int64)
    takes_part, is_class = labels != ignored, (labels >= 0) & (labels < logits.shape[1])
    target = xp.where(takes_part & is_class, labels, xp.full_like(labels, -1))
    losses, probabilities = softmax_cross_entropy(xp, logits, target)
    loss, count = xp.sum(losses), xp.sum(xp.astype(takes_part, xp.int64))
    if mean:
        loss = loss / xp.astype(count, loss.dtype)
    wrong = xp.any(takes_part & ~is_class)
    loss = xp.where(wrong, xp.full_like(loss, nan), loss)
    return loss, probabilities, target, xp.where(wrong, xp.full_like(count, -1), count)


@in_float32
def softmax_cross_entropy_grad(
    xp: Any, probabilities: Any, target: Any, g: Any, count: Any = None
) -> Any:
    """Return the gradient with respect to the logits, ``(p - onehot(target)) * g / count``.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    probabilities : array (M, K)
        From :func:`softmax_cross_entropy`.
    target : int64 array (M,)
        As given there; rows with a negative target have gradient 0.
    g : array (M,) or (1,)
        Gradient with respect to the loss of each row, or of all of them.
    count : int64 array (), optional
        From :func:`mean_cross_entropy`, where ``g`` is the gradient of that mean. The gradient of
        NaN is NaN.

    Returns
    -------
    array (M, K)
    """
    if count is not None:
        divisor = xp.astype(count, g.dtype)
        g = g / xp.where(count < 0, xp.full_like(divisor, nan), divisor)
    classes = xp.arange(probabilities.shape[1], dtype=target.dtype, device=target.device)
    hit = xp.astype(classes[None, :] == target[:, None], probabilities.dtype)
    gradient = (probabilities - hit) * g[:, None]
    return xp.where((target < 0)[:, None], xp.zeros_like(gradient), gradient)
