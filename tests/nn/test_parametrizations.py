"""weight_norm, spectral_norm and weight_noise: against PyTorch, formulas and their purpose."""

import copy

import numpy as np
import pytest
from against_torch import assert_same, torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import checkpoint, gradcheck
from tinyconv.errors import ArgumentError, IndexRangeError

PM, TPM = nn.utils.parametrizations, torch.nn.utils.parametrizations
P = nn.utils.parametrize


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


LAYERS = {
    "linear": (lambda lib: lib.nn.Linear(3, 4), (2, 3)),
    "conv": (lambda lib: lib.nn.Conv2d(3, 4, (2, 3)), (2, 3, 4, 5)),
    "transposed": (lambda lib: lib.nn.ConvTranspose2d(3, 4, 2), (2, 3, 4, 5)),
    "conv1d": (lambda lib: lib.nn.Conv1d(2, 3, 3, bias=False), (2, 2, 5)),
}


def both(kind, dtype="float64"):
    """Return equal layers of both libraries, and an input."""
    make, shape = LAYERS[kind]
    ours, theirs = make(tc).to(getattr(tc, dtype)), make(torch).to(getattr(torch, dtype))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        values = random(*p.shape, seed=p.ndim).astype(dtype)
        with tc.no_grad(), torch.no_grad():
            p.copy_(tc.tensor(values))
            q.copy_(torch.tensor(values))
    return ours, theirs, random(*shape, seed=9).astype(dtype)


def assert_same_layers(ours, theirs, x, rtol=1e-10):
    """Compare keys, states, outputs and gradients."""
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    for key in state:
        assert_same(state[key], expected[key], rtol, 1e-12)
    a, b = ours(tc.tensor(x)), theirs(torch.tensor(x))
    assert_same(a, b, rtol, 1e-12)
    (a * a).sum().backward()
    (b * b).sum().backward()
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert p.grad is not None, name
        assert_same(p.grad, q.grad, rtol, 1e-10)


@pytest.mark.parametrize("dim", [0, 1, None, -1, -2])
@pytest.mark.parametrize("kind", LAYERS)
def test_weight_norm(kind, dim):
    ours, theirs, x = both(kind)
    assert PM.weight_norm(ours, dim=dim) is ours
    TPM.weight_norm(theirs, dim=dim)
    assert_same_layers(ours, theirs, x)
    value = random(*ours.weight.shape, seed=11)
    ours.weight, theirs.weight = tc.tensor(value), torch.tensor(value)
    ours.zero_grad()
    theirs.zero_grad()
    assert_same_layers(ours, theirs, x)


def test_weight_norm_of_a_vector_and_its_gradient():
    ours, theirs, _ = both("linear")
    PM.weight_norm(ours, "bias")
    TPM.weight_norm(theirs, "bias")
    assert_same(ours.bias, theirs.bias)
    norm = PM._WeightNorm(0, 3)
    g, v = (tc.tensor(random(*s), requires_grad=True) for s in [(2, 1, 1), (2, 3, 2)])
    gradcheck(norm, (g, v))


def test_weight_norm_trains_the_length():
    layer = nn.utils.weight_norm(nn.Linear(3, 2))
    with tc.no_grad():
        layer.parametrizations.weight.original0.fill_(2.0)
    np.testing.assert_allclose(layer.weight.norm(dim=1).detach().numpy(), [2, 2], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_states_of_the_older_functions_can_be_loaded():
    ours, theirs, x = both("conv")
    nn.utils.weight_norm(ours)
    torch.nn.utils.weight_norm(theirs)
    theirs.weight_g.data *= 3
    outer, state = nn.Sequential(ours), torch.nn.Sequential(theirs).state_dict()
    outer.load_state_dict({k: v.numpy() for k, v in state.items()})
    assert_same(ours(tc.tensor(x)), theirs(torch.tensor(x)), 1e-10, 1e-12)
    ours, theirs, x = both("conv")
    nn.utils.spectral_norm(ours)
    torch.nn.utils.spectral_norm(theirs)
    theirs.weight_orig.data *= 3
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    ours.eval()
    theirs.eval()
    assert_same(ours(tc.tensor(x)), theirs(torch.tensor(x)), 1e-10, 1e-12)


@pytest.mark.parametrize("options", [{}, {"dim": 1}, {"dim": -1, "n_power_iterations": 3}])
@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm(kind, options):
    ours, theirs, x = both(kind)
    assert PM.spectral_norm(ours, **options) is ours
    TPM.spectral_norm(theirs, **options)
    for name in ("_u", "_v"):  # the draws differ
        buffer = getattr(theirs.parametrizations.weight[0], name)
        getattr(ours.parametrizations.weight[0], name).copy_(tc.tensor(buffer.numpy()))
    for mode in (True, True, False):  # the vectors move in training only
        ours.train(mode)
        theirs.train(mode)
        ours.zero_grad()
        theirs.zero_grad()
        assert_same_layers(ours, theirs, x)


def test_spectral_norm_is_one_and_rests_in_evaluation():
    layer = PM.spectral_norm(nn.Conv2d(3, 8, 3), n_power_iterations=30)
    weight = layer.weight.detach().numpy().reshape(8, -1)
    assert np.linalg.norm(weight, 2) == pytest.approx(1, abs=1e-3)
    norm = layer.parametrizations.weight[0]
    with tc.no_grad():
        layer.parametrizations.weight.original.add_(random(8, 3, 3, 3)[0, 0, 0, 0])
    before = norm._u.numpy().copy()
    layer.eval()(tc.ones(1, 3, 4, 4))
    np.testing.assert_array_equal(norm._u.numpy(), before)
    layer.train()(tc.ones(1, 3, 4, 4))
    assert not np.array_equal(norm._u.numpy(), before)


def test_spectral_norm_of_a_vector():
    ours, theirs, x = both("linear")
    PM.spectral_norm(ours, "bias")
    TPM.spectral_norm(theirs, "bias")
    assert_same_layers(ours, theirs, x)
    assert list(ours.buffers()) == []


def test_two_calls_before_the_backward_pass():
    layer = PM.spectral_norm(nn.Linear(3, 3))
    x = tc.tensor(random(2, 3).astype(np.float32))
    (layer(x) - layer(2 * x)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None


def test_recomputing_iterates_once():
    ours = PM.spectral_norm(nn.Linear(3, 3, bias=False).double())
    twin = copy.deepcopy(ours)
    x = tc.tensor(random(2, 3), requires_grad=True)
    (ours(x) ** 2).sum().backward()
    (checkpoint(twin, x) ** 2).sum().backward()
    a, b = (m.parametrizations.weight for m in (ours, twin))
    np.testing.assert_array_equal(a[0]._u.numpy(), b[0]._u.numpy())
    np.testing.assert_allclose(a.original.grad.numpy(), b.original.grad.numpy(), rtol=1e-12)


def test_copies_conversions_and_files(tmp_path):
    layer = PM.spectral_norm(nn.Linear(4, 4)).double()
    twin = copy.deepcopy(layer)
    assert twin.parametrizations.weight[0]._u.dtype == tc.float64
    layer.weight  # noqa: B018 (moves the vectors of this one only)
    assert not layer.parametrizations.weight[0]._u.equal(twin.parametrizations.weight[0]._u)
    tc.save(layer.state_dict(), tmp_path / "state")
    twin.load_state_dict(tc.load(tmp_path / "state"))
    assert twin.eval().weight.equal(layer.eval().weight)


def test_removal():
    for add, remove in (("weight_norm", "remove_weight_norm"),
                        ("spectral_norm", "remove_spectral_norm")):  # fmt: skip
        layer = nn.Linear(3, 2)
        with pytest.raises(ArgumentError, match=rf"{remove}: 'weight' of Linear has .* \[\]"):
            getattr(nn.utils, remove)(layer)
        getattr(nn.utils, add)(layer)
        layer.eval()
        before = layer.weight.detach().numpy().copy()
        layer.train()
        assert getattr(nn.utils, remove)(layer) is layer
        assert type(layer) is nn.Linear
        np.testing.assert_array_equal(layer.weight.detach().numpy(), before)


def test_weight_noise():
    tc.manual_seed(1)
    layer = PM.weight_noise(nn.Linear(200, 300), std=0.5)
    original = layer.parametrizations.weight.original
    noise = (layer.weight - original).detach().numpy()
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert abs(noise.mean()) < 0.01
    assert not np.array_equal(noise, (layer.weight - original).detach().numpy())
    tc.manual_seed(1)
    again = PM.weight_noise(nn.Linear(200, 300), std=0.5)
    np.testing.assert_array_equal(
        noise, (again.weight - again.parametrizations.weight.original).detach().numpy()
    )
    layer(tc.ones(1, 200)).sum().backward()
    np.testing.assert_array_equal(original.grad.numpy(), np.ones((300, 200)))
    assert layer.eval().weight.equal(original)
    layer.train().weight = tc.zeros(300, 200)
    P.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert layer.weight is original
    assert layer.weight.abs().sum().item() == 0


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda m: PM.weight_norm(m, "kernel"), ArgumentError, "weight_norm: .* 'kernel'"),
        (lambda m: PM.weight_norm(m, dim=2), IndexRangeError, "from -2 to 1 .* got 2"),
        (lambda m: PM.spectral_norm(m, "kernel"), ArgumentError, "spectral_norm: .* 'kernel'"),
        (lambda m: PM.spectral_norm(m, dim=-3), IndexRangeError, "got -3"),
        (lambda m: PM.spectral_norm(m, n_power_iterations=0), ArgumentError, "n_power_iterations"),
        (lambda m: PM.weight_noise(m, "kernel"), ArgumentError, "weight_noise: .* 'kernel'"),
        (lambda m: PM.weight_noise(m, std=-1), ArgumentError, "std"),
    ],
)
def test_refused(make, error, words):
    layer = nn.Linear(2, 2)
    with pytest.raises(error, match=words):
        make(layer)
    assert type(layer) is nn.Linear
