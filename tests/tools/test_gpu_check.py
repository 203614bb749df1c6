"""The check for machines with a GPU: stages on the emulated device, processes, tables."""

import itertools
import json
import sys
import time
from types import SimpleNamespace

import gpu_check
import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated_device
from gpu import arrays, cases, correctness, jobs, layers, report, steps, training
from gpu.rows import FAIL, OK, SKIPPED, Budget, Row, each

import tinyconv as tc
from tinyconv import nn
from tinyconv.backend import cuda
from tinyconv.backend.cuda.products import choice

emulates = pytest.mark.skipif(COMPILER is None, reason="needs g++")


@pytest.fixture
def device():
    with emulated_device() as name:
        yield name


@pytest.fixture
def plainly():
    """Run the reference kernels on the CPU: nothing is compiled."""
    with tc.config.override(backend="numpy"):
        yield


def statuses(rows):
    return {row.status for row in rows}


# -- correctness --------------------------------------------------------------------------------


@emulates
@pytest.mark.parametrize("only", ["relu_grad", "sgd momentum False 0 ", "layer_norm "])
def test_kernels_are_checked_in_all_dtypes(device, only):
    place = correctness.Place(device)
    found = [piece for piece in correctness.small(place, 11) if only in piece[0]]
    assert len(found) in (3, 3 * len(arrays.LAYOUTS), 6 * len(arrays.LAYOUTS))
    rows = list(each("correctness", Budget(100), found))
    assert statuses(rows) == {OK}, [row.note for row in rows]
    assert all(0 <= row.figures["error"] <= 1 for row in rows)


@emulates
def test_the_stage_yields_rows_of_what_matches(device):
    rows = itertools.islice(correctness.run(device, Budget(100), 5, "hardtanh bfloat16"), 3)
    assert [(row.stage, row.status) for row in rows] == [("correctness", OK)] * 3


@emulates
def test_a_sanitized_process_runs_small_calls(device):
    rows = list(correctness.sanitized(device, Budget(100), 5, "masked float16"))
    assert [(row.stage, row.status) for row in rows] == [("sanitizer", OK)]


@emulates
@pytest.mark.parametrize("kind", ["tf32", "bfloat16"])
def test_convolutions_take_the_tile_they_are_given(device, kind, monkeypatch):
    place, math = correctness.Place(device), correctness.MATH[kind]
    taken = set()
    launch = correctness.launching.Variant.__call__

    def noting(self, *values, **options):
        if self.name == "conv":
            taken.add((self.defines["BM"], self.defines["BN"]))
        launch(self, *values, **options)

    monkeypatch.setattr(correctness.launching.Variant, "__call__", noting)
    (case,) = itertools.islice(cases.directions(3, cases.aligned_geometries()), 1)
    for tile in choice.TILES[math][-2:]:
        with correctness.only_tile(math, tile):
            correctness.check(place, case, kind)
    assert taken == {(tile.rows, tile.columns) for tile in choice.TILES[math][-2:]}
    assert len(choice.TILES[math]) == 4


@emulates
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda y: y * np.float32(1.001), "times its bound"),
        (lambda y: y[:1], "shape"),
        (lambda y: np.where(y == y.max(), np.float32(np.nan), y), "not finite"),
        (lambda y: y.astype("int32"), "dtype"),
    ],
)
def test_wrong_results_are_found(device, monkeypatch, fault, words):
    place = correctness.Place(device)
    case = next(case for case in cases.small(1) if case.kernel == "sigmoid")
    right = cuda.override("sigmoid")
    monkeypatch.setattr(
        correctness.cuda, "override", lambda name: lambda xp, x: fault(right(xp, x))
    )
    with pytest.raises(correctness.Wrong, match=words):
        correctness.check(place, case, "float32")


def test_a_convolution_that_loses_digits_is_found(monkeypatch):
    """float32 as TF32 is within the bound of TF32 alone."""
    place = correctness.Place("cpu")
    case = next(c for c in cases.small(1) if c.kernel == "conv")
    reference = correctness.KERNELS["conv"]

    def tf32(xp, x, w, *rest):
        cut = [(a.view(np.uint32) & ~np.uint32(0xFFF)).view(np.float32) for a in (x, w)]
        return reference(xp, *cut, *rest)

    monkeypatch.setattr(correctness.cuda, "override", lambda name: tf32)
    assert correctness.check(place, case, "tf32")["error"] < 1
    with pytest.raises(correctness.Wrong, match="times its bound"):
        correctness.check(place, case, "float32")


def test_an_example_of_every_kernel_and_fresh_numbers():
    one, other = cases.small(1), cases.small(2)
    assert {case.kernel for case in one} == set(cuda.OVERRIDES)
    assert not np.array_equal(one[0].arguments[0], other[0].arguments[0])
    assert next(c for c in one if c.kernel == "conv").depth == 2 * 3 * 2


def test_sized_calls_are_calls_of_kernels():
    """The reference takes them all."""
    small = ((2, 6, 5, 4),)
    seen = set()
    for case in cases.sized(1, small):
        with np.errstate(all="ignore"):
            results = correctness.KERNELS[case.kernel](np, *case.arguments)
        assert all(np.isfinite(a).all() for a in arrays.arrays_in(results)), case.label
        seen.add(case.kernel)
    assert len(seen) > 30
    for geometries in (cases.odd_geometries, cases.aligned_geometries, cases.real_geometries):
        assert len({case.label for case in cases.directions(1, geometries()[:4])}) == 20


@pytest.mark.parametrize("layout", arrays.LAYOUTS)
def test_layouts_hold_the_same_numbers(layout):
    place = arrays.Place("cpu")
    for shape in ((2, 3, 4, 5), (3,), (), (0, 2), (2, 3)):
        x = np.random.default_rng(0).standard_normal(shape).astype("float32")
        np.testing.assert_array_equal(place.get(place.put(x, layout)), x)
    y = place.put(np.ones((2, 3, 4, 5), "float32"), layout)
    assert (y.flags.c_contiguous and y.ctypes.data % 16 == 0) == (layout == "contiguous")


def test_fresh_memory_is_poisoned():
    xp = arrays.poisoned(np)
    assert np.isnan(xp.empty((2, 3), dtype=np.float32)).all()
    assert np.isnan(xp.empty_like(np.ones((3, 2)).T)).all()
    assert xp.zeros(2).sum() == 0


@emulates
def test_kernels_are_compiled(device):
    rows = list(correctness.compiled(device, Budget(100), 0, "philox"))
    assert len(rows) == 1
    assert rows[0].status == OK
    assert rows[0].name.startswith("philox")
    listed = {variant.name for variant in correctness.variants()}
    assert {"conv", "conv_weight", "matmul", "sgd", "dropout"} <= listed


# -- training -----------------------------------------------------------------------------------


class KernelsAlone(training.Trial):
    """On the emulated device only kernels are recorded, so this step is made of them."""

    def __init__(self):
        self.calls = 0
        tc.manual_seed(3)
        self.weight = nn.Parameter(tc.randn(6, 5))
        self.model = nn.Sequential(nn.ReLU(), nn.Dropout(0.25), nn.LeakyReLU(0.1))
        self.model.register_parameter("scale", self.weight)
        self.optimizer = tc.optim.Adam([self.weight], lr=0.1)
        self.scheduler = tc.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)
        self.batches = [(tc.randn(6, 5),) for _ in range(training.STEPS)]

    def step(self, x):
        self.calls += 1
        self.optimizer.zero_grad()
        y = self.model(nn.functional.relu(self.weight))
        y.backward(x)
        self.optimizer.step()
        return y


class Forgetful(KernelsAlone):
    """A step that does something besides, in Python: a replay does not do it."""

    def step(self, x):
        with tc.no_grad():
            self.weight.copy_(self.weight * (1 + 0.1 * self.calls))
        return super().step(x)


class Unrecordable(KernelsAlone):
    def step(self, x):
        if super().step(x).sum().item() == 7:
            raise AssertionError
        return self.weight


@emulates
def test_replays_are_compared(device, monkeypatch):
    trials = {"good": KernelsAlone, "forgets": Forgetful}
    monkeypatch.setattr(training, "TRIALS", trials)
    good, bad = training.graphs(device, Budget(100), 0)
    assert (good.status, good.figures) == (OK, {"steps": 10, "replayed": 7})
    assert bad.status == FAIL
    assert "differ from line by line" in bad.note


def test_a_step_that_is_never_replayed_fails(plainly, monkeypatch):
    monkeypatch.setattr(training, "TRIALS", {"on a CPU": KernelsAlone})
    (row,) = training.graphs("cpu", Budget(100), 0)
    assert row.status == FAIL
    assert "none was replayed" in row.note


@pytest.mark.parametrize("name", training.TRIALS)
def test_the_trials_train(plainly, name):
    trial = training.TRIALS[name]()
    found = trial.run(trial.step)
    losses = [value for name, value in found.items() if name.startswith("result")]
    assert len(losses) == training.STEPS
    assert np.isfinite(losses).all()
    assert trial.optimizer.param_groups[0]["lr"] < 0.1


@pytest.mark.parametrize(("leak", "status"), [(0, OK), (8, FAIL)])
def test_memory_has_to_come_back(plainly, monkeypatch, leak, status):
    bytes_used = itertools.count(1000, leak) if leak else itertools.repeat(1000)
    monkeypatch.setattr(training, "used", lambda: next(bytes_used))
    monkeypatch.setattr(training, "exhausted", lambda: {"message": "x"})
    rows = list(training.memory("cpu", Budget(100), 0))
    assert [row.status for row in rows] == [status, status, OK]
    assert leak == 0 or "8 bytes more after 30 steps" in rows[0].note


def test_out_of_memory_has_to_be_said(monkeypatch):
    class Limited:
        def __init__(self, more):
            pass

        def __enter__(self):
            monkeypatch.setattr(training.nn.functional, "gelu", self.gelu)

        def __exit__(self, *_):
            monkeypatch.undo()

        def gelu(self, x):
            raise tc.cuda.OutOfMemoryError(self.words)

    words = "gelu: out of memory on cpu: 64 MiB"
    monkeypatch.setattr(training, "BEYOND", 4096)
    with monkeypatch.context() as patch:
        patch.setattr(training, "limited", Limited)
        Limited.words = words
        assert training.exhausted() == {"message": words}
        patch.setattr(training, "limited", Limited)
        Limited.words = "no memory"
        with pytest.raises(AssertionError, match="the message lacks"):
            training.exhausted()


# -- processes ----------------------------------------------------------------------------------


def jobs_of(monkeypatch, code, job=None, grace=15.0):
    job = jobs.Job("memory", "a:b", 20) if job is None else job
    monkeypatch.setattr(jobs, "command", lambda *_: [sys.executable, "-c", code])
    monkeypatch.setattr(jobs, "GRACE", grace)
    return list(jobs.run(job, Budget(100)))


ROW = """print('{"stage": "memory", "name": "x", "status": "ok"}', flush=True)\n"""


def test_rows_come_from_the_process_of_a_job(monkeypatch):
    assert jobs_of(monkeypatch, f"print('words'); {ROW}") == [Row("memory", "x")]


def test_a_process_that_dies_is_a_failure_with_its_last_words(monkeypatch):
    rows = jobs_of(monkeypatch, ROW + "raise SystemExit('an illegal access')")
    assert [row.status for row in rows] == [OK, FAIL]
    assert rows[1].note == "exit status 1: an illegal access"


def test_a_process_that_hangs_is_ended(monkeypatch):
    job = jobs.Job("memory", "a:b", 5.0)
    monkeypatch.setattr(jobs, "Budget", Budget)
    rows = jobs_of(monkeypatch, ROW + "import time; time.sleep(100)", job, grace=-4.0)
    assert rows[-1].status == FAIL
    assert "did not end" in rows[-1].note


def test_what_a_job_has_started_ends_with_it(monkeypatch, tmp_path):
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}])"
    rows = jobs_of(monkeypatch, f"{code}; {ROW}time.sleep(100)", jobs.Job("memory", "a:b", 5.0),
                   grace=-4.0)  # fmt: skip
    assert "did not end" in rows[-1].note
    time.sleep(3.5)
    assert not mark.exists()


def test_what_is_not_there_is_skipped(monkeypatch):
    tool = jobs.Job("sanitizer", "a:b", 5, ("no-such-program", "--tool", "memcheck"))
    package = jobs.Job("timing", "a:b", 5, needs="no_such_package")
    (one,), (two,) = (jobs_of(monkeypatch, ROW, job) for job in (tool, package))
    assert (one.status, one.note) == (SKIPPED, "no-such-program is not there")
    assert (two.status, two.note) == (SKIPPED, "no_such_package is not there")
    (late,) = jobs.run(jobs.Job("memory", "a:b", 5), Budget(1))
    assert (late.status, late.note) == (SKIPPED, "no time left")


def test_a_sanitizer_that_finds_something_is_a_failure(monkeypatch):
    job = jobs.Job("sanitizer", "a:b", 5, (sys.executable, "--tool", "memcheck"))
    (found,) = jobs_of(monkeypatch, "print('ERROR SUMMARY: 0 errors')", job)
    assert (found.name, found.status) == ("a.b memcheck", OK)
    assert found.note == "ERROR SUMMARY: 0 errors"
    (found,) = jobs_of(monkeypatch, "print('3 errors'); raise SystemExit(86)", job)
    assert (found.status, found.note) == (FAIL, "exit status 86: 3 errors")


def test_every_job_has_its_function_and_fits_into_the_time():
    for job in jobs.JOBS:
        assert callable(jobs.function_of(job.function))
        assert jobs.command(job, 5.0, 1, "x")[: len(job.tool)] == list(job.tool)
    assert gpu_check.LIMIT <= 480 - 5


def test_work_that_finds_no_time_is_counted():
    rows = list(each("s", Budget(-1), [("a", dict), ("b", dict)]))
    assert [(row.status, row.note) for row in rows] == [(SKIPPED, "no time for 2, from 'a' on")]


# -- the command --------------------------------------------------------------------------------


def test_without_a_gpu_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "problem", lambda: "there is no driver")
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err == "no GPU can be checked: there is no driver\n"


def test_stages_are_chosen_by_name(capsys):
    assert gpu_check.parse([]).stages == list(jobs.STAGES)
    assert gpu_check.parse(["--only", "graphs,memory"]).stages == ["graphs", "memory"]
    with pytest.raises(SystemExit):
        gpu_check.parse(["--only", "graphs,memories"])
    assert "unknown stages memories" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (SKIPPED, 0), (FAIL, 1)])
def test_rows_are_written_and_decide_the_exit_status(monkeypatch, tmp_path, capsys, status, code):
    monkeypatch.setattr(gpu_check, "problem", lambda: None)
    monkeypatch.setattr(
        jobs, "run", lambda job, *_: iter([Row(job.stage, job.name, status, {}, "why")])
    )
    file = tmp_path / "found.jsonl"
    arguments = ["--only", "graphs,memory", "--json", str(file), "--seed", "4"]
    assert gpu_check.main(arguments) == code
    first, *lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert first["seed"] == 4
    assert [(line["stage"], line["status"]) for line in lines] == [
        ("graphs", status), ("memory", status),
    ]  # fmt: skip
    assert f"{status:8}graphs: training.graphs: why" in capsys.readouterr().out or status == OK


def test_a_machine_that_is_not_known_stops_no_table(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu_check, "problem", lambda: None)
    failed = Row("timing", "machine", FAIL, {"side": "tinyconv"}, "why")
    monkeypatch.setattr(jobs, "run", lambda *_: iter([failed]))
    assert gpu_check.main(["--only", "timing", "--json", str(tmp_path / "rows")]) == 1
    assert "FAIL    timing: machine: why" in capsys.readouterr().out


def test_a_job_prints_its_rows(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "problem", lambda: None)
    monkeypatch.setattr(jobs, "function_of", lambda name: lambda *_: iter([Row("memory", name)]))
    assert gpu_check.main(["--job", "a:b", "--seconds", "5"]) == 0
    assert jobs._row(capsys.readouterr().out) == Row("memory", "a:b")
    assert jobs._row('{"stage": "x", "nonsense": 1}') is None


# -- times --------------------------------------------------------------------------------------


def test_cost_of_a_layer():
    layer = layers.Layer(2, 3, 5, 8, 3, 2)
    assert (layer.out, layer.padding) == (4, 1)
    assert layer.flops == 2 * 2 * 16 * 5 * 27
    assert layer.bytes(2) == 2 * (2 * 3 * 64 + 2 * 5 * 16 + 5 * 27)
    known = {"peaks": {"bf16": 1e-9, "tf32": 1e9}, "GB/s": 1e-3}
    assert layer.least("bf16", known) == pytest.approx(layer.flops / 1e3)
    assert layer.least("tf32", known) == pytest.approx(layer.bytes(4) / 1e6)
    assert layer.least("bf16", {}) is None


def test_every_direction_is_timed_once_and_set_up_once():
    made = []

    def make(layer, precision):
        made.append(layer)
        return {name: lambda: 0.5 for name in layers.DIRECTIONS}

    found = dict(layers.pieces(make))
    assert len(found) == 2 * (3 * len(layers.LAYERS) - 1)
    assert {work()["seconds"] for work in found.values()} == {0.5}
    assert len(made) == 2 * len(layers.LAYERS)


class Clock:
    """Events of a device on which the step number n takes n ms."""

    def __init__(self):
        self.now = self.steps = 0

    def step(self):
        self.steps += 1
        self.now += self.steps

    def event(self):
        event = SimpleNamespace(synchronize=lambda: None)
        event.record = lambda: setattr(event, "at", self.now)
        event.elapsed_time = lambda other: other.at - event.at
        return event


def test_medians_leave_the_first_steps_out():
    clock = Clock()
    found = steps.median_seconds(clock.step, clock.event)
    assert found["steps"] == steps.MOST
    assert found["seconds"] == pytest.approx((steps.WARMUP + (steps.MOST + 1) / 2) / 1e3)
    clock = Clock()
    assert layers._median(clock.step, clock.event) == pytest.approx(0.005)


def test_our_steps_run(plainly, monkeypatch):
    """On a CPU, with small batches, timed by a clock of the host."""
    clock = Clock()
    monkeypatch.setattr(tc.cuda, "Event", lambda enable_timing: clock.event())
    monkeypatch.setattr(tc.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(steps, "MOST", 2)
    monkeypatch.setattr(steps, "WARMUP", 1)
    net = steps.NETS[0]
    monkeypatch.setattr(steps, "NETS", (type(net)(net.name, net.build, (2, 1, 28, 28)),))
    rows = list(steps.ours("cpu", Budget(100), 0, "tf32"))
    timed = [row for row in rows if row.status == OK]
    assert [row.name for row in timed] == ["LeNet-5 step tf32 graphed", "LeNet-5 step tf32 eager"]
    assert {row.figures["side"] for row in rows} == {"tinyconv"}


def test_tables():
    known = {"GPU": "a GPU", "GB/s": 3000, "peaks": layers.PEAKS["H100"], "side": "tinyconv"}
    name = f"{layers.LAYERS[0].name} forward bf16"

    def timed(name, side, seconds):
        return Row("timing", name, OK, {"side": side, "seconds": seconds})

    rows = [
        Row("timing", "machine", OK, known),
        timed(name, "tinyconv", 1e-4), timed(name, "torch", 5e-5),
        timed("U-Net step bf16 graphed", "tinyconv", 9e-3),
        timed("U-Net step bf16 channels_last", "torch", 12e-3),
        timed("U-Net step bf16 channels_last graph", "torch", 6e-3),
        timed("U-Net step tf32 eager", "tinyconv", 20e-3),
        Row("correctness", "relu", OK, {"error": 0.25}),
        Row("correctness", "conv", FAIL, {}, "wrong"),
    ]  # fmt: skip
    lines = report.timings(rows)
    row = next(line for line in lines if line.startswith(name))
    assert row.split()[-5:] == ["0.100", "148", "18%", "0.050", "2.00"]
    nets = [line.split() for line in lines if line.startswith("U-Net")]
    assert nets[0] == ["U-Net", "bf16", "tinyconv", "graphed", "9.000", "32%", "1.50"]
    assert nets[2][-1] == "1.00"
    assert nets[3][-1] == "-"  # no rival in this precision
    summary = report.summary(rows)
    assert summary[1].split() == ["timing", "7", "0", "0"]
    assert "largest error: 0.25 of its bound, relu" in summary
    assert "FAIL    correctness: conv: wrong" in summary
    assert report.timings([]) == []
