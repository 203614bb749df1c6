"""Differences of neighbours along a dimension, and their opposite, integrals by trapezoids."""

from __future__ import annotations

import operator
from typing import Any

from ...errors import ArgumentError, ShapeError
from .._operands import check_not_bool, check_tensor, dimension, is_bool
from ..elementwise.comparison import logical_xor
from ..shapes.joining import cat
from .running import cumsum


def _both_neighbours(x: Any, axis: int) -> tuple[Any, Any]:
    """Return all but the last, and all but the first, along an axis."""
    steps = max(x.array.shape[axis] - 1, 0)
    return x.narrow(axis, 0, steps), x.narrow(axis, min(x.array.shape[axis], 1), steps)


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Return the differences of neighbours along a dimension, ``n`` times over.

    Parameters
    ----------
    input : Tensor
        At least one dimension. Bools differ (exclusive or) or not.
    n : int, default 1
        How often; 0 returns the input as it is.
    dim : int, default -1
        The dimension, which becomes shorter by ``n``.
    prepend, append : Tensor, optional
        What to join to the front and to the back of the input before.

    Raises
    ------
    ShapeError
        If the input is a number, or another tensor does not fit it except along ``dim``.
    ArgumentError
        If ``n`` is negative.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.diff(tc.tensor([1, 3, 2])), tc.diff(tc.tensor([1, 4, 9]), n=2)
    (tensor([ 2, -1]), tensor([2]))
    """
    ndim, times = check_tensor("diff", "input", input).array.ndim, operator.index(n)
    if ndim == 0:
        raise ShapeError("diff: expected at least 1 dimension, got shape ()")
    if times < 0:
        raise ArgumentError(f"diff: n={n} must be at least 0")
    axis = dimension("diff", dim, ndim)
    if times == 0:
        return input
    parts = [input]
    if prepend is not None:
        parts.insert(0, _joinable("prepend", prepend, input, axis))
    if append is not None:
        parts.append(_joinable("append", append, input, axis))
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(times, x.array.shape[axis])):
        before, behind = _both_neighbours(x, axis)
        x = logical_xor(behind, before) if is_bool(x) else behind - before
    return x


def _joinable(name: str, tensor: Any, input: Any, axis: int) -> Any:
    shape = list(check_tensor("diff", name, tensor).array.shape)
    wanted = list(input.array.shape)
    if len(shape) != len(wanted) or shape[:axis] + shape[axis + 1 :] != (
        wanted[:axis] + wanted[axis + 1 :]
    ):
        raise ShapeError(
            f"diff: {name} of shape {tuple(shape)} must fit input of shape {tuple(wanted)} "
            f"except along dim={axis}"
        )
    return tensor


def trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Return the integral of samples along a dimension, by the trapezoidal rule.

    Parameters
    ----------
    y : Tensor
        Samples, at least one dimension; no bools.
    x : Tensor, optional
        Where they were taken: (n,) along ``dim``, or a shape that broadcasts with ``y``.
    dx : number, default 1
        Their distance, without ``x``.
    dim : int, default -1
        The dimension, which goes.

    Returns
    -------
    Tensor
        0 for fewer than two samples.

    Raises
    ------
    ArgumentError
        If both ``x`` and ``dx`` are given.
    ShapeError
        If ``y`` is a number, or ``x`` does not fit it.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.trapezoid(tc.tensor([1.0, 5.0, 10.0]))
    tensor(10.5000)
    """
    areas, axis = _trapezoids("trapezoid", y, x, dx, dim)
    return areas.sum(axis) / 2


def trapz(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Return the integral of samples; another name of :func:`trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Return the integrals from the first sample to each later one; see :func:`trapezoid`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cumulative_trapezoid(tc.tensor([1.0, 5.0, 10.0]))
    tensor([ 3.0000, 10.5000])
    """
    areas, axis = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, axis) / 2


def _trapezoids(op: str, y: Any, x: Any, dx: float | None, dim: int) -> tuple[Any, int]:
    """Return twice the area below each two neighbours, and the axis they are neighbours along."""
    ndim = check_tensor(op, "y", y).array.ndim
    check_not_bool(op, y, x)
    if ndim == 0:
        raise ShapeError(f"{op}: expected at least 1 dimension, got shape ()")
    axis = dimension(op, dim, ndim)
    before, behind = _both_neighbours(y, axis)
    heights = before + behind
    if x is None:
        return heights * (1 if dx is None else dx), axis
    if dx is not None:
        raise ArgumentError(f"{op}: give x or dx={dx}, not both")
    samples = check_tensor(op, "x", x).array.shape
    size = y.array.shape[axis]
    at = 0 if len(samples) == 1 else axis - ndim + len(samples)
    if not samples or not 0 <= at < len(samples) or samples[at] != size:
        raise ShapeError(
            f"{op}: x of shape {tuple(samples)} must have {size} elements along the dimension of "
            f"the samples, as y of shape {tuple(y.array.shape)} has along dim={axis}"
        )
    left, right = _both_neighbours(x, at)
    widths = right - left
    if len(samples) == 1:
        widths = widths.reshape((-1,) + (1,) * (ndim - axis - 1))
    return heights * widths, axis
