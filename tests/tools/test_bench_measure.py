"""How the benchmark tool measures: turns, quiet, disturbances, failures, memory."""

import gc
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks import cases, child, machine, measure, nets, quiet, report, runner, sides

from tinyconv.backend.cpu import memory

# -- measuring ----------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock by one that only steps and sleeping move."""
    state = SimpleNamespace(now=0.0, busy=0.0)
    fake = SimpleNamespace(
        perf_counter=lambda: state.now,
        process_time=lambda: 0.0,
        sleep=lambda seconds: setattr(state, "now", state.now + seconds),
    )
    monkeypatch.setattr(measure, "time", fake)
    monkeypatch.setattr(quiet, "time", fake)
    monkeypatch.setattr(quiet, "busy_seconds", lambda: state.busy)
    monkeypatch.setattr(quiet.os, "cpu_count", lambda: 2)
    return state


def step_of(clock, seconds, busy=0.0):
    def step():
        clock.now += seconds
        clock.busy += busy

    return step


def test_interleave_gives_every_side_the_same_rounds(clock):
    turns = []
    times = measure.interleave(
        {"a": step_of(clock, 0.01), "b": step_of(clock, 0.02)},
        measure.Plan(seconds=1.0, min_rounds=2, max_rounds=9), 2, turns.append,
    )  # fmt: skip
    assert times["a"].median == pytest.approx(0.01)
    assert times["b"].best == pytest.approx(0.02)
    assert len(times["a"].blocks) == len(times["b"].blocks) == len(turns) / 2 > 2
    assert turns[:4] == ["a", "b", "b", "a"]  # nobody always comes first
    assert len(times["a"].blocks[0]) == 12  # as many as fill a block
    assert times["a"].disturbed == 0


def test_interleave_keeps_to_its_limits(clock):
    steps = {"slow": step_of(clock, 5.0)}
    plan = measure.Plan(seconds=1.0, min_rounds=3, max_rounds=9)
    assert [len(b) for b in measure.interleave(steps, plan, 2)["slow"].blocks] == [2, 2, 2]
    steps = {"fast": step_of(clock, 1e-6)}
    blocks = measure.interleave(steps, plan, 2)["fast"].blocks
    assert len(blocks) == 9
    assert len(blocks[0]) == measure.MOST


def test_disturbed_blocks_are_taken_again_then_kept_and_counted(clock):
    step = step_of(clock, 0.01, busy=0.01)  # a neighbour keeps one core busy
    times = measure.Times()
    watch = quiet.Watch(2)
    start = clock.now
    measure.add_block(times, step, 10, watch, attempts=3)
    assert times.disturbed == 1
    assert len(times.blocks) == 1
    assert clock.now - start > 3 * 0.1
    calm = measure.Times()
    measure.add_block(calm, step, 10, quiet.Watch(1), attempts=3)  # the second core is to spare
    assert calm.disturbed == 0


def test_block_does_not_count_settling(clock):
    lengths = iter([0.5, 0.1, 0.1, 0.1])  # threads wake up in the first step

    def step():
        clock.now += next(lengths)

    assert measure.block(step, 3) == pytest.approx([0.1] * 3)


def test_garbage_collector_is_on_again_after_a_failure():
    def step():
        assert not gc.isenabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure.block(step, 1)
    assert gc.isenabled()


def test_wait_until_quiet_sees_a_spinning_thread(monkeypatch):
    cpu = iter([0.0, 0.012, 0.012, 0.024, 0.024, 0.024])  # two windows of spinning, then none
    windows = []
    fake = SimpleNamespace(
        perf_counter=lambda: 0.0, process_time=lambda: next(cpu), sleep=windows.append
    )
    monkeypatch.setattr(quiet, "time", fake)
    assert quiet.wait_until_quiet()
    assert len(windows) == 3


# -- running ------------------------------------------------------------------------------------


class Broken(cases.Case):
    group, name = "forward", "broken"

    def __init__(self, fail):
        self.fail = fail

    def make(self, side, weights=None):
        if side.name == self.fail:
            raise RuntimeError("no such\nlayer")
        value = 2.0 if side.name == "wrong" else 1.0
        return cases.Task(lambda: None, lambda: {"output": np.full(3, value)})


def fake_side(name):
    return SimpleNamespace(name=name)


def test_a_failing_side_leaves_an_error_and_the_others_are_timed():
    three = {name: fake_side(name) for name in ("a", "b", "wrong")}
    plan = measure.Plan(0.0, 1, 1)
    row = runner.run_case(Broken("b"), three, plan, threads=1)
    assert row.times.keys() == {"a"}
    assert row.errors["b"] == "RuntimeError: no such layer"
    assert "another result than a: output differs by 1.0e+00" in row.errors["wrong"]
    row = runner.run_case(Broken("a"), three, plan, threads=1)
    assert row.times.keys() == {"b"}  # the next one gives the expected results


def test_a_case_that_fails_everywhere_is_a_row():
    row = runner.run_case(Broken("a"), {"a": fake_side("a")}, measure.Plan(), threads=1)
    assert not row.times
    assert report.ratio(row, "a") is None
    assert report.Table(["a", "torch"]).cells(row)[0] == "broken"


# -- machine and memory -------------------------------------------------------------------------


def test_facts_and_ceilings_can_be_kept_as_json():
    facts = json.loads(json.dumps(machine.facts(2)))
    assert facts["threads"] == 2
    assert facts["versions"]["numpy"] == np.__version__
    assert machine.copy_bandwidth(1, megabytes=8) > 0.1
    assert machine.float32_rate(1, size=64) > 0.01
    assert machine.between([{"a": 1.0}, {"a": 3.0}]) == {"a": 2.0}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("make", [np.zeros, memory.zeros], ids=["NumPy's", "lent"])
def test_peak_memory_sees_what_a_step_allocates(make):
    class Side(sides.Tinyconv):
        def __init__(self):
            """Leave the number of threads alone."""

    class Case(cases.Training):
        def make(self, side, weights=None):
            # As much for two images as for all: what the first step leaves must not hide the rest.
            return cases.Task(lambda: make(64 << 20, np.uint8).fill(1))

    case = Case(nets.Net("x", None, (64, 1, 1, 1)))
    original = child.Training
    try:
        child.Training = Case
        found = child.peak_memory(case, Side())
    finally:
        child.Training = original
    assert 60 < found["peak"] < 80
    assert found.keys() == {"peak", "peak_with_code"}
