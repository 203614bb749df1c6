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
from .host import VECTORS, host
from .jit import kernel
from .layout import Array, plain
from .products import ROWS, pack_panel, panels, rows_by_panel, transpose_all
from .sandwich import GRAD, INPUT, OUTPUT, WEIGHT, WEIGHT_GRAD, sandwich
from .threads import run, run_ranges, workspace
from .tile import limits_of

#: Elements of a cache line and columns of a panel; Winograd is for float32 only.
LINE, PANEL = 16, VECTORS * host().vector_bytes // 4
#: Outputs and inputs of a tile in one dimension, and entries of a transformed tile.
OUT, IN, ENTRIES = 4, 6, 36
#: Bytes of transformed weights below which a layer is shallow.
SHALLOW_BYTES = 3 << 20
#: Bytes of transformed input that a deep layer works on at a time; they share the last cache.
DEEP_BYTES = 12 << 20
#: Input channels whose transformed weights a deep layer has in a core's cache.
CHUNK = 128
#: Bytes of partial sums of a weight gradient that may exist at a time.
PARTIAL_BYTES = 16 << 20
#: Limits that clip nothing.
ANY = limits_of(np.dtype(np.float32))


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


def step_of(length: int) -> int:
    """Return the distance of two entries that each have ``length`` elements.

    An odd number of cache lines: the 36 entries of a tile, which are read and written together,
    then fall into different sets of the cache.
    """
    return (-(-length // LINE) | 1) * LINE


def correlate(
    x: Array,
    w: Array,
    turned: bool,
    bias: Array | None,
    out: Any,
    before: Any,
    limits: Limits | None = None,
) -> Array:
    """Return the (N, *out, O) correlation of (N, H, W, C) with (O, C, 3, 3) weights.

    ``turned``: with the weights of the input gradient, (C, O, 3, 3) turned by 180 degrees.
    Results are clipped to ``limits``: (0, inf) for a ReLU.
    """
    channels, columns = x.shape[3], w.shape[1 if turned else 0]
    w = plain(w).reshape(*w.shape[:2], 9)
    y = memory.empty((x.shape[0], *out, columns), np.float32)
    shift = np.zeros(panels(columns, np.float32) * PANEL, np.float32)
    if bias is not None:
        shift[:columns] = bias
    tiles = Tiles.of(x.shape[0], out, before)
    shallow = ENTRIES * channels * columns * 4 <= SHALLOW_BYTES
    ends = limits_of(y.dtype, limits)
    (_shallow if shallow else _deep)(x, w, turned, shift, ends, tiles, y)
    return y


def _shallow(
    x: Array, w: Array, turned: bool, shift: Array, limits: Any, tiles: Tiles, y: Array
) -> None:
    """Fill y, a few tiles at a time through all steps."""
    channels, count = x.shape[3], len(shift) // PANEL
    u = memory.empty((count, ENTRIES, channels, PANEL), np.float32)

    def weights(p: int) -> None:
        columns = workspace((channels, 9, PANEL), np.float32, 2)
        pack_panel(w, turned, False, p * PANEL, 0, channels, columns)
        transform_weights(columns, u[p])

    run(weights, count)
    geometry = tiles.geometry

    def block(first: int, last: int) -> None:
        v = workspace((ENTRIES, step_of((last - first) * channels)), np.float32, 0)
        m = workspace((ENTRIES, step_of((last - first) * PANEL)), np.float32, 1)
        transform_input(x, first, last, 0, *geometry, v)
        multiply(v, channels, 0, channels, u, 0, m, True, True, first, last, *geometry,
                 shift, limits, y)  # fmt: skip

    run_ranges(block, tiles.count, _tiles_a_block(channels))


def _tiles_a_block(channels: int) -> int:
    """Return how many tiles to take at a time: whole register tiles, V of about 256 kB."""
    return max(2, min(8, 128 // max(channels, 1))) * ROWS


def _deep(
    x: Array, w: Array, turned: bool, shift: Array, limits: Any, tiles: Tiles, y: Array
) -> None:
    """Fill y, one panel of output channels at a time for as many tiles as the cache can hold."""
    channels = x.shape[3]
    geometry = tiles.geometry
    for start, stop, v in _transformed(x, tiles, DEEP_BYTES):

        def panel(p: int, start: int = start, stop: int = stop, v: Array = v) -> None:
            m = workspace((ENTRIES, step_of((stop - start) * PANEL)), np.float32, 1)
            for c in range(0, channels, CHUNK):
                depth = min(CHUNK, channels - c)
                columns = workspace((depth, 9, PANEL), np.float32, 2)
                u = workspace((1, ENTRIES, depth, PANEL), np.float32, 0)
                pack_panel(w, turned, False, p * PANEL, c, depth, columns)
                transform_weights(columns, u[0])
                multiply(v, channels, c, depth, u, p, m, c == 0, c + depth == channels,
                         start, stop, *geometry, shift, limits, y)  # fmt: skip

        run(panel, len(shift) // PANEL)


def _transformed(x: Array, tiles: Tiles, most_bytes: int) -> Iterator[tuple[int, int, Array]]:
    """Yield first tile, last tile and V of the whole input, in parts of at most so many bytes."""
    channels = x.shape[3]
    most = max(most_bytes // (ENTRIES * channels * 4), ROWS)
    for start in range(0, tiles.count, most):
        stop = min(start + most, tiles.count)
        v = memory.empty((ENTRIES, step_of((stop - start) * channels)), np.float32)

        def part(a: int, b: int, start: int = start, v: Array = v) -> None:
            transform_input(x, start + a, start + b, a, *tiles.geometry, v)

        run_ranges(part, stop - start, max(-(-(stop - start) // 8), 4))
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
    geometry = tiles.geometry
    length = step_of(channels * PANEL)
    block = _tiles_a_block(max(channels, columns))
    blocks = -(-tiles.count // block)
    parts = max(min(PARTIAL_BYTES // (count * ENTRIES * length * 4), 8, blocks), 1)
    per_part = -(-blocks // parts)
    sums = memory.empty((-(-blocks // per_part), count, ENTRIES, length), np.float32)

    def part(number: int) -> None:
        start = number * per_part
        for b in range(start, min(start + per_part, blocks)):
            first, last = b * block, min((b + 1) * block, tiles.count)
            v = workspace((ENTRIES, step_of((last - first) * channels)), np.float32, 0)
            z = workspace((count, ENTRIES, step_of((last - first) * PANEL)), np.float32, 1)
            transform_input(x, first, last, 0, *geometry, v)
            transform_grad(dy, first, last, 0, *geometry, z)
            for p in range(count):
                accumulate(v, channels, 0, channels, z[p], _width(p, columns), last - first,
                           sums[number, p], b == start)  # fmt: skip

    def panel(p: int) -> None:
        add_parts(sums, p, _width(p, columns))
        taps = workspace((channels, 9, PANEL), np.float32, 2)
        finish_weight_grad(sums[0, p], p, 0, taps, dw, False)

    run(part, len(sums))
    run(panel, count)


def _deep_weight_grad(x: Array, dy: Array, tiles: Tiles, dw: Array) -> None:
    """Fill dw, a panel of output channels and a chunk of input channels at a time."""
    channels, columns, count = x.shape[3], dy.shape[3], panels(dy.shape[3], np.float32)
    chunks = -(-channels // CHUNK)
    for start, stop, v in _transformed(x, tiles, DEEP_BYTES):
        z = memory.empty((count, ENTRIES, step_of((stop - start) * PANEL)), np.float32)

        def part(a: int, b: int, start: int = start, z: Array = z) -> None:
            transform_grad(dy, start + a, start + b, a, *tiles.geometry, z)

        run_ranges(part, stop - start, max(-(-(stop - start) // 8), 4))

        def block(number: int, start: int = start, stop: int = stop, v: Array = v,
                  z: Array = z) -> None:  # fmt: skip
            p, c = number // chunks, number % chunks * CHUNK
            depth = min(CHUNK, channels - c)
            sums = workspace((ENTRIES, step_of(depth * PANEL)), np.float32, 0)
            taps = workspace((depth, 9, PANEL), np.float32, 2)
            accumulate(v, channels, c, depth, z[p], _width(p, columns), stop - start, sums, True)
            finish_weight_grad(sums, p, c, taps, dw, start > 0)

        run(block, count * chunks)


def _width(p: int, columns: int) -> int:
    """Return how many columns panel p has."""
    return min(columns - p * PANEL, PANEL)


@kernel
def transform_weights(columns, u):
    """Write U (36, C, panel) of packed weights (C, 9, panel)."""
    source, target, step = columns.reshape(-1), u.reshape(-1), columns.shape[0] * PANEL
    for c in range(columns.shape[0]):
        sandwich(WEIGHT, 0, source, c * 9 * PANEL, 3 * PANEL, PANEL, 0, 3, 0, 3,
                 target, c * PANEL, IN * step, step, 0, 0, source, 0, ANY, PANEL)  # fmt: skip


@kernel
def transform_input(x, first, last, at, tiles_high, tiles_wide, before_h, before_w, v):
    """Write V of the tiles ``first`` to ``last`` from place ``at`` on."""
    height, width, channels = x.shape[1:]
    pixels, target, step = x.reshape(-1), v.reshape(-1), v.shape[1]
    for t in range(first, last):
        image, place = t // (tiles_high * tiles_wide), t % (tiles_high * tiles_wide)
        top = place // tiles_wide * OUT - before_h
        left = place % tiles_wide * OUT - before_w
        start, to = ((image * height + top) * width + left) * channels, (at + t - first) * channels
        if top >= 0 and left >= 0 and top + IN <= height and left + IN <= width:
            sandwich(INPUT, 0, pixels, start, width * channels, channels, 0, 0, 0, 0,
                     target, to, IN * step, step, 0, 0, pixels, 0, ANY, channels)  # fmt: skip
        else:
            sandwich(INPUT, 1, pixels, start, width * channels, channels,
                     -top, height - top, -left, width - left,
                     target, to, IN * step, step, 0, 0, pixels, 0, ANY, channels)  # fmt: skip


@kernel
def transform_grad(dy, first, last, at, tiles_high, tiles_wide, before_h, before_w, z):
    """Write Z (panels, 36, ...) of the tiles ``first`` to ``last`` from place ``at`` on."""
    height, width, channels = dy.shape[1:]
    pixels, target, step = dy.reshape(-1), z.reshape(-1), z.shape[2]
    for t in range(first, last):
        image, place = t // (tiles_high * tiles_wide), t % (tiles_high * tiles_wide)
        top, left = place // tiles_wide * OUT, place % tiles_wide * OUT
        start = ((image * height + top) * width + left) * channels
        for p in range(z.shape[0]):
            sandwich(GRAD, 1, pixels, start + p * PANEL, width * channels, channels,
                     0, height - top, 0, width - left,
                     target, p * ENTRIES * step + (at + t - first) * PANEL, IN * step, step, 0, 0,
                     pixels, 0, ANY, min(channels - p * PANEL, PANEL))  # fmt: skip


@kernel
def multiply(v, channels, c0, depth, u, p0, m, begin, end, first, last,
             tiles_high, tiles_wide, before_h, before_w, shift, limits, y):  # fmt: skip
    """Multiply V by panels of U, from p0 on, over ``depth`` channels; at the ``end`` write y."""
    tiles = last - first
    height, width, outputs = y.shape[1:]
    a, b, c, pixels = v.reshape(-1), u.reshape(-1), m.reshape(-1), y.reshape(-1)
    v_step, m_step = v.shape[1], m.shape[1]
    nothing, start_of = np.zeros(PANEL, np.float32), np.zeros(1, np.int64)
    for p in range(u.shape[0]):
        columns = min(outputs - (p0 + p) * PANEL, PANEL)
        for e in range(ENTRIES):
            rows_by_panel(
                a, e * v_step + c0, channels, 1, start_of, b, (p * ENTRIES + e) * depth * PANEL,
                PANEL, start_of,
                nothing if begin else c, 0 if begin else e * m_step, 0 if begin else PANEL,
                c, e * m_step, PANEL, tiles, 1, depth, columns, ANY,
            )  # fmt: skip
        if not end:
            continue
        for t in range(first, last):
            image, place = t // (tiles_high * tiles_wide), t % (tiles_high * tiles_wide)
            top, left = place // tiles_wide * OUT, place % tiles_wide * OUT
            start = ((image * height + top) * width + left) * outputs + (p0 + p) * PANEL
            sandwich(OUTPUT, 2, c, (t - first) * PANEL, IN * m_step, m_step, 0, 0, 0, 0,
                     pixels, start, width * outputs, outputs, height - top, width - left,
                     shift, (p0 + p) * PANEL, limits, columns)  # fmt: skip


@kernel
def accumulate(v, channels, c0, depth, z, columns, tiles, sums, begin):
    """Write V^T Z of one panel for ``depth`` channels, or add it to what is there."""
    a, b, c = v.reshape(-1), z.reshape(-1), sums.reshape(-1)
    nothing, start_of = np.zeros(PANEL, np.float32), np.zeros(1, np.int64)
    for e in range(ENTRIES):
        to = e * sums.shape[1]
        rows_by_panel(
            a, e * v.shape[1] + c0, 1, channels, start_of, b, e * z.shape[1], PANEL, start_of,
            nothing if begin else c, 0 if begin else to, 0 if begin else PANEL,
            c, to, PANEL, depth, 1, tiles, columns, ANY,
        )  # fmt: skip


@kernel
def add_parts(sums, p, columns):
    """Add the partial sums of dU of panel p, in their order, to the first."""
    for part in range(1, sums.shape[0]):
        for e in range(ENTRIES):
            total, more = sums[0, p, e], sums[part, p, e]
            for start in range(0, total.size - PANEL + 1, PANEL):
                for i in range(columns):
                    total[np.uint64(start + i)] += more[np.uint64(start + i)]


@kernel
def finish_weight_grad(sums, p, c0, taps, dw, add):
    """Write the weight gradient of panel p and the channels of ``taps`` (C, 9, panel) from dU."""
    depth, step, outputs, channels = taps.shape[0], sums.shape[1], dw.shape[0], dw.shape[1]
    source, target, result = sums.reshape(-1), taps.reshape(-1), dw.reshape(-1)
    columns = min(outputs - p * PANEL, PANEL)
    for c in range(depth):
        sandwich(WEIGHT_GRAD, 0, source, c * PANEL, IN * step, step, 0, 0, 0, 0,
                 target, c * 9 * PANEL, 3 * PANEL, PANEL, 0, 0, source, 0, ANY,
                 PANEL)  # fmt: skip
    if add:
        for o in range(columns):
            for i in range(depth * 9):
                result[((p * PANEL + o) * channels + c0) * 9 + i] += target[i * PANEL + o]
        return
    offsets = np.empty(PANEL, np.int64)
    for o in range(PANEL):
        offsets[o] = ((p * PANEL + o) * channels + c0) * 9
    transpose_all(target, 0, PANEL, depth * 9, columns, result, 0, offsets, 0, depth * 9)
