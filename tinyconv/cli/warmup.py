"""``warmup``: compile every kernel ahead of time, so that no first step has to wait for it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import config
from ..backend.cpu import numba_available
from ..backend.cpu.compiler.jit import cache_folder
from ..backend.cpu.host import available_cores
from ..errors import MissingDependencyError
from ..train.progress import progress_bar
from . import warmup_calls
from .info import table


def add_parser(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser(
        "warmup", help="compile all kernels ahead of time",
        description="Compile all kernels of the CPU and keep them in the cache folder. "
        "Without it each kernel is compiled when it is first used.",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", action="append", choices=("float32", "float64"),
        help="can be given twice; default is TINYCONV_DTYPE, or float32",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, help="default is one a core")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run all groups of calls in processes that share the cache; print what they compiled."""
    if not numba_available():
        raise MissingDependencyError("warmup: there is nothing to compile without Numba")
    start = time.perf_counter()
    dtypes = options.dtype or [config.dtype.get()]
    folder = cache_folder()
    if folder is None:
        where = config.cache_dir.get() / "kernels"
        print(f"warmup: cannot write to {where}, so nothing would be kept", file=sys.stderr)
        return 1
    jobs = [(name, dtype) for dtype in dtypes for name in warmup_calls.GROUPS]
    count = max(min(options.processes or available_cores(), len(jobs)), 1)
    events, failures = _gather(jobs, count)
    print(_summary(events))
    compiled = sum(event.compiled for event in events)
    print(
        f"\n{compiled} compiled, {len(_by_kernel(events))} kernels in all, "
        f"{time.perf_counter() - start:.1f} s in {count} processes; kept in {folder}"
    )
    for (name, dtype), error in failures:
        print(f"warmup: {name} ({dtype}) failed: {error}", file=sys.stderr)
    return 1 if failures else 0


def _gather(jobs: list[tuple[str, str]], count: int) -> tuple[list[Any], list[Any]]:
    """Run the jobs in ``count`` processes; return all events, and (job, error) of the failures."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    events, failures = [], []
    bar = progress_bar(len(jobs), 0, "compiling kernels", unit="group")
    context = multiprocessing.get_context("spawn")  # where no thread runs and no lock is held
    settings = (str(config.cache_dir.get()),)
    with bar, ProcessPoolExecutor(count, context, _prepare, settings) as pool:
        futures = {pool.submit(warmup_calls.run, *job): job for job in jobs}
        for future in as_completed(futures):
            try:
                events += future.result()
            except Exception as error:
                failures.append((futures[future], f"{type(error).__name__}: {error}"))
            bar.update(1)
    return events, failures


def _prepare(cache_dir: str) -> None:
    """Set up a new process; its own notice would disturb the bar."""
    config.cache_dir.set(Path(cache_dir))
    config.progress.set("0")


def _by_kernel(events: Iterable[Any]) -> dict[str, list[Any]]:
    kernels: dict[str, list[Any]] = {}
    for event in events:
        kernels.setdefault(event.kernel, []).append(event)
    return kernels


def _summary(events: list[Any]) -> str:
    """Return the table of kernels, those first that took longest."""
    rows = []
    kernels = _by_kernel(events)
    for name in sorted(kernels, key=lambda name: -sum(event.seconds for event in kernels[name])):
        found = kernels[name]
        compiled = sum(event.compiled for event in found)
        seconds = sum(event.seconds for event in found)
        rows.append((name, f"{seconds:.2f}", str(compiled), str(len(found) - compiled)))
    return table(("kernel", "seconds", "compiled", "from cache"), rows)
