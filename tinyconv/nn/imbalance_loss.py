"""Losses for rare classes and small regions, as modules: focal loss and Dice loss."""

from __future__ import annotations

from typing import Any

from ..ops.losses.imbalance_loss import check_alpha, check_dice, check_gamma
from . import functional as F
from .loss import Loss


class SigmoidFocalLoss(Loss):
    """Focal loss of yes-or-no questions: ``-alpha_t * (1 - p_t)**gamma * log(p_t)``.

    Lin et al., "Focal loss for dense object detection" (2017).

    Parameters
    ----------
    alpha : float, default 0.25
        Weight of targets of 1; that of 0 is ``1 - alpha``. -1 means no weights.
    gamma : float, default 2.0
        How much easy questions are played down.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_alpha("SigmoidFocalLoss", alpha)
        check_gamma("SigmoidFocalLoss", gamma)
        self.alpha, self.gamma = alpha, gamma

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores and targets of one shape."""
        return F.sigmoid_focal_loss(input, target, self.alpha, self.gamma, self.reduction)


class SoftmaxFocalLoss(Loss):
    """Focal loss of classes: ``-(1 - p)**gamma * log(p)`` with ``p = softmax(input)[target]``.

    Lin et al., "Focal loss for dense object detection" (2017).

    Parameters
    ----------
    weight : Tensor (C,), optional
        Factor for each class; a mean is divided by the sum of the targets' factors.
    gamma : float, default 2.0
        How much easy labels are played down.
    ignore_index : int, default -100
        Targets of this value count nothing.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        weight: Any = None,
        gamma: float = 2.0,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_gamma("SoftmaxFocalLoss", gamma)
        self.register_buffer("weight", weight)
        self.gamma, self.ignore_index = gamma, ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores (N, C, *) for classes (N, *)."""
        return F.softmax_focal_loss(
            input, target, self.weight, self.gamma, self.ignore_index, self.reduction
        )


class DiceLoss(Loss):
    """One minus the Dice coefficient, the overlap of predicted and true regions.

    Milletari, Navab and Ahmadi, "V-Net" (2016).

    Parameters
    ----------
    mode : {"multiclass", "multilabel", "binary"}
        Softmax over the classes; a sigmoid for each; one region a sample.
    smooth : float, default 1.0
        Added to numerator and denominator.
    squared : bool, default False
        Squares in the denominator.
    batch : bool, default False
        One coefficient a class for the whole batch, instead of one a sample and class.
    from_logits : bool, default True
        Whether the input holds scores; else probabilities.
    ignore_index : int, default -100
        Targets of this value count nothing.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        mode: str = "multiclass",
        smooth: float = 1.0,
        *,
        squared: bool = False,
        batch: bool = False,
        from_logits: bool = True,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_dice("DiceLoss", mode, smooth)
        self.mode, self.smooth, self.squared = mode, smooth, squared
        self.batch, self.from_logits, self.ignore_index = batch, from_logits, ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of maps (N, C, *) for classes (N, *) or maps."""
        return F.dice_loss(
            input, target, self.mode, self.smooth, self.squared, self.batch, self.from_logits,
            self.ignore_index, self.reduction,
        )  # fmt: skip
