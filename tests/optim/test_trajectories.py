"""Thirty steps of every optimizer with every option, against PyTorch and against hand formulas."""

import inspect
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
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "momentum_decay": 0.3}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.5)}),  # never as many gradients as it takes
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.1, "weight_decay": 0.1}),
    ("Adamax", {"maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.7), "step_sizes": (0.05, 0.3), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 1.5, "t0": 5, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 0, "maximize": True}),
]
OWN_CASES = [  # PyTorch has none
    ("LARS", {}),
    ("LARS", {"lr": 2.0, "trust_coefficient": 0.1, "weight_decay": 0.1, "nesterov": True}),
    ("LARS", {"lr": 0.1, "momentum": 0, "eps": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("LARS", {"lr": 0.1, "dampening": 0.3, "trust_coefficient": None}),
]


def ids(cases):
    return [f"{name}{options or ''}" for name, options in cases]


IDS = ids(CASES)
SHAPES = [(3, 4), (2,), ()]


@pytest.fixture(autouse=True)
def torch_keeps_numbers_in_double_precision():
    """Its NAdam and ASGD remember numbers in the default dtype, ours as Python numbers."""
    try:
        import torch
    except ImportError:
        yield
        return
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trajectory(lib, make, steps=30, between=None):
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


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES} | {"LBFGS"}))
def test_options_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    how = {"foreach", "fused", "capturable", "differentiable"}  # say how, not what
    ours, theirs = (
        {p.name: p.default for p in inspect.signature(getattr(lib.optim, name)).parameters.values()}
        for lib in (tc, torch)
    )
    assert list(ours.items()) == [(k, v) for k, v in theirs.items() if k not in how]


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_matches_pytorch(name, options, device):
    torch = pytest.importorskip("torch")
    with tc.device(device):
        ours = trajectory(tc, lambda params: getattr(optim, name)(params, **options))
    theirs = trajectory(torch, lambda params: getattr(torch.optim, name)(params, **options))
    assert_same(ours, theirs)


@pytest.mark.parametrize(("name", "options"), CASES + OWN_CASES, ids=ids(CASES + OWN_CASES))
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


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_pytorch_can_load_our_state(name, options):
    torch = pytest.importorskip("torch")
    saved = {}

    def keep(step, optimizer, params):
        if step == 8:
            state = optimizer.state_dict()
            saved["state"] = {
                number: {k: torch.tensor(v if k in numbers else v.numpy()) for k, v in s.items()}
                for number, s in state["state"].items()
            }
            saved["param_groups"] = state["param_groups"]
        return optimizer

    numbers = getattr(optim, name).state_numbers
    ours = trajectory(tc, lambda params: getattr(optim, name)(params, **options), between=keep)

    def take_over(step, optimizer, params):
        if step != 8:
            return optimizer
        for number, s in optimizer.state_dict()["state"].items():
            expected = {k: v for k, v in s.items() if v is not None}
            assert set(expected) == set(saved["state"].get(number, ()))
            for k, v in expected.items():
                np.testing.assert_allclose(saved["state"][number][k], v, rtol=1e-9, atol=1e-12)
        fresh = getattr(torch.optim, name)(params)
        fresh.load_state_dict(saved)
        for group in fresh.param_groups:  # options of PyTorch's that say how, not what
            for option, value in fresh.defaults.items():
                group.setdefault(option, value)
        return fresh

    def make(params):
        return getattr(torch.optim, name)(params, **options)

    assert_same(ours, trajectory(torch, make, between=take_over))


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


def test_nadam_by_hand():
    p = one()
    options = {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0, "momentum_decay": 1}
    mu1, mu2 = (0.5 * (1 - 0.5 * 0.96**t) for t in (1, 2))
    step = (1 - mu1) / (1 - mu1) * 2 + mu2 / (1 - mu1 * mu2) * 1  # v is 2 with its correction 4
    assert steps(optim.NAdam([p], **options), p, [2]) == [pytest.approx(1 - 0.1 * step / 2)]


def test_radam_by_hand():
    p = one()
    optimizer = optim.RAdam([p], lr=0.1, betas=(0.0, 0.999), eps=0)
    values = steps(optimizer, p, [2.0] * 6)
    assert values[:5] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0], abs=1e-12)
    rho_inf = 2 / 0.001 - 1
    rho = rho_inf - 12 * 0.999**6 / (1 - 0.999**6)
    assert rho > 5
    r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    assert values[5] == pytest.approx(-0.1 * r)


def test_adamax_by_hand():
    p = one()
    first, second = steps(optim.Adamax([p], lr=0.1, betas=(0.5, 0.5), eps=0), p, [4, 1])
    assert first == pytest.approx(0.9)
    assert second == pytest.approx(0.9 - 0.1 * (0.25 * 4 + 0.5 * 1) / 0.75 / 2)


def test_rprop_by_hand():
    p = one()
    optimizer = optim.Rprop([p], lr=0.1, etas=(0.5, 2.0), step_sizes=(0.01, 0.3))
    # grows twice (to the limit), turns: no step; then forgets it had turned
    values = steps(optimizer, p, [5, 0.1, 9, -1, -1, -1])
    assert values == pytest.approx([0.9, 0.7, 0.4, 0.4, 0.55, 0.85])


def test_asgd_by_hand():
    p = one()
    optimizer = optim.ASGD([p], lr=0.1, lambd=0.5, alpha=1, t0=1)
    first = 0.95 * 1 - 0.1 * 2
    eta = 0.1 / 1.05
    second = (1 - 0.5 * eta) * first - eta * 2
    assert steps(optimizer, p, [2, 2]) == pytest.approx([first, second])
    third, fourth = steps(optimizer, p, [2, 2])
    assert optimizer.state[p]["ax"].item() == pytest.approx((third + fourth) / 2)


def lars(params, gradients, lr=1.0, momentum=0.9, weight_decay=0.0, coefficient=1e-3, eps=1e-8):
    """Return the parameters after one step each, by the formulas of the paper."""
    velocity, history = 0.0, []
    for gradient in gradients:
        length, slope = np.linalg.norm(params), np.linalg.norm(gradient)
        ratio = coefficient * length / (slope + weight_decay * length + eps)
        velocity = momentum * velocity + lr * ratio * (gradient + weight_decay * params)
        params = params - velocity
        history.append(params)
    return history


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 3.0, "weight_decay": 0.3, "trust_coefficient": 0.05},
        {"momentum": 0.5, "eps": 2.0},
    ],
)
def test_lars_is_that_of_the_paper(options, device):
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((30, 3, 4))
    p = tc.nn.Parameter(tc.tensor(start, device=device))
    optimizer = optim.LARS([p], **options)
    renamed = {k.removeprefix("trust_"): v for k, v in options.items()}
    for gradient, expected in zip(gradients, lars(start, gradients, **renamed), strict=True):
        p.grad = tc.tensor(gradient, device=device)
        optimizer.step()
        np.testing.assert_allclose(np.array(p.tolist()), expected, rtol=1e-12)


def test_lars_without_a_norm_or_a_coefficient_is_gradient_descent():
    for start, gradient, coefficient in ((0.0, 2.0, 0.1), (1.0, 2.0, None)):
        p = tc.nn.Parameter(tc.tensor([start], dtype=tc.float64))
        group = {"params": [p], "trust_coefficient": coefficient}
        assert steps(optim.LARS([group], lr=0.1), p, [gradient]) == pytest.approx([start - 0.2])
    p = one()  # no gradient: the decay alone, as it is
    assert steps(optim.LARS([p], lr=0.1, weight_decay=0.5), p, [0]) == pytest.approx([0.95])
