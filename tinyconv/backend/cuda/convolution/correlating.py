"""Launching convolutions as matrix products: one for each result, or for each phase of a gradient.

``conv.cu`` says how. Sequences and images are volumes whose first sizes are 1.
"""

from __future__ import annotations

from itertools import chain
from math import prod
from typing import Any, NamedTuple

from ...reference.activation import Limits
from ...reference.windows import Ints, Padding
from ..driver.launching import name_of
from ..layout import Array
from ..products.choice import TILES, Plan, Size
from ..products.product import EVERYTHING, MOST, Moments, Tiled, arithmetic, is_odd, vector
from ..products.tuning import carry_out

#: Widest kernel whose taps fit a mask of bits; see `Inside` in gather.cuh.
MASKED = 10
#: Channels that images of fewer 16-bit channels are given.
PADDED = 4
#: Convolutions of one launch: as many as a stride of 2 along three axes leaves.
PHASES = 8
AXES = ("size", "out", "kernel", "stride", "before", "dilation")


class Window(NamedTuple):
    """Where a convolution reads, along three axes; as in gather.cuh."""

    size: Ints
    out: Ints
    kernel: Ints
    stride: Ints
    before: Ints
    dilation: Ints
    pitch: int
    channels: int

    def numbers(self) -> list[int]:
        """Return the fields one after the other."""
        return [*chain(*self[:6]), self.pitch, self.channels]


#: How many numbers a :class:`Window` is.
WINDOW = 3 * len(AXES) + 2


def _several(phases: int) -> Tiled:
    return Tiled(
        "conv.cu",
        "conv",
        f"x w bias y moments addend windows:int32*{phases * WINDOW} starts:int64*{phases} "
        f"shifts:int32*{phases * 3} whole:int32*3 spread:int32*3 "
        "images:int32 outputs:int32 groups:int32 low:float32 high:float32",
    )


#: By the number of convolutions: the arguments of one are fewer to pass, and cost no registers.
CONV = {phases: _several(phases) for phases in (1, PHASES)}
#: One of each kind that a program can reach; tests compile each for real GPUs.
VARIANTS = CONV[1].variants({"MASKED": 1, "PHASES": 1})
VARIANTS += CONV[PHASES].variants({"MASKED": 1, "PHASES": PHASES})
VARIANTS += [  # images of four channels, and kernels wider than a mask
    CONV[1].variant(
        "HALF", TILES["HALF"][-2], "bfloat16", (PADDED, PADDED), MASKED=1, PHASES=1
    ),
    *(
        CONV[phases].variant(math, TILES[math][-2], dtype, (1, 1), MASKED=0, PHASES=phases)
        for math, dtype in (("HALF", "bfloat16"), ("TF32", "float32"), ("EXACT", "float32"))
        for phases in CONV
    ),
]  # fmt: skip


class Part(NamedTuple):
    """One of the convolutions that together write a result.

    Its weights begin at element ``start``; position p of it is pixel ``p * spread + shift``.
    """

    window: Window
    start: int = 0
    shift: Ints = (0, 0, 0)


def correlate(
    xp: Any, parts: list[Part], groups: int, x: Array, w: Array, bias: Array | None, y: Array,
    limits: Limits | None = None, whole: Ints | None = None, spread: Ints = (1, 1, 1),
    moments: Moments | None = None, addend: Array | None = None,
) -> None:  # fmt: skip
    """Convolve (N, *size, C) pixels into (N, *whole, O) ones.

    Weights of a part are (groups * outputs, taps, channels). ``moments`` gets those of the channels
    of ``y``, which then is the result of one part. Results are added to ``addend``, if there is
    one, before they are clipped: memory laid out as that of ``y``, or that of ``y`` itself.
    """
    most = max(1, min(PHASES, 65535 // groups))
    for first in range(0, len(parts), most):
        some = parts[first : first + most]
        _launch(xp, some, groups, x, w, bias, y, limits, whole, spread, moments, addend)


def _launch(
    xp: Any, parts: list[Part], groups: int, x: Array, w: Array, bias: Array | None, y: Array,
    limits: Limits | None, whole: Ints | None, spread: Ints, moments: Moments | None,
    addend: Array | None,
) -> None:  # fmt: skip
    windows = [part.window for part in parts]
    phases = 1 if len(parts) == 1 else PHASES
    images, outputs = y.shape[0], y.shape[-1] // groups
    rows = max(images * prod(window.out) for window in windows)
    depth = max(prod(window.kernel) * window.channels for window in windows)
    size, math = y.dtype.itemsize, arithmetic(y.dtype, False)
    vectors = (vector_of(size, windows[0]),) * 2
    masked = x.size < MOST and all(max(window.kernel) <= MASKED for window in windows)
    busy = groups * sum(prod(window.kernel) > 0 for window in windows)
    whole_size = Size(math, rows, outputs, depth, size, busy, is_odd(size, vectors) or not masked)
    empty = [0] * (phases - len(parts))
    starts = [part.start for part in parts] + empty
    fields = (
        [*chain(*(window.numbers() for window in windows)), *empty * WINDOW],
        starts if phases > 1 else starts[0],
        [*chain(*(part.shift for part in parts)), *empty * 3],
        windows[0].out if whole is None else whole, spread,
        images, outputs, groups, *(EVERYTHING if limits is None else limits),
    )  # fmt: skip

    def launch(plan: Plan, y: Array = y) -> None:
        tile = plan.tile
        kernel = CONV[phases].variant(
            math, tile, name_of(y.dtype), vectors, MASKED=int(masked), PHASES=phases
        )
        tiles = None if moments is None else moments.of(xp, plan, rows, y.shape[-1])
        kernel(
            (tile.tiles(rows, outputs), 1, groups * len(parts)), tile.threads,
            x, w, bias, y, tiles, addend, *fields, shared=tile.shared(size),
        )  # fmt: skip

    def trial(plan: Plan) -> None:
        launch(plan, xp.empty_like(y))

    details = name_of(y.dtype), vectors, tuple(map(tuple, windows)), spread, addend is not None
    in_place = addend is y  # a product that is timed may be added but once
    carry_out("conv", whole_size, details, launch, sliced=False, trial=trial if in_place else None)


def vector_of(size: int, window: Window) -> int:
    """Return how many channels are copied at once; images of four may be copied by pixels."""
    whole = window.pitch == window.channels == PADDED
    return PADDED if whole else vector(size, window.pitch, window.channels)


def is_padded(x: Array, groups: int) -> bool:
    """Return whether copies of so few 16-bit channels would be of less than 8 bytes."""
    return x.dtype.itemsize == 2 and groups == 1 and x.shape[1] < PADDED


def three(values: Any, filler: int) -> Ints:
    """Return one number for each of three axes."""
    return (filler,) * (3 - len(values)) + tuple(values)


def volume(kernel: Any, spatial: Any, stride: Any, before: Any, dilation: Any) -> list[Ints]:
    """Return sizes and steps along three axes."""
    given = ((kernel, 1), (spatial, 1), (stride, 1), (before, 0), (dilation, 1))
    return [three(values, filler) for values, filler in given]


def window_of(
    x: Ints, w: Ints, out: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> Window:
    """Return where a convolution of these shapes reads."""
    kernel, size, stride, before, dilation = volume(
        w[2:], x[2:], stride, [before for before, _ in padding], dilation
    )
    return Window(size, three(out, 1), kernel, stride, before, dilation, x[1], w[1])
