"""How matrices are cut into tiles of rows and columns; ``tiles.cuh`` walks over them."""

from __future__ import annotations

from typing import NamedTuple

from ..driver.launching import CTYPES, Kernel, Variant, name_of, runner
from ..layout import Array

#: Threads of a block, vectors a tile is wide, and rows a thread loads at once; see tiles.cuh.
THREADS, ACROSS, ROWS = 128, 32, 8
#: Blocks a multiprocessor: of a kernel that adds up, so that parts are few, and of a map.
SUM_BLOCKS, MAP_BLOCKS = 4, 32
#: Columns that a thread takes: 16 bytes, or one.
WIDTHS = {name: (4 if name == "float32" else 8, 1) for name in CTYPES}


def variants(kernels: dict[str, Kernel]) -> list[Variant]:
    """Return the variants of all dtypes and widths."""
    return [
        kernel.variant(T=CTYPES[name], WIDTH=width)
        for kernel in kernels.values()
        for name, widths in WIDTHS.items()
        for width in widths
    ]


class Tiling(NamedTuple):
    """How (samples, rows, columns) data is cut."""

    grid: tuple[int, int, int]
    block: tuple[int, int]
    #: Rows of a tile, and columns that a thread takes.
    step: int
    width: int


def tiling(x: Array, each: int) -> Tiling:
    """Return tiles of (samples, rows, columns) data, which is not empty.

    About ``each`` blocks a multiprocessor, but no fewer rows than threads load at once.
    """
    samples, rows, columns = x.shape
    width = WIDTHS[name_of(x.dtype)][0]
    width = width if columns % width == 0 else 1
    vectors = -(-columns // width)
    across = min(power(vectors), ACROSS)
    down = min(THREADS // across, max(power(rows), 32 // across))
    tiles, layers = -(-vectors // across), min(samples, 65535)
    most = min(max(each * runner().multiprocessors // (tiles * layers), 1), 65535)
    step = max(-(-rows // most), min(down * ROWS, rows))
    return Tiling((tiles, -(-rows // step), layers), (across, down), step, width)


def power(number: int) -> int:
    """Return the least power of two that is not below a positive number."""
    return 1 << (number - 1).bit_length()
