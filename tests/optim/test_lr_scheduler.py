"""Schedules against PyTorch's, by hand, and across a save and load."""

import inspect
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
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9 + 0.01 * epoch}),
    ("MultiplicativeLR", {"lr_lambda": [lambda epoch: 0.9, lambda epoch: 1.0]}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.7, "total_iters": 1}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 9}),
    ("LinearLR", {"start_factor": 0.5, "total_iters": 0}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 20, "power": 2.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 4}),
    ("CyclicLR", {"base_lr": [0.01, 0.0], "max_lr": [0.5, 1.0], "step_size_up": 2,
                  "step_size_down": 5, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 3, "mode": "exp_range",
                  "gamma": 0.9, "base_momentum": [0.1, 0.2], "max_momentum": [0.7, 0.9]}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 4, "step_size_down": 0}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 3, "cycle_momentum": False,
                  "scale_fn": lambda x: 1 / (x + 1), "mode": "ignored"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 3, "scale_mode": "iterations",
                  "scale_fn": lambda x: 0.95**x}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 25}),
    ("OneCycleLR", {"max_lr": [0.5, 1.0], "epochs": 5, "steps_per_epoch": 6, "pct_start": 0.4,
                    "three_phase": True, "div_factor": 10, "final_div_factor": 100}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 40, "anneal_strategy": "linear",
                    "base_momentum": [0.1, 0.2], "max_momentum": 0.5}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 25, "pct_start": 0.0, "cycle_momentum": False}),
]  # fmt: skip
IDS = [f"{name}{sorted(options)}" for name, options in CASES]
METRICS = [5, 4, 4, 4, 3.9999, 4, 5, 5, 5, 5, 1, 1, 1, 1, 1, 1, 0.5, math.nan, 0.4, 0.4, 0.4, 0.4]


def optimizer_of(lib, kind="SGD"):
    a, b = (lib.zeros(1, requires_grad=True) for _ in range(2))
    return getattr(lib.optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.3}], lr=0.1)


def momenta(optimizer):
    return [group["betas"][0] if "betas" in group else group["momentum"]
            for group in optimizer.param_groups]  # fmt: skip


def rates(lib, make, epochs=25, between=None, kind="SGD"):
    """Return the rate and the momentum of both groups in every epoch."""
    optimizer = optimizer_of(lib, kind)
    scheduler = make(optimizer)
    history = [scheduler.get_last_lr() + momenta(optimizer)]
    for epoch in range(epochs):
        optimizer.step()
        scheduler.step()
        if between is not None:
            optimizer, scheduler = between(epoch, optimizer, scheduler)
        assert scheduler.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        history.append(scheduler.get_last_lr() + momenta(optimizer))
    return history


def assert_close(ours, theirs):
    for epoch, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12), epoch


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_matches_pytorch(name, options):
    torch = pytest.importorskip("torch")
    for kind in ("SGD", "Adam"):
        ours = rates(tc, lambda o: getattr(lr_scheduler, name)(o, **options), kind=kind)
        theirs = rates(
            torch, lambda o: getattr(torch.optim.lr_scheduler, name)(o, **options), kind=kind
        )
        assert_close(ours, theirs)


@pytest.mark.parametrize("name", lr_scheduler.__all__)
def test_options_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (
        [(p.name, p.default) for p in inspect.signature(getattr(m, name)).parameters.values()]
        for m in (lr_scheduler, torch.optim.lr_scheduler)
    )
    assert ours == theirs


def test_pytorch_has_no_others():
    torch = pytest.importorskip("torch")
    theirs = set(torch.optim.lr_scheduler.__all__)
    assert theirs <= set(lr_scheduler.__all__)


@pytest.mark.parametrize("ours_first", [False, True])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_states_are_pytorchs(name, options, ours_first):
    """What one library has saved, the other continues."""
    torch = pytest.importorskip("torch")
    source, target = (tc, torch) if ours_first else (torch, tc)
    saved = []

    def make(lib):
        return lambda o: getattr(lib.optim.lr_scheduler, name)(o, **options)

    def keep(epoch, optimizer, scheduler):
        if epoch == 6:
            groups = optimizer.state_dict()["param_groups"]
            saved[:] = [dict(g) for g in groups], dict(scheduler.state_dict())
        return optimizer, scheduler

    def take_over(epoch, optimizer, scheduler):
        if epoch != 6:
            return optimizer, scheduler
        own = set(scheduler.state_dict())
        optimizer = optimizer_of(target)
        scheduler = make(target)(optimizer)
        missing = own - set(saved[1])
        assert missing <= {"_get_lr_called_within_step", "_is_initial", "_step_count"}
        for group, kept in zip(optimizer.param_groups, saved[0], strict=True):
            group.update({k: v for k, v in kept.items() if k != "params"})
        scheduler.load_state_dict(saved[1])
        optimizer.step()
        return optimizer, scheduler

    first = rates(source, make(source), between=keep)
    then = rates(target, make(target), between=take_over)
    assert_close(then, first)


@pytest.mark.parametrize("epoch", [0, 3, 4, 11])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_resuming_from_an_epoch(name, options, epoch):
    torch = pytest.importorskip("torch")
    if name == "CosineAnnealingWarmRestarts" and epoch == 11 and "T_mult" in options:
        pytest.skip("PyTorch takes the place in a later cycle for one in the first")

    def run(lib):
        kind = getattr(lib.optim.lr_scheduler, name)
        optimizer = optimizer_of(lib)
        kind(optimizer, **options)  # notes the initial rates
        scheduler = kind(optimizer, **options, last_epoch=epoch)
        history = [scheduler.get_last_lr() + momenta(optimizer)]
        for _ in range(10):
            optimizer.step()
            scheduler.step()
            history.append(scheduler.get_last_lr() + momenta(optimizer))
        return history

    assert_close(run(tc), run(torch))


COMBINATIONS = {
    "warm-up": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=5), m.CosineAnnealingLR(o, 10)], [5]
    ),
    "three": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.1, 9), m.ExponentialLR(o, 0.9), m.StepLR(o, 2, 0.5)], [4, 9]
    ),
    "ramps": lambda m, o: m.SequentialLR(
        o, [m.PolynomialLR(o, 4), m.LinearLR(o), m.ConstantLR(o), m.PolynomialLR(o)], [4, 8, 12]
    ),
    "others": lambda m, o: m.SequentialLR(
        o,
        [m.MultiStepLR(o, [1, 2], 0.5), m.LambdaLR(o, lambda t: 1 / (t + 1)),
         m.MultiplicativeLR(o, lambda t: 0.8), m.MultiStepLR(o, [1, 2], 0.5)],
        [4, 8, 12],
    ),
    "multiplicative first": lambda m, o: m.SequentialLR(
        o, [m.MultiplicativeLR(o, lambda t: 0.8), m.CosineAnnealingWarmRestarts(o, 3, 2)], [5]
    ),
    "restarts first": lambda m, o: m.SequentialLR(
        o, [m.CosineAnnealingWarmRestarts(o, 3, 2), m.CyclicLR(o, 0.1, 0.2, 3)], [8]
    ),
    "one cycle": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o), m.OneCycleLR(o, 1.0, 20)], [5]
    ),
    "milestone 0": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o), m.ExponentialLR(o, 0.9)], [0]
    ),
    "same milestone": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o), m.ExponentialLR(o, 0.9), m.StepLR(o, 2)], [3, 3]
    ),
    "later": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o), m.ExponentialLR(o, 0.9)], [6], last_epoch=2
    ),
    "alone": lambda m, o: m.SequentialLR(o, [m.LinearLR(o)], []),
    "chained": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 9), m.ExponentialLR(o, 0.9)]),
    "chained four": lambda m, o: m.ChainedScheduler(
        [m.LinearLR(o), m.CosineAnnealingLR(o, 7), m.StepLR(o, 3),
         m.MultiplicativeLR(o, lambda t: 1.01)],
        optimizer=o,
    ),
    "chain of a sequence": lambda m, o: m.ChainedScheduler(
        [m.SequentialLR(o, [m.LinearLR(o), m.ExponentialLR(o, 0.9)], [4]), m.StepLR(o, 3)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", COMBINATIONS.values(), ids=COMBINATIONS)
def test_combinations_match_pytorch(make):
    torch = pytest.importorskip("torch")
    ours = rates(tc, lambda o: make(lr_scheduler, o), epochs=20)
    assert_close(ours, rates(torch, lambda o: make(torch.optim.lr_scheduler, o), epochs=20))


@pytest.mark.parametrize("epoch", [2, 5, 10])
@pytest.mark.parametrize("make", COMBINATIONS.values(), ids=COMBINATIONS)
def test_combinations_continue_after_a_save_and_load(make, epoch, tmp_path):
    torch = pytest.importorskip("torch")
    saved = []

    def reload(at, optimizer, scheduler):
        if at != epoch:
            return optimizer, scheduler
        tc.save({"o": optimizer.state_dict(), "s": scheduler.state_dict()}, tmp_path / "c")
        state = tc.load(tmp_path / "c")
        optimizer = optimizer_of(tc)
        scheduler = make(lr_scheduler, optimizer)
        optimizer.load_state_dict(state["o"])
        scheduler.load_state_dict(state["s"])
        return optimizer, scheduler

    def keep(at, optimizer, scheduler):
        if at == epoch:
            saved[:] = [dict(g) for g in optimizer.param_groups], scheduler.state_dict()
        return optimizer, scheduler

    def take_over(at, optimizer, scheduler):
        if at != epoch:
            return optimizer, scheduler
        optimizer = optimizer_of(tc)
        scheduler = make(lr_scheduler, optimizer)
        for group, kept in zip(optimizer.param_groups, saved[0], strict=True):
            group.update({k: v for k, v in kept.items() if k != "params"})
        scheduler.load_state_dict(saved[1])
        optimizer.step()
        return optimizer, scheduler

    plain = rates(tc, lambda o: make(lr_scheduler, o), epochs=20)
    assert rates(tc, lambda o: make(lr_scheduler, o), epochs=20, between=reload) == plain
    rates(torch, lambda o: make(torch.optim.lr_scheduler, o), epochs=20, between=keep)
    assert_close(rates(tc, lambda o: make(lr_scheduler, o), epochs=20, between=take_over), plain)


def test_compositions_of_compositions():
    """PyTorch starts the inner ones an epoch late, or cannot start them at a milestone."""

    def chain(o, factor=0.5):
        return lr_scheduler.ChainedScheduler(
            [lr_scheduler.ConstantLR(o, factor, 2), lr_scheduler.ExponentialLR(o, 0.9)]
        )

    def sequence(o):
        return lr_scheduler.SequentialLR(
            o, [lr_scheduler.ConstantLR(o, 0.5, 9), lr_scheduler.ExponentialLR(o, 0.9)], [2]
        )

    chained = [0.5, 0.45, 0.81, 0.729]
    sequenced = [0.5, 0.5, 1.0, 0.9]
    for first, then, expected in [
        (chain, chain, chained + chained),
        (sequence, chain, sequenced + chained),
        (chain, sequence, chained + sequenced),
        (sequence, sequence, sequenced + sequenced),
    ]:

        def make(o, first=first, then=then):
            return lr_scheduler.SequentialLR(o, [first(o), then(o)], [4])

        history = rates(tc, make, epochs=7)
        assert [r[0] for r in history] == pytest.approx([0.1 * e for e in expected])

        def deeper(o, make=make):
            return lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 9), make(o)], [3])

        history = rates(tc, deeper, epochs=10)
        assert [r[0] for r in history[3:]] == pytest.approx([0.1 * e for e in expected])


def test_restarts_at_any_epoch():
    torch = pytest.importorskip("torch")
    epochs = [0.5, 1.25, None, 9.5, None, 26, None, 2, None, None, 61.75, None]
    for options in ({"T_0": 4}, {"T_0": 3, "T_mult": 2}):
        history = []
        for lib in (tc, torch):
            optimizer = optimizer_of(lib)
            scheduler = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, **options)
            optimizer.step()
            history.append([])
            for epoch in epochs:
                scheduler.step(epoch)
                history[-1].append([*scheduler.get_last_lr(), scheduler.last_epoch])
        assert_close(*history)
    with pytest.raises(ArgumentError, match="epoch must be at least 0"):
        lr_scheduler.CosineAnnealingWarmRestarts(optimizer_of(tc), 3).step(-1)


def test_a_restart_is_found_exactly():
    optimizer = optimizer_of(tc)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 1, 3)
    optimizer.step()
    scheduler.step(121)  # 1 + 3 + 9 + 27 + 81; its logarithm to the base 3 falls short of 5
    assert scheduler.get_last_lr() == [0.1, 0.3]
    resumed = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 1, 3, last_epoch=120)
    assert resumed.get_last_lr() == [0.1, 0.3]


def test_callable_objects_are_saved_by_their_attributes():
    class Slope:
        def __init__(self, k):
            self.k = k

        def __call__(self, epoch):
            return 1 / (1 + self.k * epoch)

    for make in (
        lambda o, k: lr_scheduler.LambdaLR(o, Slope(k)),
        lambda o, k: lr_scheduler.MultiplicativeLR(o, [Slope(k), Slope(2 * k)]),
        lambda o, k: lr_scheduler.CyclicLR(o, 0.1, 0.2, 3, scale_fn=Slope(k)),
    ):
        first, second = optimizer_of(tc), optimizer_of(tc)
        source, target = make(first, 3), make(second, 5)
        target.load_state_dict(source.state_dict())
        second.load_state_dict(first.state_dict())
        for _ in range(4):
            for optimizer, scheduler in ((first, source), (second, target)):
                optimizer.step()
                scheduler.step()
        assert source.get_last_lr() == target.get_last_lr()


def test_constant_of_nothing_comes_back():
    history = rates(tc, lambda o: lr_scheduler.ConstantLR(o, 0.0, 2), epochs=3)
    assert [r[0] for r in history] == [0, 0, 0.1, 0.1]


def test_one_cycle_of_a_rise_of_one_batch():
    history = rates(tc, lambda o: lr_scheduler.OneCycleLR(o, 1.0, 10, pct_start=0.1), epochs=9)
    assert history[0][0] == 1.0
    assert history[9][0] == pytest.approx(1 / 25 / 1e4)


def test_one_cycle_has_an_end():
    optimizer = optimizer_of(tc)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, 3)
    optimizer.step()
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ArgumentError, match=r"called 4 times, but total_steps is 3"):
        scheduler.step()


def test_plateau_and_a_group_that_is_added():
    optimizer = optimizer_of(tc)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.05)
    other = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.05, 0.05])
    assert isinstance(scheduler, lr_scheduler.LRScheduler)
    optimizer.add_param_group({"params": [tc.nn.Parameter(tc.ones(1))], "lr": 2.0})
    for _ in range(2):
        scheduler.step(1.0)
    assert scheduler.get_last_lr() == pytest.approx([0.05, 0.05, 0.2])
    other.step(1.0)
    with pytest.raises(ArgumentError, match="3 parameter groups now"):
        other.step(1.0)


def test_plateau_continues_pytorchs_state():
    torch = pytest.importorskip("torch")
    ours, theirs = optimizer_of(tc), optimizer_of(torch)
    options = {"patience": 1, "cooldown": 1, "min_lr": 0.001}
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    own = lr_scheduler.ReduceLROnPlateau(ours, mode="max")
    for value in METRICS[:8]:
        scheduler.step(value)
    assert set(own.state_dict()) <= set(scheduler.state_dict())
    own.load_state_dict(scheduler.state_dict())
    for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
        a["lr"] = b["lr"]
    for value in METRICS[8:]:
        scheduler.step(value)
        own.step(value)
        assert own.get_last_lr() == pytest.approx(scheduler.get_last_lr())


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
        (lambda: lr_scheduler.LambdaLR(optimizer, 0.5), DTypeError, "LambdaLR: .* got float"),
        (lambda: lr_scheduler.MultiplicativeLR(3, abs), DTypeError, "Multiplicat.* an Optimizer"),
        (lambda: lr_scheduler.ReduceLROnPlateau(3), DTypeError, "expected an Optimizer"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=math.nan),
         ArgumentError, "factor"),
        (lambda: lr_scheduler.ConstantLR(optimizer, 1.5), ArgumentError, "factor .* 0 to 1"),
        (lambda: lr_scheduler.ConstantLR(optimizer, math.nan), ArgumentError, "factor"),
        (lambda: lr_scheduler.ConstantLR(optimizer, total_iters=-1), ArgumentError, "total_iters"),
        (lambda: lr_scheduler.LinearLR(optimizer, 0.0), ArgumentError, "start_factor .* above 0"),
        (lambda: lr_scheduler.LinearLR(optimizer, end_factor=2), ArgumentError, "end_factor"),
        (lambda: lr_scheduler.LinearLR(optimizer, total_iters=-1), ArgumentError, "total_iters"),
        (lambda: lr_scheduler.PolynomialLR(optimizer, -1), ArgumentError, "total_iters"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 0), ArgumentError, "T_0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2.0), ArgumentError, "T_0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 0),
         ArgumentError, "T_mult must be an int of at least 1, got 0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 1, "x"),
         ArgumentError, "eta_min"),
        (lambda: lr_scheduler.CyclicLR(3, 0.1, 1), DTypeError, "expected an Optimizer"),
        (lambda: lr_scheduler.CyclicLR(optimizer, [0.1], 1), ArgumentError, "1 values of base_lr"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, math.nan), ArgumentError, "max_lr"),
        (lambda: lr_scheduler.CyclicLR(optimizer, -0.1, 1), ArgumentError, "base_lr"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 1, 0), ArgumentError, "step_size_up"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 1, 2, -1), ArgumentError, "step_size_down"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 1, mode="saw"), ArgumentError, "exp_range"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 1, scale_mode="x"), ArgumentError, "cycle"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 1, max_momentum=-1),
         ArgumentError, "max_momentum"),
        (lambda: lr_scheduler.CyclicLR(optimizer_of(tc, "Adam"), 0.1, 1, max_momentum=1.0),
         ArgumentError, "max_momentum must be below 1"),
        (lambda: lr_scheduler.CyclicLR(optimizer_of(tc, "Adagrad"), 0.1, 1),
         ArgumentError, "Adagrad has neither momentum nor betas"),
        (lambda: lr_scheduler.OneCycleLR(3, 1.0, 5), DTypeError, "expected an Optimizer"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0), ArgumentError, "either total_steps"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=3), ArgumentError, "either total"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 0), ArgumentError, "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5.0), ArgumentError, "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=2, steps_per_epoch=0),
         ArgumentError, "steps_per_epoch"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, math.nan, 5), ArgumentError, "max_lr"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5, pct_start=1.1),
         ArgumentError, "pct_start"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5, anneal_strategy="exp"),
         ArgumentError, "'cos' or 'linear'"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5, div_factor=0),
         ArgumentError, "div_factor"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5, last_epoch=2),
         ArgumentError, "'max_lr'"),
        (lambda: lr_scheduler.OneCycleLR(optimizer_of(tc, "Rprop"), 1.0, 5),
         ArgumentError, "Rprop has neither"),
        (lambda: lr_scheduler.SequentialLR(optimizer, [], []), ArgumentError, "at least one"),
        (lambda: lr_scheduler.SequentialLR(optimizer, [3], []), DTypeError, r"schedulers\[0\]"),
        (lambda: lr_scheduler.SequentialLR(
            optimizer, [lr_scheduler.ReduceLROnPlateau(optimizer)], []),
         ArgumentError, "ReduceLROnPlateau"),
        (lambda: lr_scheduler.SequentialLR(
            optimizer_of(tc), [lr_scheduler.StepLR(optimizer, 1)], []),
         ArgumentError, "another optimizer"),
        (lambda: lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(optimizer, 1)], [3]),
         ArgumentError, "1 schedulers need 0 milestones, got 1"),
        (lambda: lr_scheduler.SequentialLR(
            optimizer, [lr_scheduler.StepLR(optimizer, 1) for _ in range(3)], [3, 2]),
         ArgumentError, "milestones must rise"),
        (lambda: lr_scheduler.ChainedScheduler([]), ArgumentError, "at least one"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(optimizer)]),
         ArgumentError, "step it by itself"),
        (lambda: lr_scheduler.ChainedScheduler(
            [lr_scheduler.StepLR(optimizer, 1), lr_scheduler.StepLR(optimizer_of(tc), 1)]),
         ArgumentError, r"schedulers\[1\] belongs to another"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, "best"), ArgumentError, "'max'"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0), ArgumentError, "factor"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.1]), ArgumentError, "min_lr"),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            make()


def test_own_schedule():
    class Halve(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]

    assert [r[0] for r in rates(tc, Halve, epochs=2)] == pytest.approx([0.1, 0.05, 0.025])
    assert isinstance(optim.lr_scheduler.StepLR, type)
