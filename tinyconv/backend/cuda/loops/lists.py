"""Kernels that take many arrays at once, so that launches do not grow with the number of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..layout import Array

THREADS = 256
#: Elements of a block.
PIECE = 4096
#: Arrays of one launch: their table has to fit the 4 KB that a kernel's arguments may take.
MOST = 160
FIELDS = (
    f"lists.at:pointer*{MOST} lists.size:int64*{MOST} lists.first:int32*{MOST} lists.count:int32"
)


def pieces(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Return the number of the first block of each array, and how many blocks there are."""
    first, blocks = [], 0
    for size in sizes:
        first.append(blocks)
        blocks += -(-size // PIECE)
    return first, blocks


def tables(arrays: Sequence[Array]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield, for each launch, how many blocks it takes, and the values of :data:`FIELDS`."""
    arrays = [array for array in arrays if array.size]
    for start in range(0, len(arrays), MOST):
        chosen = arrays[start : start + MOST]
        unused = MOST - len(chosen)
        sizes = [array.size for array in chosen]
        first, blocks = pieces(sizes)
        yield blocks, (
            [*chosen, *[None] * unused], sizes + [0] * unused, first + [0] * unused, len(chosen),
        )  # fmt: skip
