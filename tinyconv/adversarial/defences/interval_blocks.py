"""Intervals through blocks that join tensors: what their ``forward`` does, on intervals."""

from __future__ import annotations

from typing import Any

from ... import nn
from ...ops import cat
from .interval_rules import Interval, interval_rule


def joined(parts: list[Interval]) -> Interval:
    """Return intervals joined along the channels."""
    return Interval(cat([part.lower for part in parts], 1), cat([part.upper for part in parts], 1))


@interval_rule(nn.DenseBlock)
def _dense_block(module: Any, x: Interval) -> Interval:
    for layer in module.layers:
        x = joined([x, layer(x)])
    return x


@interval_rule(nn.InceptionCell)
def _inception_cell(module: Any, x: Interval) -> Interval:
    return joined([branch(x) for branch in module.branches])


@interval_rule(nn.UNet)
def _unet(module: Any, x: Interval) -> Interval:
    kept = []
    for convolve in module.down:
        x = convolve(x)
        kept.append(x)
        x = module.pool(x)
    x = module.dropout(module.bottom(x))
    for enlarge, convolve in zip(module.up, module.join, strict=True):
        x, same_size = enlarge(x), kept.pop()
        x = convolve(joined([same_size, x]) if module.skip == "concat" else same_size + x)
    return module.head(x)
