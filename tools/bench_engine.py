"""Time of the graph itself: forward + backward of ops on one element, an MLP step, the import.

    python tools/bench_engine.py [--rounds 15] [--json FILE]

tinyconv and PyTorch (where it is installed) take turns in one process, on one thread each, and
the garbage collector is off while a turn is timed. Printed are medians and the best of all
rounds in microseconds, and the median of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import tinyconv as tc

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None


def one_element_ops(library) -> dict[str, Callable[[], None]]:
    """Return a forward + backward of each op on tensors of one element."""
    x = library.ones(1, requires_grad=True)
    y = library.ones(1, requires_grad=True)
    m = library.ones((1, 1), requires_grad=True)
    n = library.ones((1, 1), requires_grad=True)
    return {
        "add": lambda: (x + y).backward(),
        "mul": lambda: (x * y).backward(),
        "matmul": lambda: (m @ n).backward(),
        "sum": lambda: x.sum().backward(),
        "reshape": lambda: x.reshape(1, 1).backward(),
    }


def mlp_step(library) -> Callable[[], None]:
    """Return a training step of an MLP 784-128-10 on a batch of 64, with SGD."""
    nn = library.nn
    rng = np.random.default_rng(0)
    images = library.from_numpy(rng.standard_normal((64, 784)).astype(np.float32))
    labels = library.from_numpy(rng.integers(0, 10, 64))
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

    return step


def turn(function: Callable[[], None], calls: int) -> float:
    """Return the time of one call in microseconds."""
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - start) / calls * 1e6
    finally:
        gc.enable()


def compare(ours: Callable[[], None], theirs: Callable[[], None] | None, calls: int, rounds: int):
    """Return medians, bests and the median ratio of interleaved turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, theirs):
        if function is not None:
            turn(function, calls)  # warm-up
    for _ in range(rounds):
        times[0].append(turn(ours, calls))
        if theirs is not None:
            times[1].append(turn(theirs, calls))
    row = {"tinyconv": statistics.median(times[0]), "tinyconv_best": min(times[0])}
    if theirs is not None:
        row["torch"], row["torch_best"] = statistics.median(times[1]), min(times[1])
        row["ratio"] = statistics.median([a / b for a, b in zip(*times, strict=True)])
    return row


def import_times(rounds: int) -> dict[str, float]:
    """Return the median time of importing NumPy alone, and tinyconv with it, in seconds."""
    measured: dict[str, list[float]] = {"numpy": [], "tinyconv": []}
    for _ in range(rounds):
        for name, values in measured.items():
            code = (
                f"import time; t = time.perf_counter(); import {name}; "
                "print(time.perf_counter() - t)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            values.append(float(done.stdout))
    return {name: statistics.median(values) for name, values in measured.items()}


def heavy_imports() -> list[str]:
    """Return which heavy packages ``import tinyconv`` brings in; should be none."""
    heavy = ("numba", "cupy", "matplotlib", "scipy", "sklearn", "PIL", "torch", "tqdm")
    code = f"import sys, tinyconv; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    ours, theirs = one_element_ops(tc), one_element_ops(torch) if torch else {}
    results = {
        name: compare(function, theirs.get(name), 500, options.rounds)
        for name, function in ours.items()
    }
    results["MLP step"] = compare(
        mlp_step(tc), mlp_step(torch) if torch else None, 30, options.rounds
    )
    print(f"{'forward + backward':20} {'tinyconv us':>12} {'best':>8} "
          f"{'torch us':>10} {'best':>8} {'ratio':>6}")  # fmt: skip
    for name, row in results.items():
        line = f"{name:20} {row['tinyconv']:12.1f} {row['tinyconv_best']:8.1f} "
        if "torch" in row:
            line += f"{row['torch']:10.1f} {row['torch_best']:8.1f} {row['ratio']:6.2f}"
        print(line)
    times = import_times(max(options.rounds // 2, 3))
    print(f"\nimport tinyconv {times['tinyconv']:.3f} s, of which NumPy {times['numpy']:.3f} s; "
          f"heavy packages imported: {', '.join(heavy_imports()) or 'none'}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({"ops": results, "import": times}, indent=2))


if __name__ == "__main__":
    main()
