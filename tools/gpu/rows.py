"""What the stages report: rows with a verdict and figures, within a limit of time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

OK, FAIL, SKIPPED = "ok", "FAIL", "skipped"


@dataclasses.dataclass
class Row:
    """One result: of which stage and what, whether it is as it should be, and figures."""

    stage: str
    name: str
    status: str = OK
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""


class Budget:
    """Seconds that a stage may take."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; negative when it is over."""
        return self._end - time.monotonic()


def guarded(stage: str, name: str, work: Callable[[], dict[str, Any] | None]) -> Row:
    """Return the row of some work, which raises where something is wrong."""
    try:
        return Row(stage, name, OK, work() or {})
    except Exception as error:
        words = str(error).strip() or "no message"
        return Row(stage, name, FAIL, {}, f"{type(error).__name__}: {words[:600]}")


def each(
    stage: str, budget: Budget, pieces: Iterable[tuple[str, Callable[[], dict[str, Any] | None]]]
) -> Iterator[Row]:
    """Yield a row for each named piece of work; one row says how many found no time."""
    left_out: list[str] = []
    for name, work in pieces:
        if budget.left() <= 0:
            left_out.append(name)
        else:
            yield guarded(stage, name, work)
    if left_out:
        note = f"no time for {len(left_out)}, from {left_out[0]!r} on"
        yield Row(stage, f"{len(left_out)} more", SKIPPED, {}, note)
