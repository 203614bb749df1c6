"""What an attack makes larger: one number a sample, from the logits.

An untargeted attack on the true class ``y`` raises the loss; a targeted attack towards a class
lowers it, which :func:`objective` turns into raising as well. :func:`margin` and the two ratios are
positive exactly where the attack has succeeded; they do not depend on a shift of the logits, and
the ratios not on a positive scale either, so that no temperature can hide their slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError
from ..nn import functional as F
from ..ops import arange, sort, where

Loss = Callable[[Any, Any], Any]


def cross_entropy(logits: Any, y: Any) -> Any:
    """Return the cross-entropy of each sample: ``(N, K)`` logits, ``(N,)`` classes, gives (N,)."""
    return F.cross_entropy(logits, y, reduction="none")


def margin(logits: Any, y: Any) -> Any:
    """Return the largest other logit minus that of ``y``; positive where the class has changed.

    The loss of Carlini and Wagner (2017), arXiv 1608.04644, without its confidence.
    """
    return best_other(logits, y) - of_class(logits, y)


def dlr(logits: Any, y: Any) -> Any:
    """Return the difference of logits ratio: the margin over the first minus the third logit.

    Croce and Hein (2020), arXiv 2003.01690, equation 6.

    Raises
    ------
    ArgumentError
        If there are fewer than three classes.
    """
    _check_classes("dlr", logits, 3)
    ranked = sort(logits, 1, descending=True)[0]
    return margin(logits, y) / _safe(ranked[:, 0] - ranked[:, 2])


def targeted_dlr(logits: Any, y: Any, target: Any) -> Any:
    """Return ``(z_target - z_y) / (z_1 - (z_3 + z_4) / 2)``, the logits ranked downwards.

    Croce and Hein (2020), arXiv 2003.01690, equation 7.

    Raises
    ------
    ArgumentError
        If there are fewer than four classes.
    """
    return (of_class(logits, target) - of_class(logits, y)) / _targeted_spread(logits)


def of_class(logits: Any, y: Any) -> Any:
    """Return the logit of class ``y`` of each sample."""
    return logits.gather(1, y.reshape(-1, 1)).reshape(-1)


def best_other(logits: Any, y: Any) -> Any:
    """Return the largest logit of another class than ``y`` of each sample.

    Class ``y`` is masked with minus infinity: a factor of 0 would win where all are negative.
    """
    classes = arange(logits.shape[1], device=logits.device)
    return where(classes == y.reshape(-1, 1), -float("inf"), logits).amax(1)


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "margin": margin, "dlr": dlr}


def objective(attack: str, loss: str | Loss, targeted: bool) -> Loss:
    """Return the function of (logits, classes) that the attack raises.

    Parameters
    ----------
    attack : str
        Name of the attack, for messages.
    loss : str or callable
        ``"ce"``, ``"margin"``, ``"dlr"``, or a function like them.
    targeted : bool
        Whether the classes are where to go, instead of where to come from.
    """
    if callable(loss):
        chosen = loss
    elif loss in LOSSES:
        chosen = LOSSES[loss]
    else:
        names = ", ".join(map(repr, LOSSES))
        raise ArgumentError(
            f"{attack}: argument 'loss' must be {names} or a function, got {loss!r}"
        )
    if not targeted:
        return chosen
    if loss == "dlr":
        return _dlr_towards
    return lambda logits, y: -chosen(logits, y)


def _dlr_towards(logits: Any, target: Any) -> Any:
    """Return the targeted ratio, with the best class besides the target in the place of ``y``."""
    return -margin(logits, target) / _targeted_spread(logits)


def _targeted_spread(logits: Any) -> Any:
    _check_classes("targeted dlr", logits, 4)
    ranked = sort(logits, 1, descending=True)[0]
    return _safe(ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2)


def _safe(spread: Any) -> Any:
    """Return a divisor that is not 0: logits that are all equal give a ratio of 0, not NaN."""
    return where(spread > 0, spread, 1.0)


def _check_classes(loss: str, logits: Any, least: int) -> None:
    if logits.shape[1] < least:
        raise ArgumentError(
            f"{loss} loss needs at least {least} classes, the model has {logits.shape[1]}; use "
            "loss='margin'"
        )
