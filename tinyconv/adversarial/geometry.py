"""Balls and boxes: how far two images are apart, the nearest legal image, the steepest step.

A **perturbation** is the difference between two images. An attack may move within the ball
``norm(perturbation) <= eps`` and within the box of legal pixel values, ``bounds``. Everything here
works on each sample by itself: the result of a sample never depends on its neighbours in the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..ops import as_tensor, cat, clamp, cumsum, flip, gather, sort, where

NORMS = ("linf", "l2", "l1", "l0")


def rows_where_finite(x: Any, otherwise: Any) -> Any:
    """Return the samples of ``x`` that hold no NaN, and those of ``otherwise`` for the rest."""
    finite = (x == x).reshape(len(x), -1).all(1)
    return where(rows(finite, x), x, otherwise)


def check_norm(attack: str, norm: str, legal: tuple[str, ...] = NORMS[:3]) -> str:
    """Return ``norm`` if the attack knows it, else raise ``ArgumentError``."""
    if norm not in legal:
        names = ", ".join(map(repr, legal))
        raise ArgumentError(f"{attack}: argument 'norm' must be one of {names}, got {norm!r}")
    return norm


def rows(values: Any, x: Any) -> Any:
    """Reshape one number a sample, ``(N,)``, so that it broadcasts over ``x``, ``(N, ...)``."""
    return values.reshape(len(x), *[1] * (x.ndim - 1))


def column(values: np.ndarray, x: Any) -> Any:
    """Return one number a sample as a tensor that broadcasts over ``x``, in its dtype."""
    return rows(as_tensor(values.astype(x.dtype.name), device=x.device), x)


def as_images(attack: str, x: Any) -> Any:
    """Return the batch as images (N, C, H, W); (N, C, L) and (N, D) become images of one row.

    Raises
    ------
    ShapeError
        If there are more than two spatial dimensions.
    """
    if x.ndim > 4:
        raise ShapeError(
            f"{attack}: argument 'x' must be images (N, C, H, W), signals (N, C, L) or vectors "
            f"(N, D), got shape {tuple(x.shape)}"
        )
    channels = x.shape[1] if x.ndim > 2 else 1
    height = x.shape[2] if x.ndim == 4 else 1
    return x.reshape(len(x), channels, height, x.shape[-1])


def norms(perturbation: Any, norm: str) -> Any:
    """Return the norm of each sample of ``perturbation``, ``(N, ...)``, as float64 ``(N,)``.

    ``"l0"`` counts the values that changed, ``"l1"`` adds their sizes, ``"l2"`` is the Euclidean
    length and ``"linf"`` the largest change. float64, because a sum over thousands of float32
    values is off by more than the tolerance that feasibility is checked with.
    """
    if perturbation.numel() == 0:
        return perturbation.new_zeros(len(perturbation)).double()
    flat = perturbation.detach().reshape(len(perturbation), -1).double().abs()
    if norm == "l0":
        return (flat != 0).double().sum(1)
    if norm == "l1":
        return flat.sum(1)
    return (flat * flat).sum(1).sqrt() if norm == "l2" else flat.amax(1)


def clip(x: Any, bounds: tuple[float, float]) -> Any:
    """Return ``x`` with every value moved into the box."""
    return clamp(x, bounds[0], bounds[1])


def project(x_adv: Any, x: Any, eps: Any, norm: str, bounds: tuple[float, float]) -> Any:
    """Return ``x_adv`` moved into the ball of radius ``eps`` round ``x`` and into the box.

    Parameters
    ----------
    x_adv, x : Tensor
        Images ``(N, ...)``; ``x`` lies in the box.
    eps : Tensor
        Radius, in a shape that broadcasts over ``x``: ``(N, 1, ...)``, or, for ``"linf"``, also
        one for every value.
    norm : str
        ``"linf"``, ``"l2"`` and ``"l1"``: the nearest point of ball and box together. ``"l0"``: the
        ``eps`` largest changes remain.
    bounds : (float, float)
        The box.

    Returns
    -------
    Tensor
        In the box exactly, in the ball to rounding; exactly ``x`` where ``eps`` is 0.
    """
    if norm == "linf":
        low, high = clip(x - eps, bounds), clip(x + eps, bounds)
        return clamp(x_adv, low, high)
    x_adv = clip(x_adv, bounds) if norm == "l0" else x_adv
    change = (x_adv - x).reshape(len(x), -1)
    radius = eps.reshape(len(x), 1)
    if norm == "l2":
        change = _shorten(change, _room(change, x, bounds), radius)
    elif norm == "l1":
        change = _shrink(change, _room(change, x, bounds), radius)
    else:
        change = _keep_largest(change, radius)
    return clip(x + change.reshape(x.shape), bounds)


def steepest(gradient: Any, x: Any, eps: Any, norm: str, bounds: tuple[float, float]) -> Any:
    """Return the perturbation in the ball that raises a linear function with ``gradient`` most.

    ``"linf"``: ``eps * sign(gradient)``. ``"l2"``: along the gradient. ``"l1"``: all on the value
    with the largest slope, and, where that meets the box, on the next one; this takes the box into
    account, the other two leave it to :func:`project`. Zero where the gradient is zero or NaN.
    Shapes as in :func:`project`.
    """
    gradient = where(gradient == gradient, gradient, 0.0)
    if norm == "linf":
        return gradient.sign() * eps
    flat = gradient.reshape(len(x), -1)
    if norm == "l2":
        # Scaled first: the squares of tiny gradients would be 0 in float32.
        flat = flat / where(flat == 0, 1.0, flat).abs().amax(1, keepdim=True)
        length = rows(norms(flat, "l2"), flat).to(x.dtype)
        change = flat * (eps.reshape(len(x), 1) / where(length > 0, length, 1.0))
        return change.reshape(x.shape)
    room = where(flat == 0, 0.0, _room(flat, x, bounds))
    order = flat.abs().argsort(1, descending=True)
    room = gather(room, 1, order)
    before = cumsum(room.double(), 1).to(x.dtype) - room
    step = clamp(eps.reshape(len(x), 1) - before, min=0.0).minimum(room)
    step = gather(step, 1, order.argsort(1)) * flat.sign()
    return step.reshape(x.shape)


def _room(change: Any, x: Any, bounds: tuple[float, float]) -> Any:
    """Return how far each value of ``x`` can go in the direction of ``change``, ``(N, D)``."""
    flat = x.reshape(len(x), -1)
    return where(change > 0, bounds[1] - flat, flat - bounds[0])


def _shorten(change: Any, room: Any, radius: Any) -> Any:
    """Return the nearest point to ``change`` with ``|values| <= room`` and an L2 norm <= radius.

    It is ``sign(change) * min(t * |change|, room)`` for the largest ``t <= 1`` whose norm fits.
    Given which values are at their room, ``t`` is a quotient; it grows as more of them are found to
    be, and with it their number, until no more are.
    """
    size, room, radius = change.abs().double(), room.double(), radius.double()
    full = size.minimum(room)
    outside = (full * full).sum(1, keepdim=True) > radius * radius
    at_room = size < 0
    while True:
        left = radius * radius - where(at_room, room * room, 0.0).sum(1, keepdim=True)
        moving = where(at_room, 0.0, size * size).sum(1, keepdim=True)
        t = (clamp(left, min=0.0) / where(moving > 0, moving, 1.0)).sqrt()
        more = outside & (size * t > room)
        if not bool((more & ~at_room).any()):
            break
        at_room = at_room | more
    shortened = where(outside, (size * t).minimum(room), full)
    return (shortened * change.sign().double()).to(change.dtype)


def _shrink(change: Any, room: Any, radius: Any) -> Any:
    """Return the nearest point to ``change`` with ``|values| <= room`` and an L1 norm <= radius.

    It is ``sign(change) * clip(|change| - t, 0, room)`` for the least ``t >= 0`` whose norm fits
    (Croce and Hein, 2021, "Mind the box", arXiv 2103.01208, proposition 2.1). The norm falls
    linearly between the points ``|change|`` and ``|change| - room``: they are sorted downwards, the
    norm is summed up at each, and ``t`` lies in the first piece that reaches the radius.
    """
    size, room, radius = change.abs().double(), room.double(), radius.double()
    plain = size.minimum(room)
    points, order = sort(cat([size, size - room], 1), 1, descending=True)
    signs = where(order < size.shape[1], 1.0, -1.0).to(points.dtype)
    slope, moment = cumsum(signs, 1), cumsum(signs * points, 1)
    reached = moment - slope * points >= radius
    # The first point where the norm reaches the radius; t lies between it and the one before.
    first = reached.to(points.dtype).argmax(1, keepdim=True)
    before = clamp(first - 1, min=0)
    s = clamp(gather(slope, 1, before), min=1.0)
    t = (gather(moment, 1, before) - radius) / s
    t = clamp(t.maximum(gather(points, 1, first)), min=0.0)
    shrunk = clamp(size - t, min=0.0).minimum(room)
    result = where(plain.sum(1, keepdim=True) <= radius, plain, shrunk)
    return (result * change.sign().double()).to(change.dtype)


def _keep_largest(change: Any, count: Any) -> Any:
    """Return ``change`` with all but the ``count`` largest values of each row set to 0."""
    rank = flip(change.abs().argsort(1), (1,)).argsort(1)
    return where(rank < count.floor(), change, 0.0)
