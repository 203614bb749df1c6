"""``info``: versions, devices, backends, threads and settings."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import tinyconv

from .. import config, cuda
from ..backend import backends
from ..backend.cpu import numba_available
from ..backend.cpu.parallel.threads import num_threads
from ..backend.cuda import OVERRIDES, problem

PACKAGES = (
    "numpy", "numba", "threadpoolctl", "tqdm", "scikit-learn", "pooch", "pillow",
    "matplotlib", "graphviz",
)  # fmt: skip


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("info", help="show versions, devices, backends and settings")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the set-up."""
    print(f"tinyconv {tinyconv.__version__}, Python {platform.python_version()}, "
          f"{platform.system()} {platform.machine()}")  # fmt: skip
    print("\n" + table(("package", "version"), [(name, _version(name)) for name in PACKAGES]))
    rows = []
    for kind, backend in backends().items():
        if kind == "cuda":
            continue
        fast = backend.overridden() if numba_available() else []
        kernels = f"{len(fast)} Numba kernels" if fast else "reference kernels"
        rows.append((kind, backend.xp.__name__, kernels, str(num_threads())))
    for index in range(cuda.device_count()):
        kernels = f"{len(OVERRIDES)} CUDA kernels"
        rows.append((f"cuda:{index}", cuda.get_device_name(index), kernels, ""))
    print("\n" + table(("device", "arrays", "kernels", "threads"), rows))
    if problem() is not None:
        print(f"\nno GPU: {problem()}")
    print("\n" + table(("setting", "value", "legal values"), [
        (variable, value, legal) for variable, legal, value, _ in config.table()
    ]))  # fmt: skip
    print("\n" + "\n".join(f"{row[0]}: {row[3]}" for row in config.table()))
    return 0


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a plain-text table with columns as wide as their widest cell."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
