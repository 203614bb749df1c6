"""Interval bound propagation: what no attack within a box can change, and training for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd import no_grad
from ...errors import ArgumentError
from ...nn import functional as F
from ...ops import arange, where
from .. import geometry
from ..attacks.pgd import check_steps
from ..losses import of_class
from ..problem import radius
from ..running import check_bounds, check_classes, check_images
from . import interval_blocks, interval_norms  # noqa: F401 - they register their rules
from .interval_rules import Interval, propagate


def interval_bounds(
    model: Any, x: Any, eps: Any, bounds: tuple[float, float] = (0, 1)
) -> tuple[Any, Any]:
    """Return bounds of the logits of all images within ``eps`` of ``x`` in the linf norm.

    Each layer turns the box round its inputs into a box round its outputs (Gowal et al., 2018, "On
    the effectiveness of interval bound propagation for training verifiably robust models", arXiv
    1810.12715). The bounds hold for all images in ball and box, up to the rounding of the model's
    own arithmetic, but are loose for deep nets that were not trained for them.

    Parameters
    ----------
    model : Module
        From images ``(N, ...)`` to logits ``(N, K)``; taken as in eval mode, whatever its mode. Its
        layers: linear, convolution (also transposed), normalisation (batch norm by its running
        statistics; the bounds of layer, group, instance and RMS norm are sound, but loose for a
        large radius), elementwise activations, pooling, padding, resizing, reshaping, dropout; the
        blocks of :mod:`tinyconv.nn`; modules whose ``forward`` chains, adds and multiplies such;
        and others with an :func:`interval_rule`.
    x : Tensor
        Images ``(N, ...)``, within ``bounds``.
    eps : float or array
        Radius: one number, one a sample, or one a channel ``(C, 1, 1)``.
    bounds : (float, float), default (0, 1)
        The smallest and the largest legal value of ``x``.

    Returns
    -------
    lower, upper : Tensor (N, K)
        Differentiable with respect to the parameters.

    Raises
    ------
    ArgumentError
        Names the module that cannot be bounded; or an argument is not as above.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(2, 1, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, -2.0]]))
    >>> lower, upper = tc.adversarial.interval_bounds(model, tc.full((1, 1, 1, 2), 0.5), 0.25)
    >>> lower.tolist(), upper.tolist()
    ([[-1.25]], [[0.25]])
    """
    result = _output("interval_bounds", model, x, eps, bounds)
    return result.lower, result.upper


def certified_margin(
    model: Any,
    x: Any,
    y: Any,
    eps: Any,
    bounds: tuple[float, float] = (0, 1),
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Return a lower bound of the logit of ``y`` minus the largest other, within ``eps`` of ``x``.

    Where it is positive, the class is ``y`` for all images in ball and box: no attack in the linf
    norm can succeed. Where the last layer is linear, the differences of its outputs are bounded
    directly, which is tighter than the difference of their bounds.

    Parameters
    ----------
    model, x, eps, bounds
        As for :func:`interval_bounds`.
    y : Tensor
        int64 ``(N,)``: the true classes.
    batch_size : int, default 256
        Samples at a time.

    Returns
    -------
    float64 array (N,)
    """
    check_steps("certified_margin", batch_size=batch_size)
    x = check_images("certified_margin", x)
    y, eps = check_classes("certified_margin", y, x), radius("certified_margin", eps, x, "linf")
    margins = [np.zeros(0)]
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        with no_grad():
            output = _output("certified_margin", model, x[part], eps[part], bounds)
            below = _margins(output, y[part])
            own = arange(below.shape[1], device=x.device) == y[part].reshape(-1, 1)
            least = where(own, float("inf"), below).amin(1)
        margins.append(np.asarray(least.numpy(force=True), np.float64))
    return np.concatenate(margins)


def certified_radius(
    model: Any,
    x: Any,
    y: Any,
    bounds: tuple[float, float] = (0, 1),
    *,
    steps: int = 24,
    batch_size: int = 256,
) -> np.ndarray:
    """Return a linf radius for each sample, within which no image has another class than ``y``.

    The largest radius that :func:`certified_margin` can vouch for, found by halving the span of
    the box ``steps`` times. 0 where the model errs on ``x`` itself.

    Parameters
    ----------
    model, x, y, bounds, batch_size
        As for :func:`certified_margin`.
    steps : int, default 24
        The result is exact to the span of the box over ``2 ** steps``.

    Returns
    -------
    float64 array (N,)
    """
    check_steps("certified_radius", steps=steps)
    x = check_images("certified_radius", x)
    span = float(bounds[1]) - float(bounds[0])
    low, high = np.zeros(len(x)), np.full(len(x), span)

    def holds(eps: np.ndarray) -> np.ndarray:
        return certified_margin(model, x, y, eps, bounds, batch_size=batch_size) > 0

    low[holds(high)] = span
    for _ in range(steps):
        middle = (low + high) / 2
        sure = holds(middle)
        low, high = np.where(sure, middle, low), np.where(sure, high, middle)
    return low


def interval_loss(
    model: Any,
    x: Any,
    y: Any,
    eps: Any,
    kappa: float = 0.5,
    bounds: tuple[float, float] = (0, 1),
    *,
    logits: Any = None,
) -> Any:
    """Return a training loss that bounds the loss of every image within ``eps``.

    ``kappa * CE(logits, y) + (1 - kappa) * CE(worst logits, y)``, the mean over the batch, where
    the worst logits are those that the interval bounds allow: Gowal et al. (2018), arXiv
    1810.12715, equation 12. Training starts with ``eps = 0`` and ``kappa = 1``, and moves both
    slowly to their ends; see :class:`IntervalTraining`.

    Parameters
    ----------
    model, x, eps, bounds
        As for :func:`interval_bounds`.
    y : Tensor
        int64 ``(N,)``: the true classes.
    kappa : float, default 0.5
        Weight of the clean loss, from 0 to 1.
    logits : Tensor, optional
        ``model(x)``, if it is there already.

    Returns
    -------
    Tensor of 0 dimensions
    """
    if not 0 <= kappa <= 1:
        raise ArgumentError(f"interval_loss: argument 'kappa' must be from 0 to 1, got {kappa!r}")
    x = check_images("interval_loss", x)
    y = check_classes("interval_loss", y, x)
    worst = -_margins(_output("interval_loss", model, x, eps, bounds), y)
    loss = F.cross_entropy(worst, y) * (1 - kappa)
    if kappa == 0:
        return loss
    return loss + F.cross_entropy(model(x) if logits is None else logits, y) * kappa


def _output(caller: str, model: Any, x: Any, eps: Any, bounds: tuple[float, float]) -> Interval:
    x = check_images(caller, x)
    bounds = check_bounds(caller, bounds, x)
    eps = radius(caller, eps, x, "linf")
    box = Interval(geometry.clip(x - eps, bounds), geometry.clip(x + eps, bounds))
    return propagate(model, box, caller)


def _margins(output: Interval, y: Any) -> Any:
    """Return lower bounds of the logit of ``y`` minus each, ``(N, K)``; 0 for ``y`` itself."""
    own = arange(output.shape[1], device=y.device) == y.reshape(-1, 1)
    if output.linear is None:
        below = of_class(output.lower, y).reshape(-1, 1) - output.upper
    else:
        layer, source = output.linear
        centre = F.linear(source.centre, layer.weight, layer.bias)
        spread = (layer.weight[y].unsqueeze(1) - layer.weight).abs()  # (N, K, features)
        below = of_class(centre, y).reshape(-1, 1) - centre
        below = below - (spread @ source.radius.unsqueeze(2)).squeeze(2)
    return where(own, 0.0, below)
