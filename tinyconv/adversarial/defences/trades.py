"""TRADES and MART: adversarial training that weighs clean against attacked predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import ArgumentError
from ...nn import functional as F
from ...ops import arange, where
from .. import losses
from ..problem import Problem
from .training_methods import PGDTraining


class TradesTraining(PGDTraining):
    """The clean cross-entropy, and how far the attacked probabilities are from the clean ones.

    ``CE(x, y) + beta * KL(p(x) || p(x_adv))``; the attack raises the divergence from a start at
    ``x`` plus a little noise, and the gradient flows through both of its sides. Zhang et al.
    (2019), "Theoretically principled trade-off between robustness and accuracy", arXiv 1901.08573.
    The accuracy that training shows is the clean one.

    Parameters
    ----------
    eps : float or array
        Radius, as for :func:`fgsm`.
    beta : float, default 6.0
        Weight of the divergence, at least 0; the authors take 1 on MNIST and 6 on CIFAR-10.
    norm, steps, step_size, bounds, model_mode
        As for :class:`PGDTraining`.
    """

    def __init__(
        self,
        eps: Any,
        *,
        beta: float = 6.0,
        norm: str = "linf",
        steps: int = 10,
        step_size: float | None = None,
        bounds: tuple[float, float] = (0, 1),
        model_mode: str = "eval",
    ) -> None:
        super().__init__(eps, norm=norm, steps=steps, step_size=step_size, bounds=bounds,
                         model_mode=model_mode)  # fmt: skip
        self.beta = _weight(self.name, "beta", beta)

    def loss(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the sum of both terms, and the clean logits."""
        x, y = self._check(x, y)
        attacked = self.attack(model, x, y)
        logits = model(x)
        divergence = _divergence(logits, model(attacked)).mean()
        return F.cross_entropy(logits, y) + divergence * self.beta, logits

    def start(self, problem: Problem) -> Any:
        """Return the images with a little noise: at ``x`` itself the divergence has no slope."""
        return _nearby(problem)

    def goal(self, problem: Problem) -> Callable[[Any, Any], Any]:
        """Return the divergence from the probabilities of the clean images."""
        clean = problem.logits(problem.x)
        return lambda logits, y: _divergence(clean, logits)


class MartTraining(PGDTraining):
    """A margin-like loss of the attacked images, and a divergence where the model is unsure.

    ``-log p_y(x_adv) - log(1 - max p_other(x_adv))`` plus ``beta * KL(p(x) || p(x_adv)) *
    (1 - p_y(x))``: samples that are misclassified, or nearly so, count more. Wang et al. (2020),
    "Improving adversarial robustness requires revisiting misclassified examples" (ICLR). The
    attack raises the cross-entropy, from a start at ``x`` plus a little noise. The accuracy that
    training shows is that on the attacked images.

    Parameters
    ----------
    eps : float or array
        Radius, as for :func:`fgsm`.
    beta : float, default 5.0
        Weight of the divergence, at least 0.
    norm, steps, step_size, bounds, model_mode
        As for :class:`PGDTraining`.
    """

    def __init__(
        self,
        eps: Any,
        *,
        beta: float = 5.0,
        norm: str = "linf",
        steps: int = 10,
        step_size: float | None = None,
        bounds: tuple[float, float] = (0, 1),
        model_mode: str = "eval",
    ) -> None:
        super().__init__(eps, norm=norm, steps=steps, step_size=step_size, bounds=bounds,
                         model_mode=model_mode)  # fmt: skip
        self.beta = _weight(self.name, "beta", beta)

    def loss(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the sum of both terms, and the logits of the attacked images."""
        x, y = self._check(x, y)
        attacked = self.attack(model, x, y)
        clean, logits = model(x), model(attacked)
        unsure = 1 - losses.of_class(clean.softmax(1), y)
        divergence = (_divergence(clean, logits) * unsure).mean()
        return boosted_cross_entropy(logits, y).mean() + divergence * self.beta, logits

    def start(self, problem: Problem) -> Any:
        """Return the images with a little noise."""
        return _nearby(problem)


def _weight(method: str, name: str, value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ArgumentError(
            f"{method}: argument '{name}' must be finite and at least 0, got {value!r}"
        )
    return value


def _nearby(problem: Problem) -> Any:
    """Return the images plus normal noise of a thousandth, in ball and box."""
    return problem.project(problem.x + problem.normal(*problem.x.shape[1:]) * 0.001)


def _divergence(clean: Any, attacked: Any) -> Any:
    """Return KL(softmax(clean) || softmax(attacked)) of each sample; both get a gradient."""
    log_p, log_q = clean.log_softmax(1), attacked.log_softmax(1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


def boosted_cross_entropy(logits: Any, y: Any) -> Any:
    """Return ``-log p_y - log(1 - largest other p)`` of each sample, without overflow."""
    classes = arange(logits.shape[1], device=logits.device)
    rival = where(classes == y.reshape(-1, 1), -float("inf"), logits).argmax(1)
    others = where(classes == rival.reshape(-1, 1), -float("inf"), logits).logsumexp(1)
    return F.cross_entropy(logits, y, reduction="none") + logits.logsumexp(1) - others
