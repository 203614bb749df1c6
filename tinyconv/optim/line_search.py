"""A search along a line for a step that satisfies the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A point of the line: the step to it, the loss and its gradient there, and the slope."""

    step: float
    loss: float
    grad: Any
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    step: float,
    longest: float,
    most: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance: float = 1e-9,
) -> Point:
    """Return a point that lies well below the start and where it goes down far less steeply.

    The conditions are ``loss <= start.loss + c1 * step * start.slope`` and
    ``|slope| <= c2 * |start.slope|``. First steps get longer until two of them have such a point
    between them, then the interval shrinks. Nocedal and Wright, "Numerical optimization" (2006),
    algorithms 3.5 and 3.6, with the safeguards of Schmidt's minFunc, as in PyTorch.

    Parameters
    ----------
    evaluate : callable
        Returns the point at a step.
    start : Point
        At step 0; its slope is negative.
    step : float
        The first to try.
    longest : float
        Largest component of the line's direction.
    most : int
        Evaluations after the first; if they do not suffice, the lowest point found is returned.
    c1, c2 : float
        Of the conditions above.
    tolerance : float, default 1e-9
        An interval in which no component changes by more is not searched further.
    """

    def is_high(point: Point) -> bool:
        return point.loss > start.loss + c1 * point.step * start.slope

    def is_flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    before, point = start, evaluate(step)
    for count in range(most):
        if is_high(point) or (count > 1 and point.loss >= before.loss):
            break
        if is_flat(point):
            return point
        if point.slope >= 0:
            break
        least = point.step + 0.01 * (point.step - before.step)
        step = cubic_minimum(before, point, least, point.step * 10)
        before, point = point, evaluate(step)
    else:
        return start if start.loss <= point.loss else point

    ends, low = [before, point], _lowest(before, point)
    stuck = False  # whether the last trial was next to an end
    for _ in range(count, most):
        first, last = sorted(end.step for end in ends)
        if (last - first) * longest < tolerance:
            break
        step, stuck = _trial(ends, first, last, stuck)
        point = evaluate(step)
        if is_high(point) or point.loss >= ends[low].loss:
            ends[1 - low] = point
            low = _lowest(*ends)
            continue
        flat = is_flat(point)
        if not flat and point.slope * (ends[1 - low].step - ends[low].step) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
        if flat:
            break
    return ends[low]


def _lowest(first: Point, second: Point) -> int:
    return 0 if first.loss <= second.loss else 1


def _trial(ends: list[Point], first: float, last: float, stuck: bool) -> tuple[float, bool]:
    """Return the next step within an interval, and whether it is next to an end.

    If it is so twice running, or at an end, it is moved inside, lest the interval shrink too
    slowly.
    """
    step = cubic_minimum(ends[0], ends[1], first, last)
    margin = 0.1 * (last - first)
    if not min(last - step, step - first) < margin:
        return step, False
    if stuck or step >= last or step <= first:
        return (last - margin if abs(step - last) < abs(step - first) else first + margin), False
    return step, True


def cubic_minimum(a: Point, b: Point, least: float, most: float) -> float:
    """Return where the cubic through two points with their slopes is lowest, between bounds.

    Half way between the bounds, if it is lowest nowhere or the numbers are too large to tell.
    """
    if a.step > b.step:
        a, b = b, a
    d1 = a.slope + b.slope - ratio(3 * (a.loss - b.loss), a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    d2 = math.sqrt(square) if square >= 0 else math.nan
    share = ratio(b.slope + d2 - d1, b.slope - a.slope + 2 * d2)
    if math.isnan(share):
        return (least + most) / 2
    return min(max(b.step - (b.step - a.step) * share, least), most)


def ratio(a: float, b: float) -> float:
    """Return ``a / b`` as arrays have it: infinite or NaN where ``b`` is 0."""
    if b != 0:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1, b)
