"""Rows as tables: in the terminal, as Markdown, and beside the rows of a former run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any

from .runner import Row
from .sides import PEERS

#: A ratio above this is marked, and the note of the case says why.
SLOWER = 1.1
HEADINGS = {
    "training": "Training steps",
    "inference": "Inference",
    "forward": "Layers, forward",
    "forward + backward": "Layers, forward and backward",
    "optimizer": "Optimizer steps",
}
NAMES = {"torch": "PyTorch", "torch:channels_last": "ch. last"}


# -- figures ------------------------------------------------------------------------------------


def rivals(row: Row, judged: str) -> list[str]:
    """Return the sides that count as rivals: PyTorch's modes, or what there is without PyTorch."""
    others = [side for side in row.times if side != judged]
    return [side for side in others if side.startswith("torch")] or others


def ratio(row: Row, judged: str) -> float | None:
    """Return the median time of a side divided by that of its faster rival."""
    against = rivals(row, judged)
    if judged not in row.times or not against:
        return None
    return row.times[judged]["median"] / min(row.times[side]["median"] for side in against)


def spread(row: Row, judged: str) -> float | None:
    """Return half the distance between the quartiles of the ratios of the rounds."""
    if ratio(row, judged) is None:
        return None
    rival = min(rivals(row, judged), key=lambda side: row.times[side]["median"])
    pairs = zip(row.times[judged]["rounds"], row.times[rival]["rounds"], strict=False)
    ratios = [a / b for a, b in pairs]
    if len(ratios) < 2:
        return None
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return (high - low) / 2


def memory_ratio(row: Row, judged: str) -> float | None:
    """Return the peak memory of a side divided by that of its most frugal rival."""
    against = [row.memory[s]["peak"] for s in row.memory if s != judged]
    if judged not in row.memory or not against:
        return None
    return row.memory[judged]["peak"] / max(min(against), 1e-3)


def disturbed(row: Row) -> bool:
    """Return whether other processes used the cores in over half of the blocks of a side."""
    return any(t["disturbed"] > len(t["rounds"]) / 2 for t in row.times.values())


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the values that are there."""
    logs = [math.log(value) for value in values if value is not None and value > 0]
    return math.exp(statistics.fmean(logs)) if logs else None


def against(row: Row, former: dict[tuple[str, str], Row], judged: str) -> float | None:
    """Return the median time divided by that of the same case in a former run."""
    old = former.get((row.group, row.name))
    if old is None or judged not in old.times or judged not in row.times:
        return None
    return row.times[judged]["median"] / old.times[judged]["median"]


# -- cells --------------------------------------------------------------------------------------


def milliseconds(seconds: float) -> str:
    """Return a time in ms with three digits."""
    value = seconds * 1e3
    return f"{value:#.3g}".rstrip(".") if 1e-4 <= value < 1000 else f"{value:.0f}"


def number(value: float | None, form: str = ".2f") -> str:
    """Return a number, or nothing."""
    return "" if value is None else format(value, form)


class Table:
    """The columns for one run: which side is judged, beside which, and against what.

    Parameters
    ----------
    sides : list of str
        All sides, the judged one first.
    former : list of Row, optional
        Rows of a former run.
    memory : bool
        Whether peak memory was measured.
    """

    def __init__(
        self, sides: list[str], former: list[Row] | None = None, memory: bool = False
    ) -> None:
        self.judged, *self.others = [side for side in sides if side not in PEERS]
        self.former = {(row.group, row.name): row for row in former or []}
        self.memory = memory

    def columns(self, group: str) -> list[str]:
        """Return the headings of a group."""
        heads = ["ms (median)", self.judged, "best"]
        for side in self.others:
            heads += [NAMES.get(side, side), "best"]
        heads += ["ratio", "±"] if self.others else []
        if self.former:
            heads.append("to former")
        if self.memory and group == "training":
            heads += ["peak MB", *["" for _ in self.others], "ratio"]
        return heads

    def cells(self, row: Row) -> list[str]:
        """Return the cells of a row."""
        cells = [row.name + (" ~" if disturbed(row) else "")]
        for side in [self.judged, *self.others]:
            times = row.times.get(side)
            cells += [milliseconds(times[k]) if times else "" for k in ("median", "best")]
        if self.others:
            cells += [number(ratio(row, self.judged)), number(spread(row, self.judged))]
        if self.former:
            cells.append(number(against(row, self.former, self.judged)))
        if self.memory and row.group == "training":
            peaks = [row.memory.get(side, {}).get("peak") for side in [self.judged, *self.others]]
            cells += [number(peak, ".0f") for peak in peaks]
            cells.append(number(memory_ratio(row, self.judged)))
        return cells

    def summary(self, rows: list[Row]) -> list[str]:
        """Return the geometric means of a group, in the columns of the ratios."""
        cells = ["geometric mean", *[""] * (2 + 2 * len(self.others))]
        if self.others:
            cells += [number(geometric_mean(ratio(row, self.judged) for row in rows)), ""]
        if self.former:
            means = geometric_mean(against(row, self.former, self.judged) for row in rows)
            cells.append(number(means))
        if self.memory and rows[0].group == "training":
            cells += [""] * (1 + len(self.others))
            cells.append(number(geometric_mean(memory_ratio(row, self.judged) for row in rows)))
        return cells

    def line(self, cells: list[str], width: int = 44) -> str:
        """Return cells as an aligned line for the terminal."""
        return (f"{cells[0]:<{width}}" + "".join(f" {cell:>9.9}" for cell in cells[1:])).rstrip()


# -- whole tables -------------------------------------------------------------------------------


def by_group(rows: list[Row]) -> dict[str, list[Row]]:
    """Return rows by group, in their order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def peer_lines(rows: list[Row], judged: str) -> list[list[str]]:
    """Return a heading and, for each net that a peer has trained, median times in ms."""
    trained = [row for row in rows if row.group == "training" and set(PEERS) & set(row.times)]
    peers = [peer for peer in PEERS if any(peer in row.times for row in trained)]
    lines = [["ms (median)", judged, *peers]] if trained else []
    for row in trained:
        times = [row.times.get(side) for side in (judged, *peers)]
        lines.append([row.name, *[milliseconds(t["median"]) if t else "" for t in times]])
    return lines


def memory_lines(rows: list[Row], judged: str, others: list[str]) -> list[list[str]]:
    """Return a heading and, for each net of which it was measured, peak memory in MB."""
    measured = [row for row in rows if row.memory]
    lines = [["MB", judged, *[NAMES.get(side, side) for side in others], "ratio"]]
    for row in measured:
        peaks = [row.memory.get(side, {}).get("peak") for side in (judged, *others)]
        cells = [number(peak, ".0f") for peak in peaks]
        lines.append([row.name, *cells, number(memory_ratio(row, judged))])
    mean = number(geometric_mean(memory_ratio(row, judged) for row in measured))
    return [*lines, ["geometric mean", *["" for _ in (judged, *others)], mean]] if measured else []


def machine_line(facts: dict[str, Any], ceilings: dict[str, float]) -> str:
    """Return the machine in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    limits = ", ".join(f"{value:.0f} {unit}" for unit, value in ceilings.items())
    return (
        f"{facts['processor']}, {facts['threads']} of {facts['cores']} cores, "
        f"Python {facts['python']}, {versions}; ceilings: {limits}; {facts['date'][:10]}"
    )


def markdown(run: dict[str, Any], rows: list[Row]) -> str:
    """Return a run as Markdown: the machine, a table for each group, and notes."""
    table = Table(run["sides"])
    parts = [machine_line(run["machine"], run["ceilings"])]
    for group, members in by_group(rows).items():
        parts.append(f"### {HEADINGS[group]}")
        lines = [_bold(table.cells(row), ratio(row, table.judged)) for row in members]
        parts.append(_markdown(table.columns(group), [*lines, table.summary(members)]))
        notes = [
            f"- {row.name}: {row.note}" for row in members
            if row.note and (ratio(row, table.judged) or 0) > SLOWER
        ]  # fmt: skip
        notes += [f"- {row.name}: {s}: {e}" for row in members for s, e in row.errors.items()]
        if notes:
            parts.append("\n".join(notes))
        memory = memory_lines(members, table.judged, table.others)
        if memory:
            parts += [f"### {HEADINGS[group]}, peak memory", _markdown(memory[0], memory[1:])]
    peers = peer_lines(rows, table.judged)
    if peers:
        parts += ["### Other libraries, training steps", _markdown(peers[0], peers[1:])]
    return "\n\n".join(parts) + "\n"


def _bold(cells: list[str], value: float | None) -> list[str]:
    """Return a row's cells, with the name in bold type if it is slower than the rival."""
    slower = value is not None and value > SLOWER
    return [f"**{cells[0]}**", *cells[1:]] if slower else cells


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["--:" for _ in head[1:]]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])
