"""Adding to an array in place; other formulas are CuPy's own element-wise kernels."""

from __future__ import annotations

from typing import Any

from .launching import blocks_for
from .layout import Array, is_aligned, is_dense
from .mapping import THREADS, fits, kernels, variants

KERNELS = kernels("elementwise.cu", "accumulate")
VARIANTS = variants(KERNELS)


def accumulate(xp: Any, total: Array, addend: Array) -> None:
    """Add an array to another of the same shape and dtype, in place."""
    if (
        fits(total, addend)
        and total.strides == addend.strides
        and is_dense(total)
        and is_aligned(total)
        and is_aligned(addend)
    ):
        if total.size:
            KERNELS["accumulate"].of(total.dtype)(
                blocks_for(total.size, THREADS, 16 // total.itemsize), THREADS,
                total, addend, total, total.size, 0, 0,
            )  # fmt: skip
    else:
        total += addend


def added(xp: Any, array: Array, total: Array | None) -> Array:
    """Return ``array``, or the sum of it and of ``total``, in the memory of the latter."""
    if total is None:
        return array
    accumulate(xp, total, array)
    return total
