"""Whether the machine is still: waiting for spinning threads, and seeing other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


def wait_until_quiet(limit: float = 1.0, window: float = 0.012) -> bool:
    """Sleep until no thread of this process runs; return whether it came to that.

    Linux counts the time of a process in ticks of up to 4 ms, hence the length of the window.
    """
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        start = time.process_time()
        time.sleep(window)
        if time.process_time() - start < 0.2 * window:
            return True
    return False


def busy_seconds() -> float:
    """Return the processor time of all processes since the start of the system; 0 if unknown.

    Time that the host of a virtual machine took away counts too.
    """
    try:
        ticks = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    user, nice, system, _idle, _wait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Sees whether other processes took processor time that this one could have used.

    With two cores and two threads a single other process suffices to spoil a time, and not a
    little: threads that share out their work in equal parts all wait for the one that lost its
    core, for 4 ms and more. Where cores are to spare, that much foreign work does no harm.

    Parameters
    ----------
    threads : int
        How many threads the measured code uses.
    """

    def __init__(self, threads: int) -> None:
        self.spare = max((os.cpu_count() or threads) - threads, 0)
        self._start = self._now()

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), busy_seconds(), time.process_time()

    def restart(self) -> None:
        """Forget what was."""
        self._start = self._now()

    def disturbed(self) -> bool:
        """Return whether others took over 15 % of a core since the start.

        The system counts in ticks of 10 ms, so two of them are forgiven.
        """
        wall, busy, own = (b - a for a, b in zip(self._start, self._now(), strict=True))
        return busy - own - self.spare * wall > 0.02 + 0.15 * wall
