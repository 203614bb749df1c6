"""Folding a normalisation by constants into the weights and the bias of a convolution before it."""

from __future__ import annotations

from math import prod
from typing import Any

from ...reference.norm import Norm
from ..driver.launching import CTYPES, Kernel, name_of
from ..layout import Array, channels_first, parameter, plain

THREADS = 256
FOLD = Kernel(
    "folding.cu",
    "fold",
    "w bias mean var weight shift to offset reads:int32 taps:int32 mean_is_float:int32 "
    "var_is_float:int32 weight_is_float:int32 shift_is_float:int32 eps:float64",
    threads=THREADS,
)
VARIANTS = [FOLD.of_name(dtype) for dtype in CTYPES]


def folded(xp: Any, w: Array, bias: Array | None, norm: Norm) -> tuple[Array, Array]:
    """Return (O, C, *kernel) weights and (O,) bias of the convolution and the normalisation.

    In the dtype of ``w``; the weights are channels-last in memory.
    """
    mean, var, weight, shift, eps = norm
    mean, var = (_statistic(xp, v) for v in (mean, var))
    weight, shift = (parameter(xp, v, w.dtype) for v in (weight, shift))
    w, bias = plain(xp, w), bias if bias is None else plain(xp, bias)
    outputs, reads, *kernel = w.shape
    to = xp.empty((outputs, *kernel, reads), dtype=w.dtype)
    offset = xp.empty((outputs,), dtype=w.dtype)
    if to.size:
        floats = [
            v is not None and name_of(v.dtype) == "float32" for v in (mean, var, weight, shift)
        ]
        FOLD.of(w.dtype)(
            w.shape[0], THREADS, w, bias, mean, var, weight, shift, to, offset,
            reads, prod(kernel), *floats, eps,
        )  # fmt: skip
    return channels_first(xp, to), offset


def _statistic(xp: Any, vector: Array) -> Array:
    """Return a mean or variance in float32 or float64, C-ordered."""
    known = name_of(vector.dtype) in ("float32", "float64")
    return plain(xp, vector if known else vector.astype(xp.float32))
