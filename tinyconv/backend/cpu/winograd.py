"""Winograd's convolution of 3x3 kernels with stride 1: a quarter of the multiplications.

The output is cut into blocks ("tiles") of 4x4 pixels, each of which sees 6x6 pixels of the input
(:mod:`.cook_toom` has the algebra). With the three transforms of :mod:`.sandwich`,

    V[e, tile, c]  entry e of 36 of the transformed input
    U[e, c, o]     entry e of the transformed weights
    M[e, tile, o]  = sum over c of V[e, tile, c] * U[e, c, o]          36 matrix products
    y              = the 4x4 block that M interpolates, plus bias

The weight gradient sums over tiles instead: dU[e, c, o] = sum of V[e, tile, c] * Z[e, tile, o],
where Z is the transformed output gradient. The input gradient is a forward pass with turned
weights.

Everything between reading x and writing y should stay in cache. There are two ways to see to it.
*Shallow* layers (few channels, many tiles) keep U in cache and take a few tiles at a time through
all steps; *deep* layers (large weights, few tiles) keep V in cache and take the channels of a
panel at a time, transforming weights just before they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..reference.activation import Limits
from . import memory
from .layout import Array, plain
from .products import ROWS, by_panel, panels
from .threads import scratch, share
from .tile import limits_of
from .winograd_loops import (
    ENTRIES,
    OUT,
    PANEL,
    correlate_blocks,
    correlate_panels,
    finish_panels,
    step_of,
    sum_chunks,
    sum_parts,
    transform_grads,
    transform_inputs,
    transform_weights,
)

#: Bytes of transformed weights below which a layer is shallow.
SHALLOW_BYTES = 3 << 20
#: Bytes of transformed input that a deep layer works on at a time; they share the last cache.
DEEP_BYTES = 12 << 20
#: Input channels whose transformed weights a deep layer has in a core's cache.
CHUNK = 128
#: Bytes of partial sums of a weight gradient that may exist at a time.
PARTIAL_BYTES = 16 << 20


@dataclass(frozen=True)
class Tiles:
    """How an (N, out_height, out_width) output is cut into tiles, and where the input begins."""

    batch: int
    height: int
    width: int
    before: tuple[int, ...]

    @classmethod
    def of(cls, batch: int, out: Any, before: Any) -> Tiles:
        """Return the tiles of a batch of outputs."""
        return cls(batch, -(-out[0] // OUT), -(-out[1] // OUT), tuple(before))

    @property
    def count(self) -> int:
        """The number of tiles."""
        return self.batch * self.height * self.width

    @property
    def geometry(self) -> tuple[int, ...]:
        """The scalars that the loops over tiles take."""
        return (self.height, self.width, *self.before)


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    bias: Array | None,
    out: Any,
    before: Any,
    limits: Limits | None = None,
    onto: Array | None = None,
    scale: Array | None = None,
) -> Array:
    """Return the (N, *out, O) correlation of (N, H, W, C) with (O, C, 3, 3) weights.

    ``turned``: with the weights of the input gradient, (C, O, 3, 3) turned by 180 degrees.
    Results are clipped to ``limits``: (0, inf) for a ReLU. If they are to be added ``onto`` an
    array, they are written there. Before a bias is added, each output is multiplied by its
    ``scale``.
    """
    channels, columns = x.shape[3], w.shape[1 if turned else 0]
    w = plain(w).reshape(*w.shape[:2], 9)
    y = memory.empty((x.shape[0], *out, columns), np.float32) if onto is None else onto
    whole = panels(columns, np.float32) * PANEL
    shift = by_panel(bias, 1, columns, whole, np.float32)[0]
    factors = None if scale is None else by_panel(scale, 1, columns, whole, np.float32)[0]
    tiles = Tiles.of(x.shape[0], out, before)
    shallow = ENTRIES * channels * columns * 4 <= SHALLOW_BYTES
    ends = limits_of(y.dtype, limits)
    run = _shallow if shallow else _deep
    run(x, w, turned, factors, shift, ends, tiles, onto is not None, y)
    return y


def _shallow(
    x: Array, w: Array, turned: bool, scale: Array | None, shift: Array, limits: Any, tiles: Tiles,
    add: bool, y: Array,
) -> None:  # fmt: skip
    """Fill y, a few tiles at a time through all steps."""
    channels, count = x.shape[3], len(shift) // PANEL
    u = memory.empty((count, ENTRIES, channels, PANEL), np.float32)
    share(transform_weights, count, 1, w, turned, scale, columns_of(channels), u)
    step = _tiles_a_block(channels)
    v = scratch(ENTRIES * step_of(step * channels), np.float32, 0)
    m = scratch(ENTRIES * step_of(step * PANEL), np.float32, 1)
    share(
        correlate_blocks, -(-tiles.count // step), 1,
        x, tiles.count, step, tiles.geometry, v, u, m, shift, limits, add, y, merge=True,
    )  # fmt: skip


def columns_of(channels: int) -> Array:
    """Return memory for the taps of so many channels of a panel, for each seat."""
    return scratch(channels * 9 * PANEL, np.float32, 2)


def _tiles_a_block(channels: int) -> int:
    """Return how many tiles to take at a time: whole register tiles, V of about 256 kB."""
    return max(2, min(8, 128 // max(channels, 1))) * ROWS


def _deep(
    x: Array, w: Array, turned: bool, scale: Array | None, shift: Array, limits: Any, tiles: Tiles,
    add: bool, y: Array,
) -> None:  # fmt: skip
    """Fill y, one panel of output channels at a time for as many tiles as the cache can hold."""
    chunk = min(CHUNK, x.shape[3])
    for start, stop, v in _transformed(x, tiles, DEEP_BYTES):
        u = scratch(ENTRIES * chunk * PANEL, np.float32, 0)
        m = scratch(ENTRIES * step_of((stop - start) * PANEL), np.float32, 1)
        share(
            correlate_panels, len(shift) // PANEL, 1,
            v, w, turned, scale, chunk, columns_of(chunk), u, m, start, stop, tiles.geometry, shift,
            limits, add, y,
        )  # fmt: skip


def _transformed(x: Array, tiles: Tiles, most_bytes: int) -> Iterator[tuple[int, int, Array]]:
    """Yield first tile, last tile and V of the whole input, in parts of at most so many bytes."""
    channels = x.shape[3]
    most = max(most_bytes // (ENTRIES * channels * 4), ROWS)
    for start in range(0, tiles.count, most):
        stop = min(start + most, tiles.count)
        v = memory.empty((ENTRIES, step_of((stop - start) * channels)), np.float32)
        share(transform_inputs, stop - start, 4, x, start, tiles.geometry, v, merge=True)
        yield start, stop, v


def weight_grad(x: Array, dy: Array, before: Any) -> Array:
    """Return the (O, C, 3, 3) gradient from (N, H, W, C) and (N, out_height, out_width, O)."""
    channels, columns = x.shape[3], dy.shape[3]
    tiles = Tiles.of(x.shape[0], dy.shape[1:3], before)
    if not tiles.count:
        return np.zeros((columns, channels, 3, 3), np.float32)
    dw = np.empty((columns, channels, 9), np.float32)
    shallow = ENTRIES * channels * columns * 4 <= SHALLOW_BYTES
    (_shallow_weight_grad if shallow else _deep_weight_grad)(x, dy, tiles, dw)
    return dw.reshape(columns, channels, 3, 3)


def _shallow_weight_grad(x: Array, dy: Array, tiles: Tiles, dw: Array) -> None:
    """Fill dw from partial sums of dU, each over a fixed share of the tiles."""
    channels, columns, count = x.shape[3], dy.shape[3], panels(dy.shape[3], np.float32)
    length = step_of(channels * PANEL)
    block = _tiles_a_block(max(channels, columns))
    blocks = -(-tiles.count // block)
    parts = max(min(PARTIAL_BYTES // (count * ENTRIES * length * 4), 8, blocks), 1)
    per_part = -(-blocks // parts)
    sums = memory.empty((-(-blocks // per_part), count, ENTRIES, length), np.float32)
    v = scratch(ENTRIES * step_of(block * channels), np.float32, 0)
    z = scratch(count * ENTRIES * step_of(block * PANEL), np.float32, 1)
    share(
        sum_parts, len(sums), 1,
        x, dy, tiles.count, per_part * block, block, tiles.geometry, v, z, sums,
    )  # fmt: skip
    share(finish_panels, count, 1, sums, columns_of(channels), dw)


def _deep_weight_grad(x: Array, dy: Array, tiles: Tiles, dw: Array) -> None:
    """Fill dw, a panel of output channels and a chunk of input channels at a time."""
    channels, count = x.shape[3], panels(dy.shape[3], np.float32)
    chunk = min(CHUNK, channels)
    for start, stop, v in _transformed(x, tiles, DEEP_BYTES):
        z = memory.empty((count, ENTRIES, step_of((stop - start) * PANEL)), np.float32)
        share(transform_grads, stop - start, 4, dy, start, tiles.geometry, z, merge=True)
        sums = scratch(ENTRIES * step_of(chunk * PANEL), np.float32, 0)
        share(
            sum_chunks, count * -(-channels // chunk), 1,
            v, z, chunk, stop - start, sums, columns_of(chunk), dw, start > 0,
        )  # fmt: skip
