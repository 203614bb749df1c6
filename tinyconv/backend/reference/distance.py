"""Distances of all vectors of one set to all of another."""

from __future__ import annotations

from math import inf
from typing import Any

from .half import in_float32


@in_float32
def distances(xp: Any, a: Any, b: Any, p: float) -> Any:
    """Return ``sum_k |a[n, i, k] - b[n, j, k]| ** p ** (1 / p)`` for all n, i and j.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    a, b : array (N, P, M), (N, R, M)
        Two sets of vectors, in N pairs.
    p : float
        From 0, which counts the elements that differ, to infinity.

    Returns
    -------
    array (N, P, R)
    """
    size = xp.abs(a[:, :, None, :] - b[:, None, :, :])
    if p == inf and a.shape[2]:
        return xp.max(size, axis=-1)
    if p == 0:
        return xp.sum(xp.sign(size), axis=-1)
    if p in (1, inf):
        return xp.sum(size, axis=-1)
    if p == 2:
        return xp.sqrt(xp.sum(size * size, axis=-1))
    return xp.sum(size**p, axis=-1) ** (1 / p)


@in_float32
def distances_grad(xp: Any, grad: Any, a: Any, b: Any, distance: Any, p: float) -> Any:
    """Return the gradient of :func:`distances` with respect to ``a``.

    It is 0 where a distance is 0, and of an infinite ``p`` the elements that tie share it.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    grad : array (N, P, R)
        Gradient of the distances.
    a, b, distance : array
        What :func:`distances` was given, and what it returned.
    p : float
        Above 0.

    Returns
    -------
    array (N, P, M)
    """
    difference = a[:, :, None, :] - b[:, None, :, :]
    size, whole = xp.abs(difference), distance[..., None]
    if p == 1:
        slope = xp.ones_like(size)
    elif p == inf:
        slope = xp.astype(size == whole, size.dtype)
        slope = slope / xp.sum(slope, axis=-1, keepdims=True)
    else:
        none = (size == 0) | (whole == 0)
        slope = xp.where(none, xp.ones_like(size), size) / xp.where(none, xp.ones_like(size), whole)
        slope = slope ** (p - 1)
    return xp.sum(grad[..., None] * (xp.sign(difference) * slope), axis=2)
