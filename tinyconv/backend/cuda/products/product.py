"""Launching matrix products: what convolutions and :mod:`..matmul` have in common."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from .... import config
from ..driver.launching import CTYPES, Kernel, Variant, blocks_for, name_of
from ..layout import Array
from .choice import TILES, Plan, Size, Tile
from .tuning import carry_out

EVERYTHING = (-inf, inf)
#: Positions and depths are counted with 32 bits.
MOST = 2**31 - 2**16


class Operand(NamedTuple):
    """A matrix in memory, or a stack of them.

    ``along`` says whether the depth runs along its lines, ``pitch`` how many elements lie between
    two lines, and ``step`` how many between two matrices.
    """

    array: Array
    along: bool
    pitch: int
    step: int = 0


class Moments:
    """Sums of the columns of a result, and of their squared differences from their means.

    Attributes
    ----------
    parts : array (tiles, 2, columns) or None
        Those of each tile of rows, in float64; ``None`` if no launch has written any.
    step : int
        Rows of a tile.
    """

    def __init__(self) -> None:
        self.parts: Array | None = None
        self.step = 0

    def of(self, xp: Any, plan: Plan, rows: int, columns: int) -> Array | None:
        """Return memory for those of a plan; ``None`` if slices leave no block a whole sum."""
        self.step = plan.tile.rows
        shape = -(-rows // self.step), 2, columns
        self.parts = None if plan.slices > 1 else xp.empty(shape, dtype=xp.float64)
        return self.parts


class Tiled:
    """A kernel made of ``product.cuh``: there is one for each tile, arithmetic and alignment."""

    def __init__(self, source: str, name: str, fields: str) -> None:
        self.source, self.name, self.fields = source, name, fields
        self._kernels: dict[Tile, Kernel] = {}

    def variant(
        self, math: str, tile: Tile, dtype: str, vectors: tuple[int, int], **more: int
    ) -> Variant:
        """Return the kernel; ``vectors`` elements of its operands are copied at once."""
        kernel = self._kernels.get(tile)
        if kernel is None:
            kernel = self._kernels[tile] = Kernel(
                self.source, self.name, self.fields, ("product.cuh", "moments.cuh", "gather.cuh"),
                threads=tile.threads, blocks=tile.blocks,
            )  # fmt: skip
        return kernel.of_name(
            dtype, MATH=math, **tile.defines(4 if dtype == "float32" else 2),
            VEC_A=vectors[0], VEC_B=vectors[1], **more,
        )  # fmt: skip

    def variants(self, *choices: dict[str, int]) -> list[Variant]:
        """Return what tests compile: for the first choice every tile, else the largest."""
        found = []
        for more in choices:
            for math, tiles in TILES.items():
                dtype, full = ("bfloat16", 8) if math == "HALF" else ("float32", 4)
                some = tiles if more is choices[0] else tiles[:1]
                found += [self.variant(math, t, dtype, (full, full), **more) for t in some]
                found.append(self.variant(math, tiles[-2], dtype, (1, 1), **more))
        found.append(self.variant("HALF", TILES["HALF"][-1], "float16", (8, 8), **choices[0]))
        return found


MATMUL = Tiled(
    "matmul.cu",
    "matmul",
    "a b bias y part moments addend "
    "rows:int64 a_pitch:int64 b_pitch:int64 a_step:int64 b_step:int64 bias_step:int64 "
    "y_pitch:int64 y_step:int64 columns:int32 depth:int32 slices:int32 tiles:int32 "
    "low:float32 high:float32",
)
SLICES = Kernel(
    "slices.cu",
    "add_slices",
    "part bias y addend stack:int64 rows:int64 bias_step:int64 y_pitch:int64 y_step:int64 "
    "slices:int32 columns:int32 channels:int32 low:float32 high:float32",
    threads=256,
)
#: One of each kind that a program can reach; tests compile each for real GPUs.
VARIANTS = [SLICES.of_name(dtype) for dtype in CTYPES]
VARIANTS += MATMUL.variants(*({"A_ALONG": a, "B_ALONG": b} for a in (1, 0) for b in (1, 0)))


def arithmetic(dtype: Any, exact: bool) -> str:
    """Return the kind of arithmetic for a dtype: ``HALF``, ``TF32`` or ``EXACT``."""
    if name_of(dtype) != "float32":
        return "HALF"
    return "EXACT" if exact or config.float32_precision.get() == "highest" else "TF32"


def vector(itemsize: int, *sizes: int) -> int:
    """Return how many elements may be copied at once: those of 16 bytes, or one.

    All sizes are multiples of it.
    """
    width = 16 // itemsize
    return 1 if any(size % width for size in sizes) else width


def is_odd(itemsize: int, vectors: tuple[int, int]) -> bool:
    """Return whether not all can be copied 16 bytes at a time."""
    return min(vectors) < 16 // itemsize


def product(
    xp: Any, a: Operand, b: Operand, y: Operand, rows: int, columns: int, depth: int,
    *, stack: int = 1, bias: Array | None = None, bias_step: int = 0, limits: Any = None,
    exact: bool = False, moments: Moments | None = None, addend: Array | None = None,
) -> None:  # fmt: skip
    """Write the product of ``rows`` x ``depth`` and ``depth`` x ``columns`` numbers into ``y``.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    a, b, y : Operand
        ``a`` has rows, ``b`` columns, where the depth runs along lines. ``y`` may be float32, line
        after line, where the others are of half precision.
    rows, columns, depth : int
        Sizes.
    stack : int
        How many products; at most 65535.
    bias : array, optional
        Added to each row; ``bias_step`` elements further for the next product.
    limits : tuple of float, optional
        Least and largest result.
    exact : bool
        Whether float32 is to be multiplied as such, whatever the settings say.
    moments : Moments, optional
        Gets those of the columns of ``y``, which are next to each other for the whole stack.
    addend : array, optional
        What the product is added to before it is clipped: memory laid out as that of ``y``, or
        that of ``y`` itself.
    """
    dtype, low_high = a.array.dtype, EVERYTHING if limits is None else limits
    size, math = dtype.itemsize, arithmetic(dtype, exact)
    vectors = (
        vector(size, a.pitch, a.step, depth if a.along else rows),
        vector(size, b.pitch, b.step, depth if b.along else columns),
    )
    whole = Size(math, rows, columns, depth, size, stack, is_odd(size, vectors))
    along = int(a.along), int(b.along)
    wide = y.array.dtype != dtype  # then the result is what a slice of the depth writes

    def launch(plan: Plan, y: Operand = y) -> None:
        tile, slices, each = plan
        part = xp.empty((stack, slices, rows, columns), dtype=xp.float32) if slices > 1 else None
        to = y.array if part is None and wide else part
        tiles = None if moments is None else moments.of(xp, plan, rows, y.pitch)
        kernel = MATMUL.variant(
            math, tile, name_of(dtype), vectors, A_ALONG=along[0], B_ALONG=along[1]
        )
        kernel(
            (tile.tiles(rows, columns), 1, stack * slices), tile.threads,
            a.array, b.array, bias, y.array, to, tiles, addend,
            rows, a.pitch, b.pitch, a.step, b.step, bias_step, y.pitch, y.step,
            columns, depth, slices, each, *low_high,
            shared=tile.shared(size),
        )  # fmt: skip
        if part is not None:
            add_slices(part, y, bias, bias_step, low_high, addend)

    def trial(plan: Plan) -> None:
        launch(plan, y._replace(array=xp.empty_like(y.array)))

    details = name_of(dtype), vectors, along, addend is not None
    in_place = addend is y.array  # a product that is timed may be added but once
    carry_out("matmul", whole, details, launch, sliced=True, trial=trial if in_place else None)


def add_slices(
    part: Array, y: Operand, bias: Array | None = None, bias_step: int = 0,
    limits: Any = EVERYTHING, addend: Array | None = None, channels: int | None = None,
) -> None:  # fmt: skip
    """Write the sum of the slices of a workspace (stack, slices, rows, columns) into ``y``.

    If columns are (taps, ``channels``), lines of ``y`` are (channels, taps), and may have fewer
    channels.
    """
    stack, slices, rows, columns = part.shape
    SLICES.of(y.array.dtype)(
        blocks_for(stack * rows * columns, 256), 256,
        part, bias, y.array, addend, stack, rows, bias_step, y.pitch, y.step, slices, columns,
        columns if channels is None else channels, *limits,
    )  # fmt: skip
