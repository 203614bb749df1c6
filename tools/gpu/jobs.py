"""Jobs of the check, each in a process of its own: what hangs or dies there harms no other."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .rows import FAIL, SKIPPED, Budget, Row

SCRIPT = Path(__file__).parent.parent / "gpu_check.py"
#: Seconds that a job has to end by itself once its time is over, and lines kept of its words.
GRACE, WORDS = 15.0, 12


@dataclasses.dataclass(frozen=True)
class Job:
    """A part of a stage.

    Parameters
    ----------
    stage : str
        What ``--only`` calls it.
    function : str
        ``"module:function"`` of this package; it yields rows.
    seconds : float
        The time it may take.
    tool : tuple of str
        A program that watches it.
    needs : str
        A Python package without which it is left out.
    """

    stage: str
    function: str
    seconds: float
    tool: tuple[str, ...] = ()
    needs: str = ""

    @property
    def name(self) -> str:
        """What rows about the job itself are called."""
        kind = f" {self.tool[2]}" if self.tool else ""
        return f"{self.function.replace(':', '.')}{kind}"

    def missing(self) -> str:
        """Return what it needs and is not there, or nothing."""
        if self.tool and shutil.which(self.tool[0]) is None:
            return f"{self.tool[0]} is not there"
        if self.needs and importlib.util.find_spec(self.needs) is None:
            return f"{self.needs} is not there"
        return ""


def _sanitizer(tool: str) -> tuple[str, ...]:
    return ("compute-sanitizer", "--tool", tool, "--error-exitcode", "86")


JOBS = (
    Job("compile", "correctness:compiled", 60),
    Job("correctness", "correctness:run", 85),
    Job("graphs", "training:graphs", 40),
    Job("memory", "training:memory", 15),
    Job("sanitizer", "correctness:sanitized", 35, _sanitizer("memcheck")),
    Job("sanitizer", "correctness:sanitized", 30, _sanitizer("racecheck")),
    Job("timing", "layers:ours", 30),
    Job("timing", "layers:theirs", 25, needs="torch"),
    Job("timing", "steps:ours", 50),
    Job("timing", "steps:theirs", 45, needs="torch"),
    Job("timing", "steps:compiled", 50, needs="torch"),
)
STAGES = tuple(dict.fromkeys(job.stage for job in JOBS))


def function_of(name: str) -> Callable[..., Iterator[Row]]:
    """Return the function of a job."""
    module, _, function = name.partition(":")
    found: Callable[..., Iterator[Row]] = getattr(
        importlib.import_module(f"{__package__}.{module}"), function
    )
    return found


def command(job: Job, seconds: float, seed: int, match: str) -> list[str]:
    """Return the command that runs a job and prints its rows."""
    arguments = ["--job", job.function, "--seconds", str(seconds)]
    return [*job.tool, sys.executable, str(SCRIPT), *arguments, "--seed", str(seed),
            "--match", match]  # fmt: skip


def run(job: Job, total: Budget, seed: int = 0, match: str = "") -> Iterator[Row]:
    """Run a job in a process, within what is left of all time; yield its rows as they come."""
    words = job.missing()
    seconds = min(job.seconds, total.left() - GRACE)
    if not words and seconds < 5:
        words = "no time left"
    if words:
        yield Row(job.stage, job.name, SKIPPED, {}, words)
        return
    process = subprocess.Popen(
        command(job, seconds, seed, match),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    end, last = time.monotonic() + seconds + GRACE, []
    try:
        while (line := lines.get(timeout=max(end - time.monotonic(), 0.01))) is not None:
            row = _row(line)
            if row is None:
                last = [*last, line.strip()][-WORDS:]
            else:
                yield row
        code = process.wait(timeout=max(end - time.monotonic(), 1))
    except (queue.Empty, subprocess.TimeoutExpired):
        note = f"did not end {GRACE:.0f} s after its time, {seconds:.0f} s"
        yield Row(job.stage, job.name, FAIL, {}, note)
        return
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started, as sanitizers do
        process.wait()
        reader.join(timeout=1)
    if code:
        note = f"exit status {code}: {' | '.join(last)}"
        yield Row(job.stage, job.name, FAIL, {}, note)
    elif job.tool:
        yield Row(job.stage, job.name, note=last[-1] if last else "")


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put(None)


def _row(line: str) -> Row | None:
    """Return the row that a line holds, or ``None`` for other words."""
    if not line.startswith('{"stage"'):
        return None
    try:
        return Row(**json.loads(line))
    except (ValueError, TypeError):
        return None
