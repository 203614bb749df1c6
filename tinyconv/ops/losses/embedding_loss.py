"""Losses of vectors that should be near each other, or far apart: of pairs and of triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backend.cuda.driver.graphs import recording
from ...errors import ArgumentError, ShapeError
from .._operands import check_broadcast, check_floating, check_tensor
from ..activations.piecewise import relu
from ..elementwise.selection import minimum
from ..linalg.distance import pairwise_distance
from ..reductions.statistics import SqrtOrZero
from ._losses import check_reduction, reduce_losses


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """Loss of distances: ``input`` where ``target`` is 1, ``max(0, margin - input)`` where -1.

    Parameters
    ----------
    input : Tensor
        Distances, any shape, floating point.
    target : Tensor
        1 for a similar pair, -1 for another; broadcasts with ``input``.
    margin : float, default 1.0
        Distance from which a pair that is not similar costs nothing.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    """
    op = "hinge_embedding_loss"
    check_floating(op, "input", input)
    check_broadcast(op, input.array.shape, check_tensor(op, "target", target).array.shape)
    far = (margin - input).clamp(min=0).masked_fill(target == 1, 0.0)
    return reduce_losses(op, far + input.masked_fill(target == -1, 0.0), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """Loss of angles: ``1 - cos`` where ``target`` is 1, ``max(0, cos - margin)`` where -1.

    Parameters
    ----------
    input1, input2 : Tensor
        Vectors, (N, D) or (D,), floating point.
    target : Tensor
        (N,) or (): 1 for a similar pair, -1 for another.
    margin : float, default 0.0
        Cosine below which a pair that is not similar costs nothing; from -1 to 1.
    reduction : {"mean", "sum", "none"}
        Over N.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    """
    op = "cosine_embedding_loss"
    _check_pairs(op, input1, input2, target)
    lengths = [((x * x).sum(-1) + 1e-12).sqrt() for x in (input1, input2)]
    cosine = (input1 * input2).sum(-1) / lengths[0] / lengths[1]
    near = (1 - cosine).masked_fill(target != 1, 0.0)
    far = (cosine - margin).clamp(min=0).masked_fill(target != -1, 0.0)
    return reduce_losses(op, near + far, reduction)


def contrastive_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 1.0,
    squared: bool = True,
    reduction: str = "mean",
) -> Any:
    """Contrastive loss of pairs: similar vectors attract, others repel up to a distance.

    With the Euclidean distance ``d``, ``0.5 * d**2`` where ``target`` is 1 and
    ``0.5 * max(0, margin - d)**2`` where it is -1.

    Parameters
    ----------
    input1, input2 : Tensor
        Vectors, (N, D) or (D,), floating point.
    target : Tensor
        (N,) or (): 1 for a similar pair, -1 for another (the paper's Y is 0 and 1).
    margin : float, default 1.0
        Distance from which a pair that is not similar costs nothing; positive.
    squared : bool, default True
        The paper's squares; else ``d`` and ``max(0, margin - d)`` themselves.
    reduction : {"mean", "sum", "none"}
        Over N.

    Returns
    -------
    Tensor
        Its gradient where two vectors are equal is 0, also for a pair that is not similar: there
        is no direction in which to part them.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    ArgumentError
        If an element of ``target`` is not 1 or -1, or ``margin`` is not positive.

    References
    ----------
    Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR
    2006.

    Examples
    --------
    >>> import tinyconv as tc
    >>> a, b = tc.tensor([[3.0, 4.0], [0.3, 0.4]]), tc.zeros(2, 2)
    >>> tc.nn.functional.contrastive_loss(a, b, tc.tensor([1, -1]), reduction="none")
    tensor([12.5000,  0.1250])
    """
    op = "contrastive_loss"
    check_margin(op, margin)
    _check_pairs(op, input1, input2, target)
    labels = target.array
    if not recording() and not bool(target.xp.all((labels == 1) | (labels == -1))):
        raise ArgumentError(
            f"{op}: argument 'target' must be 1 (similar) or -1 (not similar) everywhere"
        )
    difference = input1 - input2
    squares = (difference * difference).sum(-1)
    distance = SqrtOrZero.apply(squares)
    hinges = relu(margin - distance)
    # The square of a root would lose the second derivative where vectors are equal.
    near, far = (squares * 0.5, hinges * hinges * 0.5) if squared else (distance, hinges)
    return reduce_losses(op, near.where(target == 1, far), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """Loss of anchors that are not nearer to the positive than to the negative by a margin.

    ``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with
    :func:`pairwise_distance` as ``d``.

    Parameters
    ----------
    anchor, positive, negative : Tensor
        Vectors, (N, D) or (D,), floating point.
    margin : float, default 1.0
        Positive.
    p : float, default 2.0
        Norm of the distance.
    eps : float, default 1e-6
        Added to each component of a difference.
    swap : bool, default False
        Take the distance of positive and negative where that is less than that of anchor and
        negative (Balntas et al., BMVC 2016).
    reduction : {"mean", "sum", "none"}
        Over N.

    Raises
    ------
    ArgumentError
        If ``margin`` is not positive.
    ShapeError
        If the shapes do not broadcast or have not equally many dimensions.

    References
    ----------
    Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015.
    """
    return _triplets(
        "triplet_margin_loss", (anchor, positive, negative),
        lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction,
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """:func:`triplet_margin_loss` with a distance of one's own.

    Parameters
    ----------
    anchor, positive, negative : Tensor
        (N, *), as ``distance_function`` takes them.
    distance_function : callable, default :func:`pairwise_distance`
        Of two tensors; its results are the distances, one for each triplet.
    margin, swap, reduction
        As in :func:`triplet_margin_loss`.
    """
    return _triplets(
        "triplet_margin_with_distance_loss", (anchor, positive, negative),
        distance_function or pairwise_distance, margin, swap, reduction,
    )  # fmt: skip


def _triplets(
    op: str,
    triplet: tuple[Any, Any, Any],
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    check_reduction(op, reduction)
    check_margin(op, margin)
    names = ("anchor", "positive", "negative")
    shapes = [
        tuple(check_floating(op, name, x).array.shape)
        for name, x in zip(names, triplet, strict=True)
    ]
    if len({len(shape) for shape in shapes}) > 1:
        raise ShapeError(
            f"{op}: anchor, positive and negative must have equally many dimensions, got shapes "
            f"{', '.join(map(str, shapes))}"
        )
    anchor, positive, negative = triplet
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduce_losses(op, (margin + near - far).clamp(min=0), reduction)


def check_margin(op: str, margin: float) -> None:
    """Raise ``ArgumentError`` if the margin is not positive."""
    if not margin > 0:
        raise ArgumentError(f"{op}: margin must be positive, got {margin}")


def _check_pairs(op: str, input1: Any, input2: Any, target: Any) -> None:
    """Check two tensors of vectors, and one label a pair."""
    a = tuple(check_floating(op, "input1", input1).array.shape)
    b = tuple(check_floating(op, "input2", input2).array.shape)
    labels = tuple(check_tensor(op, "target", target).array.shape)
    check_broadcast(op, a, b)
    expected = () if len(a) == 1 else (max(a[0], b[0]) if 0 not in (a[0], b[0]) else 0,)
    if len(a) != len(b) or len(a) not in (1, 2) or labels != expected:
        raise ShapeError(
            f"{op}: input1 and input2 must have shape (N, D) and target (N,), or (D,) and (), got "
            f"{a}, {b} and {labels}"
        )
