"""Twenty steps of every optimizer with every option, against PyTorch and against hand formulas."""

import math

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import optim

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "betas": (0.5, 0.6)}),
    ("Adam", {"lr": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.7, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.5, "eps": 1e-2, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "alpha": 0.7}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"maximize": True, "eps": 0.1}),
]
IDS = [f"{name}{options or ''}" for name, options in CASES]
SHAPES = [(3, 4), (2,), ()]


def trajectory(lib, make, steps=20, between=None):
    """Parameters after each step with gradients that are fixed but arbitrary."""
    rng = np.random.default_rng(0)
    params = [lib.tensor(rng.standard_normal(s), requires_grad=True) for s in SHAPES]
    optimizer = make(params)
    history = []
    for step in range(steps):
        gradients = [rng.standard_normal(s) for s in SHAPES]
        for number, (p, gradient) in enumerate(zip(params, gradients, strict=True)):
            p.grad = None if (step + number) % 7 == 3 else lib.tensor(gradient)
        optimizer.step()
        if between is not None:
            optimizer = between(step, optimizer, params)
        history.append([np.array(p.tolist()) for p in params])
    return history


def assert_same(ours, theirs):
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=f"step {step}")


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_matches_pytorch(name, options, device):
    torch = pytest.importorskip("torch")
    with tc.device(device):
        ours = trajectory(tc, lambda params: getattr(optim, name)(params, **options))
    theirs = trajectory(torch, lambda params: getattr(torch.optim, name)(params, **options))
    assert_same(ours, theirs)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_state_survives_a_round_trip_in_mid_run(name, options, tmp_path):
    def make(params):
        return getattr(optim, name)(params, **options)

    def reload(step, optimizer, params):
        if step != 8:
            return optimizer
        tc.save(optimizer.state_dict(), tmp_path / "optimizer")
        fresh = getattr(optim, name)(params, lr=123.0)
        fresh.load_state_dict(tc.load(tmp_path / "optimizer"))
        return fresh

    assert_same(trajectory(tc, make, between=reload), trajectory(tc, make))


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_pytorch_state_can_be_loaded(name, options):
    """The layout is PyTorch's: its state, as arrays, continues the run here."""
    torch = pytest.importorskip("torch")
    saved = {}

    def keep(step, optimizer, params):
        if step == 8:
            state = optimizer.state_dict()
            saved["state"] = {
                number: {k: None if v is None else v.detach().numpy().copy() for k, v in s.items()}
                for number, s in state["state"].items()
            }
            saved["param_groups"] = state["param_groups"]
        return optimizer

    theirs = trajectory(
        torch, lambda params: getattr(torch.optim, name)(params, **options), between=keep
    )

    def take_over(step, optimizer, params):
        if step == 8:
            optimizer = getattr(optim, name)(params)
            optimizer.load_state_dict(saved)
        return optimizer

    ours = trajectory(tc, lambda params: getattr(optim, name)(params, **options), between=take_over)
    assert_same(ours, theirs)


def steps(optimizer, p, gradients):
    values = []
    for gradient in gradients:
        p.grad = tc.tensor([float(gradient)], dtype=tc.float64)
        optimizer.step()
        values.append(p.item())
    return values


def one():
    return tc.nn.Parameter(tc.tensor([1.0], dtype=tc.float64))


def test_sgd_by_hand():
    p = one()
    assert steps(optim.SGD([p], lr=0.1), p, [2]) == [pytest.approx(0.8)]
    p = one()
    # velocities 1, 0.5 + 1 = 1.5, 0.75 + 1 = 1.75
    assert steps(optim.SGD([p], lr=0.1, momentum=0.5), p, [1, 1, 1]) == pytest.approx(
        [0.9, 0.75, 0.575]
    )
    p = one()
    # Nesterov: 1 + 0.5 * 1 = 1.5, then 1 + 0.5 * 1.5 = 1.75
    assert steps(optim.SGD([p], lr=0.1, momentum=0.5, nesterov=True), p, [1, 1]) == pytest.approx(
        [0.85, 0.675]
    )
    p = one()
    # the first velocity is the whole gradient, the second 0.5 * 1 + (1 - 0.2) * 1
    assert steps(optim.SGD([p], lr=0.1, momentum=0.5, dampening=0.2), p, [1, 1]) == pytest.approx(
        [0.9, 0.77]
    )
    p = one()
    assert steps(optim.SGD([p], lr=0.1, weight_decay=0.5), p, [0]) == [pytest.approx(0.95)]
    p = one()
    assert steps(optim.SGD([p], lr=0.1, maximize=True), p, [1]) == [pytest.approx(1.1)]


def test_adam_by_hand():
    p = one()  # with bias correction the first step is the learning rate, whatever the gradient
    assert steps(optim.Adam([p], lr=0.1), p, [1e-3]) == [pytest.approx(0.9, abs=1e-5)]
    p = one()
    first, second = steps(optim.Adam([p], lr=0.1, betas=(0.5, 0.5), eps=0), p, [1, 3])
    m, v = (0.25 * 1 + 0.5 * 3) / 0.75, (0.25 * 1 + 0.5 * 9) / 0.75
    assert first == pytest.approx(0.9)
    assert second == pytest.approx(0.9 - 0.1 * m / math.sqrt(v))


def test_adamw_decays_beside_the_moments():
    p = one()
    assert steps(optim.AdamW([p], lr=0.1, weight_decay=0.5), p, [0]) == [pytest.approx(0.95)]
    p = one()
    assert steps(optim.AdamW([p], lr=0.1), p, [0]) == [pytest.approx(0.999)]  # 0.01 by default


def test_adadelta_by_hand():
    p = one()
    v = 0.1 * 4
    step = math.sqrt(1e-6) / math.sqrt(v + 1e-6) * 2
    assert steps(optim.Adadelta([p]), p, [2]) == [pytest.approx(1 - step, rel=1e-12)]


def test_rmsprop_by_hand():
    p = one()
    expected = 1 - 0.01 * 2 / (math.sqrt(0.01 * 4) + 1e-8)
    assert steps(optim.RMSprop([p]), p, [2]) == [pytest.approx(expected, rel=1e-12)]


def test_adagrad_by_hand():
    p = one()
    assert steps(optim.Adagrad([p], lr=0.1), p, [3, 4]) == pytest.approx([0.9, 0.9 - 0.1 * 4 / 5])
