"""Cross-entropies of distributions, as modules: from probabilities, and against a teacher's."""

from __future__ import annotations

from typing import Any

from ..ops.losses._losses import check_temperature
from ..ops.losses.cross_entropy import check_smoothing
from . import functional as F
from .loss import Loss


class CategoricalCrossEntropyLoss(Loss):
    """Cross-entropy of one-hot targets, from probabilities: ``-sum(target * log(input))``.

    Parameters
    ----------
    weight : Tensor (C,), optional
        Factor for each class.
    label_smoothing : float, default 0.0
        Share of the target spread evenly over all classes (Szegedy et al., 2016).
    from_logits : bool, default False
        Whether the input holds scores.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        label_smoothing: float = 0.0,
        from_logits: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        check_smoothing("CategoricalCrossEntropyLoss", label_smoothing)
        self.register_buffer("weight", weight)
        self.label_smoothing, self.from_logits = label_smoothing, from_logits

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of probabilities and targets (N, C, *)."""
        return F.categorical_cross_entropy(
            input, target, self.weight, self.reduction, self.label_smoothing, self.from_logits
        )


class SparseCategoricalCrossEntropyLoss(Loss):
    """Cross-entropy of labels, from probabilities: ``-log(input[target])``.

    Parameters
    ----------
    weight : Tensor (C,), optional
        Factor for each class; a mean is divided by the sum of the targets' factors.
    ignore_index : int, default -100
        Targets of this value count nothing.
    from_logits : bool, default False
        Whether the input holds scores.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        from_logits: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.from_logits = ignore_index, from_logits

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of probabilities (N, C, *) for classes (N, *)."""
        return F.sparse_categorical_cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.from_logits
        )


class SoftTargetCrossEntropyLoss(Loss):
    """Cross-entropy of scores at a temperature: ``-sum(target * log_softmax(input / T))``.

    Parameters
    ----------
    temperature : float, default 1.0
        Scores are divided by it; positive.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, temperature: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_temperature("SoftTargetCrossEntropyLoss", temperature)
        self.temperature = temperature

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores and distributions (N, C, *)."""
        return F.soft_target_cross_entropy(input, target, self.temperature, self.reduction)


class DistillationKLLoss(Loss):
    """Divergence of a student from its teacher at a temperature, times its square.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015).

    Parameters
    ----------
    temperature : float, default 4.0
        Scores are divided by it; positive.
    squared_temperature : bool, default True
        Whether there is the factor ``T**2``, which keeps gradients of one size for all ``T``.
    reduction : {"mean", "batchmean", "sum", "none"}
        Of the divergences; ``"batchmean"`` divides their sum by the batch size.
    """

    def __init__(
        self,
        temperature: float = 4.0,
        squared_temperature: bool = True,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__("sum" if reduction == "batchmean" else reduction)
        check_temperature("DistillationKLLoss", temperature)
        self.temperature, self.squared_temperature = temperature, squared_temperature
        self.reduction = reduction

    def forward(self, input: Any, teacher: Any) -> Any:
        """Return the loss of the student's and the teacher's scores (N, C, *)."""
        return F.distillation_kl_loss(
            input, teacher, self.temperature, self.reduction, self.squared_temperature
        )
