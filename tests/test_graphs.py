"""`tc.graphed`: a recorded step does what the step does, bit for bit, and says where it cannot.

On the emulated device only launches of kernels are recorded, so the steps here are made of them.
"""

import warnings

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated_device

import tinyconv as tc
from tinyconv import nn, optim
from tinyconv.errors import ArgumentError
from tinyconv.nn import functional as F

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")


@pytest.fixture(autouse=True)
def device():
    with emulated_device() as name:
        yield name


class Trial:
    """Parameters that are trained by a step of kernels alone: ReLU, dropout and an optimizer."""

    def __init__(self, kind=optim.Adam, **options):
        tc.manual_seed(3)
        self.model = nn.Sequential(nn.ReLU(), nn.Dropout(0.25), nn.LeakyReLU(0.1))
        self.weight = nn.Parameter(tc.randn(6, 5))
        self.model.register_parameter("scale", self.weight)
        self.optimizer = kind([self.weight], lr=0.1, **options)
        self.ones = tc.ones(6, 5)
        tc.manual_seed(4)

    def step(self, x):
        self.optimizer.zero_grad()
        y = self.model(F.relu(self.weight))
        y.backward(x)
        self.optimizer.step()
        return y


def compare(plain, recorded, calls=7, schedule=None):
    step = tc.graphed(recorded.step, warmup=2)
    inputs = [tc.randn(6, 5) for _ in range(calls)]
    results = []
    for trial, function in ((plain, plain.step), (recorded, step)):
        tc.manual_seed(5)
        scheduler = schedule and schedule(trial.optimizer)
        mine = []
        for x in inputs:
            mine.append(function(x).detach().numpy().copy())
            if scheduler:
                scheduler.step()
        results.append(mine)
        mine.append(np.array(tc.get_rng_state()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(plain.weight.detach().numpy(), recorded.weight.detach().numpy())
    return step


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {"momentum": 0.9}),
        (optim.Adam, {"weight_decay": 0.1}),
        (optim.AdamW, {"amsgrad": True}),
        (optim.RMSprop, {}),
        (optim.Adagrad, {"lr_decay": 0.1}),
        (optim.Adadelta, {}),
    ],
)
def test_replays_give_the_bits_of_the_step(kind, options):
    compare(Trial(kind, **options), Trial(kind, **options))


def test_schedules_go_on():
    compare(Trial(), Trial(), schedule=lambda o: optim.lr_scheduler.ExponentialLR(o, 0.5))


def test_it_is_recorded_once_for_each_shape_and_train_flag(monkeypatch):
    trial, calls = Trial(), []

    def step(x):
        calls.append(x.shape)
        return trial.model(x)

    recorded = tc.graphed(step, warmup=1)
    x, small = tc.randn(6, 5), tc.randn(2, 5)
    for _ in range(4):
        recorded(x)
    assert len(calls) == 2  # one line by line, one recorded
    for _ in range(4):
        recorded(small)
    assert len(calls) == 4
    trial.model.eval()
    for _ in range(4):
        y = recorded(x)
    assert len(calls) == 6
    np.testing.assert_array_equal(y.numpy(), trial.model(x).detach().numpy())


def test_autocast_has_graphs_of_its_own():
    calls = []

    def step(x):
        calls.append(tc.is_autocast_enabled("cpu"))
        return F.relu(x)

    recorded, x = tc.graphed(step, warmup=1), tc.randn(3)
    for _ in range(3):
        recorded(x)
    for dtype in (tc.float16, tc.bfloat16):
        with tc.autocast("cpu", dtype=dtype):
            for _ in range(3):
                recorded(x)
    assert calls == [False] * 2 + [True] * 4


def test_a_model_that_another_takes_the_place_of_is_noticed():
    model, calls = nn.ReLU(), []

    def step(x):
        calls.append(type(model))
        return model(x)

    recorded, x = tc.graphed(step, warmup=1), tc.randn(3)
    for _ in range(3):
        recorded(x)
    model = nn.LeakyReLU(0.5)
    model.register_parameter("unused", nn.Parameter(x))
    np.testing.assert_array_equal(recorded(x).numpy(), F.leaky_relu(x, 0.5).numpy())
    assert len(calls) == 3


def test_resizing_copies_nothing_from_the_host_while_it_is_recorded(monkeypatch):
    x = tc.randn(1, 2, 3, 4)
    recorded = tc.graphed(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear"), warmup=1)
    expected = recorded(x).numpy()
    monkeypatch.setattr(x.device.backend, "asarray", None)  # on a GPU, an error while recording
    for _ in range(2):
        np.testing.assert_array_equal(recorded(x).numpy(), expected)


def test_a_parameter_that_moves_is_noticed():
    trial = Trial()
    step = tc.graphed(trial.step, warmup=1)
    for _ in range(3):
        step(trial.ones)
    trial.weight.data = tc.zeros(6, 5)
    assert not step(trial.ones).numpy().any()


def test_results_are_not_overwritten_by_the_next_call():
    trial = Trial()
    step = tc.graphed(lambda x: F.relu(x), warmup=1)
    results = [step(tc.full((3,), float(i))) for i in range(5)]
    assert [r[0].item() for r in results] == [0, 1, 2, 3, 4]
    assert trial is not None


@pytest.mark.parametrize("kind", [optim.NAdam, optim.Rprop])
def test_an_optimizer_without_a_kernel_runs_line_by_line(kind):
    plain, recorded = Trial(kind), Trial(kind)
    with pytest.warns(UserWarning, match=rf"runs line by line.*{kind.__name__}.*can be recorded"):
        compare(plain, recorded)


def test_an_error_while_recording_leaves_the_state_of_the_step_before():
    plain, recorded = Trial(), Trial()
    inner, failing = recorded.step, [0]

    def step(x):
        y = inner(x)
        failing[0] += 1
        if failing[0] == 3:
            raise ValueError("this once")
        return y

    recorded.step = step
    with pytest.warns(UserWarning, match="line by line.*this once"):
        compare(plain, recorded)


def test_on_a_cpu_it_is_the_step():
    with tc.device("cpu"):
        calls = []
        step = tc.graphed(lambda x: calls.append(1) or x * 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(6):
                assert step(tc.ones(2)).tolist() == [2, 2]
    assert len(calls) == 6


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="warmup must be at least 1"):
        tc.graphed(lambda x: x, warmup=0)
    with pytest.raises(ArgumentError, match="hashable"):
        tc.graphed(lambda x, y: x)(tc.ones(1), [1])
