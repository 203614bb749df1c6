"""Time tinyconv beside PyTorch: whole networks, layers, optimizer steps.

    python tools/bench.py                          # everything, with peak memory
    python tools/bench.py --quick                  # under a minute
    python tools/bench.py --only 'training|conv 1x1'
    python tools/bench.py --json now.json --markdown table.md
    python tools/bench.py --without-torch --against now.json
    python tools/bench.py --sides torch,torch      # how far is the ratio of equals from 1?

The sides take turns in one process (``--isolated``: in processes of their own). The ratio is the
median time of the first side divided by that of PyTorch's faster mode; ``±`` is half the distance
between the quartiles of the ratios of single rounds; ``~`` behind a name means that other
processes used the cores, so that its times are worth less. Results are compared before they are
timed, and a case that fails says so in its place.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.runner import Row


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", default="", metavar="PATTERN", help="cases whose 'group: name' contains it")
    add("--quick", action="store_true", help="few cases, few rounds, no memory")
    add("--list", action="store_true", help="print the cases and stop")
    add("--threads", type=int, default=2, metavar="N", help="threads of every side (2)")
    add("--seconds", type=float, metavar="S", help="measure each case for about S seconds")
    add("--sides", metavar="A,B,...", help="the judged side, then its rivals")
    add("--without-torch", action="store_true", help="compare with a former run alone")
    add("--isolated", action="store_true", help="a process of its own for every side")
    add("--no-memory", action="store_true", help="leave peak memory out")
    add("--json", type=Path, metavar="FILE", help="write all figures; the last run in it is "
        "compared with")  # fmt: skip
    add("--markdown", type=Path, metavar="FILE", help="write tables for the documentation")
    add("--against", type=Path, metavar="FILE", help="JSON of a former run to compare with")
    add("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error("--threads must be at least 1")
    return options


def set_threads(count: int) -> None:
    """Tell every library before it is imported; some cannot be told later."""
    for name in ("OMP", "OPENBLAS", "MKL", "TINYCONV"):
        os.environ[f"{name}_NUM_THREADS"] = str(count)


def make_sides(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the sides by name, and the peers; a name that comes again gets a number."""
    from benchmarks.sides import PEERS, default_sides, installed, make_side

    specs = default_sides(not options.without_torch, not options.quick)
    if options.sides:
        specs = options.sides.split(",")
    elif missing := [peer for peer in PEERS if not installed(peer)]:
        print(f"not installed: {', '.join(missing)}")
    sides: dict[str, Any] = {}
    for spec in specs:
        if spec not in PEERS:
            name = spec if spec not in sides else f"{spec} {len(sides) + 1}"
            sides[name] = make_side(spec, options.threads)
    return sides, [spec for spec in specs if spec in PEERS]


def run(options: argparse.Namespace, former: list[Row]) -> tuple[dict[str, Any], list[Row]]:
    """Measure all chosen cases, print each when it is done, and return run and rows."""
    from benchmarks import machine, report
    from benchmarks.cases import all_cases, select
    from benchmarks.runner import run_case
    from tqdm import tqdm

    start = time.perf_counter()
    sides, peers = make_sides(options)
    judged = next(iter(sides))
    cases = select(all_cases(sides[judged].lib), options.only, options.quick)
    memory = not (options.quick or options.no_memory)
    table = report.Table(list(sides), former, memory)
    ceilings, rows, group = [machine.ceilings(options.threads)], [], ""
    with tqdm(cases, unit="case", leave=False, disable=None) as bar:
        for case in bar:
            if case.group != group:
                finish_group(table, rows, group)
                group = case.group
                tqdm.write("\n" + table.line([report.HEADINGS[group], *table.columns(group)[1:]]))
            row = run_case(
                case, sides, plan(case, options), peers=peers, threads=options.threads,
                memory=memory, isolated=options.isolated,
                turn=lambda what, name=case.name: bar.set_description(f"{name}: {what}"),
            )  # fmt: skip
            rows.append(row)
            tqdm.write(table.line(table.cells(row)))
            for side, words in row.errors.items():
                tqdm.write(f"    {side}: {words}")
    finish_group(table, rows, group)
    ceilings.append(machine.ceilings(options.threads))
    print(f"\ntook {time.perf_counter() - start:.0f} s")
    result = {
        "machine": machine.facts(options.threads), "sides": list(sides),
        "isolated": options.isolated, "ceilings": machine.between(ceilings),
        "all ceilings": ceilings,
    }  # fmt: skip
    return result, rows


def plan(case: Any, options: argparse.Namespace) -> Any:
    """Return how long to measure a case."""
    from benchmarks.measure import Plan

    network = case.group in ("training", "inference")
    if options.quick:
        seconds = options.seconds or (1.0 if network else 0.3)
        return Plan(seconds, min_rounds=2, block=0.12 if network else 0.05, attempts=2)
    return Plan(options.seconds or (6.0 if network else 1.5))


def finish_group(table: Any, rows: list[Row], group: str) -> None:
    """Print the geometric means of a group, and the other libraries after training."""
    from benchmarks import report
    from tqdm import tqdm

    members = [row for row in rows if row.group == group]
    summary = table.summary(members) if members else []
    if any(summary[1:]):
        tqdm.write(table.line(summary))
    lines = report.peer_lines(members, table.judged)
    for cells in lines:
        tqdm.write(("\n" if cells is lines[0] else "") + table.line(cells))


def load(path: Path | None) -> tuple[dict[str, Any], list[Row]]:
    """Return run and rows of a JSON file, or nothing without one."""
    from benchmarks.runner import Row

    if path is None:
        return {}, []
    run = json.loads(path.read_text())
    return run, [Row(**row) for row in run.pop("rows")]


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    set_threads(options.threads)
    if options.child:
        from benchmarks import child

        child.main(options.child, options.threads)
        return 0
    if options.list:
        from benchmarks.cases import all_cases, select

        for case in select(all_cases(), options.only, options.quick):
            print(f"{case.group}: {case.name}")
        return 0
    last = options.json if options.json and options.json.exists() else None
    former_run, former = load(options.against or last)
    result, rows = run(options, former)
    from benchmarks import report

    print(report.machine_line(result["machine"], result["ceilings"]))
    if former_run:
        print("former run: " + report.machine_line(former_run["machine"], former_run["ceilings"]))
    if options.markdown:
        options.markdown.write_text(report.markdown(result, rows))
    if options.json:
        plain = [dataclasses.asdict(row) for row in rows]
        options.json.write_text(json.dumps({**result, "rows": plain}, indent=1) + "\n")
    return 1 if any(row.errors for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
