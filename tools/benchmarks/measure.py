"""Timing sides against each other, so that the ratio means something on a noisy machine.

Sides take turns in one process. A turn is a *block* of several steps, and three things come
before its clock starts:

1. *Quiet.* Thread pools go on spinning when their work is done, so that the next task starts at
   once: OpenMP (PyTorch) for some 10 ms, OpenBLAS (NumPy) for some 80 ms, on every core. A rival
   that starts meanwhile has fewer cores. So the process sleeps until none of its threads runs.
2. *Settling.* Steps that are not counted bring threads and caches back.
3. The cyclic garbage collector runs, and is then off.

Within a block everything spins as it likes: forbidding it (``OMP_WAIT_POLICY=passive``) would
slow down the side that relies on it. The order of the sides turns by one every round. A block
during which other processes used the cores is taken again, a few times at most.

One process is also where each side is at its best: ``malloc`` has learned from what was freed
before that large arrays come again, and keeps their pages. In a fresh process (``--isolated``)
PyTorch is slower by up to 40 % where every step gets its memory from the system.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .quiet import Watch, wait_until_quiet

#: Fewest and most steps in a block.
FEWEST, MOST = 2, 500
#: Seconds of steps that are not counted at the start of a block; one step at least.
SETTLE = 0.01


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Parameters
    ----------
    seconds : float
        For all sides of a case together, within limits on the rounds.
    min_rounds, max_rounds : int
        The limits.
    block : float
        Seconds that the steps of a block take together, about.
    attempts : int
        How often a block is taken before it is kept although other processes disturbed it.
        After twice ``seconds`` every block is kept.
    """

    seconds: float = 6.0
    min_rounds: int = 3
    max_rounds: int = 25
    block: float = 0.12
    attempts: int = 3


@dataclass
class Times:
    """Seconds a step took, block by block, and how many blocks were disturbed but kept."""

    blocks: list[list[float]] = field(default_factory=list)
    disturbed: int = 0

    @property
    def median(self) -> float:
        """Median of all steps."""
        return statistics.median(t for block in self.blocks for t in block)

    @property
    def best(self) -> float:
        """Shortest step."""
        return min(t for block in self.blocks for t in block)

    @property
    def rounds(self) -> list[float]:
        """Median of each block."""
        return [statistics.median(block) for block in self.blocks]


def block(step: Callable[[], object], count: int, watch: Watch | None = None) -> list[float]:
    """Return the time of each of ``count`` steps, after quiet and settling."""
    gc.collect(1)
    gc.disable()
    try:
        wait_until_quiet()
        settled = time.perf_counter() + SETTLE
        while True:
            step()
            if time.perf_counter() >= settled:
                break
        if watch is not None:
            watch.restart()
        times = []
        for _ in range(count):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return times
    finally:
        gc.enable()


def add_block(
    times: Times, step: Callable[[], object], count: int, watch: Watch, attempts: int
) -> None:
    """Add a block that nobody disturbed, or at last one that was."""
    for attempt in range(attempts):
        found = block(step, count, watch)
        if not watch.disturbed():
            break
        times.disturbed += attempt + 1 == attempts
    times.blocks.append(found)


def steps_in_block(step: Callable[[], object], seconds: float) -> int:
    """Return how many steps fill a block, from steps that are thrown away."""
    start = time.perf_counter()
    step()
    if time.perf_counter() - start > seconds:
        return FEWEST
    typical = min(block(step, 3))
    return min(max(round(seconds / max(typical, 1e-9)), FEWEST), MOST)


def interleave(
    steps: Mapping[str, Callable[[], object]],
    plan: Plan,
    threads: int,
    turn: Callable[[str], None] = lambda side: None,
) -> dict[str, Times]:
    """Time steps in turns.

    Parameters
    ----------
    steps : mapping from side to callable
        What each side does.
    plan : Plan
        How long.
    threads : int
        How many threads a step uses.
    turn : callable, optional
        Told whose turn it is.
    """
    watch = Watch(threads)
    counts = {side: steps_in_block(step, plan.block) for side, step in steps.items()}
    times = {side: Times() for side in steps}
    order = list(steps)
    start = time.perf_counter()
    for number in range(plan.max_rounds):
        for side in order:
            turn(side)
            in_time = time.perf_counter() - start < 2 * plan.seconds
            attempts = plan.attempts if in_time else 1
            add_block(times[side], steps[side], counts[side], watch, attempts)
        order = [*order[1:], order[0]]
        if number + 1 >= plan.min_rounds and time.perf_counter() - start > plan.seconds:
            break
    return times
