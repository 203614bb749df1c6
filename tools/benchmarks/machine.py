"""Facts about the machine, and its ceilings: what no kernel can beat.

Two runs on a shared machine can be compared only with the ceilings of both beside them.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .quiet import wait_until_quiet

PACKAGES = ("tinyconv", "numpy", "numba", "torch", "jax", "dezero", "tinygrad")


def facts(threads: int) -> dict[str, Any]:
    """Return processor, versions, thread count and date."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": _cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the name of the processor, with its widest vectors where Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    vectors = [name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags]
    name = fields.get("model name", platform.machine())
    return f"{name} ({vectors[0]})" if vectors else name


def _commit() -> str | None:
    """Return the commit of this checkout, with ``+`` behind it if files have changed since."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True,
                              text=True, check=True).stdout.strip()  # fmt: skip
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed.stdout else "")


def ceilings(threads: int) -> dict[str, float]:
    """Return copy bandwidth in GB/s and float32 arithmetic in GFLOP/s, both on ``threads``."""
    return {
        "copy GB/s": copy_bandwidth(threads),
        "float32 GFLOP/s": float32_rate(threads),
    }


def _best(function: Callable[[], object], rounds: int = 7) -> float:
    """Return the least time of a function. A ceiling is what is possible, hence not the median."""
    wait_until_quiet()
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def copy_bandwidth(threads: int, megabytes: int = 256) -> float:
    """Return GB/s of ``numpy.copyto``, bytes read plus bytes written, larger than any cache."""
    source = np.ones(megabytes << 17)
    pieces = list(zip(np.array_split(source, threads),
                      np.array_split(np.zeros_like(source), threads), strict=True))  # fmt: skip
    with ThreadPoolExecutor(threads) as pool:
        seconds = _best(lambda: list(pool.map(lambda piece: np.copyto(piece[1], piece[0]), pieces)))
    return 2 * source.nbytes / seconds / 1e9


def float32_rate(threads: int, size: int = 1536) -> float:
    """Return GFLOP/s of the fastest dense float32 arithmetic known here: BLAS on a square product.

    The one place to put a better estimate, such as the peak of the convolution microkernel.
    """
    from threadpoolctl import threadpool_limits

    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    out = np.empty_like(a)
    with threadpool_limits(threads, "blas"):
        seconds = _best(lambda: np.matmul(a, a, out=out))
    return 2 * size**3 / seconds / 1e9


def between(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the middle of ceilings that were measured several times during a run."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
