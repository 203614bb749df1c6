"""Which algorithm a convolution takes: an estimate of each one's time, from its shape alone.

A register tile does one multiply-add of vectors a cycle, so the products of both algorithms cost

    direct      pixels * taps * C * vectors(O)               vectors(n) = n / lanes, rounded up
    winograd    tiles * 36    * C * vectors(O)               a tile is 4x4 pixels

cycles. Beside them, patches have to be copied, and tiles and weights to be transformed. What that
costs was measured and is written here in cycles. Only the ratio of two estimates matters.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ... import config
from ..reference.windows import Ints
from .host import host

#: Cycles of one transform of a tile of one vector of channels, from its loads to its stores.
TRANSFORM = 260.0
#: Cycles of the transform of a vector of 3x3 weights for Winograd's products.
TRANSFORM_WEIGHTS = 110.0
#: Cycles of copying a vector of a patch, and of packing a vector of weights.
COPY, PACK = 2.0, 8.0
#: Cycles that a short sum takes longer at its beginning and end, per tile of the product.
TILE_START = 60.0
#: Cycles of starting a parallel region.
START = 20_000.0


def estimate(
    part: str, x: Ints, w: Ints, out: Ints, stride: Ints, dilation: Ints, groups: int, dtype: Any
) -> dict[str, float]:
    """Return the cycles of one core that each algorithm which applies is expected to take.

    Parameters
    ----------
    part : str
        ``"forward"``, ``"input_grad"`` or ``"weight_grad"``.
    x, w : tuple of int
        Shapes of the input (N, C, *S) and of the weights (O, C/groups, *K).
    out, stride, dilation : tuple of int
        One number for each spatial dimension.
    groups : int
        Groups of channels.
    dtype : dtype
        Of all arrays.
    """
    lanes = host().lanes(dtype)
    outputs, channels, taps = w[0] // groups, w[1], prod(w[2:])
    pixels: float = x[0] * prod(out)
    if part == "input_grad":
        outputs, channels, pixels = channels, outputs, x[0] * prod(x[2:]) / prod(stride)
    columns = -(-outputs // lanes)
    depth = taps * channels
    if part == "weight_grad":
        product = pixels * outputs * -(-depth // lanes)
    else:
        product = pixels * depth * columns
    start = TILE_START * pixels / host().rows * columns / 2
    copies = 0 if taps == prod(stride) == 1 else pixels * prod(stride) * channels / lanes * COPY
    weights = depth * columns * PACK
    times = {"direct": groups * (product + start + copies + weights) + START}
    if taps == prod(stride) == 1 and tuple(x[2:]) == tuple(out):
        return {"pointwise": groups * (product + start + weights) + START}
    if _winograd_applies(w, stride, dilation, groups, dtype):
        size = x[2:] if part == "input_grad" else out
        tiles = x[0] * -(-size[0] // 4) * -(-size[1] // 4)
        transforms = tiles * TRANSFORM * (-(-channels // lanes) + columns)
        weights = channels * columns * TRANSFORM_WEIGHTS
        product = tiles * 36 * channels * columns
        start = 36 * TILE_START * tiles / host().rows * columns / 2
        times["winograd"] = product + start + transforms + weights + 2 * START
    return times


def _winograd_applies(w: Ints, stride: Ints, dilation: Ints, groups: int, dtype: Any) -> bool:
    """Return whether Winograd's algorithm can compute this at all."""
    return (
        tuple(w[2:]) == (3, 3)
        and prod(stride) == prod(dilation) == groups == 1
        and np.dtype(dtype) == np.float32
        and config.float32_precision.get() == "high"
    )


def choose(part: str, *shape: Any) -> str:
    """Return the name of the algorithm to take; arguments as those of :func:`estimate`.

    ``config.conv_algorithm`` may name one; it is taken wherever it applies.
    """
    return _choose(config.conv_algorithm.get(), config.float32_precision.get(), part, *shape)


@lru_cache(maxsize=4096)
def _choose(wanted: str, precision: str, part: str, *shape: Any) -> str:
    times = estimate(part, *shape)
    return wanted if wanted in times else min(times, key=times.__getitem__)
