"""Dropout: a random mask and the scaled input in one step."""

from __future__ import annotations

from math import prod
from typing import Any

from .half import in_float32
from .random import philox


def dropout(
    xp: Any,
    x: Any,
    threshold: int,
    scale: float,
    key: tuple[int, int],
    counter: tuple[int, int, int],
) -> tuple[Any, Any]:
    """Return ``x * scale`` where a random word is below ``threshold``, else 0, and the mask.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the array.
    x : array
        Any shape, floating point.
    threshold : int
        Probability of keeping an element, times 2**32; up to 2**32, which keeps all.
    scale : float
        Factor of what is kept.
    key, counter
        As for ``philox``; element ``i``, row-major, belongs
        to word ``i``.

    Returns
    -------
    y : array
    keep : bool array
        Both of the shape of ``x``.
    """
    count = prod(x.shape)
    if threshold == 0:
        keep = xp.zeros(x.shape, dtype=xp.bool, device=x.device)
    else:  # 2**32 is no 32-bit number
        words = philox(xp, -(-count // 4), key, counter)[:count]
        keep = xp.reshape(words <= threshold - 1, x.shape)
    return kept(xp, x, keep, scale), keep


@in_float32
def kept(xp: Any, x: Any, keep: Any, scale: float) -> Any:
    """Return ``x * scale`` where ``keep`` is true, else 0: dropout with a given mask.

    Shapes broadcast. The gradient of dropout is this function of the gradient of its output.
    """
    return xp.where(keep, x * scale, xp.zeros_like(x))
