"""The base class: groups, errors, zero_grad, closures, state dicts, text."""

import copy
import warnings

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated_device

import tinyconv as tc
from tinyconv import nn, optim
from tinyconv.errors import ArgumentError, DTypeError, StateDictError


def param(*values):
    return nn.Parameter(tc.tensor(values or [1.0]))


def set_grads(params, value=1.0):
    for p in params:
        p.grad = tc.full_like(p, value).detach()


def test_groups_override_defaults():
    a, b, c = param(), param(), param()
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1, 0.1]
    assert [g["momentum"] for g in optimizer.param_groups] == [0, 0, 0.9]
    set_grads([a, b, c])
    optimizer.step()
    assert [round(p.item(), 6) for p in (a, b, c)] == [0.5, 0.9, 0.9]
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert a.item() == 0.5


def test_parameters_without_gradient_are_left_alone():
    a, b = param(), param()
    optimizer = optim.Adam([a, b], lr=0.1, weight_decay=1.0)
    set_grads([a])
    optimizer.step()
    assert a.item() != 1
    assert b.item() == 1
    assert list(optimizer.state) == [a]


def test_tied_parameters_are_updated_once():
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    net[1].weight = net[0].weight
    nn.init.ones_(net[0].weight)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    net(tc.ones(1, 1)).sum().backward()  # d(w*w)/dw = 2
    optimizer.step()
    assert net[1].weight is net[0].weight
    assert net[0].weight.item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: optim.SGD([]), ArgumentError, "empty parameter list"),
        (lambda: optim.SGD(param()), DTypeError, "ordered iterable"),
        (lambda: optim.SGD({param()}), DTypeError, "pass a list"),
        (lambda: optim.SGD([{"params": {param()}}]), DTypeError, "no order"),
        (lambda: optim.SGD([1.0]), DTypeError, "can only optimize Tensors, .* float"),
        (lambda: optim.SGD([param() * 2]), ArgumentError, "non-leaf"),
        (lambda: optim.SGD([{"lr": 1.0}]), DTypeError, "key 'params'"),
        (lambda: optim.SGD([param()], lr=-1.0), ArgumentError, "lr must be at least 0"),
        (lambda: optim.SGD([param()], momentum=-1.0), ArgumentError, "momentum"),
        (lambda: optim.SGD([param()], nesterov=True), ArgumentError, "nesterov"),
        (lambda: optim.SGD([param()], momentum=0.9, dampening=0.1, nesterov=True),
         ArgumentError, "nesterov"),
        (lambda: optim.Adam([param()], betas=(0.9, 1.0)), ArgumentError, "betas"),
        (lambda: optim.Adam([param()], betas=(0.9,)), ArgumentError, "betas must be two numbers"),
        (lambda: optim.NAdam([param()], betas=(0.9, -0.1)), ArgumentError, "betas"),
        (lambda: optim.NAdam([param()], betas=0.9), ArgumentError, "betas must be two numbers"),
        (lambda: optim.NAdam([param()], momentum_decay=-1), ArgumentError, "momentum_decay"),
        (lambda: optim.RAdam([param()], betas=(1.0, 0.9)), ArgumentError, "betas"),
        (lambda: optim.RAdam([param()], betas=(0.9, 0.9, 0.9)), ArgumentError, "two numbers"),
        (lambda: optim.Adamax([param()], betas=(0.9, float("nan"))), ArgumentError, "betas"),
        (lambda: optim.Adamax([param()], betas=()), ArgumentError, "betas must be two numbers"),
        (lambda: optim.Adamax([param()], eps=float("nan")), ArgumentError, "eps"),
        (lambda: optim.Rprop([param()], etas=(0.5, 1.0)), ArgumentError, "etas"),
        (lambda: optim.Rprop([param()], etas=(0.0, 1.2)), ArgumentError, "etas"),
        (lambda: optim.Rprop([param()], etas=[0.5]), ArgumentError, "etas must be two"),
        (lambda: optim.Rprop([param()], step_sizes=(2, 1)), ArgumentError, "least <= largest"),
        (lambda: optim.Rprop([param()], step_sizes=3), ArgumentError, "step_sizes must be two"),
        (lambda: optim.ASGD([param()], lambd=-1), ArgumentError, "lambd"),
        (lambda: optim.ASGD([param()], weight_decay=-1), ArgumentError, "weight_decay"),
        (lambda: optim.LARS([param()], trust_coefficient=-1), ArgumentError, "trust_coefficient"),
        (lambda: optim.LARS([param()], momentum=0, nesterov=True), ArgumentError, "nesterov"),
        (lambda: optim.Adam([param()], eps=-1e-8), ArgumentError, "eps"),
        (lambda: optim.AdamW([param()], weight_decay=-1), ArgumentError, "weight_decay"),
        (lambda: optim.Adadelta([param()], rho=1.5), ArgumentError, "rho"),
        (lambda: optim.RMSprop([param()], alpha=-0.1), ArgumentError, "alpha"),
        (lambda: optim.Adagrad([param()], lr_decay=-1), ArgumentError, "lr_decay"),
        (lambda: optim.SGD([{"params": [param()], "lr": -2.0}]), ArgumentError, "lr"),
    ],
)  # fmt: skip
def test_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_parameter_in_two_groups():
    p = param()
    optimizer = optim.SGD([p])
    with pytest.raises(ArgumentError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [p]})
    assert len(optimizer.param_groups) == 1
    with pytest.warns(UserWarning, match="holds a parameter twice"):
        optim.SGD([p, p])


def test_zero_grad():
    p, q = param(), param()
    optimizer = optim.SGD([p, q])
    set_grads([p])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0]
    assert q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


def test_closure_runs_with_gradients():
    p = param(3.0)
    optimizer = optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tc.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9
    assert p.item() == pytest.approx(2.4)
    assert p.grad_fn is None
    assert p.requires_grad


def test_the_graph_notices_a_step():
    p = param(3.0)
    y = (p * p).sum()
    set_grads([p])
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(tc.errors.InPlaceError):
        y.backward()


@pytest.mark.parametrize(
    "name", sorted(set(optim.__all__) - {"Optimizer", "lr_scheduler", "swa_utils"})
)
@pytest.mark.parametrize("lr", [float("nan"), -0.1, -float("inf")])
def test_learning_rates_that_are_none(name, lr):
    kind = getattr(optim, name)
    with pytest.raises(ArgumentError, match=f"{name}: lr must be at least 0, got {lr}"):
        kind([param()], lr=lr)
    with pytest.raises(ArgumentError, match="lr must be at least 0"):
        kind([{"params": [param()], "lr": lr}])
    kind([param()], lr=0)


@pytest.mark.parametrize(
    "name",
    ["SGD", "Adam", "Adadelta", "RMSprop", "Adagrad"]
    + ["NAdam", "RAdam", "Adamax", "Rprop", "ASGD", "LARS"],
)
@pytest.mark.parametrize("dtype", [tc.float16, tc.float32, tc.float64])
def test_dtype_is_kept(name, dtype):
    p = nn.Parameter(tc.ones(3, dtype=dtype))
    set_grads([p])
    optimizer = getattr(optim, name)([p], lr=np.float64(0.1))
    optimizer.step()
    assert p.dtype is dtype
    values = optimizer.state[p].values()
    assert {v.dtype for v in values if isinstance(v, tc.Tensor)} <= {dtype}
    assert all(np.isfinite(p.tolist()))


def test_state_dict_layout():
    a, b, c = param(), param(), param()
    optimizer = optim.Adam([{"params": [a, b]}, {"params": [c], "lr": 1.0}], amsgrad=True)
    set_grads([a, c])
    optimizer.step()
    saved = optimizer.state_dict()
    assert set(saved) == {"state", "param_groups"}
    assert set(saved["state"]) == {0, 2}
    assert set(saved["state"][0]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert [g["params"] for g in saved["param_groups"]] == [[0, 1], [2]]
    assert saved["param_groups"][1]["lr"] == 1.0


def test_loading_copies_casts_and_replaces_options():
    a, b = param(1.0, 2.0), nn.Parameter(tc.ones(2, dtype=tc.float64))
    source = optim.SGD([a], lr=0.5, momentum=0.9)
    set_grads([a])
    source.step()
    target = optim.SGD([b], lr=0.1)
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == 0.5
    assert target.param_groups[0]["params"] == [b]
    buffer = target.state[b]["momentum_buffer"]
    assert buffer.dtype is tc.float64
    same_dtype = optim.SGD([param(0.0, 0.0)])
    same_dtype.load_state_dict(source.state_dict())
    source.state[a]["momentum_buffer"].add_(1)
    for loaded in (buffer, *(s["momentum_buffer"] for s in same_dtype.state.values())):
        assert loaded.tolist() == [1, 1]
    on_strict = nn.Parameter(tc.ones(2, device="strict"))
    elsewhere = optim.SGD([on_strict])
    elsewhere.load_state_dict(target.state_dict())
    assert str(elsewhere.state[on_strict]["momentum_buffer"].device) == "strict"


def test_state_that_does_not_fit_changes_nothing():
    a, b = param(), param()
    optimizer = optim.Adam([a, b], lr=0.25)
    set_grads([a])
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    good = optimizer.state_dict()

    def bad(**changes):
        return {**good, **changes}

    group = good["param_groups"][0]
    for state, words in [
        (3, "has the keys"),
        ({"state": {}}, "has the keys"),
        (bad(param_groups=[group, group]), "different number of parameter groups: 2"),
        (bad(param_groups=[{**group, "params": [0]}]), "group 0 .* has 1 parameters"),
        (bad(state={5: {}}), "parameter 5 belongs to no group"),
        (bad(state={0: {"exp_avg": np.zeros(7)}}), r"'exp_avg' of parameter 0 has shape \(7,\)"),
    ]:
        with pytest.raises(StateDictError, match=words):
            optimizer.load_state_dict(state)
    with pytest.raises(ArgumentError, match="lr"):
        optimizer.load_state_dict(bad(param_groups=[{**group, "lr": -1.0}]))
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert after["state"][0]["step"] == 1
    assert after["state"][0]["exp_avg"].tolist() == before["state"][0]["exp_avg"].tolist()


def test_deepcopy_goes_with_the_copied_parameters():
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    set_grads(net.parameters())
    optimizer.step()
    net2, optimizer2 = copy.deepcopy((net, optimizer))
    assert optimizer2.param_groups[0]["params"][0] is net2.weight
    assert list(optimizer2.state) == list(net2.parameters())
    before = net.weight.tolist()
    set_grads(net2.parameters())
    optimizer2.step()
    assert net.weight.tolist() == before
    assert net2.weight.tolist() != before


def test_repr():
    text = repr(optim.SGD([{"params": [param()]}, {"params": [param()], "lr": 0.5}], lr=0.1))
    assert text == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n"
        "    momentum: 0\n    nesterov: False\n    weight_decay: 0\nParameter Group 1\n"
        "    dampening: 0\n    lr: 0.5\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


def test_an_optimizer_of_ones_own():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def update(self, param, grad, state, group):
            state["steps"] = state.get("steps", 0) + 1
            param.array[...] -= group["lr"] * param.xp.sign(grad.array)

    p = param(1.0, -1.0)
    optimizer = SignDescent([p])
    p.grad = tc.tensor([5.0, -3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert p.tolist() == pytest.approx([0.9, -0.9])
    base = optim.Optimizer([p], {})
    with pytest.raises(AttributeError, match="defines no update"):
        base.step()


OPTIMIZERS = [
    (optim.SGD, {"momentum": 0.9}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.RMSprop, {"momentum": 0.5, "centered": True}),
    (optim.Adagrad, {}),
    (optim.Adadelta, {}),
    (optim.NAdam, {}),
    (optim.RAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    (optim.Adamax, {}),
    (optim.Rprop, {}),
    (optim.ASGD, {"t0": 1}),
    (optim.LARS, {}),
]


def make_state_too_large(p, optimizer):
    for value in optimizer.state[p].values():
        if isinstance(value, tc.Tensor):
            value.data = tc.ones(5)


def make_read_only(p, optimizer):
    p.array.flags.writeable = False


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda p, o: setattr(p, "grad", tc.ones(3)), tc.errors.ShapeError, "its gradient"),
        (lambda p, o: setattr(p, "grad", tc.ones(1, dtype=tc.float64)), DTypeError, "float64"),
        (
            lambda p, o: setattr(p, "grad", tc.ones(1, device="strict")),
            tc.errors.DeviceError,
            "its gradient",
        ),
        (make_state_too_large, tc.errors.ShapeError, "its state"),
        (make_read_only, tc.errors.InPlaceError, "cannot be written"),
    ],
)
def test_one_bad_parameter_and_nothing_changes(kind, options, spoil, error, words):
    params = [param(), param(), param(), param()]
    optimizer = kind([{"params": params[:2]}, {"params": params[2:]}], **options)
    set_grads(params)
    optimizer.step()
    set_grads(params)
    spoil(params[3], optimizer)
    before = [p.item() for p in params], copy.deepcopy(optimizer.state_dict()["state"])
    versions = [p._version[0] for p in params]
    with pytest.raises(error, match=words):
        optimizer.step()
    after = [p.item() for p in params], optimizer.state_dict()["state"]
    assert str(after) == str(before)
    assert [p._version[0] for p in params] == versions


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_all_at_once_is_one_by_one(kind, options, backend, device):
    """Many parameters of any memory order, some on another device, some there twice."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype("f4") for s in [(3, 4), (5,), (2, 3, 2, 2)] * 3]
    grads = [rng.standard_normal(a.shape).astype("f4") for a in arrays]

    def run(groups_of):
        params = [
            nn.Parameter(tc.tensor(a, device="strict" if i == 4 else device))
            for i, a in enumerate(arrays)
        ]
        if device == "cpu":
            params[2].data = params[2].data.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        optimizers = [kind(g, **options) for g in groups_of(params)]
        for step in range(4):
            for i, (p, g) in enumerate(zip(params, grads, strict=True)):
                p.grad = None if (i + step) % 4 == 3 else tc.tensor(g * step, device=p.device)
            for optimizer in optimizers:
                optimizer.step()
        return [p.tolist() for p in params]

    together = run(lambda params: [params])
    alone = run(lambda params: [[p] for p in params])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("kind", "options"), [*OPTIMIZERS, (optim.SGD, {"momentum": 0.9, "dampening": 0.5})]
)
def test_a_parameter_that_is_there_twice_is_updated_twice(kind, options):
    once, twice = param(1.0, 2.0), param(1.0, 2.0)
    with pytest.warns(UserWarning, match="twice"):
        optimizers = [kind([twice, twice], **options), kind([once], **options)]
    set_grads([once, twice])
    for optimizer in (*optimizers, optimizers[1]):
        optimizer.step()
    assert once.tolist() == twice.tolist()
    assert optimizers[0].state[twice].get("step", 2) == 2


def test_a_subclass_may_change_the_update_of_one_parameter():
    class Clipped(optim.SGD):
        def update(self, param, grad, state, group):
            super().update(param, grad.clamp(-1, 1), state, group)

    p, q = param(1.0), param(1.0)
    p.grad, q.grad = tc.tensor([5.0]), tc.tensor([-0.5])
    optimizer = Clipped([p, q], lr=0.1, momentum=0.9)
    optimizer.step()
    assert [p.item(), q.item()] == pytest.approx([0.9, 1.05])
    assert set(optimizer.state[p]) == {"momentum_buffer"}


def test_an_optimizer_of_lists():
    class Plain(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5})

        def update_all(self, params, grads, states, group):
            for p, g in zip(params, grads, strict=True):
                p.array[...] -= group["lr"] * g.array

    p, q = param(1.0), param(2.0)
    set_grads([p, q])
    versions = p._version[0]
    Plain([p, q]).step()
    assert [p.item(), q.item()] == [0.5, 1.5]
    assert p._version[0] > versions


# -- steps that the device may leave out ----------------------------------------------------------


@pytest.mark.skipif(COMPILER is None, reason="needs g++")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {"momentum": 0.9, "dampening": 0.4}), (optim.SGD, {}),
        (optim.Adam, {"weight_decay": 0.1}), (optim.Adagrad, {"lr_decay": 0.3}),
        (optim.RMSprop, {"centered": True}), (optim.Adadelta, {}),
    ],
)  # fmt: skip
def test_steps_left_out_on_the_device_are_steps_left_out(kind, options):
    """The same bits and the same state dict as where the host leaves them out."""

    def numbers(optimizer):
        return {
            number: {k: v.tolist() if hasattr(v, "tolist") else v for k, v in state.items()}
            for number, state in optimizer.state_dict()["state"].items()
            if state
        }

    with emulated_device():
        found = []
        for on_device in (True, False):
            tc.manual_seed(0)
            params = [tc.nn.Parameter(tc.randn(5)), tc.nn.Parameter(tc.randn(2, 3))]
            optimizer = kind(params, lr=0.1, **options)
            course = []
            for step, left_out in enumerate([1, 0, 0, 1, 0, 0]):
                for param in params:
                    param.grad = tc.randn(*param.shape)
                if step == 4:
                    params[1].grad = None  # its steps are counted apart from here on
                if on_device and step < 5:
                    optimizer.found_inf = tc.tensor(float(left_out))
                    optimizer.step()
                    del optimizer.found_inf
                elif not left_out:
                    optimizer.step()
                course.append((numbers(optimizer), [p.tolist() for p in params]))
            found.append(course)
    for step, (one, other) in enumerate(zip(*found, strict=True)):
        assert one == other, step


@pytest.mark.skipif(COMPILER is None, reason="needs g++")
def test_only_steps_of_kernels_obey_the_flag():
    class Own(optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    with emulated_device():
        param = tc.nn.Parameter(tc.ones(2))
        assert optim.SGD([param])._step_supports_amp_scaling
        assert not optim.NAdam([param])._step_supports_amp_scaling
        assert not Own([param])._step_supports_amp_scaling
    assert not optim.SGD([tc.nn.Parameter(tc.ones(2))])._step_supports_amp_scaling


@pytest.mark.skipif(COMPILER is None, reason="needs g++")
def test_counts_survive_a_state_dict():
    with emulated_device():
        param = tc.nn.Parameter(tc.ones(2))
        optimizer = optim.Adam([param])
        for flag in (0.0, 1.0, 0.0):
            param.grad, optimizer.found_inf = tc.ones(2), tc.tensor(flag)
            optimizer.step()
        state = optimizer.state_dict()
        assert state["state"][0]["step"] == 2
        other = optim.Adam([tc.nn.Parameter(tc.ones(2))])
        other.load_state_dict(state)
        assert other.state_dict()["state"][0]["step"] == 2
