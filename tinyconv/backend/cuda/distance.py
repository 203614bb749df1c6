"""Distances of all vectors of one set to all of another, without an array of all differences."""

from __future__ import annotations

from math import inf
from typing import Any

from .. import reference
from .driver.launching import CTYPES, Kernel, Variant, blocks_for
from .layout import Array, is_fast, plain

THREADS, TILE = 256, 32
FIELDS = (
    "a b grad distance shares out pairs:int64 rows:int32 others:int32 size:int32 "
    "power:float32 inverse:float32"
)
DISTANCES = Kernel("distance.cu", "distances", FIELDS, threads=THREADS)
DISTANCES_GRAD = Kernel("distance.cu", "distances_grad", FIELDS, threads=THREADS)
#: The kinds of distance that have terms of their own; any other exponent is POWER.
KINDS = {0: "COUNT", 1: "SUM", 2: "EUCLID", inf: "LARGEST"}
VARIANTS = [
    kernel.variant(T=dtype, KIND=kind)
    for kernel, kinds in (
        (DISTANCES, ("COUNT", "SUM", "EUCLID", "LARGEST", "POWER", "TIES")),
        (DISTANCES_GRAD, ("SUM", "EUCLID", "LARGEST", "POWER")),
    )
    for kind in kinds
    for dtype in CTYPES.values()
]


def distances(xp: Any, a: Array, b: Array, p: float) -> Array:
    """Return the distances of all vectors to all others; see the reference kernel."""
    if not is_fast(a, b):
        return reference.distances(xp, a, b, p)
    out = xp.empty((*a.shape[:2], b.shape[1]), dtype=a.dtype)
    if out.size:
        kernel = DISTANCES.of(a.dtype, KIND=KINDS.get(p, "POWER"))
        numbers = p, 1 / p if p else 0.0
        _launch(kernel, b.shape[1], plain(xp, a), plain(xp, b), None, None, None, out, *numbers)
    return out


def distances_grad(xp: Any, grad: Array, a: Array, b: Array, distance: Array, p: float) -> Array:
    """Return the gradient with respect to the first set; see the reference kernel."""
    if not is_fast(grad, a, b, distance):
        return reference.distances_grad(xp, grad, a, b, distance, p)
    out, shares, kind = xp.empty(a.shape, dtype=a.dtype), None, KINDS.get(p, "POWER")
    if not out.size:
        return out
    a, b, grad, distance = (plain(xp, array) for array in (a, b, grad, distance))
    if kind == "LARGEST":  # elements that tie share the gradient
        shares = xp.empty(grad.shape, dtype=xp.float32)
        ties = DISTANCES.of(a.dtype, KIND="TIES")
        _launch(ties, b.shape[1], a, b, grad, distance, shares, None, p, 0.0)
    kernel = DISTANCES_GRAD.of(a.dtype, KIND=kind)
    _launch(kernel, a.shape[2], a, b, grad, distance, shares, out, p - 1, 0.0)
    return out


def _launch(kernel: Variant, columns: int, a: Array, b: Array, *rest: Any) -> None:
    """Launch a kernel that writes rows of as many numbers as ``a`` has rows."""
    pairs, rows, size = a.shape
    tiles = pairs * -(-rows // TILE) * -(-columns // TILE)
    arrays, numbers = rest[:4], rest[4:]
    kernel(blocks_for(tiles, 1), THREADS, a, b, *arrays, pairs, rows, b.shape[1], size, *numbers)
