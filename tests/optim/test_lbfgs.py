"""L-BFGS against PyTorch's, iteration by iteration, and on functions with known minima."""

import copy

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn, optim
from tinyconv.errors import ArgumentError, DTypeError, InPlaceError, ShapeError, StateDictError

OPTIONS = [
    {},
    {"lr": 0.1, "max_iter": 4},
    {"lr": 0.3, "history_size": 2, "max_iter": 7},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 5},
    {"line_search_fn": "strong_wolfe", "lr": 10.0, "max_iter": 3},
    {"line_search_fn": "strong_wolfe", "lr": 1e-3, "max_iter": 3},
    {"line_search_fn": "strong_wolfe", "max_eval": 4},
    {"line_search_fn": "strong_wolfe", "max_eval": 1},
    {"max_iter": 1},
    {"max_iter": 0},
    {"max_eval": 0, "line_search_fn": "strong_wolfe"},
    {"tolerance_grad": 1.0},
    {"tolerance_change": 1e-2},
    {"tolerance_change": 1e-2, "line_search_fn": "strong_wolfe"},
]


def logistic(lib, params):
    """Return the loss of a small classifier, which all its parameters influence."""
    rng = np.random.default_rng(0)
    x, y = (lib.tensor(rng.standard_normal(s)) for s in ((12, 4), (12, 3)))
    weight, bias, scale = params
    z = (x @ weight.T + bias) * scale
    return ((z.exp() + 1).log() - y * z).mean() + 0.01 * (weight * weight).sum()


def rosenbrock(lib, params):
    total = 0
    for p in params:
        x = p.reshape(-1)
        if len(x) > 1:
            total = total + (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        else:
            total = total + (x**2).sum()
    return total


def quartic(lib, params):
    return sum(((p - 1) ** 4 + (p * p) / 10).sum() for p in params)


FUNCTIONS = [logistic, rosenbrock, quartic]
SHAPES = [(3, 4), (3,), ()]


def run(lib, function, options, steps=6, between=None):
    """Return losses and parameters after each step, and the optimizer."""
    rng = np.random.default_rng(3)
    params = [lib.tensor(rng.standard_normal(s), requires_grad=True) for s in SHAPES]
    optimizer = lib.optim.LBFGS(params, **options)

    def closure():
        for p in params:
            p.grad = None
        loss = function(lib, params)
        loss.backward()
        return loss

    history = []
    for step in range(steps):
        loss = optimizer.step(closure)
        if between is not None:
            optimizer = between(step, optimizer, params)
        history.append([loss.item(), *(np.array(p.tolist()) for p in params)])
    return history, optimizer


def assert_same(ours, theirs, rtol=1e-6):
    # Rounding grows from iteration to iteration, as the method divides small by small numbers.
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7, err_msg=f"step {step}")


def as_plain(value):
    """Return tensors as arrays, and 0-d ones as numbers."""
    if isinstance(value, list):
        return [as_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return np.array(value.detach().numpy()) if value.ndim else value.item()
    return value


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_matches_pytorch(function, options, device):
    torch = pytest.importorskip("torch")
    if options.get("max_eval") == 0:
        pytest.skip("PyTorch stumbles over it")
    with tc.device(device):
        ours, optimizer = run(tc, function, options)
    theirs, other = run(torch, function, options)
    assert_same(ours, theirs)
    mine, its = (next(iter(o.state.values())) for o in (optimizer, other))
    assert set(mine) == {key for key, value in its.items() if value is not None}
    assert (mine["n_iter"], mine["func_evals"]) == (its["n_iter"], its["func_evals"])
    for key in set(mine) & {"old_dirs", "old_stps", "ro", "al"}:
        assert len(mine[key]) == len(its[key])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_pytorch_state_can_be_loaded(function, line_search):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.5, "max_iter": 4, "history_size": 3, "line_search_fn": line_search}
    saved = {}

    def keep(step, optimizer, params):
        if step == 2:
            state = copy.deepcopy(optimizer.state_dict())
            saved["param_groups"] = state["param_groups"]
            saved["state"] = {0: {k: as_plain(v) for k, v in state["state"][0].items()}}
        return optimizer

    def take_over(step, optimizer, params):
        if step != 2:
            return optimizer
        fresh = optim.LBFGS(params)
        fresh.load_state_dict(saved)
        return fresh

    theirs, _ = run(torch, function, options, between=keep)
    ours, _ = run(tc, function, options, between=take_over)
    assert_same(ours, theirs)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_pytorch_can_load_our_state(line_search):
    torch = pytest.importorskip("torch")
    options = {"lr": 0.5, "max_iter": 4, "history_size": 3, "line_search_fn": line_search}
    saved = {}

    def to_torch(value):
        if isinstance(value, list):
            return [to_torch(v) for v in value]
        return torch.tensor(value.numpy()) if isinstance(value, tc.Tensor) else value

    def keep(step, optimizer, params):
        if step == 2:
            state = optimizer.state_dict()
            saved["param_groups"] = state["param_groups"]
            saved["state"] = {0: {k: to_torch(v) for k, v in state["state"][0].items()}}
        return optimizer

    def take_over(step, optimizer, params):
        if step != 2:
            return optimizer
        fresh = torch.optim.LBFGS(params)
        fresh.load_state_dict(saved)
        return fresh

    ours, _ = run(tc, logistic, options, between=keep)
    theirs, _ = run(torch, logistic, options, between=take_over)
    assert_same(ours, theirs)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_state_survives_a_round_trip_in_mid_run(line_search, tmp_path):
    options = {"lr": 0.5, "max_iter": 4, "history_size": 3, "line_search_fn": line_search}

    def reload(step, optimizer, params):
        if step != 2:
            return optimizer
        tc.save(optimizer.state_dict(), tmp_path / "optimizer")
        fresh = optim.LBFGS(params)
        fresh.load_state_dict(tc.load(tmp_path / "optimizer"))
        return fresh

    plain, _ = run(tc, logistic, options)
    reloaded, _ = run(tc, logistic, options, between=reload)
    for a, b in zip(plain, reloaded, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def minimize(start, function, dtype=tc.float64, **options):
    p = nn.Parameter(tc.tensor(start, dtype=dtype))
    optimizer = optim.LBFGS([p], **options)
    calls = []

    def closure():
        optimizer.zero_grad(set_to_none=False)
        loss = function(p)
        loss.backward()
        calls.append(loss.item())
        return loss

    loss = optimizer.step(closure)
    return p, loss, calls


@pytest.mark.parametrize("dtype", [tc.float32, tc.float64])
def test_rosenbrock_in_one_step(dtype):
    p, loss, calls = minimize(
        [-1.2, 1.0],
        lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
        dtype,
        max_iter=100,
        line_search_fn="strong_wolfe",
    )
    assert p.dtype is dtype
    assert loss.item() == pytest.approx(24.2)
    assert p.tolist() == pytest.approx([1, 1], abs=1e-2 if dtype is tc.float32 else 1e-4)
    assert len(calls) < 125


def test_a_quadratic_of_two_dimensions_takes_two_curvatures():
    p, _, calls = minimize(
        [3.0, -2.0],
        lambda x: (x * x * tc.tensor([1.0, 10.0])).sum(),
        line_search_fn="strong_wolfe",
    )
    assert p.tolist() == pytest.approx([0, 0], abs=1e-4)
    assert len(calls) < 20


def test_at_the_minimum_nothing_happens():
    p, _, calls = minimize([0.0, 0.0], lambda x: (x * x).sum())
    assert p.tolist() == [0, 0]
    assert len(calls) == 1


def test_a_function_without_a_minimum():
    for line_search in (None, "strong_wolfe"):
        p, _, calls = minimize([0.0], lambda x: (-3 * x).sum(), line_search_fn=line_search)
        assert p.item() > 0
        assert np.isfinite(p.item())
        assert len(calls) <= 26


def test_not_a_number_does_not_hang():
    for line_search in (None, "strong_wolfe"):
        p, _, calls = minimize([0.0], lambda x: (x * float("nan")).sum(),
                               line_search_fn=line_search)  # fmt: skip
        assert np.isnan(p.item())
        assert len(calls) <= 26


def test_parameters_without_a_gradient_stay():
    p, q = nn.Parameter(tc.tensor([2.0])), nn.Parameter(tc.tensor([5.0]))
    optimizer = optim.LBFGS([q, p], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tc.no_grad():
        optimizer.step(closure)
    assert q.item() == 5
    assert p.item() == pytest.approx(0, abs=1e-5)
    assert optimizer.step_count == 1
    assert p.requires_grad
    assert p.grad_fn is None


def test_a_loss_may_be_a_number():
    p = nn.Parameter(tc.tensor([2.0]))

    def closure():
        p.grad = 2 * p.detach()
        return float(p.item() ** 2)

    assert optim.LBFGS([p]).step(closure) == 4.0
    assert p.item() == pytest.approx(0, abs=1e-5)


def test_a_schedule_of_the_rate_is_heard():
    p = nn.Parameter(tc.tensor([1.0]))
    optimizer = optim.LBFGS([p], lr=1.0, max_iter=1)
    optimizer.param_groups[0]["lr"] = 0.25

    def closure():
        p.grad = tc.tensor([1.0])
        return 0.0

    optimizer.step(closure)
    assert p.item() == 0.75


def test_refused():
    def p():
        return nn.Parameter(tc.ones(2))

    for make, words in [
        (lambda: optim.LBFGS([{"params": [p()]}, {"params": [p()]}]), "only one parameter group"),
        (lambda: optim.LBFGS([p()]).add_param_group({"params": [p()]}), "only one"),
        (lambda: optim.LBFGS([p()], max_iter=-1), "max_iter must be an int of at least 0, got -1"),
        (lambda: optim.LBFGS([p()], max_eval=-2), "max_eval"),
        (lambda: optim.LBFGS([p()], history_size=0), "history_size .* at least 1"),
        (lambda: optim.LBFGS([p()], history_size=2.5), "history_size"),
        (lambda: optim.LBFGS([p()], tolerance_grad=float("nan")), "tolerance_grad"),
        (lambda: optim.LBFGS([p()], tolerance_change=float("nan")), "tolerance_change"),
        (lambda: optim.LBFGS([p()], line_search_fn="armijo"), "None or 'strong_wolfe'"),
        (lambda: optim.LBFGS([p()]).step(), "needs a closure"),
    ]:
        with pytest.raises(ArgumentError, match=f"LBFGS: .*{words}"):
            make()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda p: setattr(p, "grad", tc.ones(3)), ShapeError),
        (lambda p: setattr(p, "grad", tc.ones(2, dtype=tc.float64)), DTypeError),
        (lambda p: setattr(p.array.flags, "writeable", False), InPlaceError),
    ],
)
def test_one_bad_parameter_and_nothing_changes(spoil, error):
    good, bad = nn.Parameter(tc.ones(2)), nn.Parameter(tc.ones(2))
    optimizer = optim.LBFGS([good, bad])

    def closure():
        good.grad, bad.grad = tc.ones(2), tc.ones(2)
        spoil(bad)
        return 1.0

    if error is InPlaceError:
        spoil(bad)
    with pytest.raises(error):
        optimizer.step(closure)
    assert good.tolist() == bad.tolist() == [1, 1]


def test_state_that_does_not_fit():
    _, optimizer = run(tc, logistic, {"max_iter": 3})
    p = nn.Parameter(tc.ones(3))
    other = optim.LBFGS([p])
    state = optimizer.state_dict()
    state["param_groups"][0]["params"] = [0]
    with pytest.raises(StateDictError, match=r"LBFGS: '\w+' of parameter 0 has shape \(16,\)"):
        other.load_state_dict(state)
    assert not other.state
