"""Check the CUDA backend on a machine with a GPU, and time it beside PyTorch: eight minutes.

    python tools/gpu_check.py                            # everything
    python tools/gpu_check.py --only correctness,graphs  # some stages
    python tools/gpu_check.py --only timing --match step # what has "step" in its name
    python tools/gpu_check.py --json found.jsonl

Stages: ``compile`` (every kernel, for this GPU), ``correctness`` (every kernel and dtype against
float64 on the CPU), ``graphs`` (replays give the bits of the step), ``memory`` (it comes back; an
error when there is none), ``sanitizer`` (NVIDIA's memcheck and racecheck, where they are
installed), ``timing`` (convolutions and steps of training; PyTorch where it is installed). Each
runs in processes of its own, which end in time or are ended. Rows are written to a file as they
come, a JSON object a line; tables come at the end. "ratio" is the time divided by that of PyTorch's
best mode of the same precision, "roof" the least time that arithmetic or memory allow divided by
the time. What failed, and what found no time, is listed.

The exit status is 0 if all is well, 1 if something failed, 2 if there is no GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
import time
from pathlib import Path

from gpu import jobs, report
from gpu.rows import FAIL, Budget, Row

#: Seconds for everything, the tables at the end included.
LIMIT = 470.0
DEVICE = "cuda"  # CUDA_VISIBLE_DEVICES says which


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", default=",".join(jobs.STAGES), metavar="STAGES", help="stages, with commas")
    add("--match", default="", metavar="TEXT", help="only what has this text in its name")
    add("--json", type=Path, default=Path("gpu_check.jsonl"), metavar="FILE",
        help="where rows go as they come (gpu_check.jsonl)")  # fmt: skip
    add("--seconds", type=float, default=LIMIT, metavar="S", help=f"for everything ({LIMIT:.0f})")
    add("--seed", type=int, default=int(time.time()), metavar="N", help="of random inputs (now)")
    add("--job", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.stages = options.only.split(",")
    unknown = [stage for stage in options.stages if stage not in jobs.STAGES]
    if unknown:
        parser.error(f"unknown stages {', '.join(unknown)}; there are {', '.join(jobs.STAGES)}")
    return options


def problem() -> str | None:
    """Return why there is no GPU to check, or ``None``."""
    from tinyconv.backend import cuda

    return cuda.problem()


def work(options: argparse.Namespace) -> int:
    """Do a job in this process: print its rows."""
    function = jobs.function_of(options.job)
    for row in function(DEVICE, Budget(options.seconds), options.seed, options.match):
        print(json.dumps(dataclasses.asdict(row)), flush=True)
    return 0


def run(options: argparse.Namespace) -> list[Row]:
    """Run the chosen stages; write rows as they come, and return them."""
    rows, total = [], Budget(options.seconds)
    with options.json.open("w") as file:
        about = {"date": f"{datetime.datetime.now(datetime.UTC):%F %T} UTC", "seed": options.seed}
        file.write(json.dumps(about) + "\n")
        for job in jobs.JOBS:
            if job.stage not in options.stages:
                continue
            start, count = time.monotonic(), len(rows)
            for row in jobs.run(job, total, options.seed, options.match):
                rows.append(row)
                file.write(json.dumps(dataclasses.asdict(row)) + "\n")
                file.flush()
                if row.status == FAIL:
                    print(f"FAIL    {row.stage}: {row.name}: {row.note}", flush=True)
            seconds, found = time.monotonic() - start, len(rows) - count
            print(f"{job.stage}: {job.name}: {found} results, {seconds:.0f} s", flush=True)
    return rows


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    reason = problem()
    if reason is not None:
        print(f"no GPU can be checked: {reason}", file=sys.stderr)
        return 2
    if options.job:
        return work(options)
    rows = run(options)
    known = report.machine(rows)
    if known:
        print("\n" + ", ".join(f"{key} {known[key]}" for key in ("GPU", "GB/s", "CuPy", "driver")))
    print("\n".join(["", *report.summary(rows), *report.timings(rows)]))
    print(f"\nall rows, seed {options.seed}: {options.json}")
    return 1 if not rows or any(row.status == FAIL for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
