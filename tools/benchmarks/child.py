"""Jobs that need a process of their own: peak memory, and timing without a neighbour.

``python tools/bench.py --child JSON`` runs one and prints its result as the last line.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .cases import Case, Training, all_cases, set_up
from .measure import Plan, Times, add_block, steps_in_block
from .quiet import Watch
from .sides import PEERS, make_side

SCRIPT = Path(__file__).parent.parent / "bench.py"


def spawn(job: str, case: Case, side: str, threads: int, **options: Any) -> Any:
    """Run a job in a fresh process and return what it printed; raise with its last words."""
    request = {"job": job, "group": case.group, "name": case.name, "side": side, **options}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--threads", str(threads), "--child", json.dumps(request)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"{side}: {words[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(text: str, threads: int) -> None:
    """Run the job that ``spawn`` described."""
    request = json.loads(text)
    case = next(
        case for case in all_cases()
        if (case.group, case.name) == (request["group"], request["name"])
    )  # fmt: skip
    side = make_side(request["side"], threads)
    memory = request["job"] == "memory"
    result = peak_memory(case, side) if memory else alone(case, side, request, threads)
    print(json.dumps(result))


# -- time ---------------------------------------------------------------------------------------


def alone(case: Case, side: Any, request: dict[str, Any], threads: int) -> dict[str, Any]:
    """Return blocks of times in a process that times only this side.

    The results of a peer are first compared with those of tinyconv.
    """
    if request["side"] in PEERS:
        errors: dict[str, str] = {}
        sides = {"tinyconv": make_side("tinyconv", threads), request["side"]: side}
        tasks = set_up(case, sides, errors)
        if errors:
            raise RuntimeError(*errors.values())
        step = tasks.pop(request["side"]).step
    else:
        step = case.make(side).step
    times, watch, count = Times(), Watch(threads), steps_in_block(step, request["block"])
    start = time.perf_counter()
    for _ in range(request["blocks"]):
        add_block(times, step, count, watch, request["attempts"])
        if time.perf_counter() - start > request["seconds"]:
            break
    return dataclasses.asdict(times)


def alternate(case: Case, sides: list[str], threads: int, plan: Plan) -> dict[str, Times]:
    """Time sides in processes of their own, which take turns."""
    times = {side: Times() for side in sides}
    for _ in range(plan.min_rounds):
        for side in sides:
            more = spawn(
                "time", case, side.partition(" ")[0], threads,
                blocks=3, block=plan.block, attempts=plan.attempts, seconds=plan.seconds,
            )  # fmt: skip
            times[side].blocks += more["blocks"]
            times[side].disturbed += more["disturbed"]
    return times


# -- memory -------------------------------------------------------------------------------------


def peak_memory(case: Case, side: Any, steps: int = 3) -> dict[str, float]:
    """Return how far the resident memory of some training steps rises, in MB.

    Model and data are resident before, gradients and momentum are not. Kernels compile or load
    when first used, while PyTorch's code is resident from its import on; so a step of another
    copy of the network, with two images, comes first. ``peak`` counts from after that step,
    ``peak_with_code`` from before it.
    """
    task = case.make(side)
    bare = resident("VmRSS")
    small = dataclasses.replace(case.net, images=(2, *case.net.images[1:]))
    Training(small).make(side).step()
    trim(side)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts from here
    for _ in range(steps):
        task.step()
    peak = resident("VmHWM")
    return {"peak": peak - before, "peak_with_code": peak - bare}


def trim(side: Any) -> None:
    """Give freed memory back to the system, so that it does not hide what comes."""
    gc.collect()
    side.release()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def resident(field: str) -> float:
    """Return a field of ``/proc/self/status`` in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
