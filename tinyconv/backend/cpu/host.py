"""How many cores there are, and what each offers to vector code: registers and cache sizes.

A vector register holds ``lanes`` numbers that one instruction works on together. The tile of
results that a matrix product keeps in registers (see :mod:`.tile`) follows from it:

    AVX-512   32 registers of 64 bytes    14 x 2 vectors of results
    AVX2      16 registers of 32 bytes     6 x 2
    NEON      32 registers of 16 bytes    12 x 2

Twelve or more independent sums are enough to hide the latency of a fused multiply-add, and two
vectors a row make one load of ``b`` serve all rows.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np


class Host(NamedTuple):
    """The vector unit of one core."""

    name: str
    #: Bytes of a vector register.
    vector_bytes: int
    #: Rows of a register tile.
    rows: int

    def lanes(self, dtype: Any) -> int:
        """Return how many elements of ``dtype`` a vector register holds."""
        return self.vector_bytes // np.dtype(dtype).itemsize


#: Vectors of results in a row of a register tile.
VECTORS = 2
#: Bytes of a core's own (second-level) cache that a task may fill with its blocks.
CACHE_BYTES = 1 << 20


@lru_cache(maxsize=1)
def available_cores() -> int:
    """Return the number of cores this process may use, as it was when first asked for.

    To ask the system takes longer than to find out anything else about a parallel region.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def host() -> Host:
    """Return the vector unit of this machine, as LLVM sees it."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Host("avx512", 64, 14)
    if features.get("avx2") and features.get("fma"):
        return Host("avx2", 32, 6)
    if features.get("neon"):
        return Host("neon", 16, 12)
    return Host("sse2", 16, 4)
