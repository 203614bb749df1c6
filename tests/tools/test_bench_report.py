"""What the benchmark tool says: ratios, tables, and the command itself."""

import json

import bench
import pytest
from benchmarks import machine, measure, report
from benchmarks.runner import Row


def timed(**medians):
    """Return the times of a row, two rounds for each side."""
    return {
        side.replace("__", ":"): {"median": m, "best": m / 2, "rounds": [m, m], "disturbed": 0}
        for side, m in medians.items()
    }


# -- tables -------------------------------------------------------------------------------------


def test_ratio_is_to_the_faster_mode_of_pytorch():
    row = Row("training", "x", times=timed(tinyconv=3.0, torch=4.0, torch__channels_last=2.0,
                                           jax=1.0))  # fmt: skip
    assert report.ratio(row, "tinyconv") == 1.5
    assert report.spread(row, "tinyconv") == 0.0
    assert report.ratio(Row("training", "x", times=timed(tinyconv=3.0)), "tinyconv") is None
    assert report.ratio(Row("training", "x", times=timed(a=3.0, b=6.0)), "a") == 0.5


def test_spread_pairs_the_rounds():
    times = timed(tinyconv=1.0, torch=1.0)
    times["tinyconv"]["rounds"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    times["torch"]["rounds"] = [1.0, 1.0, 1.0, 1.0, 1.0]
    assert report.spread(Row("training", "x", times=times), "tinyconv") == 1.0


def test_memory_ratio_is_to_the_smaller_peak():
    peaks = {"tinyconv": 90.0, "torch": 100.0, "torch:channels_last": 60.0}
    row = Row("training", "x", memory={side: {"peak": peak} for side, peak in peaks.items()})
    assert report.memory_ratio(row, "tinyconv") == 1.5


def test_geometric_mean_skips_what_is_missing():
    assert report.geometric_mean([0.5, None, 2.0]) == pytest.approx(1.0)
    assert report.geometric_mean([None]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.23456, "1235"),
        (0.123456, "123"),
        (0.0123456, "12.3"),
        (1.2e-3, "1.20"),
        (4e-6, "0.00400"),
    ],
)
def test_milliseconds_have_three_digits(seconds, text):
    assert report.milliseconds(seconds) == text


def run_of(rows, **facts):
    machine_facts = {"processor": "p", "cores": 2, "threads": 2, "python": "3",
                     "date": "2000-01-01", "versions": {"numpy": "2"}}  # fmt: skip
    return {"machine": {**machine_facts, **facts}, "sides": ["tinyconv", "torch"],
            "ceilings": {"copy GB/s": 30.0}}  # fmt: skip


def test_markdown_marks_and_explains_what_is_slower():
    rows = [
        Row("forward", "slow", note="three channels fill no vector",
            times=timed(tinyconv=1.2, torch=1.0)),
        Row("forward", "fast", note="not shown", times=timed(tinyconv=0.3, torch=1.0)),
        Row("forward", "gone", errors={"tinyconv": "no such layer"}),
    ]  # fmt: skip
    text = report.markdown(run_of(rows), rows)
    assert "| **slow** | 1200 | 600 | 1000 | 500 | 1.20 | 0.00 |" in text
    assert "| fast |" in text
    assert "- slow: three channels fill no vector" in text
    assert "not shown" not in text
    assert "- gone: tinyconv: no such layer" in text
    assert "| geometric mean |  |  |  |  | 0.60 |  |" in text
    counts = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(counts) == 1


def test_markdown_has_a_table_of_memory():
    peaks = {"tinyconv": {"peak": 5.0}, "torch": {"peak": 20.0}}
    rows = [Row("training", "x", times=timed(tinyconv=1.0, torch=2.0), memory=peaks),
            Row("training", "y", times=timed(tinyconv=1.0, torch=2.0))]  # fmt: skip
    _, table = report.markdown(run_of(rows), rows).split("### Training steps, peak memory\n\n")
    assert table.splitlines() == [
        "| MB | tinyconv | PyTorch | ratio |", "| --- | --: | --: | --: |",
        "| x | 5 | 20 | 0.25 |", "| geometric mean |  |  | 0.25 |",
    ]  # fmt: skip


def test_every_row_has_the_columns_of_its_heading():
    row = Row("training", "x", times=timed(tinyconv=1.0, torch=2.0),
              memory={"tinyconv": {"peak": 5.0}})  # fmt: skip
    for former in ([], [row]):
        for memory in (False, True):
            for group in ("training", "forward"):
                row.group = group
                table = report.Table(["tinyconv", "torch", "jax"], former, memory)
                width = len(table.columns(group))
                assert len(table.cells(row)) == width
                assert len(table.summary([row])) == width


def test_disturbed_rows_are_marked():
    row = Row("forward", "x", times=timed(tinyconv=1.0, torch=1.0))
    table = report.Table(["tinyconv", "torch"])
    assert table.cells(row)[0] == "x"
    row.times["torch"]["disturbed"] = 2
    assert table.cells(row)[0] == "x ~"


def test_former_run_is_compared():
    new = Row("forward", "x", times=timed(tinyconv=1.0))
    old = Row("forward", "x", times=timed(tinyconv=2.0))
    other = Row("training", "x", times=timed(tinyconv=4.0))
    table = report.Table(["tinyconv"], [other, old])
    assert table.columns("forward")[-1] == "to former"
    assert table.cells(new)[-1] == "0.50"


# -- the command --------------------------------------------------------------------------------


def test_list_and_patterns(capsys):
    assert bench.main(["--list"]) == 0
    everything = capsys.readouterr().out.splitlines()
    assert "training: ResNet-50" in everything
    bench.main(["--list", "--only", "^training|CONV 1X1"])
    some = capsys.readouterr().out.splitlines()
    assert 9 < len(some) < len(everything)
    bench.main(["--list", "--quick"])
    quick = capsys.readouterr().out.splitlines()
    assert 10 < len(quick) < 30
    with pytest.raises(SystemExit):
        bench.main(["--threads", "0"])


def test_command_writes_json_and_markdown_and_compares_with_the_last_run(
    tmp_path, capsys, monkeypatch, ours
):
    monkeypatch.setattr(machine, "ceilings", lambda threads: {"copy GB/s": 30.0})
    monkeypatch.setattr(bench, "set_threads", lambda count: None)
    monkeypatch.setattr(measure, "wait_until_quiet", lambda: True)
    monkeypatch.setattr(bench, "plan", lambda case, options: measure.Plan(0.0, 1, block=0.001))
    file, table = tmp_path / "run.json", tmp_path / "table.md"
    arguments = ["--without-torch", "--only", "^forward: ReLU", "--seconds", "0", "--threads", "1",
                 "--no-memory", "--sides", "tinyconv", "--json", str(file)]  # fmt: skip
    assert bench.main([*arguments, "--markdown", str(table)]) == 0
    assert "| ReLU, 32x64x32x32 |" in table.read_text()
    assert "to former" not in capsys.readouterr().out
    run = json.loads(file.read_text())
    assert run["sides"] == ["tinyconv"]
    assert run["rows"][0]["times"]["tinyconv"]["median"] > 0
    assert bench.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "to former" in printed
    assert "former run: " in printed
