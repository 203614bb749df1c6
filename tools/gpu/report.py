"""Plain tables of what was found."""

from __future__ import annotations

from typing import Any

from . import layers
from .rows import FAIL, OK, SKIPPED, Row


def summary(rows: list[Row]) -> list[str]:
    """Return a line for each stage, then what failed or was left out."""
    lines = [f"{'stage':14}{'ok':>6}{'FAIL':>6}{'skipped':>9}"]
    for stage in dict.fromkeys(row.stage for row in rows):
        mine = [row.status for row in rows if row.stage == stage]
        counts = [mine.count(status) for status in (OK, FAIL, SKIPPED)]
        lines.append(f"{stage:14}{counts[0]:>6}{counts[1]:>6}{counts[2]:>9}")
    worst = max((r for r in rows if "error" in r.figures), key=_error, default=None)
    if worst is not None:
        lines.append(f"largest error: {_error(worst):.2f} of its bound, {worst.name}")
    for row in rows:
        if row.status != OK:
            lines.append(f"{row.status:8}{row.stage}: {row.name}: {row.note}")
    return lines


def _error(row: Row) -> float:
    return float(row.figures["error"])


def machine(rows: list[Row]) -> dict[str, Any]:
    """Return what the timing stage found out about the machine."""
    return next((row.figures for row in rows if "GB/s" in row.figures), {})


def timings(rows: list[Row]) -> list[str]:
    """Return the table of convolutions, then that of steps of training."""
    known = machine(rows)
    timed = [row for row in rows if "seconds" in row.figures]
    of_layers = {layer.name: layer for layer in layers.LAYERS}
    lines: list[str] = []
    seconds = {(row.name, row.figures["side"]): row.figures["seconds"] for row in timed}
    names = dict.fromkeys(row.name for row in timed if " step " not in row.name)
    if names:
        lines += ["", f"{'convolution':42}{'ms':>9}{'TFLOP/s':>9}{'roof':>6}{'torch ms':>10}"
                  f"{'ratio':>7}"]  # fmt: skip
    for name in names:
        shape, _, precision = name.rsplit(" ", 2)
        layer = of_layers[shape]
        mine, best = seconds.get((name, "tinyconv")), seconds.get((name, "torch"))
        rate = None if mine is None else layer.flops / mine / 1e12
        share = _share(layer.least(precision, known), mine)
        lines.append(f"{name:42}{_ms(mine):>9}{_number(rate, 0):>9}{share:>6}{_ms(best):>10}"
                     f"{_ratio(mine, best):>7}")  # fmt: skip
    return lines + _steps(timed, known)


def _steps(timed: list[Row], known: dict[str, Any]) -> list[str]:
    """Return the table of steps; the ratio is to PyTorch's best mode of the same precision."""
    from .steps import NETS, least

    found = {}
    for row in timed:
        net, step, mode = row.name.partition(" step ")
        if step:
            precision, _, mode = mode.partition(" ")
            found[net, precision, row.figures["side"], mode] = row.figures["seconds"]
    lines = ["", f"{'step':12}{'':6}{'mode':32}{'ms':>9}{'roof':>6}{'ratio':>7}"] if found else []
    for net in [net.name for net in NETS]:
        for precision in layers.PRECISIONS:
            mine = {k[2:]: s for k, s in found.items() if k[:2] == (net, precision)}
            best = min((s for (side, _), s in mine.items() if side == "torch"), default=None)
            for (side, mode), value in mine.items():
                share = _share(least(net, precision, known), value)
                ratio = _ratio(value, best)
                lines.append(f"{net:12}{precision:6}{side + ' ' + mode:32}{_ms(value):>9}"
                             f"{share:>6}{ratio:>7}")  # fmt: skip
    return lines


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _ms(seconds: float | None) -> str:
    return _number(None if seconds is None else seconds * 1e3, 3)


def _ratio(mine: float | None, best: float | None) -> str:
    return _number(None if mine is None or best is None else mine / best, 2)


def _share(least: float | None, seconds: float | None) -> str:
    return "-" if least is None or seconds is None else f"{least / seconds:.0%}"
