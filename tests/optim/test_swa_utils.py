"""Averaged models and their schedule against PyTorch's."""

import copy
import inspect
import json

import numpy as np
import pytest
from against_torch import assert_same, torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, ShapeError
from tinyconv.optim import swa_utils

TS = torch.optim.swa_utils


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def build(lib):
    """Return a network with batch normalisation, the same in both libraries."""
    layers = lib.nn
    net = layers.Sequential(layers.Linear(3, 4), layers.BatchNorm1d(4), layers.Linear(4, 2))
    net = net.double()
    with lib.no_grad():
        for seed, p in enumerate(net.parameters()):
            p.copy_(lib.tensor(random(*p.shape, seed=seed)))
    return net


AVERAGES = {
    "default": lambda m: {},
    "ema": lambda m: {"avg_fn": m.get_ema_avg_fn(0.9)},
    "ema multi": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.9)},
    "swa": lambda m: {"avg_fn": m.get_swa_avg_fn()},
    "swa multi": lambda m: {"multi_avg_fn": m.get_swa_multi_avg_fn()},
    "own": lambda m: {"avg_fn": lambda average, current, n: (average * n + 2 * current) / (n + 2)},
}


def train(lib, utils, average, use_buffers, steps=4):
    """Return a model and its average after some steps."""
    net = build(lib)
    optimizer = lib.optim.SGD(net.parameters(), lr=0.1)
    averaged = utils.AveragedModel(net, use_buffers=use_buffers, **AVERAGES[average](utils))
    for step in range(steps):
        optimizer.zero_grad()
        (net(lib.tensor(random(5, 3, seed=step))) ** 2).mean().backward()
        optimizer.step()
        averaged.update_parameters(net)
    return net, averaged


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("average", AVERAGES)
def test_averages_match_pytorch(average, use_buffers):
    if average == "swa multi" and use_buffers:
        pytest.skip("PyTorch's cannot average the integer buffer")
    _, ours = train(tc, swa_utils, average, use_buffers)
    _, theirs = train(torch, TS, average, use_buffers)
    state, expected = ours.state_dict(), theirs.state_dict()
    assert sorted(state) == sorted(expected)
    rtol = 1e-6 if average == "swa multi" else 1e-9  # PyTorch's 1 / (n + 1) is float32
    for key in state:
        assert_same(state[key], expected[key], rtol, 1e-12)
    x = random(2, 3, seed=9)
    assert_same(ours.eval()(tc.tensor(x)), theirs.eval()(torch.tensor(x)), rtol, 1e-12)


def test_mean_of_models_and_integer_buffers():
    model = nn.Linear(1, 1, bias=False)
    model.register_buffer("count", tc.tensor(0))
    for options in ({}, {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}):
        averaged = swa_utils.AveragedModel(model, use_buffers=True, **options)
        for value in (2, 4, 9):
            nn.init.constant_(model.weight, value)
            nn.init.constant_(model.count, value)
            averaged.update_parameters(model)
        assert averaged.module.weight.item() == pytest.approx(5)
        assert averaged.module.count.item() == 5
        assert averaged.module.count.dtype == tc.int64
        assert averaged.n_averaged.item() == 3


def test_decay_of_the_exponential_average():
    model = nn.Linear(1, 1, bias=False)
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.75))
    for value in (1.0, 5.0, 0.0):
        nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
    assert averaged.module.weight.item() == (1 * 0.75 + 5 * 0.25) * 0.75


def test_lists_are_of_one_dtype():
    model, seen = nn.Sequential(nn.Linear(2, 2).double(), nn.BatchNorm1d(2)), []
    averaged = swa_utils.AveragedModel(
        model,
        multi_avg_fn=lambda mine, theirs, n: seen.append(
            ({t.dtype.name for t in (*mine, *theirs)}, len(mine), len(theirs), n.item())
        ),
        use_buffers=True,
    )
    averaged.update_parameters(model)
    assert seen == []  # copied
    averaged.update_parameters(model)
    assert seen == [({"float64"}, 2, 2, 1), ({"float32"}, 4, 4, 1), ({"int64"}, 1, 1, 1)]


def test_copies_states_and_independence(tmp_path):
    net, averaged = train(tc, swa_utils, "ema", use_buffers=False)
    assert averaged.module is not net
    before = averaged.module[0].weight.detach().numpy().copy()
    nn.init.zeros_(net[0].weight)
    np.testing.assert_array_equal(averaged.module[0].weight.detach().numpy(), before)
    tc.save(averaged.state_dict(), tmp_path / "state")
    other = swa_utils.AveragedModel(build(tc), avg_fn=swa_utils.get_ema_avg_fn(0.9))
    other.load_state_dict(tc.load(tmp_path / "state"))
    twin = copy.deepcopy(averaged)
    for model in (averaged, other, twin):
        model.update_parameters(net)
    for key, value in averaged.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), other.state_dict()[key].numpy())
        np.testing.assert_array_equal(value.numpy(), twin.state_dict()[key].numpy())
    assert all(p.requires_grad for p in averaged.parameters())


def test_model_that_changed_is_refused():
    model = nn.Linear(2, 2)
    averaged = swa_utils.AveragedModel(model)
    for other in (nn.Linear(2, 3), nn.Linear(2, 2, bias=False)):
        with pytest.raises(ShapeError, match="AveragedModel: the model must have"):
            averaged.update_parameters(other)
    assert averaged.n_averaged.item() == 0


def test_functions_out_of_range():
    for make in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        for decay in (-0.1, 1.1, float("nan")):
            with pytest.raises(ArgumentError, match=f"{make.__name__}: decay"):
                make(decay)
    with pytest.raises(ArgumentError, match="only one of"):
        swa_utils.AveragedModel(nn.Linear(1, 1), avg_fn=lambda *a: a, multi_avg_fn=lambda *a: None)


@pytest.mark.parametrize("wrapped", [False, True])
def test_update_bn_matches_pytorch(wrapped):
    batches = [random(size, 3, seed=size) * size for size in (4, 7, 2)]
    results = []
    for lib, utils in ((tc, swa_utils), (torch, TS)):
        net = build(lib).eval()
        net[1].momentum = 0.3
        loader = [lib.tensor(b) for b in batches]
        utils.update_bn([(b, None) for b in loader] if wrapped else loader, net)
        assert net[1].momentum == 0.3
        assert not net.training
        results.append(net)
    for key, value in results[0].state_dict().items():
        assert_same(value, results[1].state_dict()[key], 1e-10, 1e-12)


def test_update_bn_puts_all_back_after_an_error():
    net = build(tc)
    net[1].eval()
    with pytest.raises(ShapeError):
        swa_utils.update_bn([tc.zeros(2, 9, dtype=tc.float64)], net)
    assert (net.training, net[0].training, net[1].training) == (True, True, False)
    assert net[1].momentum == 0.1


def test_update_bn_without_normalisation_calls_nothing():
    calls = []
    model = nn.Identity()
    model.register_forward_hook(lambda *a: calls.append(1))
    swa_utils.update_bn([tc.zeros(1)], model)
    assert calls == []


# -- schedule -----------------------------------------------------------------------------------


SCHEDULES = [
    {"swa_lr": 0.05},
    {"swa_lr": [0.05, 0.9], "anneal_epochs": 4},
    {"swa_lr": 0.5, "anneal_epochs": 5, "anneal_strategy": "linear"},
    {"swa_lr": 0.05, "anneal_epochs": 0},
    {"swa_lr": 0.05, "anneal_epochs": 1},
    {"swa_lr": 0.0, "anneal_epochs": 3},
]


def optimizer_of(lib):
    a, b = (lib.zeros(1, requires_grad=True) for _ in range(2))
    return lib.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.3}], lr=0.1)


def rates(lib, utils, options, also=None, reload_at=None):
    optimizer = optimizer_of(lib)
    decay = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    scheduler = utils.SWALR(optimizer, **options)
    history = [[g["lr"] for g in optimizer.param_groups]]
    for epoch in range(9):
        if epoch == reload_at:
            states = optimizer.state_dict(), json.loads(json.dumps(scheduler.state_dict()))
            optimizer = optimizer_of(lib)
            scheduler = utils.SWALR(optimizer, **options)
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        optimizer.step()
        if also == epoch:
            decay.step()
        scheduler.step()
        history.append([g["lr"] for g in optimizer.param_groups])
        assert scheduler.get_last_lr() == history[-1]
    return history


@pytest.mark.parametrize("also", [None, 2])
@pytest.mark.parametrize("options", SCHEDULES, ids=str)
def test_schedule_matches_pytorch(options, also):
    ours = rates(tc, swa_utils, options, also)
    np.testing.assert_allclose(ours, rates(torch, TS, options, also), rtol=1e-9, atol=1e-15)
    if also is None:
        again = rates(tc, swa_utils, options, reload_at=3)
        np.testing.assert_array_equal(ours, again)


def test_names_and_options_are_those_of_pytorch():
    assert sorted(swa_utils.__all__) == sorted(TS.__all__)
    for name in TS.__all__:
        ours, theirs = (
            [(p.name, p.default) for p in inspect.signature(getattr(m, name)).parameters.values()]
            for m in (swa_utils, TS)
        )
        assert ours == theirs, name
    theirs = TS.SWALR(optimizer_of(torch), 0.1).state_dict()
    ours = swa_utils.SWALR(optimizer_of(tc), 0.1).state_dict()
    assert ours["_anneal_strategy"] == theirs["_anneal_strategy"]
    assert ours["anneal_epochs"] == theirs["anneal_epochs"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"swa_lr": -1.0}, "swa_lr must be at least 0"),
        ({"swa_lr": [0.1]}, "1 values of swa_lr for 2"),
        ({"swa_lr": 0.1, "anneal_epochs": -1}, "anneal_epochs"),
        ({"swa_lr": 0.1, "anneal_epochs": 1.5}, "anneal_epochs"),
        ({"swa_lr": 0.1, "anneal_strategy": "cosine"}, "'cos' or 'linear', got 'cosine'"),
    ],
)
def test_schedule_refuses(options, words):
    with pytest.raises(ArgumentError, match=words):
        swa_utils.SWALR(optimizer_of(tc), **options)
    with pytest.raises(DTypeError, match="expected an Optimizer"):
        swa_utils.SWALR(nn.Linear(1, 1), 0.1)
