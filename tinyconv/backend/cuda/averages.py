"""Moving the running averages of a layer in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import reference
from .driver.launching import CTYPES, Kernel
from .layout import Array, is_fast, wide

#: Averages of a launch, those of mean and variance; and threads of a block.
MOST, THREADS = 2, 128
MOVE = Kernel(
    "averages.cu",
    "move_averages",
    f"average:pointer*{MOST} value:pointer*{MOST} size:int32*{MOST} momentum:float64",
    threads=THREADS,
)
VARIANTS = [MOVE.of_name(dtype) for dtype in CTYPES]


def move_averages(
    xp: Any, averages: Sequence[Array], values: Sequence[Array], momentum: float
) -> None:
    """Move running averages towards new values, in place; see the reference kernel."""
    if not _fits(averages):
        reference.move_averages(xp, averages, values, momentum)
        return
    unused = [None] * (MOST - len(averages))
    sizes = [average.size for average in averages]
    grid = -(-max(sizes) // THREADS), len(averages)
    MOVE.of(averages[0].dtype)(
        grid, THREADS, [*averages, *unused], [*(wide(xp, v) for v in values), *unused],
        [*sizes, *(0 for _ in unused)], momentum,
    )  # fmt: skip


def _fits(averages: Sequence[Array]) -> bool:
    """Return whether these are vectors that lie as the kernel writes them."""
    return (
        0 < len(averages) <= MOST
        and is_fast(*averages)
        and all(a.ndim == 1 and a.size and a.flags.c_contiguous for a in averages)
    )
