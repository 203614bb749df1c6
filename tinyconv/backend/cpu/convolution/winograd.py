"""Winograd's convolution of small square kernels with stride 1: a fraction of the multiplications.

The output is cut into blocks ("tiles") of m x m pixels, each of which sees 6x6 pixels of the input
(:mod:`.cook_toom` has the algebra): 4x4 tiles for 3x3 kernels, 2x2 tiles for 5x5 kernels. With the
transforms of :mod:`.sandwich`,

    V[e, tile, c]  entry e of 36 of the transformed input
    U[e, c, o]     entry e of the transformed weights
    M[e, tile, o]  = sum over c of V[e, tile, c] * U[e, c, o]          36 matrix products
    y              = the m x m block that M interpolates, plus bias

instead of 144 products for each c and o (3x3), or 100 (5x5). The weight gradient sums over tiles:
dU[e, c, o] = sum of V[e, tile, c] * Z[e, tile, o], where Z is the transformed output gradient. The
input gradient is a forward pass with turned weights. A convolution with dilation d is d*d plain
ones, of every d-th row and column: a tile is then made of pixels that are d apart.

Everything between reading x and writing y should stay in cache. There are two ways to see to it.
*Shallow* layers (few channels, or more tiles than output channels, so that V is larger than U) keep
U in cache and take a few tiles at a time through all steps; *deep* layers (large weights, few
tiles) keep V in cache and take the channels of a panel at a time, transforming weights just before
they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np

from ...reference.activation import Limits
from ...reference.windows import Ints
from .. import memory
from ..layout import Array, plain
from ..parallel.threads import piece_of, scratch, share
from ..vectors.tile import BLOCK, limits_of
from .products import ROWS, VECTOR_BYTES, by_panel
from .sandwich import IN
from .winograd_kernels import correlate_deep, correlate_shallow, sum_deep, sum_shallow
from .winograd_loops import ENTRIES, PANEL, step_of, taps_of

#: Bytes of transformed weights up to which they may be kept; output channels from which on a few
#: cores can share a deep layer.
SHALLOW_BYTES, WIDE = 4 << 20, 4 * PANEL
#: How many times larger V and Z must be than dU for a weight gradient to be shallow.
SUMS_READ = 8
#: Bytes of transformed tiles that a shallow layer has in a core's cache.
BLOCK_BYTES = 3 << 19
#: Bytes of transformed input that a deep layer works on at a time; they share the last cache.
DEEP_BYTES = 12 << 20
#: Input channels whose transformed weights a deep layer has in a core's cache: whole blocks of a
#: sum, so that a shallow layer has the same bits.
CHUNK = 2 * BLOCK
#: Bytes of partial sums of a weight gradient that may exist at a time.
PARTIAL_BYTES = 16 << 20
#: Least work, in input channels times columns, of a piece of transforming weights and back.
PIECE = 1 << 9


@dataclass(frozen=True)
class Tiles:
    """How an (N, out_height, out_width) output is cut into tiles, and where the input begins."""

    batch: int
    #: As many zeros as a tile has outputs in one dimension; see :mod:`.winograd_loops`.
    block: tuple[int, ...]
    height: int
    width: int
    before: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, batch: int, taps: int, out: Ints, before: Ints, dilation: Ints) -> Tiles:
        """Return the tiles of a batch of outputs of kernels with so many taps a dimension."""
        size = IN + 1 - taps
        high, wide = (-(-n // (d * size)) for n, d in zip(out, dilation, strict=True))
        return cls(batch, (0,) * size, high, wide, before, dilation)

    @cached_property
    def count(self) -> int:
        """The number of tiles."""
        return self.batch * self.height * self.width * prod(self.dilation)

    @cached_property
    def geometry(self) -> tuple[int, ...]:
        """The scalars that the loops over tiles take."""
        return (self.height, self.width, *self.before, *self.dilation)


def width_of(columns: int) -> int:
    """Return the width of a panel: that of a register tile, or of one vector if that is enough."""
    lanes = VECTOR_BYTES // 4
    return lanes if columns <= lanes else PANEL


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    bias: Array | None,
    out: Any,
    before: Any,
    dilation: Any,
    limits: Limits | None = None,
    onto: Array | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the (N, *out, O) correlation of (N, H, W, C) with (O, C, taps, taps) weights.

    ``turned``: with the weights of the input gradient, (C, O, taps, taps) turned by 180 degrees.
    Results are clipped to ``limits``: (0, inf) for a ReLU. If they are to be added ``onto`` an
    array, they are written there. Before a bias is added, each output is multiplied by its
    ``scale``.
    """
    channels, columns = x.shape[3], w.shape[1 if turned else 0]
    tiles = Tiles.of(x.shape[0], w.shape[2], out, before, dilation)
    w = plain(w).reshape(*w.shape[:2], -1)
    y = memory.empty((x.shape[0], *out, columns), np.float32) if onto is None else onto
    width = width_of(columns)
    whole = -(-columns // width) * width
    shift = by_panel(bias, 1, columns, whole, np.float32)[0]
    factors = None if scale is None else by_panel(scale, 1, columns, whole, np.float32)[0]
    ends = limits_of(y.dtype, limits)
    run = _shallow if is_shallow(channels, columns, tiles.count) else _deep
    run(x, w, turned, width, factors, shift, ends, tiles, onto is not None, y)
    return y


def is_shallow(channels: int, columns: int, tiles: int) -> bool:
    """Return whether U is kept in cache: if it is smaller than V, or few cores could share it."""
    many = columns >= WIDE or ENTRIES * channels * columns * 4 > SHALLOW_BYTES
    return tiles > columns or not many


def has_shallow_sums(channels: int, columns: int, tiles: int) -> bool:
    """Return whether sums dU are kept in cache: they are read again for each block of tiles.

    The alternative is that V and Z are written to memory.
    """
    if ENTRIES * channels * columns * 4 > SHALLOW_BYTES:
        return False
    return columns < WIDE or tiles * (channels + columns) > SUMS_READ * channels * columns


def _shallow(
    x: Array, w: Array, turned: bool, width: int, scale: Array | None, shift: Array, limits: Any,
    tiles: Tiles, add: bool, y: Array,
) -> None:  # fmt: skip
    """Fill y, a few tiles at a time through all steps."""
    channels, count = x.shape[3], len(shift) // width
    u = memory.empty((count, ENTRIES, step_of(channels * width)), np.float32)
    columns = columns_of(channels, tiles, width)
    step = _tiles_a_block(tiles.count, channels)
    v = scratch(ENTRIES * step_of(step * channels), np.float32, 0)
    m = scratch(ENTRIES * step_of(step * width), np.float32, 1)
    share(
        correlate_shallow, -(-tiles.count // step), 1,
        tiles.block, w, turned, scale, columns, x, tiles.count, step, tiles.geometry, v, u, width,
        m, shift, limits, add, y, merge=True,
    )  # fmt: skip


def columns_of(rows: int, tiles: Tiles, width: int) -> Array:
    """Return memory for the taps of so many rows of a panel, for each seat."""
    return scratch(rows * taps_of(tiles.block) * width, np.float32, 2)


def _tiles_a_block(tiles: int, channels: int) -> int:
    """Return how many tiles to take at a time: about BLOCK_BYTES, in 4 or 8n equal blocks.

    Large blocks read U less often, and so many of one size keep 2, 4 or 8 cores equally busy.
    """
    most = max(2, min(8, BLOCK_BYTES // (ENTRIES * 4 * ROWS * max(channels, 1)))) * ROWS
    blocks = -(-tiles // most)
    return max(-(-tiles // (4 if blocks <= 4 else (blocks + 4) // 8 * 8)), 1)


def _deep(
    x: Array, w: Array, turned: bool, width: int, scale: Array | None, shift: Array, limits: Any,
    tiles: Tiles, add: bool, y: Array,
) -> None:  # fmt: skip
    """Fill y, one panel of output channels at a time for as many tiles as the cache can hold."""
    chunk = min(CHUNK, x.shape[3])
    for start, stop, step, v in _parts(x, tiles):
        u = scratch(ENTRIES * step_of(chunk * width), np.float32, 0)
        m = scratch(ENTRIES * step_of((stop - start) * width), np.float32, 1)
        share(
            correlate_deep, len(shift) // width, 1,
            tiles.block, x, step, v, w, turned, scale, chunk, columns_of(chunk, tiles, width), u,
            m, start, stop, tiles.geometry, width, shift, limits, add, y,
        )  # fmt: skip


def _parts(x: Array, tiles: Tiles) -> Iterator[tuple[int, int, int, Array]]:
    """Yield first tile, last tile, how many a piece transforms, and memory for V.

    Of the whole input, in parts of at most ``DEEP_BYTES``.
    """
    channels = x.shape[3]
    most = max(DEEP_BYTES // (ENTRIES * channels * 4), ROWS)
    for start in range(0, tiles.count, most):
        stop = min(start + most, tiles.count)
        v = memory.empty((1, ENTRIES, step_of((stop - start) * channels)), np.float32)
        yield start, stop, piece_of(stop - start, 4), v


def weight_grad(x: Array, dy: Array, taps: int, before: Any, dilation: Any) -> Array:
    """Return the (O, C, taps, taps) gradient from (N, H, W, C) and (N, out_h, out_w, O)."""
    channels, columns = x.shape[3], dy.shape[3]
    tiles = Tiles.of(x.shape[0], taps, dy.shape[1:3], before, dilation)
    if not tiles.count:
        return np.zeros((columns, channels, taps, taps), np.float32)
    dw = np.empty((columns, channels, taps * taps), np.float32)
    shallow = has_shallow_sums(channels, columns, tiles.count)
    (_shallow_weight_grad if shallow else _deep_weight_grad)(x, dy, tiles, dw)
    return dw.reshape(columns, channels, taps, taps)


def turns(channels: int, outputs: int) -> bool:
    """Return whether the input channels of dU fill vectors better than the outputs do."""
    lanes = VECTOR_BYTES // 4
    return outputs * -(-channels // lanes) < channels * -(-outputs // lanes)


def _shallow_weight_grad(x: Array, dy: Array, tiles: Tiles, dw: Array) -> None:
    """Fill dw from partial sums of dU, each over a fixed share of the tiles."""
    channels, outputs = x.shape[3], dy.shape[3]
    turned = turns(channels, outputs)
    rows, columns = (outputs, channels) if turned else (channels, outputs)
    width = width_of(columns)
    count, length = -(-columns // width), step_of(rows * width)
    block = _tiles_a_block(tiles.count, channels + outputs)
    blocks = -(-tiles.count // block)
    parts = max(min(PARTIAL_BYTES // (count * ENTRIES * length * 4), 8, blocks), 1)
    per_part = -(-blocks // parts)
    sums = memory.empty((-(-blocks // per_part), count, ENTRIES, length), np.float32)
    some, panels = step_of(block * rows), count * step_of(block * width)
    v = scratch(ENTRIES * (panels if turned else some), np.float32, 0)
    z = scratch(ENTRIES * (some if turned else panels), np.float32, 1)
    piece = -(-PIECE // width)
    share(
        sum_shallow, len(sums), 1,
        tiles.block, x, dy, tiles.count, per_part * block, block, tiles.geometry, turned, width,
        v, z, sums, piece, columns_of(piece, tiles, width), dw,
    )  # fmt: skip


def _deep_weight_grad(x: Array, dy: Array, tiles: Tiles, dw: Array) -> None:
    """Fill dw, a panel of output channels and a chunk of input channels at a time."""
    channels, width = x.shape[3], width_of(dy.shape[3])
    count, chunk = -(-dy.shape[3] // width), min(CHUNK, channels)
    for start, stop, step, v in _parts(x, tiles):
        z = memory.empty((count, ENTRIES, step_of((stop - start) * width)), np.float32)
        sums = scratch(ENTRIES * step_of(chunk * width), np.float32, 0)
        share(
            sum_deep, count * -(-channels // chunk), 1,
            tiles.block, x, dy, start, stop, step, tiles.geometry, v, z, width, chunk, sums,
            columns_of(chunk, tiles, width), dw,
        )  # fmt: skip
