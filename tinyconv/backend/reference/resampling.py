"""Resampling along one axis: each output is a weighted sum of a few inputs."""

from __future__ import annotations

from typing import Any

from .half import in_float32


@in_float32
def resample(xp: Any, x: Any, axis: int, starts: Any, places: Any, factors: Any) -> Any:
    """Return weighted sums of the elements of ``x`` along ``axis``.

    ``out[..., o, ...] = sum of factors[e] * x[..., places[e], ...]`` for ``e`` from ``starts[o]``
    to ``starts[o + 1] - 1``, in this order.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    x : array
        Any shape.
    axis : int
        Axis to resample, from 0.
    starts : int64 array (outputs + 1,)
        Where the terms of each output begin; the last one is the number of terms.
    places : int64 array (terms,)
        The input of each term.
    factors : array (terms,)
        The weight of each term, of the dtype of ``x``.

    Returns
    -------
    array
        Shape of ``x``, with the number of outputs along ``axis``.
    """
    outputs = starts.shape[0] - 1
    out = xp.zeros((*x.shape[:axis], outputs, *x.shape[axis + 1 :]), dtype=x.dtype, device=x.device)
    counts = starts[1:] - starts[:-1]
    if not outputs or not places.shape[0]:
        return out
    along = (outputs, *(1,) * (x.ndim - axis - 1))
    for term in range(int(xp.max(counts))):
        has = counts > term
        at = xp.where(has, starts[:-1] + term, xp.zeros_like(counts))
        picked = xp.take(x, xp.take(places, at), axis=axis)
        product = picked * xp.reshape(xp.take(factors, at), along)
        out = out + xp.where(xp.reshape(has, along), product, xp.zeros_like(product))
    return out
