"""The way in which a convolution of some shape is computed: found once, then looked up.

A network convolves the same shapes again and again. What follows from shapes and settings alone,
the algorithm above all, is therefore kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from .... import config
from ...reference.windows import Ints, Padding, output_size
from ..layout import Array, channels_first, channels_last
from . import strides
from .choice import choose


class Way(NamedTuple):
    """What is known of one part of a convolution before its numbers."""

    algorithm: str
    #: Sizes of the input and of the output, in space.
    spatial: Ints
    out: Ints
    kernel: Ints
    stride: Ints
    #: Padding in front.
    before: Ints
    dilation: Ints
    groups: int
    #: By which stride the input is thinned out first; ``None``: not at all.
    thinning: Ints | None
    #: Input and output size, stride, padding, dilation and kernel for three dimensions.
    spatial3: Ints
    out3: Ints
    stride3: Ints
    before3: Ints
    dilation3: Ints
    kernel3: Ints


def way_of(part: str, *shape: Any) -> Way:
    """Return the way for "forward", "input_grad" or "weight_grad".

    The other arguments are the shapes of input and weights, stride, padding, dilation, groups,
    dtype, and the sizes of the output where they are known.
    """
    return _way(config.conv_algorithm.get(), config.float32_precision.get(), part, *shape)


@lru_cache(maxsize=4096)
def _way(
    wanted: str,
    precision: str,
    part: str,
    x: Ints,
    w: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    dtype: Any,
    out: Ints | None = None,
) -> Way:
    spatial, kernel, before = x[2:], w[2:], tuple([pair[0] for pair in padding])
    if out is None:
        out = output_size(spatial, kernel, stride, padding, dilation)
    algorithm, thinning = "", None
    if strides.applies(spatial, kernel, out, stride, before):
        if part == "input_grad":
            algorithm = "strided"
        else:
            thinning, stride, spatial, x = stride, (1,) * len(stride), out, (*x[:2], *out)
    if not algorithm:
        algorithm = "depthwise"
        if not (w[1] == 1 and w[0] == groups and len(x) == 4):
            algorithm = choose(part, x, w, out, stride, before, dilation, groups, dtype)
    return Way(
        algorithm, spatial, out, kernel, stride, before, dilation, groups, thinning,
        lift(spatial, 1), lift(out, 1), lift(stride, 1), lift(before, 0), lift(dilation, 1),
        lift(kernel, 1),
    )  # fmt: skip


def lift(values: Any, filler: int) -> Ints:
    """Return one number a dimension for three dimensions; missing ones come first."""
    return (filler,) * (3 - len(values)) + tuple(values)


def volume(pixels: Array) -> Array:
    """Return an (N, *S, C) array as (N, D, H, W, C)."""
    return pixels.reshape(pixels.shape[0], *lift(pixels.shape[1:-1], 1), pixels.shape[-1])


def thinned(x: Array, way: Way) -> Array:
    """Return the pixels of (N, C, *S) that a kernel of one tap reads."""
    if way.thinning is None:
        return x
    few = strides.taken(volume(channels_last(x)), lift(way.thinning, 1))
    return channels_first(few.reshape(len(few), *way.spatial, x.shape[1]))
