"""Running cases: set up, compare results, time, weigh, and go on when one fails."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import child
from .cases import Case, Training, in_words, set_up
from .measure import Plan, Times, interleave
from .sides import PEERS


@dataclass
class Row:
    """What was found out about a case; plain data, so that it can be kept as JSON."""

    group: str
    name: str
    note: str = ""
    #: By side: ``median``, ``best`` and ``rounds`` (the median of each block) in seconds,
    #: and ``disturbed``, the number of blocks during which other processes used the cores.
    times: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: By side: ``peak`` and ``peak_with_code`` in MB.
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    #: By side: what went wrong.
    errors: dict[str, str] = field(default_factory=dict)


def run_case(
    case: Case,
    sides: dict[str, Any],
    plan: Plan,
    *,
    peers: Sequence[str] = (),
    threads: int,
    memory: bool = False,
    isolated: bool = False,
    turn: Callable[[str], None] = lambda side: None,
) -> Row:
    """Measure one case on all sides that suit it.

    Parameters
    ----------
    case : Case
        What to measure.
    sides : mapping
        Sides by name, the one that is judged first.
    plan : Plan
        How long.
    peers : sequence of str
        Libraries with names of their own. Each has a process of its own, where its threads
        disturb nobody.
    threads : int
        How many threads a side uses.
    memory : bool
        Also find the peak memory of training steps.
    isolated : bool
        Give every side a process of its own.
    turn : callable
        Told what happens now.
    """
    row = Row(case.group, case.name, case.note)
    sides = {name: side for name, side in sides.items() if case.suits(side)}
    turn("set up")
    tasks = set_up(case, sides, row.errors)
    try:
        if isolated:
            tasks, names = {}, list(tasks)
            times = child.alternate(case, names, threads, plan)
        else:
            steps = {name: task.step for name, task in tasks.items()}
            times = interleave(steps, plan, threads, turn)
        row.times = {name: _plain(value) for name, value in times.items()}
    except Exception as error:
        row.errors["timing"] = in_words(error)
    del tasks
    gc.collect()
    for peer in peers:
        if case.suits_peers:
            turn(peer)
            _time_peer(case, peer, row, threads)
    if memory and isinstance(case, Training):
        _weigh(case, row, threads, turn)
    return row


def _time_peer(case: Case, peer: str, row: Row, threads: int) -> None:
    try:
        row.times[peer] = _plain(
            child.alternate(case, [peer], threads, Plan(3.0, min_rounds=1))[peer]
        )
    except Exception as error:
        row.errors[peer] = in_words(error)


def _weigh(case: Case, row: Row, threads: int, turn: Callable[[str], None]) -> None:
    for name in row.times:
        if name in PEERS:
            continue
        turn(f"memory of {name}")
        try:
            row.memory[name] = child.spawn("memory", case, name.partition(" ")[0], threads)
        except Exception as error:
            row.errors[f"memory of {name}"] = in_words(error)


def _plain(times: Times) -> dict[str, Any]:
    return {
        "median": times.median, "best": times.best, "rounds": times.rounds,
        "disturbed": times.disturbed,
    }  # fmt: skip
