"""Where the time goes: calls, time and memory of each op, forward and backward."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError
from .observer import Observer

#: Accepted keys of ``table(sort_by=...)``, PyTorch's names among them.
SORT_KEYS = {
    "name": "name", "calls": "calls", "count": "calls",
    "self_time": "self_time", "self_cpu_time_total": "self_time",
    "total_time": "total_time", "cpu_time_total": "total_time",
    "mean_time": "mean_time", "cpu_time": "mean_time",
    "output_bytes": "output_bytes", "bytes": "output_bytes",
}  # fmt: skip
HEADINGS = ("Name", "Calls", "Self", "Self %", "Total", "Mean", "Output")


@dataclass
class OpRecord:
    """What all calls of one op have in common.

    Attributes
    ----------
    name : str
        Op name, ``Mul`` or ``MulBackward``.
    calls : int
        How often it ran.
    self_time : float
        Seconds in the op itself, without the ops it called.
    total_time : float
        Seconds with the ops it called.
    output_bytes : int
        Bytes of all its results; views count too.
    """

    name: str
    calls: int = 0
    self_time: float = 0.0
    total_time: float = 0.0
    output_bytes: int = 0

    @property
    def mean_time(self) -> float:
        """Total seconds a call."""
        return self.total_time / self.calls if self.calls else 0.0

    @property
    def key(self) -> str:
        """The name, as PyTorch calls it."""
        return self.name


class profile(Observer):
    """Record every op of this thread inside a ``with`` block.

    A backward is often made of other ops: these have rows of their own, and count in the total
    time but not in the self time of the backward they ran in. Self times add up to the time spent
    in ops.

    Parameters
    ----------
    profile_memory : bool, default False
        Follow results until they are freed, for :attr:`peak_bytes`.

    Attributes
    ----------
    peak_bytes : int
        Most bytes that results of ops took up at one time; ``profile_memory`` only.
    wall_time : float
        Seconds inside the block.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.ones(10, 10, requires_grad=True)
    >>> with tc.autograd.profiler.profile() as prof:
    ...     (x * 2).sum().backward()
    >>> print(prof.table(sort_by="calls", row_limit=3))  # doctest: +SKIP
    """

    def __init__(self, profile_memory: bool = False) -> None:
        self.records: dict[str, OpRecord] = {}
        self.wall_time, self.peak_bytes, self.live_bytes = 0.0, 0, 0
        self._profile_memory = profile_memory
        self._alive: dict[int, weakref.ref[Any]] = {}
        #: Ops in progress: [when they began, seconds of the ops inside].
        self._stack: list[list[float]] = []

    def __enter__(self) -> profile:
        super().__enter__()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.wall_time += time.perf_counter() - self._started
        super().__exit__(*exc)

    # -- what the engine calls --------------------------------------------------------------

    def before_forward(self, node: Any, args: tuple[Any, ...]) -> None:
        """Take the time."""
        self._stack.append([time.perf_counter(), 0.0])

    def after_forward(self, node: Any, args: tuple[Any, ...], outputs: Any) -> None:
        """Record a call."""
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        self._finish(type(node).__name__, results)

    def before_backward(self, node: Any, grads: Sequence[Any]) -> None:
        """Take the time."""
        self._stack.append([time.perf_counter(), 0.0])

    def after_backward(self, node: Any, grads: Sequence[Any], results: tuple[Any, ...]) -> None:
        """Record a call."""
        self._finish(node.name(), [r for r in results if r is not None])

    def on_error(self, node: Any, args: Sequence[Any], error: Exception, in_backward: bool) -> None:
        """Forget the call."""
        if self._stack:
            self._stack.pop()

    def _finish(self, name: str, results: Sequence[Any]) -> None:
        if not self._stack:  # the block began inside this op
            return
        if results:
            results[0].device.backend.synchronize()
        started, inside = self._stack.pop()
        elapsed = time.perf_counter() - started
        if self._stack:
            self._stack[-1][1] += elapsed
        record = self.records.get(name)
        if record is None:
            record = self.records[name] = OpRecord(name)
        record.calls += 1
        record.total_time += elapsed
        record.self_time += elapsed - inside
        for result in results:
            size = result.array.size * result.dtype.itemsize
            record.output_bytes += size
            if self._profile_memory and result.device.backend.owns_memory(result.array):
                self._follow(result.array, size)

    def _follow(self, array: Any, size: int) -> None:
        """Count an array as alive until it is freed."""
        key = id(array)
        if key in self._alive:
            return
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

        def freed(_: Any) -> None:
            self._alive.pop(key, None)
            self.live_bytes -= size

        self._alive[key] = weakref.ref(array, freed)

    # -- results ----------------------------------------------------------------------------

    def key_averages(self) -> list[OpRecord]:
        """Return one :class:`OpRecord` an op, most self time first."""
        return sorted(self.records.values(), key=lambda r: -r.self_time)

    def table(self, sort_by: str = "self_time", row_limit: int = -1) -> str:
        """Return a table as plain text.

        Parameters
        ----------
        sort_by : str, default "self_time"
            ``"self_time"``, ``"total_time"``, ``"mean_time"``, ``"calls"``, ``"output_bytes"``
            (largest first) or ``"name"``.
        row_limit : int, default -1
            How many rows; -1 means all.

        Raises
        ------
        ArgumentError
            For an unknown ``sort_by``.
        """
        if sort_by not in SORT_KEYS:
            raise ArgumentError(
                f"table: sort_by={sort_by!r} is unknown; choose {', '.join(sorted(SORT_KEYS))}"
            )
        attribute = SORT_KEYS[sort_by]
        records = sorted(
            self.records.values(), key=lambda r: getattr(r, attribute), reverse=attribute != "name"
        )
        in_ops = sum(r.self_time for r in records)
        shown = records if row_limit < 0 else records[:row_limit]
        rows = [HEADINGS] + [_row(record, in_ops) for record in shown]
        text = _aligned(rows)
        if len(shown) < len(records):
            text += f"\n... and {len(records) - len(shown)} more"
        text += f"\nTime in ops {_seconds(in_ops)}, in the block {_seconds(self.wall_time)}"
        if self._profile_memory:
            text += f"\nPeak of live results {_bytes(self.peak_bytes)}"
        return text

    def __str__(self) -> str:
        return self.table()


def _row(record: OpRecord, in_ops: float) -> tuple[str, ...]:
    share = 100 * record.self_time / in_ops if in_ops else 0.0
    return (
        record.name, str(record.calls), _seconds(record.self_time), f"{share:.1f}",
        _seconds(record.total_time), _seconds(record.mean_time), _bytes(record.output_bytes),
    )  # fmt: skip


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """Join cells to lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _seconds(value: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3f} {unit}"
    return f"{value * 1e6:.1f} us"


def _bytes(value: int) -> str:
    size = float(value)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
