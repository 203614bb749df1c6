"""Loss functions as modules; each is the function of the same meaning in ``nn.functional``."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from . import functional as F
from .module import Module


class Loss(Module):
    """A loss with a way to reduce it.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ArgumentError(
                f"{type(self).__name__}: reduction must be 'mean', 'sum' or 'none', "
                f"got {reduction!r}"
            )
        self.reduction = reduction


class CrossEntropyLoss(Loss):
    """Cross-entropy of class scores (logits): ``-log softmax(input)[target]``.

    Parameters
    ----------
    weight : Tensor (C,), optional
        Factor for each class; a mean is divided by the sum of the targets' factors.
    ignore_index : int, default -100
        Targets of this value count nothing.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    label_smoothing : float, default 0.0
        Share of the target spread evenly over all classes (Szegedy et al., 2016).

    Examples
    --------
    >>> import tinyconv as tc
    >>> loss = tc.nn.CrossEntropyLoss()
    >>> round(loss(tc.tensor([[1.5, 0.8, 2.1]]), tc.tensor([2])).item(), 4)
    0.5996
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of scores (N, C, *) for classes (N, *) or probabilities (N, C, *)."""
        return F.cross_entropy(
            input, target, weight=self.weight, ignore_index=self.ignore_index,
            reduction=self.reduction, label_smoothing=self.label_smoothing,
        )  # fmt: skip


class NLLLoss(Loss):
    """Negative log-likelihood: ``-input[target]``, for log-probabilities.

    Parameters
    ----------
    weight : Tensor (C,), optional
        Factor for each class; a mean is divided by the sum of the targets' factors.
    ignore_index : int, default -100
        Targets of this value count nothing.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss of log-probabilities (N, C, *) for classes (N, *)."""
        return F.nll_loss(
            input, target, weight=self.weight, ignore_index=self.ignore_index,
            reduction=self.reduction,
        )  # fmt: skip


class MSELoss(Loss):
    """Squared error ``(input - target)**2``."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """Absolute error ``|input - target|``."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """``0.5 * d**2 / beta`` for errors ``d`` below ``beta``, else ``d - 0.5 * beta``.

    Girshick, "Fast R-CNN" (2015).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    beta : float, default 1.0
        Where the parabola becomes a line; not negative.
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """``0.5 * d**2`` for errors ``d`` below ``delta``, else ``delta * (d - 0.5 * delta)``.

    Huber, "Robust estimation of a location parameter" (1964).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    delta : float, default 1.0
        Where the parabola becomes a line; positive.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(Loss):
    """Binary cross-entropy of probabilities.

    ``-target * log(input) - (1 - target) * log(1 - input)``, logarithms at least -100.

    Parameters
    ----------
    weight : Tensor, optional
        Factor of each term; broadcasts.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of scores: :class:`BCELoss` of their sigmoid, without overflow.

    Parameters
    ----------
    weight : Tensor, optional
        Factor of each term; broadcasts.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    pos_weight : Tensor, optional
        Factor of positive targets, which trades recall against precision.
    """

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction,
            pos_weight=self.pos_weight,
        )  # fmt: skip


class KLDivLoss(Loss):
    """Kullback-Leibler divergence ``target * (log(target) - input)``, for log-probabilities.

    Parameters
    ----------
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"batchmean"`` divides the sum by the batch size, which is the divergence; ``"mean"``
        divides by the number of elements.
    log_target : bool, default False
        Whether the target is given as logarithms too.
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__("sum" if reduction == "batchmean" else reduction)
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(Loss):
    """Negative log-likelihood of counts: ``exp(input) - target * input``.

    Parameters
    ----------
    log_input : bool, default True
        Whether the input is the logarithm of the expected counts; else the counts themselves.
    full : bool, default False
        Add Stirling's approximation of ``log(target!)``.
    eps : float, default 1e-8
        Keeps the logarithm of 0 finite, without ``log_input``.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Any, target: Any) -> Any:
        """Return the loss."""
        return F.poisson_nll_loss(
            log_input, target, self.log_input, self.full, self.eps, self.reduction
        )


class GaussianNLLLoss(Loss):
    """Negative log-likelihood of normal noise: ``0.5 * (log(var) + (input - target)**2 / var)``.

    Nix and Weigend (1994).

    Parameters
    ----------
    full : bool, default False
        Add ``0.5 * log(2 * pi)``.
    eps : float, default 1e-6
        Smaller variances count as this.
    reduction : {"mean", "sum", "none"}
        Return the mean of all terms, their sum, or each of them.
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Any, target: Any, var: Any) -> Any:
        """Return the loss of expected values and variances."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
