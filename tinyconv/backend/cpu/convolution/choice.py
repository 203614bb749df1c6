"""Which algorithm a convolution takes: an estimate of each one's time, from its shape alone.

A full register tile does one multiply-add of vectors a cycle, so the products of the algorithms
cost

    direct      pixels * taps * C * vectors(O)               vectors(n) = n / lanes, rounded up
    winograd    tiles * 36    * C * vectors(O)               a tile is 4x4 pixels (2x2: 5x5 taps)
    narrow      pixels/lanes * taps * C * O                  for a few output channels
    positions   N * hits      * C * vectors(O)               taps that do not lie in the padding
    grouped     pixels * taps * C/groups * vectors(O)        several groups in a vector
    joined      as another convolution, of fewer pixels and more channels
    sheets      as another convolution, of images with more channels

cycles, and more where tiles are not full (:func:`step_of_product`). Beside them, patches have to be
copied, and tiles and weights to be transformed. What that costs was measured and is written here in
cycles. Only the ratio of two estimates matters.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .... import config
from ...reference.windows import Ints
from ..host import host
from . import grouped, joined, sheets, strides
from .narrow import FEW_CHANNELS
from .positions import count_hits
from .products import HEIGHTS
from .winograd import ENTRIES, Tiles, turns

#: Sizes of kernels that Winograd's algorithm is for.
WINOGRAD_KERNELS = ((3, 3), (5, 5))
#: Cycles of going on to the next tile, there and back; of one transform of a tile of one vector of
#: channels; and of reading or writing one of the tile's own pixels in memory.
TILE, TRANSFORM, TILE_PIXEL = 700.0, 130.0, 7.0
#: Cycles of a multiply-add of Winograd's products, whose operands come from the second cache.
WINOGRAD_PRODUCT = 1.2
#: Cycles of the transform of a vector of weights for Winograd's products, for each tap.
TRANSFORM_WEIGHTS = 25.0
#: Cycles of copying a vector of a patch, and of packing a vector of weights.
COPY, PACK = 2.0, 8.0
#: Cycles that a short sum takes longer at its beginning and end, per tile of the product, and for
#: each segment.
TILE_START, SEGMENT_START = 60.0, 60.0
#: Cycles that a step of a register tile takes at least, since its sums wait for themselves; that a
#: row of one vector takes, for which a number is loaded; and of going on to the next step.
TILE_WAIT, TILE_ROW, TILE_STEP = 7.0, 1.2, 1.5
#: Elements of a weight gradient from which on its partial sums do not fit a cache, and what that
#: costs; what it costs that the phases of a strided input gradient lie scattered in memory.
LARGE, PARTIAL_SUMS, PHASES = 1 << 18, 2.0, 1.3
#: Cycles of a multiply-add position by position, where rows are whole images apart.
SPREAD = 1.05
#: Cycles of going on to the next hit.
RUN_START = 35.0
#: Cycles of a multiply-add with pixels in lanes, where loads are not aligned, and of turning around
#: a vector of an image.
NARROW_PRODUCT, TURN = 1.15, 12.0
#: Cycles of a multiply-add with several groups in lanes, and of spreading a vector of a pixel.
GROUPED_PRODUCT, SPREAD_VECTOR = 1.25, 3.0
#: Cycles of copying a vector of a pixel beside those of other sheets.
SHEET_VECTOR = 5.0
#: Positions of a map up to which it may be convolved position by position.
SMALL_MAP = 256
#: Cycles of starting a parallel region.
START = 20_000.0


@lru_cache(maxsize=4096)
def step_of_product(rows: float, vectors: int) -> float:
    """Return the cycles of one step of the sums of so many rows and vectors of columns.

    Tiles are as :func:`~.products.rows_by_panel` lays them: two vectors wide and then one, of as
    many rows as fit.
    """
    cycles = 0.0
    for wide, count in ((2, vectors // 2), (1, vectors % 2)):
        left = rows
        for high in HEIGHTS:
            tiles, left = divmod(left, high)
            one = max(high * wide, TILE_ROW * high, TILE_WAIT) + TILE_STEP
            cycles += count * tiles * one
    return cycles


def estimate(
    part: str,
    x: Ints,
    w: Ints,
    out: Ints,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    groups: int,
    dtype: Any,
) -> dict[str, float]:
    """Return the cycles of one core that each algorithm which applies is expected to take.

    Parameters
    ----------
    part : str
        ``"forward"``, ``"input_grad"`` or ``"weight_grad"``.
    x, w : tuple of int
        Shapes of the input (N, C, *S) and of the weights (O, C/groups, *K).
    out, stride, before, dilation : tuple of int
        One number for each spatial dimension; ``before`` is the padding at the beginning.
    groups : int
        Groups of channels.
    dtype : dtype
        Of all arrays.
    """
    if strides.applies(x[2:], w[2:], out, stride, before):
        x, stride = (*x[:2], *out), (1,) * len(stride)
    lanes = host().lanes(dtype)
    outputs, channels, taps = w[0] // groups, w[1], prod(w[2:])
    pixels: float = x[0] * prod(out)
    plain = prod(stride) == prod(dilation) == groups == 1
    if part == "input_grad":
        outputs, channels, pixels = channels, outputs, x[0] * prod(x[2:]) / prod(stride)
    columns = -(-outputs // lanes)
    depth = taps * channels
    run = w[-1] * channels if dilation[-1] == 1 else channels
    one_tap = taps == prod(stride) == 1
    if part == "weight_grad":
        narrow = groups == 1 and run < 2 * lanes
        block = (run, columns) if narrow else (outputs, -(-run // lanes))
        product = pixels * depth / max(run, 1) * step_of_product(*block)
    else:
        line = out[-1] if part == "forward" else -(-x[-1] // stride[-1])
        rows = max(pixels if one_tap else line, 1)
        product = pixels / rows * depth * step_of_product(rows, columns)
    start = TILE_START * pixels / host().rows * columns / 2
    copies = 0 if one_tap else pixels * prod(stride) * channels / lanes * COPY
    weights = depth * columns * PACK
    scattered = product
    if part != "weight_grad":
        scattered += start / TILE_START * SEGMENT_START * depth / max(run, 1)
    if part == "weight_grad" and depth * outputs >= LARGE:
        scattered *= PARTIAL_SUMS
    elif part == "input_grad" and prod(stride) > 1:
        scattered *= PHASES
    times = {"direct": groups * (scattered + start + copies + weights) + START}
    if one_tap and tuple(x[2:]) == tuple(out):
        return {"pointwise": groups * (product + start + weights) + START}
    size = x[2:] if part == "input_grad" else out
    together = joined.count(outputs, size[-1], w[-1], lanes) if plain else 1
    if together > 1:
        times["joined"] = START / 2 + min(
            estimate(*_joined(part, x, w, out, before, together), dtype).values()
        )
    if sheets.applies(x, w, stride, groups):
        flat = _flat(part, x, w, out, stride, before, dilation)
        images = flat[1][0] * prod(out[1:] if part == "input_grad" else x[3:])
        copied = images * w[2] * -(-channels // lanes) * SHEET_VECTOR
        times["sheets"] = START + copied + min(estimate(*flat, groups, dtype).values())
    if plain and len(x) == 4 and outputs <= FEW_CHANNELS and part != "weight_grad":
        line = size[1] + w[3] - 1
        vectors = x[0] * -(-size[0] * line // (2 * lanes)) * 2
        turned = x[0] * (size[0] + w[2]) * line * (channels + outputs) / lanes * TURN
        times["narrow"] = vectors * depth * max(outputs, 2) * NARROW_PRODUCT + turned + START
    if _grouped_applies(part, x, w, stride, groups, lanes):
        vectors = -(-outputs * groups // lanes)
        copied = x[0] * prod(x[2:]) * channels * vectors * SPREAD_VECTOR
        times["grouped"] = pixels * depth * vectors * GROUPED_PRODUCT + copied + START
    if prod(out) <= SMALL_MAP and prod(x[2:]) <= SMALL_MAP:
        rows = x[0] if part != "weight_grad" else outputs
        hits = count_hits(x[2:], w[2:], out, stride, before, dilation)
        product = hits * channels * step_of_product(rows, columns)
        if part == "weight_grad":
            product = hits * x[0] * step_of_product(rows, -(-channels // lanes))
        runs = hits * -(-rows // host().rows) * -(-columns // 2) * RUN_START
        times["positions"] = groups * (product * SPREAD + start + runs + weights) + 4 * START
    if _winograd_applies(w, stride, groups, dtype):
        tiles = Tiles.of(x[0], w[2], size, before, dilation)
        transform = TRANSFORM + TILE_PIXEL * len(tiles.block) ** 2
        transforms = tiles.count * (TILE + transform * (-(-channels // lanes) + columns))
        weights = channels * columns * taps * TRANSFORM_WEIGHTS
        step = channels * step_of_product(tiles.count, columns)
        if part == "weight_grad" and turns(channels, outputs):
            step = tiles.count * step_of_product(outputs, -(-channels // lanes))
        elif part == "weight_grad":
            step = tiles.count * step_of_product(channels, columns)
        times["winograd"] = ENTRIES * step * WINOGRAD_PRODUCT + transforms + weights + 2 * START
    return times


def _joined(
    part: str, x: Ints, w: Ints, out: Ints, before: Ints, together: int
) -> tuple[str, Ints, Ints, Ints, Ints, Ints, Ints, int]:
    """Return the arguments of :func:`estimate` for the convolution of joined pixels."""
    if part == "input_grad":
        part, out, x = "forward", x[2:], (x[0], w[0], *out)
        before = tuple(k - 1 - b for k, b in zip(w[2:], before, strict=True))
        w = (w[1], w[0], *w[2:])
    ones = (1,) * len(out)
    w = (together * w[0], *w[1:-1], w[-1] + together - 1)
    out, stride = (*out[:-1], out[-1] // together), (*ones[1:], together)
    return part, x, w, out, stride, before, ones, 1


def _flat(
    part: str, x: Ints, w: Ints, out: Ints, stride: Ints, before: Ints, dilation: Ints
) -> tuple[str, Ints, Ints, Ints, Ints, Ints, Ints]:
    """Return the arguments of :func:`estimate` for the images that sheets of volumes make."""
    if part == "input_grad":
        x, w = (x[0] * x[2], x[1], *x[3:]), (w[2] * w[0], w[1], *w[3:])
    else:
        x, w = (x[0] * out[0], w[2] * x[1], *x[3:]), (w[0], w[2] * w[1], *w[3:])
    return part, x, w, out[1:], stride[1:], before[1:], dilation[1:]


def _grouped_applies(part: str, x: Ints, w: Ints, stride: Ints, groups: int, lanes: int) -> bool:
    """Return whether the lanes of a vector can hold outputs of several groups."""
    if len(x) != 4 or groups == 1:
        return False
    if part != "input_grad":
        return grouped.sources(w[0], w[1], groups, lanes) is not None
    return prod(stride) == 1 and grouped.sources(x[1], w[0] // groups, groups, lanes) is not None


def _winograd_applies(w: Ints, stride: Ints, groups: int, dtype: Any) -> bool:
    """Return whether Winograd's algorithm can compute this at all."""
    return (
        tuple(w[2:]) in WINOGRAD_KERNELS
        and prod(stride) == groups == 1
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
