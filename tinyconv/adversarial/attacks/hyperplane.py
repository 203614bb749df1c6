"""The nearest point of a hyperplane within a box, and the linearised borders between classes.

Near an image a model is about linear: the border to another class is about a hyperplane. DeepFool
and FAB step onto the nearest one, again and again.
"""

from __future__ import annotations

from typing import Any

from ...ops import arange, clamp, cumsum, gather, isfinite, sort, where
from ..losses import Loss, of_class
from ..problem import Problem


def step_onto(x: Any, slope: Any, gap: Any, norm: str, bounds: tuple[float, float]) -> Any:
    """Return the least step from ``x`` within the box that raises ``slope * step`` by ``gap``.

    The projection of Croce and Hein (2020), "Minimally distorted adversarial examples with a fast
    adaptive boundary attack", arXiv 1907.02044. Every value moves along its slope,
    at most to the bound: by ``min(t * speed, room)``, where the speed is 1 for ``"linf"`` and
    ``|slope|`` for ``"l2"``; for ``"l1"`` one value after the other, the steepest first. What is
    gained grows with ``t`` in linear pieces between the points at which a value meets its bound:
    they are sorted, the gain is summed up at each, and ``t`` lies in the first piece that suffices.

    Parameters
    ----------
    x : Tensor
        Images ``(N, ...)`` in the box.
    slope : Tensor
        Normal vector of the hyperplane, in the shape of ``x``.
    gap : Tensor
        ``(N,)``: how much the product of slope and step has to be; it may be negative.
    norm : str
        ``"linf"``, ``"l2"`` or ``"l1"``.
    bounds : (float, float)
        The box.

    Returns
    -------
    Tensor
        The step, in the shape and dtype of ``x``. Where no image in the box lies on the hyperplane,
        the step to the corner that comes closest; 0 where the slope is 0, and where it is NaN.
    """
    slope, flat = slope.reshape(len(x), -1).double(), x.reshape(len(x), -1).double()
    gap = gap.reshape(-1, 1).double()
    slope = where(isfinite(slope), slope, 0.0) * where(gap < 0, -1.0, 1.0)
    gap = gap.abs()
    size = slope.abs()
    room = where(slope > 0, bounds[1] - flat, where(slope < 0, flat - bounds[0], 0.0))
    if norm == "l1":
        order = size.argsort(1, descending=True)
        gain = gather(size * room, 1, order)
        left = clamp(gap - (cumsum(gain, 1) - gain), min=0.0)
        length = gather(left, 1, order.argsort(1)) / where(size > 0, size, 1.0)
        length = length.minimum(room)
    else:
        speed = where(size > 0, 1.0, 0.0) if norm == "linf" else size
        when = where(size > 0, room / where(size > 0, speed, 1.0), float("inf"))
        points, order = sort(when, 1)
        full = gather(size * room, 1, order)  # what a value adds that has met its bound
        rate = gather(size * speed, 1, order)  # what one adds in a unit of t before
        at_bound = cumsum(full, 1) - full
        # Summed up from the end: a difference of sums would leave rounding where nothing is left.
        moving = cumsum(rate.flip(1), 1).flip(1)
        t = (gap - at_bound) / where(moving > 0, moving, 1.0)
        fits = (t <= points) & (moving > 0)
        first = fits.to(flat.dtype).argmax(1, keepdim=True)
        t = where(fits.any(1, keepdim=True), gather(t, 1, first), float("inf"))
        length = where(size > 0, (t * where(size > 0, speed, 1.0)).minimum(room), 0.0)
    return (length * slope.sign()).reshape(x.shape).to(x.dtype)


def dual_norms(slopes: Any, norm: str) -> Any:
    """Return how fast a step of length 1 can climb, for slopes ``(N, C, ...)``: float64 (N, C)."""
    flat = slopes.reshape(*slopes.shape[:2], -1).double().abs()
    if norm == "l2":
        return (flat * flat).sum(2).sqrt()
    return flat.sum(2) if norm == "linf" else flat.amax(2)


def nearest(values: Any, slopes: Any, norm: str) -> tuple[Any, Any]:
    """Return value and slope of the border that seems nearest: ``|value|`` over the dual norm.

    ``values`` is ``(N, C)`` and ``slopes`` ``(N, C, ...)``; the results are ``(N,)`` and
    ``(N, ...)``. A border whose slope is 0 is never reached.
    """
    speed = dual_norms(slopes, norm)
    usable = isfinite(speed) & (speed > 0)
    distance = where(usable, values.double().abs() / where(usable, speed, 1.0), float("inf"))
    chosen = distance.argmin(1)
    rows = arange(len(values), device=values.device)
    return values[rows, chosen], slopes[rows, chosen]


def differences(problem: Problem, x: Any, classes: Any) -> tuple[Any, Any, Any]:
    """Return ``logit of a class - logit of y`` ``(N, C)``, the gradients, and the logits.

    ``classes`` is an int64 tensor ``(N, C)``. The values are negative where the model prefers y.
    """

    def against(column: int) -> Loss:
        return lambda logits, y: of_class(logits, classes[:, column]) - of_class(logits, y)

    return problem.gradients(x, [against(column) for column in range(classes.shape[1])])
