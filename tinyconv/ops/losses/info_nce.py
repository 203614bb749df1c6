"""Contrast by softmax: InfoNCE, NT-Xent and supervised contrastive loss.

Each is the cross-entropy of picking the vector that belongs to an anchor among others that do
not, by the cosines of the angles, divided by a temperature.
"""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_floating, check_tensor
from ..linalg.distance import normalize
from ..shapes.joining import cat
from ._losses import check_reduction, check_temperature, reduce_losses
from .cross_entropy import cross_entropy


def info_nce_loss(
    query: Any,
    positive_key: Any,
    negative_keys: Any = None,
    temperature: float = 0.1,
    similarity: str = "cosine",
    reduction: str = "mean",
) -> Any:
    """Noise-contrastive estimation: pick the key of each query among wrong ones.

    ``-log(exp(s[i, i] / T) / sum over j of exp(s[i, j] / T))`` with similarities ``s``.

    Parameters
    ----------
    query, positive_key : Tensor
        (N, D), floating point; rows of the same number belong together.
    negative_keys : Tensor, optional
        (M, D), the same wrong keys for all queries, or (N, M, D), own ones for each. Default: the
        positive keys of the other queries.
    temperature : float, default 0.1
        Similarities are divided by it; positive.
    similarity : {"cosine", "dot"}
        Cosine of the angle, or dot product.
    reduction : {"mean", "sum", "none"}
        Over N.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    ArgumentError
        If ``temperature``, ``similarity`` or ``reduction`` is out of range.

    References
    ----------
    van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding",
    arXiv:1807.03748.

    Examples
    --------
    >>> import tinyconv as tc
    >>> queries = tc.eye(2)
    >>> tc.nn.functional.info_nce_loss(queries, queries, temperature=1.0)
    tensor(0.3133)
    """
    op = "info_nce_loss"
    check_reduction(op, reduction)
    check_temperature(op, temperature)
    check_similarity(op, similarity)
    _check_views(op, "query", query, "positive_key", positive_key)
    keys = [query, positive_key]
    if negative_keys is not None:
        check_floating(op, "negative_keys", negative_keys)
        keys.append(negative_keys)
        n, d = query.array.shape
        shape = tuple(negative_keys.array.shape)
        if shape[-1:] != (d,) or len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != n):
            raise ShapeError(
                f"{op}: argument 'negative_keys' must have shape (M, {d}) or ({n}, M, {d}), got "
                f"{shape}"
            )
    if similarity == "cosine":
        keys = [normalize(x, 2.0, -1) for x in keys]
    query, positive_key = keys[:2]
    xp, rows = query.xp, query.array.shape[0]
    if negative_keys is None:
        scores = query @ positive_key.mT
        labels = xp.arange(rows, dtype=xp.int64, device=query.array.device)
    else:
        right = (query * positive_key).sum(-1, True)
        if keys[2].array.ndim == 2:
            wrong = query @ keys[2].mT
        else:
            wrong = (keys[2] @ query.unsqueeze(2)).squeeze(2)
        scores = cat([right, wrong], 1)
        labels = xp.zeros((rows,), dtype=xp.int64, device=query.array.device)
    return cross_entropy(scores / temperature, query.wrap(labels), reduction=reduction)


def nt_xent_loss(
    input1: Any, input2: Any, temperature: float = 0.5, reduction: str = "mean"
) -> Any:
    """Normalised, temperature-scaled cross-entropy of two views (SimCLR).

    Each of the 2N vectors is to pick its other view among the 2N - 1 other vectors, by cosine.

    Parameters
    ----------
    input1, input2 : Tensor
        (N, D), floating point: row ``i`` of both shows the same thing.
    temperature : float, default 0.5
        Cosines are divided by it; positive.
    reduction : {"mean", "sum", "none"}
        Over the 2N anchors, first those of ``input1``. The code of the paper's authors adds the
        means of the two views, which is twice the mean.

    Raises
    ------
    ShapeError
        If the shapes are not (N, D) and the same.
    ArgumentError
        If the temperature is not positive.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual representations", ICML
    2020.

    Examples
    --------
    >>> import tinyconv as tc
    >>> same = tc.ones(4, 3)  # nothing tells the views apart: log(2 * 4 - 1)
    >>> tc.nn.functional.nt_xent_loss(same, same)
    tensor(1.9459)
    """
    op = "nt_xent_loss"
    check_reduction(op, reduction)
    check_temperature(op, temperature)
    _check_views(op, "input1", input1, "input2", input2)
    n, xp = input1.array.shape[0], input1.xp
    scores = _others(cat([input1, input2], 0), temperature)
    places = xp.arange(2 * n, dtype=xp.int64, device=scores.array.device)
    partners = xp.where(places < n, places + n, places - n)
    return cross_entropy(scores, scores.wrap(partners), reduction=reduction)


def sup_con_loss(
    features: Any, labels: Any = None, temperature: float = 0.1, reduction: str = "mean"
) -> Any:
    """Supervised contrastive loss: all vectors of one class belong together.

    ``-mean over positives p of log(exp(s[i, p] / T) / sum over j != i of exp(s[i, j] / T))`` for
    each anchor ``i``, with cosines ``s``; the positives are the other vectors of its class.

    Parameters
    ----------
    features : Tensor
        (N, D), or (N, V, D) for V views of each thing, floating point.
    labels : Tensor, optional
        (N,), integers: the classes. Without it, each thing is a class of its own, and needs
        several views.
    temperature : float, default 0.1
        Cosines are divided by it; positive.
    reduction : {"mean", "sum", "none"}
        Over the anchors: all N, or N * V, view after view of each thing. One without positives
        costs 0 and is left out of the mean, which is 0 where there is none with.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    DTypeError
        If the labels are not integers.
    ArgumentError
        If labels are missing for features (N, D), or the temperature is not positive.

    References
    ----------
    Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2 (the loss "out").
    """
    op = "sup_con_loss"
    check_reduction(op, reduction)
    check_temperature(op, temperature)
    shape = tuple(check_floating(op, "features", features).array.shape)
    if len(shape) not in (2, 3):
        raise ShapeError(
            f"{op}: argument 'features' must have shape (N, D) or (N, V, D), got {shape}"
        )
    rows = features.reshape(-1, shape[-1]) if len(shape) == 3 else features
    xp, device = features.xp, features.array.device
    if labels is None:
        if len(shape) == 2:
            raise ArgumentError(f"{op}: labels are needed for features (N, D) of a single view")
        classes = xp.arange(shape[0], dtype=xp.int64, device=device)
    else:
        classes = _classes(op, labels, shape)
    if len(shape) == 3:
        classes = xp.reshape(
            xp.broadcast_to(xp.expand_dims(classes, axis=1), shape[:2]), (shape[0] * shape[1],)
        )
    same = xp.expand_dims(classes, axis=1) == xp.expand_dims(classes, axis=0)
    positive = same & ~xp.eye(classes.shape[0], dtype=xp.bool, device=device)
    counts = xp.count_nonzero(positive, axis=1)
    log_p = _others(rows, temperature).log_softmax(1)
    sums = log_p.masked_fill(features.wrap(~positive), 0.0).sum(1)
    divisors = xp.astype(xp.where(counts > 0, counts, xp.ones_like(counts)), rows.array.dtype)
    losses = -sums / features.wrap(divisors)
    if reduction == "mean":
        return losses.sum() / max(int(xp.count_nonzero(counts)), 1)
    return reduce_losses(op, losses, reduction)


def check_similarity(op: str, similarity: str) -> None:
    """Raise ``ArgumentError`` if there is no such similarity."""
    if similarity not in ("cosine", "dot"):
        raise ArgumentError(f"{op}: similarity={similarity!r} is unknown; choose 'cosine' or 'dot'")


def _others(rows: Any, temperature: float) -> Any:
    """Return the cosines of all pairs over the temperature; -inf of a vector with itself."""
    units = normalize(rows, 2.0, -1)
    xp = rows.xp
    itself = xp.eye(rows.array.shape[0], dtype=xp.bool, device=rows.array.device)
    return (units @ units.mT / temperature).masked_fill(rows.wrap(itself), -float("inf"))


def _classes(op: str, labels: Any, shape: tuple[int, ...]) -> Any:
    """Return the array of checked labels, one for each thing."""
    if check_tensor(op, "labels", labels).dtype.kind != 1:
        raise DTypeError(f"{op}: labels must be integers, got {labels.dtype}; use .long()")
    if tuple(labels.array.shape) != shape[:1]:
        raise ShapeError(
            f"{op}: argument 'labels' must have shape {shape[:1]} for features of shape {shape}, "
            f"got {tuple(labels.array.shape)}"
        )
    return labels.array


def _check_views(op: str, name1: str, a: Any, name2: str, b: Any) -> None:
    """Raise ``ShapeError`` if the two are not (N, D)."""
    shape1 = tuple(check_floating(op, name1, a).array.shape)
    shape2 = tuple(check_floating(op, name2, b).array.shape)
    if len(shape1) != 2 or shape1 != shape2:
        raise ShapeError(
            f"{op}: arguments '{name1}' and '{name2}' must have one shape (N, D), got {shape1} and "
            f"{shape2}"
        )
