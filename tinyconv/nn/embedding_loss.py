"""Losses of vectors that should be near each other, or far apart, as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops.losses.embedding_loss import check_margin
from . import functional as F
from .distance import PairwiseDistance
from .loss import Loss


class HingeEmbeddingLoss(Loss):
    """Loss of distances: ``input`` where the target is 1, ``max(0, margin - input)`` where -1.

    Parameters
    ----------
    margin : float, default 1.0
        Distance from which a pair that is not similar costs nothing.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.hinge_embedding_loss(input, target, self.margin, self.reduction)


class CosineEmbeddingLoss(Loss):
    """Loss of angles: ``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where -1.

    Parameters
    ----------
    margin : float, default 0.0
        Cosine below which a pair that is not similar costs nothing; from -1 to 1.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """Return the loss of vectors (N, D) and targets (N,)."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


class ContrastiveLoss(Loss):
    """Squared distance of similar pairs, squared lack of distance of others.

    ``0.5 * d**2`` where the target is 1, ``0.5 * max(0, margin - d)**2`` where it is -1. Hadsell,
    Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping" (2006).

    Parameters
    ----------
    margin : float, default 1.0
        Distance from which a pair that is not similar costs nothing; positive.
    squared : bool, default True
        The paper's squares; else ``d`` and ``max(0, margin - d)`` themselves.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self, margin: float = 1.0, squared: bool = True, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        check_margin("ContrastiveLoss", margin)
        self.margin, self.squared = margin, squared

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """Return the loss of vectors (N, D) and targets (N,)."""
        return F.contrastive_loss(input1, input2, target, self.margin, self.squared, self.reduction)


class TripletMarginLoss(Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``, of p-norms.

    Schroff, Kalenichenko and Philbin, "FaceNet" (2015).

    Parameters
    ----------
    margin : float, default 1.0
        Positive.
    p : float, default 2.0
        Norm of the distance.
    eps : float, default 1e-6
        Added to each component of a difference.
    swap : bool, default False
        Take the distance of positive and negative where it is the smaller one.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_margin("TripletMarginLoss", margin)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        """Return the loss of vectors (N, D) or (D,)."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


class TripletMarginWithDistanceLoss(Loss):
    """:class:`TripletMarginLoss` with a distance of one's own.

    Parameters
    ----------
    distance_function : callable, default :class:`PairwiseDistance`
        Of two tensors; its results are the distances.
    margin : float, default 1.0
        Positive.
    swap : bool, default False
        Take the distance of positive and negative where it is the smaller one.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_margin("TripletMarginWithDistanceLoss", margin)
        self.distance_function = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        """Return the loss of whatever ``distance_function`` takes."""
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function,
            margin=self.margin, swap=self.swap, reduction=self.reduction,
        )  # fmt: skip
