"""Which tile a matrix product takes on a GPU, and into how many slices its depth is cut.

A block of threads computes one tile of the result (``product.cuh``). A large tile reads less: a
tile of 128x128 needs half the memory traffic of four of 64x64. But a GPU wants work for all its
multiprocessors, more than once each, so small results take small tiles, and where even those are
few, as in the gradient of weights, several blocks share the sum of one tile.

That is known without a measurement. :mod:`.tuning` measures the alternatives, where it is wanted.
"""

from __future__ import annotations

from typing import NamedTuple

from ..driver.launching import runner

#: Blocks for each multiprocessor that make a tile small enough.
WAVES = 1.5
#: Tiles of the depth that a slice has at least: fewer are not worth the pass that adds them up.
SHORTEST = 8
#: Floats of the workspace for slices: 64 MB.
WORKSPACE = 1 << 24


class Tile(NamedTuple):
    """How a block computes its part of a product; see ``product.cuh``.

    Sizes are in elements, the depth in chunks of 16 bytes. ``blocks`` is how many blocks a
    multiprocessor shall have registers for.
    """

    rows: int
    columns: int
    chunks: int
    stages: int
    warp_rows: int
    warp_columns: int
    blocks: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows // self.warp_rows * (self.columns // self.warp_columns) * 32

    def depth(self, itemsize: int) -> int:
        """Return the elements of the depth that a tile holds."""
        return self.chunks * 16 // itemsize

    def shared(self, itemsize: int) -> int:
        """Return the bytes of shared memory: all stages, later the results."""
        stages = self.stages * (self.rows + self.columns) * self.chunks * 16
        return max(stages, self.rows * (self.columns + 8) * itemsize)

    def defines(self, itemsize: int) -> dict[str, int]:
        """Return the ``#define`` lines."""
        return {
            "BM": self.rows, "BN": self.columns, "BK": self.depth(itemsize),
            "STAGES": self.stages, "WM": self.warp_rows, "WN": self.warp_columns,
            "BLOCKS": self.blocks,
        }  # fmt: skip

    def tiles(self, rows: int, columns: int) -> int:
        """Return how many tiles a result has."""
        return -(-rows // self.rows) * -(-columns // self.columns)


#: Tiles for each kind of arithmetic, from large to small.
TILES: dict[str, tuple[Tile, ...]] = {
    "HALF": (
        Tile(128, 128, 8, 3, 64, 64, 2),
        Tile(128, 64, 8, 3, 64, 32, 2),
        Tile(64, 64, 4, 4, 32, 32, 4),
        Tile(64, 32, 4, 4, 32, 16, 4),
    ),
    "TF32": (
        Tile(128, 128, 8, 3, 64, 64, 2),
        Tile(128, 64, 8, 3, 64, 32, 2),
        Tile(64, 64, 4, 4, 32, 32, 4),
        Tile(64, 32, 4, 4, 32, 16, 4),
    ),
    "EXACT": (
        Tile(128, 128, 2, 4, 32, 64, 1),
        Tile(128, 64, 4, 3, 32, 32, 1),
        Tile(64, 64, 4, 3, 32, 32, 2),
        Tile(64, 32, 4, 3, 16, 32, 4),
    ),
}


class Plan(NamedTuple):
    """A tile, the slices that the depth is cut into, and the tiles of the depth in each."""

    tile: Tile
    slices: int = 1
    each: int = 0


class Size(NamedTuple):
    """How large a product is, and with which arithmetic it is computed.

    Attributes
    ----------
    math : str
        ``"HALF"``, ``"TF32"`` or ``"EXACT"``.
    rows, columns : int
        Size of the result.
    depth : int
        Products of each sum.
    itemsize : int
        Bytes of a number.
    stack : int
        Results that are computed at the same time.
    odd : bool
        Whether operands cannot be copied 16 bytes at a time: then only small tiles are taken, of
        which fewer kernels have to be compiled.
    """

    math: str
    rows: int
    columns: int
    depth: int
    itemsize: int
    stack: int = 1
    odd: bool = False

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles that can compute it, from large to small."""
        return TILES[self.math][-2:] if self.odd else TILES[self.math]

    def blocks(self, tile: Tile) -> int:
        """Return how many blocks compute one tile each."""
        return tile.tiles(self.rows, self.columns) * self.stack


def choose(size: Size, sliced: bool) -> Plan:
    """Return the largest tile that leaves enough blocks and is not mostly empty.

    ``sliced`` says whether the depth may be cut, for the sake of more blocks.
    """
    rows, columns = 2 * size.rows, 2 * size.columns
    fitting = [t for t in size.tiles if columns > t.columns and rows > t.rows] or size.tiles[-1:]
    enough = WAVES * runner().multiprocessors
    tile = next((t for t in fitting if size.blocks(t) >= enough), fitting[-1])
    if not sliced:
        return Plan(tile)
    return cut(size, tile, 2 * runner().multiprocessors // size.blocks(tile))


def cut(size: Size, tile: Tile, slices: int) -> Plan:
    """Return the plan with so many slices, or as many as there is work and memory for."""
    steps = -(-size.depth // tile.depth(size.itemsize))
    space = WORKSPACE // (size.rows * size.columns * size.stack)
    slices = max(1, min(slices, steps // SHORTEST, space, 65535 // size.stack))
    each = -(-steps // slices)
    return Plan(tile, max(1, -(-steps // each)), each)


def alternatives(size: Size, sliced: bool) -> list[Plan]:
    """Return every plan that may be the best: each tile, with several numbers of slices."""
    if not sliced:
        return [Plan(tile) for tile in size.tiles]
    plans = [
        cut(size, tile, waves * runner().multiprocessors // size.blocks(tile))
        for tile in size.tiles
        for waves in (0, 1, 2, 4, 8)
    ]
    return list(dict.fromkeys(plans))
