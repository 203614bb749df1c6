"""Intervals through layers that normalise by what the sample itself holds: sound, not tight.

Such a layer divides ``x_i - mean`` by ``d = sqrt(var + eps)``, over groups of ``n`` values of which
each is known to lie in ``[l_i, u_i]``. Numerator and denominator are bounded apart, as if they had
nothing to do with each other:

- ``x_i - mean`` lies in ``[l_i - mean(u) + (u_i - l_i) / n, u_i - mean(l) - (u_i - l_i) / n]``,
  exactly.
- ``var = min over c of mean((x - c)**2)``, so that its least value is the least of the convex
  function ``mean(dist(c, [l, u])**2)`` of ``c``, exactly; and for any ``c`` it is at most
  ``mean(max((u - c)**2, (c - l)**2))``, of which the least is taken.
- The quotient of the two, and never beyond ``+-sqrt(n - 1)``, which no standardised value exceeds.

All of it grows with the intervals, so that a larger radius never gives tighter bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...errors import ArgumentError
from ...ops import clamp, where
from .interval_rules import Interval, batch_norm, hull, interval_rule

#: Halvings of the span of values in the search for ``c``.
HALVINGS = 20


@interval_rule(nn.GroupNorm)
def _group_norm(module: Any, x: Interval) -> Interval:
    return _channels(module, _in_groups(x, module.num_groups, module.eps))


@interval_rule(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def _instance_norm(module: Any, x: Interval) -> Interval:
    module.check_dims(x.lower)
    if x.ndim == module.dims[0]:
        raise ArgumentError("the batch dimension is missing")
    if module.track_running_stats:
        return batch_norm(module, x)
    return _channels(module, _in_groups(x, x.shape[1], module.eps))


@interval_rule(nn.LayerNorm)
def _layer_norm(module: Any, x: Interval) -> Interval:
    result = standardised(_rows(module, x), module.eps).reshape(*x.shape)
    return _affine(result, module.weight, module.bias)


@interval_rule(nn.RMSNorm)
def _rms_norm(module: Any, x: Interval) -> Interval:
    """Divide by the root of the mean square, whose range is known exactly."""
    rows = _rows(module, x)
    eps = float(np.finfo(x.lower.dtype.name).eps) if module.eps is None else module.eps
    least = clamp(rows.lower, min=0.0).maximum(-rows.upper)  # the distance from 0
    most = rows.lower.abs().maximum(rows.upper.abs())
    low, high = ((t * t).mean(-1, keepdim=True) for t in (least, most))
    result = _quotient(rows, low, high, eps, math.sqrt(rows.shape[-1]))
    return _affine(result.reshape(*x.shape), module.weight, None)


def _in_groups(x: Interval, groups: int, eps: float) -> Interval:
    n, channels = x.shape[:2]
    size = channels // groups * math.prod(x.shape[2:])
    return standardised(x.reshape(n, groups, size), eps).reshape(*x.shape)


def standardised(x: Interval, eps: float) -> Interval:
    """Return the interval of ``(x - mean) / sqrt(var + eps)`` over the last dimension."""
    n = x.shape[-1]
    share = (x.upper - x.lower) / n
    deviation = Interval(
        x.lower - x.upper.mean(-1, keepdim=True) + share,
        x.upper - x.lower.mean(-1, keepdim=True) - share,
    )
    return _quotient(deviation, *variance(x), eps, math.sqrt(n - 1))


def variance(x: Interval) -> tuple[Any, Any]:
    """Return bounds of the (biased) variance over the last dimension, which is kept as 1."""
    lower, upper = x.lower.detach(), x.upper.detach()
    middle, radius = (lower + upper) / 2, (upper - lower) / 2

    def near(c: Any) -> Any:  # half the slope of the mean squared distance to the near end
        return c - c.maximum(lower).minimum(upper)

    def far(c: Any) -> Any:  # ... to the far end
        return c - middle + where(c < middle, -radius, radius)

    ends = lower.amin(-1, keepdim=True), upper.amax(-1, keepdim=True)
    with no_grad():
        c, error = _lowest_point(near, *ends)
        d, _ = _lowest_point(far, *ends)
    gap = clamp(x.lower - c, min=0.0).maximum(c - x.upper)
    reach = (x.upper - d).maximum(d - x.lower)
    # The function is at most the square of the error higher than at its lowest point.
    least = clamp((gap * gap).mean(-1, keepdim=True) - error * error, min=0.0)
    return least, (reach * reach).mean(-1, keepdim=True)


def _lowest_point(slope: Callable[[Any], Any], low: Any, high: Any) -> tuple[Any, Any]:
    """Return where the mean over the last dimension turns from falling to rising; and the error."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        falls = slope(middle).mean(-1, keepdim=True) < 0
        low, high = where(falls, middle, low), where(falls, high, middle)
    return (low + high) / 2, (high - low) / 2


def _quotient(x: Interval, least: Any, most: Any, eps: float, limit: float) -> Interval:
    """Return the interval of ``x`` over the root of a square in [least, most], plus ``eps``."""
    small, large = ((square + eps).sqrt() for square in (least, most))

    def divided(end: Any, outwards: Any) -> Any:
        divisor = where(outwards, small, large)
        whole = where(divisor > 0, divisor, 1.0)
        return clamp(where(divisor > 0, end / whole, end.sign() * limit), -limit, limit)

    return Interval(divided(x.lower, x.lower < 0), divided(x.upper, x.upper > 0))


def _rows(module: Any, x: Interval) -> Interval:
    """Return the interval with the dimensions that are normalised together as one, the last."""
    size = math.prod(module.normalized_shape)
    return x.reshape(*x.shape[: x.ndim - len(module.normalized_shape)], size)


def _channels(module: Any, x: Interval) -> Interval:
    shape = (-1, *[1] * (x.ndim - 2))
    weight, bias = (p if p is None else p.reshape(shape) for p in (module.weight, module.bias))
    return _affine(x, weight, bias)


def _affine(x: Interval, weight: Any, bias: Any) -> Interval:
    if weight is not None:
        x = hull(x.lower * weight, x.upper * weight)
    return x if bias is None else x + bias
