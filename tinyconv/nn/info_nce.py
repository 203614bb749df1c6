"""Contrast by softmax, as modules: InfoNCE, NT-Xent and supervised contrastive loss."""

from __future__ import annotations

from typing import Any

from ..ops.losses._losses import check_temperature
from ..ops.losses.info_nce import check_similarity
from . import functional as F
from .loss import Loss


class InfoNCELoss(Loss):
    """Cross-entropy of picking the key of each query among wrong ones.

    van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding"
    (2018).

    Parameters
    ----------
    temperature : float, default 0.1
        Similarities are divided by it; positive.
    similarity : {"cosine", "dot"}
        Cosine of the angle, or dot product.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self, temperature: float = 0.1, similarity: str = "cosine", *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        check_temperature("InfoNCELoss", temperature)
        check_similarity("InfoNCELoss", similarity)
        self.temperature, self.similarity = temperature, similarity

    def forward(self, query: Any, positive_key: Any, negative_keys: Any = None) -> Any:
        """Return the loss; without ``negative_keys``, other queries' keys are the wrong ones."""
        return F.info_nce_loss(
            query, positive_key, negative_keys, self.temperature, self.similarity, self.reduction
        )


class NTXentLoss(Loss):
    """Cross-entropy of picking the other view of each vector among all others (SimCLR).

    Chen et al., "A simple framework for contrastive learning of visual representations" (2020).

    Parameters
    ----------
    temperature : float, default 0.5
        Cosines are divided by it; positive.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, temperature: float = 0.5, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_temperature("NTXentLoss", temperature)
        self.temperature = temperature

    def forward(self, input1: Any, input2: Any) -> Any:
        """Return the loss of two views (N, D)."""
        return F.nt_xent_loss(input1, input2, self.temperature, self.reduction)


class SupConLoss(Loss):
    """Supervised contrastive loss: all vectors of one class belong together.

    Khosla et al., "Supervised contrastive learning" (2020).

    Parameters
    ----------
    temperature : float, default 0.1
        Cosines are divided by it; positive.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, temperature: float = 0.1, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        check_temperature("SupConLoss", temperature)
        self.temperature = temperature

    def forward(self, features: Any, labels: Any = None) -> Any:
        """Return the loss of vectors (N, D), or of views (N, V, D), of classes (N,)."""
        return F.sup_con_loss(features, labels, self.temperature, self.reduction)
