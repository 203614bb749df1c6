"""Work on columns: what batch, group and instance normalisation do with channels-last memory.

An image batch is ``samples`` matrices, a row a pixel, a column a channel, and so many ``groups`` of
columns have statistics together. Batch normalisation has one sample, and a group a channel. The
kernels in ``columns.cu`` say how sums are taken; here they are given grids and workspaces.
"""

from __future__ import annotations

from math import inf, nan
from typing import Any, NamedTuple

from ...reference.activation import NO_LIMITS, Limits
from ..driver.launching import Kernel, name_of
from ..layout import Array, parameter, wide
from .tiling import MAP_BLOCKS, SUM_BLOCKS, THREADS, Tiling, power, tiling, variants

#: Where a gradient counts as 0; see columns.cu.
NO_MASK, MASK_OF_Y, MASK_OF_RESULT = range(3)
FIELDS = """
x dy y out mean var weight bias parts slopes sums dweight dbias running_mean running_var batches
samples:int64 rows:int64 step:int64 channels:int32 groups:int32 size:int32 blocks:int32
weight_is_float:int32 bias_is_float:int32 mask:int32 training:int32
eps:float64 momentum:float64 correction:float64 low:float32 high:float32
"""
#: The place of each field, and what it is where nobody names it.
PLACES = {field.partition(":")[0]: place for place, field in enumerate(FIELDS.split())}
DEFAULTS = [0 if ":" in field else None for field in FIELDS.split()]
#: Kernel by name, and the blocks of it that a multiprocessor has registers for; see columns.cu.
KERNELS = {
    name: Kernel("columns.cu", name, FIELDS, ("tiles.cuh",), threads=THREADS, blocks=blocks)
    for name, blocks in {
        "moments": 4, "merge_moments": 4, "normalise": 4,
        "gradient_sums": 3, "merge_gradients": 4, "gradient": 4,
    }.items()
}  # fmt: skip
VARIANTS = variants(KERNELS)


class Vectors(NamedTuple):
    """Statistics (samples, groups) in float64, and scale and shift (channels,) of each column."""

    mean: Array
    var: Array
    weight: Array | None
    bias: Array | None
    eps: float


class Averages(NamedTuple):
    """Running averages (channels,) in float32 that a launch moves, and by how much."""

    running_mean: Array
    running_var: Array
    #: int64 (): how many batches they have seen, if anybody counts.
    batches: Array | None
    momentum: float
    #: What makes a variance an unbiased one.
    correction: float


def vectors(
    xp: Any, mean: Array, var: Array, weight: Any, bias: Any, eps: float, dtype: Any
) -> Vectors:
    """Return statistics and parameters as the kernels for images of ``dtype`` read them."""
    weight, bias = (parameter(xp, v, dtype) for v in (weight, bias))
    return Vectors(wide(xp, mean), wide(xp, var), weight, bias, eps)


def statistics(
    xp: Any, x: Array, groups: int, averages: Averages | None = None
) -> tuple[Array, Array]:
    """Return mean and biased variance (samples, groups), float64.

    ``averages`` are moved, if there are any; then there is one sample, and a group a channel.
    """
    samples, _, channels = x.shape
    mean, var = (xp.empty((samples, groups), dtype=xp.float64) for _ in range(2))
    tiles = tiling(x, SUM_BLOCKS)
    parts = xp.empty((samples, tiles.grid[1], 2, channels), dtype=xp.float64)
    _launch("moments", x, tiles, mean=mean, parts=parts)
    _merge(x, tiles, mean, var, parts, averages)
    return mean, var


def merged(
    xp: Any, x: Array, parts: Array, step: int, averages: Averages | None
) -> tuple[Array, Array]:
    """Return what :func:`statistics` does of one sample and each column of it.

    ``parts`` (blocks, 2, channels) are the sums of blocks of ``step`` rows, and those of squared
    differences from their means.
    """
    mean, var = (xp.empty((1, x.shape[2]), dtype=xp.float64) for _ in range(2))
    tiles = tiling(x, SUM_BLOCKS)
    tiles = tiles._replace(grid=(1, parts.shape[0], 1), step=step)
    _merge(x, tiles, mean, var, parts, averages)
    return mean, var


def _merge(
    x: Array, tiles: Tiling, mean: Array, var: Array, parts: Array, averages: Averages | None
) -> None:
    """Put the blocks of each group together."""
    size = x.shape[2] // mean.shape[1]
    threads = min(max(power(tiles.grid[1] * size), 32), THREADS)
    moved = {} if averages is None else averages._asdict()
    _launch(
        "merge_moments", x, tiles, (mean.size, (1, threads)),
        mean=mean, var=var, parts=parts, **moved,
    )  # fmt: skip


def normalise(xp: Any, x: Array, by: Vectors, added: Array | None, limits: Limits | None) -> Array:
    """Return the normalised input, plus another array if there is one, clipped."""
    out = xp.empty_like(x)
    low, high = limits or NO_LIMITS
    _launch("normalise", x, tiling(x, MAP_BLOCKS), by=by, y=added, out=out, low=low, high=high)
    return out


def gradients(
    xp: Any,
    dy: Array,
    x: Array,
    by: Vectors,
    y: Array | None,
    limits: Limits | None,
    training: bool,
) -> tuple[Array, Any]:
    """Return the gradient of the input, and those of weight and bias (channels,), in float32.

    If there are several samples, the latter are the shares of each (samples, 2, channels), in
    float64. ``y`` and ``limits`` are those of the reference kernel.
    """
    samples, _, channels = x.shape
    low, high = limits or NO_LIMITS
    mask = NO_MASK if limits is None else MASK_OF_RESULT if y is None else MASK_OF_Y
    # Infinity is no limit: nothing equals NaN.
    common = {"by": by, "dy": dy, "y": y, "mask": mask, "low": low}
    common["high"] = nan if high == inf else high
    tiles = tiling(x, SUM_BLOCKS)
    parts = xp.empty((samples, tiles.grid[1], 2, channels), dtype=xp.float64)
    _launch("gradient_sums", x, tiles, parts=parts, **common)
    slopes = xp.empty((*by.mean.shape, 2), dtype=xp.float32)
    result: Any
    if samples == 1:
        result = tuple([xp.empty((channels,), dtype=xp.float32) for _ in range(2)])
        found = dict(zip(("dweight", "dbias"), result, strict=True))
    else:
        result = xp.empty((samples, 2, channels), dtype=xp.float64)
        found = {"sums": result}
    warps = min(power(channels // by.mean.shape[1]), THREADS // 32)
    _launch(
        "merge_gradients", x, tiles, (by.mean.size, (32, warps)),
        parts=parts, slopes=slopes, **found, **common,
    )  # fmt: skip
    dx = xp.empty_like(x)
    tiles = tiling(x, MAP_BLOCKS)
    _launch("gradient", x, tiles, slopes=slopes, out=dx, training=training, **common)
    return dx, result


def _launch(
    name: str,
    x: Array,
    tiles: Tiling,
    shape: tuple[Any, Any] | None = None,
    by: Vectors | None = None,
    **values: Any,
) -> None:
    """Launch a kernel over tiles or in another shape; fields that are not named are zero."""
    samples, rows, channels = x.shape
    if by is not None:
        values |= by._asdict()
        values["weight_is_float"] = by.weight is not None and name_of(by.weight.dtype) == "float32"
        values["bias_is_float"] = by.bias is not None and name_of(by.bias.dtype) == "float32"
    groups = values["mean"].shape[1]
    values |= {
        "x": x, "samples": samples, "rows": rows, "channels": channels, "groups": groups,
        "size": channels // groups, "step": tiles.step, "blocks": tiles.grid[1],
    }  # fmt: skip
    fields = DEFAULTS.copy()
    for field, value in values.items():
        fields[PLACES[field]] = value
    KERNELS[name].of(x.dtype, WIDTH=tiles.width)(*(shape or tiles[:2]), *fields)
