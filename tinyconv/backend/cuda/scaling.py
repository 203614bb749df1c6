"""All gradients at once: divided by the scale of the loss, their norm, scaled down to a norm.

Everything that depends on them stays on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import reference
from .driver.launching import Kernel, name_of
from .layout import Array, is_dense, is_fast
from .loops.lists import FIELDS, PIECE, THREADS, tables

PARTS = ("reduce.cuh", "lists.cuh")


def _kernel(name: str, fields: str) -> Kernel:
    return Kernel("scaling.cu", name, fields, PARTS, threads=THREADS)


BEGIN = _kernel("begin", "scale out")
UNSCALE = _kernel("unscale", f"{FIELDS} out")
NEXT_SCALE = _kernel(
    "next_scale", "scale tracker found interval:int64 growth:float32 backoff:float32"
)
PARTIAL_NORM = _kernel("partial_norm", f"{FIELDS} partial order:int32")
TOTAL_NORM = _kernel("total_norm", "partial out count:int64 order:int32")
CLIP = _kernel("clip_to_norm", f"{FIELDS} total limit:float32")
#: Kernels without a dtype of their own.
PLAIN = {"T": "float", "PIECE": PIECE}
VARIANTS = [
    *[v for kernel in (UNSCALE, PARTIAL_NORM, CLIP) for v in kernel.of_each(PIECE=PIECE)],
    *[kernel.variant(**PLAIN) for kernel in (BEGIN, NEXT_SCALE, TOTAL_NORM)],
]
#: Number of each order of a norm in the source.
ORDERS = {1.0: 0, 2.0: 1, math.inf: 2}

Arrays = Sequence[Array]


def unscale(xp: Any, grads: Arrays, scale: Array) -> Array:
    """Divide all gradients by the scale; return whether one was not finite."""
    out = xp.empty((2,), dtype=xp.float32)
    BEGIN.variant(**PLAIN)(1, 1, scale, out)
    known, others = _by_dtype(grads)
    for dtype, arrays in known.items():
        for blocks, table in tables(arrays):
            UNSCALE.of_name(dtype, PIECE=PIECE)(blocks, THREADS, *table, out)
    found = out[:1].reshape(())
    return xp.maximum(found, reference.unscale(xp, others, scale)) if others else found


def next_scale(
    xp: Any, scale: Array, tracker: Array, found: Array, growth: float, backoff: float,
    interval: int,
) -> None:  # fmt: skip
    """Choose the next scale of the loss, in place."""
    NEXT_SCALE.variant(**PLAIN)(1, 1, scale, tracker, found, interval, growth, backoff)


def total_norm(xp: Any, arrays: Arrays, order: float) -> Array:
    """Return the norm of all elements of all arrays."""
    known, others = _by_dtype(arrays)
    if others or len(known) != 1:
        return reference.total_norm(xp, arrays, order)
    ((dtype, arrays),) = known.items()
    launches = list(tables(arrays))
    count = sum(blocks for blocks, _ in launches)
    partial, begin = xp.empty((count,), dtype=xp.float64), 0
    for blocks, table in launches:
        part = partial[begin : begin + blocks]
        PARTIAL_NORM.of_name(dtype, PIECE=PIECE)(blocks, THREADS, *table, part, ORDERS[order])
        begin += blocks
    out = xp.empty((), dtype=xp.float32)
    TOTAL_NORM.variant(**PLAIN)(1, THREADS, partial, out, count, ORDERS[order])
    return out if dtype == "float32" else out.astype(arrays[0].dtype)


def clip_to_norm(xp: Any, arrays: Arrays, total: Array, limit: float) -> None:
    """Scale all arrays by ``limit / total`` in place, if that is less than 1."""
    known, others = _by_dtype(arrays)
    single = total if name_of(total.dtype) == "float32" else total.astype(xp.float32)
    for dtype, chosen in known.items():
        for blocks, table in tables(chosen):
            CLIP.of_name(dtype, PIECE=PIECE)(blocks, THREADS, *table, single, limit)
    if others:
        reference.clip_to_norm(xp, others, total, limit)


def _by_dtype(arrays: Arrays) -> tuple[dict[str, list[Array]], list[Array]]:
    """Return the arrays that kernels can do by the name of their dtype, and all others.

    Empty ones are neither.
    """
    known: dict[str, list[Array]] = {}
    others: list[Array] = []
    for array in arrays:
        if not array.size:
            continue
        if is_fast(array) and is_dense(array):
            known.setdefault(name_of(array.dtype), []).append(array)
        else:
            others.append(array)
    return known, others
