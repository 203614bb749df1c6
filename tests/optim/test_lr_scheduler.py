"""Schedules against PyTorch's, by hand, and across a save and load."""

import math

import pytest

import tinyconv as tc
from tinyconv import optim
from tinyconv.errors import ArgumentError, DTypeError
from tinyconv.optim import lr_scheduler

CASES = [
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 1, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [7, 2, 7, 9], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 5}),
    ("CosineAnnealingLR", {"T_max": 4, "eta_min": 0.01}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 0.9**epoch, lambda epoch: 1.0]}),
]
IDS = [f"{name}{sorted(options)}" for name, options in CASES]
METRICS = [5, 4, 4, 4, 3.9999, 4, 5, 5, 5, 5, 1, 1, 1, 1, 1, 1, 0.5, math.nan, 0.4, 0.4, 0.4, 0.4]


def optimizer_of(lib):
    a, b = (lib.zeros(1, requires_grad=True) for _ in range(2))
    return lib.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.3}], lr=0.1)


def rates(lib, make, epochs=25, between=None):
    optimizer = optimizer_of(lib)
    scheduler = make(optimizer)
    history = [scheduler.get_last_lr()]
    for epoch in range(epochs):
        optimizer.step()
        scheduler.step()
        if between is not None:
            optimizer, scheduler = between(epoch, optimizer, scheduler)
        assert scheduler.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        history.append(list(scheduler.get_last_lr()))
    return history


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_matches_pytorch(name, options):
    torch = pytest.importorskip("torch")
    ours = rates(tc, lambda o: getattr(lr_scheduler, name)(o, **options))
    theirs = rates(torch, lambda o: getattr(torch.optim.lr_scheduler, name)(o, **options))
    for epoch, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12), epoch


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_continues_after_a_save_and_load(name, options, tmp_path):
    def make(optimizer):
        return getattr(lr_scheduler, name)(optimizer, **options)

    def reload(epoch, optimizer, scheduler):
        if epoch != 6:
            return optimizer, scheduler
        tc.save({"o": optimizer.state_dict(), "s": scheduler.state_dict()}, tmp_path / "c")
        saved = tc.load(tmp_path / "c")
        optimizer = optimizer_of(tc)
        scheduler = make(optimizer)
        optimizer.load_state_dict(saved["o"])
        scheduler.load_state_dict(saved["s"])
        return optimizer, scheduler

    assert rates(tc, make, between=reload) == rates(tc, make)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "threshold": 0.5, "threshold_mode": "abs"},
        {"patience": 0, "mode": "max", "min_lr": [0.02, 0.001]},
        {"patience": 1, "mode": "max", "threshold_mode": "abs", "min_lr": 0.05},
    ],
)
def test_plateau_matches_pytorch(options):
    torch = pytest.importorskip("torch")
    history = []
    for lib in (tc, torch):
        optimizer = optimizer_of(lib)
        scheduler = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        run = []
        for value in METRICS:
            optimizer.step()
            scheduler.step(value)
            run.append(list(scheduler.get_last_lr()))
        history.append(run)
    ours, theirs = history
    assert len({tuple(r) for r in ours}) > 1
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b)


def test_plateau_by_hand_and_state():
    optimizer = optimizer_of(tc)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    for value in (1.0, tc.tensor(1.0)):
        scheduler.step(value)
    other = lr_scheduler.ReduceLROnPlateau(optimizer, patience=5)
    other.load_state_dict(scheduler.state_dict())
    other.step(1.0)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.01, 0.03])


def test_rates_by_hand():
    step = rates(tc, lambda o: lr_scheduler.StepLR(o, 2, 0.5), epochs=4)
    assert [r[0] for r in step] == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])
    cosine = rates(tc, lambda o: lr_scheduler.CosineAnnealingLR(o, 4), epochs=8)
    assert [r[0] for r in cosine] == pytest.approx(
        [0.05 * (1 + math.cos(math.pi * t / 4)) for t in range(9)], abs=1e-12
    )


def test_two_schedules_multiply():
    optimizer = optimizer_of(tc)
    first = lr_scheduler.ExponentialLR(optimizer, 0.5)
    second = lr_scheduler.StepLR(optimizer, 2, 0.1)
    for _ in range(2):
        optimizer.step()
        first.step()
        second.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.25 * 0.1)


def test_stepping_before_the_optimizer_is_warned_of():
    scheduler = lr_scheduler.ExponentialLR(optimizer_of(tc), 0.5)
    with pytest.warns(UserWarning, match=r"before optimizer.step\(\)"):
        scheduler.step()


def test_refused():
    optimizer = optimizer_of(tc)
    for make, error, words in [
        (lambda: lr_scheduler.StepLR(3, 1), DTypeError, "expected an Optimizer"),
        (lambda: lr_scheduler.StepLR(optimizer, 0), ArgumentError, "step_size"),
        (lambda: lr_scheduler.CosineAnnealingLR(optimizer, 0), ArgumentError, "T_max"),
        (lambda: lr_scheduler.StepLR(optimizer, 1, last_epoch=3), ArgumentError, "initial_lr"),
        (lambda: lr_scheduler.LambdaLR(optimizer, [abs]), ArgumentError, "1 functions for 2"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, "best"), ArgumentError, "'max'"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0), ArgumentError, "factor"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.1]), ArgumentError, "min_lr"),
    ]:
        with pytest.raises(error, match=words):
            make()


def test_own_schedule():
    class Halve(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]

    assert [r[0] for r in rates(tc, Halve, epochs=2)] == pytest.approx([0.1, 0.05, 0.025])
    assert isinstance(optim.lr_scheduler.StepLR, type)
