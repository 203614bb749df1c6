"""Autotuning on CUDA: the fastest plan is found, computes the same, and is remembered."""

import ast
import json

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated
from kernel_cases import geometry, random_array
from product_cases import check

from tinyconv import config
from tinyconv.backend.cuda.products import choice, tuning
from tinyconv.backend.cuda.products.choice import Tile

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")

LARGE, SMALL = Tile(32, 32, 2, 3, 16, 32, 1), Tile(16, 32, 2, 3, 16, 32, 1)
DEPTH = 200
SHAPES = ((40, DEPTH), (DEPTH, 24))
GEOMETRY = (
    (2, 8, 9, 9), (12, 8, 3, 3), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1,
)  # fmt: skip


class Clock:
    """Times every plan as ``cost`` says, and notes which were timed."""

    def __init__(self, cost):
        self.cost, self.timed = cost, []

    def __call__(self, work):
        work()
        plan = work.args[0]
        self.timed.append(plan)
        return self.cost(plan)


@pytest.fixture
def clock(monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "TILES", {"EXACT": (LARGE, SMALL)})
    monkeypatch.setattr(choice, "SHORTEST", 2)
    with (
        emulated() as runner,
        config.override(cuda_autotune=True, cache_dir=tmp_path, float32_precision="highest"),
    ):
        found = Clock(lambda plan: 1.0 if plan.tile is LARGE and plan.slices == 2 else 2.0)
        monkeypatch.setattr(runner, "seconds", found, raising=False)
        tuning.forget()
        yield found
        tuning.forget()


def multiply(seed=0, shapes=SHAPES):
    a, b = (random_array(shape, seed=seed + i).astype("float32") for i, shape in enumerate(shapes))
    check("exact", "matmul", (a, b, None), shapes[0][1])


def files(folder):
    return sorted((folder / "tuned").glob("*"))


def test_the_fastest_of_all_plans_is_found_and_not_timed_again(clock, tmp_path):
    multiply()
    plans = set(clock.timed)
    assert {plan.tile for plan in plans} == {LARGE, SMALL}
    assert {plan.slices for plan in plans} >= {1, 2}
    assert len(clock.timed) == tuning.RUNS * len(plans)
    multiply(5)
    assert len(clock.timed) == tuning.RUNS * len(plans)
    (file,) = files(tmp_path)
    (entry,) = json.loads(file.read_text()).values()
    assert entry[0] == list(LARGE)
    assert entry[1] == 2


def test_every_plan_computes_the_same(clock):
    size = choice.Size("EXACT", 40, 24, DEPTH, 4)
    for plan in choice.alternatives(size, True):
        clock.cost = lambda timed, plan=plan: 1.0 if timed == plan else 2.0
        multiply()
        tuning.forget()


def test_later_processes_find_it_in_the_cache_folder(clock):
    multiply()
    clock.timed.clear()
    tuning.forget()  # as in a new process
    multiply()
    assert not clock.timed
    multiply(shapes=((41, DEPTH), (DEPTH, 24)))
    assert clock.timed


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"a": 3}', '{"a": [[1, 2], 1, 1]}', '{"a": [[1], "x", 1]}']
)
def test_a_damaged_file_is_measured_anew(text, clock, tmp_path):
    multiply()
    (file,) = files(tmp_path)
    whole = file.read_text()
    file.write_text(text)
    clock.timed.clear()
    tuning.forget()
    multiply()
    assert clock.timed
    assert file.read_text() == whole
    assert files(tmp_path) == [file]


def test_other_kernels_and_other_gpus_have_files_of_their_own(clock, tmp_path, monkeypatch):
    multiply()
    clock.timed.clear()
    with emulated() as runner:
        monkeypatch.setattr(runner, "seconds", clock, raising=False)
        monkeypatch.setattr(runner, "name", "another GPU", raising=False)
        multiply()
    assert clock.timed
    clock.timed.clear()
    tuning.forget()
    monkeypatch.setattr(choice, "TILES", {"EXACT": (SMALL,)})
    multiply()
    assert {plan.tile for plan in clock.timed} == {SMALL}
    assert len(files(tmp_path)) == 3


def test_a_folder_that_cannot_be_written_to_costs_only_time(clock, tmp_path):
    (tmp_path / "tuned").write_text("no folder")
    multiply()
    timed = len(clock.timed)
    multiply()
    assert timed
    assert len(clock.timed) == timed


def test_all_directions_of_a_convolution_are_tuned(clock, tmp_path):
    x_shape, w_shape, bias, *rest = GEOMETRY
    x, w = random_array(x_shape).astype("float32"), random_array(w_shape, seed=1).astype("float32")
    y = check("exact", "conv", (x, w, bias, *rest), 72)
    dy = random_array(y.shape, seed=2).astype("float32")
    check("exact", "conv_input_grad", (dy, w, x.shape[2:], *rest), 108)
    check("exact", "conv_weight_grad", (x, dy, w.shape[2:], *rest), 162)
    (file,) = files(tmp_path)
    names = sorted(ast.literal_eval(key)[0] for key in json.loads(file.read_text()))
    assert names == ["conv", "conv", "conv_weight"]


@pytest.mark.parametrize("taps", [1, 3])
def test_what_is_added_to_is_added_to_once(taps, clock):
    g = geometry(2, 24, 40, (9, 10), (taps, taps), (1, 1), ((taps // 2,) * 2,) * 2, (1, 1))
    dy = random_array((g.batch, g.out_channels, *g.out)).astype("float32")
    w = random_array((g.out_channels, g.channels, *g.kernel)).astype("float32")
    for seed in range(2):
        total = random_array((g.batch, *g.spatial, g.channels), seed=seed).astype("float32")
        total = np.moveaxis(total, -1, 1)
        clock.timed.clear()
        check("exact", "conv_input_grad", (dy, w, g.spatial, *g[5:], None, total), w[:, 0].size)
        assert bool(clock.timed) == (seed == 0)


@pytest.mark.parametrize("setting", [{"cuda_autotune": False}, {"deterministic": True}])
def test_nothing_is_timed_where_it_is_not_wanted(setting, clock, tmp_path):
    with config.override(**setting):
        multiply()
    assert not clock.timed
    assert not files(tmp_path)


def test_nothing_is_timed_while_a_step_is_recorded(clock, monkeypatch):
    monkeypatch.setattr(tuning, "recording", lambda: True)
    multiply()
    assert not clock.timed
    monkeypatch.undo()


def test_a_rule_of_thumb_is_one_of_the_alternatives(clock):
    for rows in (3, 40, 1000):
        for sliced in (False, True):
            size = choice.Size("EXACT", rows, 24, DEPTH, 4)
            assert choice.choose(size, sliced).tile in {
                p.tile for p in choice.alternatives(size, sliced)
            }
    assert np.isfinite(clock.cost(choice.choose(size, True)))
