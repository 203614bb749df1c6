"""Losses of scores that should be on the right side of a margin, as modules."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError, ShapeError
from . import functional as F
from .loss import Loss


class _Unweighted(Loss):
    """A loss whose only argument is how to reduce it."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)


class SoftMarginLoss(_Unweighted):
    """Logistic loss of labels -1 and 1: ``log(1 + exp(-target * input))``."""

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.soft_margin_loss(input, target, self.reduction)


class HingeLoss(_Unweighted):
    """Hinge of labels -1 and 1: ``max(0, 1 - target * input)`` (Cortes and Vapnik, 1995)."""

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.hinge_loss(input, target, self.reduction)


class SquaredHingeLoss(_Unweighted):
    """Square of the hinge: ``max(0, 1 - target * input)**2``."""

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.squared_hinge_loss(input, target, self.reduction)


class CategoricalHingeLoss(_Unweighted):
    """Hinge of the right class against the best wrong one, for one-hot targets."""

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores and one-hot targets (N, C, *)."""
        return F.categorical_hinge_loss(input, target, self.reduction)


class MultiLabelMarginLoss(_Unweighted):
    """Hinges of each right class against each wrong one; a target lists classes, then -1."""

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores and lists (N, C) or (C,)."""
        return F.multilabel_margin_loss(input, target, self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """Binary cross-entropy of scores, averaged over classes of which several may be right.

    Parameters
    ----------
    weight : Tensor (C,), optional
        Factor for each class.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores and targets (*, C)."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, self.reduction)


class MultiMarginLoss(Loss):
    """Hinges of the right class against each wrong one, averaged over the classes.

    Weston and Watkins, "Support vector machines for multi-class pattern recognition" (1999).

    Parameters
    ----------
    p : {1, 2}
        Power of each hinge.
    margin : float, default 1.0
        By how much the right class should be ahead.
    weight : Tensor (C,), optional
        Factor for each right class.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.

    Raises
    ------
    ArgumentError
        If ``p`` is another.
    ShapeError
        If ``weight`` has not one dimension.
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if p not in (1, 2):
            raise ArgumentError(f"MultiMarginLoss: p must be 1 or 2, got {p}")
        if weight is not None and weight.ndim != 1:
            raise ShapeError(
                f"MultiMarginLoss: weight must have shape (C,), got {tuple(weight.shape)}"
            )
        self.p, self.margin = p, margin
        self.register_buffer("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores (N, C) for classes (N,)."""
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)


class MarginRankingLoss(Loss):
    """Loss of two scores in the wrong order: ``max(0, -target * (input1 - input2) + margin)``.

    Parameters
    ----------
    margin : float, default 0.0
        By how much the larger should be ahead.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        """Return the loss; a target of 1 says that ``input1`` should be larger, -1 ``input2``."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)
