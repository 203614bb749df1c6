"""Parametrizations against PyTorch's: values, gradients, keys, chains, copies, errors."""

import copy

import numpy as np
import pytest
from against_torch import assert_same, torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

P = nn.utils.parametrize
TP = torch.nn.utils.parametrize


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def library(lib):
    """Return parametrizations written for one of the libraries."""
    Module = lib.nn.Module

    class Symmetric(Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, a):
            return a.triu()

    class Double(Module):
        def forward(self, x):
            return 2 * x

        def right_inverse(self, y):
            return y / 2

    class Exp(Module):
        def forward(self, x):
            return x.exp()

    class Product(Module):
        def forward(self, a, b):
            return a * b

        def right_inverse(self, x):
            return x / 4, 4 * lib.ones_like(x)

    class Wider(Module):
        def forward(self, x):
            return lib.cat([x, x])

        def right_inverse(self, x):
            return x[: len(x) // 2]

    return {c.__name__: c for c in (Symmetric, Double, Exp, Product, Wider)}


OURS, THEIRS = library(tc), library(torch)


def pair(size=3, dtype="float64"):
    """Return equal linear layers of the two libraries."""
    a, b = nn.Linear(size, size), torch.nn.Linear(size, size)
    a.to(getattr(tc, dtype)), b.to(getattr(torch, dtype))
    for name in ("weight", "bias"):
        values = random(*getattr(a, name).shape, seed=len(name)).astype(dtype)
        with tc.no_grad(), torch.no_grad():
            getattr(a, name).copy_(tc.tensor(values))
            getattr(b, name).copy_(torch.tensor(values))
    return a, b


def assert_same_modules(ours, theirs, rtol=1e-12):
    """Compare state dicts, outputs, and gradients of all parameters."""
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    for key in state:
        assert_same(state[key], expected[key], rtol, 1e-12)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    x = random(2, 3, seed=7)
    a, b = ours(tc.tensor(x)), theirs(torch.tensor(x))
    assert_same(a, b, rtol, 1e-12)
    (a * a).sum().backward()
    (b * b).sum().backward()
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            assert_same(p.grad, q.grad, rtol, 1e-12)
    ours.zero_grad()
    theirs.zero_grad()


CHAINS = [
    ["Double"], ["Symmetric"], ["Exp"], ["Product"], ["Double", "Exp"], ["Exp", "Double"],
    ["Product", "Double", "Double"], ["Double", "Symmetric"],
]  # fmt: skip


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
def test_chain_matches_pytorch(chain, unsafe):
    ours, theirs = pair()
    for name in chain:
        assert P.register_parametrization(ours, "weight", OURS[name](), unsafe=unsafe) is ours
        TP.register_parametrization(theirs, "weight", THEIRS[name](), unsafe=unsafe)
    assert_same_modules(ours, theirs)
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, nn.Linear)
    assert P.type_before_parametrizations(ours) is nn.Linear
    assert P.is_parametrized(ours)
    assert P.is_parametrized(ours, "weight")
    assert not P.is_parametrized(ours, "bias")


@pytest.mark.parametrize("leave", [False, True])
@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
def test_removal_matches_pytorch(chain, leave):
    ours, theirs = pair()
    weight = ours.weight
    for name in chain:
        P.register_parametrization(ours, "weight", OURS[name]())
        TP.register_parametrization(theirs, "weight", THEIRS[name]())
    if chain[0] == "Product" and not leave:
        with pytest.raises(ArgumentError, match="2 originals"):
            P.remove_parametrizations(ours, "weight", leave)
        return
    P.remove_parametrizations(ours, "weight", leave)
    TP.remove_parametrizations(theirs, "weight", leave)
    assert type(ours) is nn.Linear
    assert not P.is_parametrized(ours)
    assert (ours.weight is weight) == (chain[0] != "Product")
    assert isinstance(ours.weight, nn.Parameter)
    assert ours.weight.requires_grad
    assert_same_modules(ours, theirs)


def test_assignment():
    ours, theirs = pair()
    for name in ("Product", "Double"):
        P.register_parametrization(ours, "weight", OURS[name]())
        TP.register_parametrization(theirs, "weight", THEIRS[name]())
    value = random(3, 3, seed=5)
    mine = tc.tensor(value)
    ours.weight, theirs.weight = mine, torch.tensor(value)
    assert_same_modules(ours, theirs)
    assert_same(ours.weight, torch.tensor(value), 1e-12, 1e-12)
    with tc.no_grad():
        ours.parametrizations.weight.original0.zero_()
    np.testing.assert_array_equal(mine.numpy(), value)
    bare = P.register_parametrization(pair()[0], "weight", OURS["Exp"]())
    with pytest.raises(ArgumentError, match=r"Exp: .* no right_inverse"):
        bare.weight = mine


def test_originals_have_memory_of_their_own():
    layer = pair()[0]
    P.register_parametrization(layer, "weight", Bad())
    mine = tc.tensor(random(3, 3))
    layer.weight = mine
    with tc.no_grad():
        layer.parametrizations.weight.original.zero_()
    assert mine.abs().sum().item() > 0
    layer = pair()[0]
    P.register_parametrization(layer, "weight", Bad(lambda a, b: a - b, lambda x: (x, x)),
                               unsafe=True)  # fmt: skip
    with tc.no_grad():
        layer.parametrizations.weight.original0.zero_()
    assert layer.parametrizations.weight.original1.abs().sum().item() > 0


def test_unsafe_may_change_the_shape():
    ours, theirs = pair()
    with pytest.raises(ShapeError, match=r"Wider: forward must keep the shape \(3, 3\), got \(2"):
        P.register_parametrization(ours, "weight", OURS["Wider"]())
    assert type(ours) is nn.Linear
    assert tuple(ours.weight.shape) == (3, 3)  # the failed attempt has changed nothing
    P.register_parametrization(ours, "weight", OURS["Wider"](), unsafe=True)
    TP.register_parametrization(theirs, "weight", THEIRS["Wider"](), unsafe=True)
    assert tuple(ours.parametrizations.weight.original.shape) == (1, 3)
    with tc.no_grad(), torch.no_grad():
        assert_same(ours.weight, theirs.weight)
    P.remove_parametrizations(ours, "weight")
    assert tuple(ours.weight.shape) == (2, 3)


def test_buffers_and_two_tensors_of_one_module():
    ours, theirs = pair()
    ours.register_buffer("scale", tc.ones(3))
    theirs.register_buffer("scale", torch.ones(3))
    for name in ("weight", "scale", "bias"):
        P.register_parametrization(ours, name, OURS["Double"]())
        TP.register_parametrization(theirs, name, THEIRS["Double"]())
    assert_same_modules(ours, theirs)
    assert ours.scale.tolist() == [1, 1, 1]
    assert [n for n, _ in ours.named_buffers()] == ["parametrizations.scale.original"]
    for left, name in zip((2, 1, 0), ("scale", "weight", "bias"), strict=True):
        P.remove_parametrizations(ours, name)
        TP.remove_parametrizations(theirs, name)
        assert P.is_parametrized(ours) == (left > 0)
    assert_same_modules(ours, theirs)
    assert list(ours._buffers) == ["scale"]


def test_a_copy_is_independent():
    ours = P.register_parametrization(pair()[0], "weight", OURS["Double"]())
    twin = copy.deepcopy(ours)
    before = ours.weight.detach().numpy().copy()
    twin.weight = tc.zeros(3, 3, dtype=tc.float64)
    np.testing.assert_array_equal(ours.weight.detach().numpy(), before)
    P.remove_parametrizations(twin, "weight")
    assert type(twin) is nn.Linear
    np.testing.assert_array_equal(ours.weight.detach().numpy(), before)
    P.register_parametrization(copy.deepcopy(ours), "bias", OURS["Exp"]())
    assert not P.is_parametrized(ours, "bias")


def test_optimizer_goes_on_with_the_same_parameter():
    ours, theirs = pair()
    a = tc.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    b = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    P.register_parametrization(ours, "weight", OURS["Symmetric"]())
    TP.register_parametrization(theirs, "weight", THEIRS["Symmetric"]())
    x = random(4, 3)
    for _ in range(3):
        for module, optimizer, lib in ((ours, a, tc), (theirs, b, torch)):
            optimizer.zero_grad()
            (module(lib.tensor(x)) ** 2).sum().backward()
            optimizer.step()
    assert_same_modules(ours, theirs)


def test_state_conversions_and_files(tmp_path):
    ours = P.register_parametrization(pair()[0], "weight", OURS["Product"]())
    tc.save(ours.state_dict(), tmp_path / "state")
    other = P.register_parametrization(nn.Linear(3, 3).double(), "weight", OURS["Product"]())
    other.load_state_dict(tc.load(tmp_path / "state"))
    assert other.weight.equal(ours.weight)
    assert ours.float().weight.dtype == tc.float32
    assert ours.parametrizations.weight.original1.dtype == tc.float32
    ours.eval()
    assert not ours.parametrizations.weight[0].training
    fresh = P.register_parametrization(nn.Linear(2, 2).eval(), "weight", OURS["Double"]())
    assert not fresh.parametrizations.weight[0].training
    assert tc.nn.summary(ours, (3,)).total_params == 21


def test_cached():
    ours = P.register_parametrization(pair()[0], "weight", OURS["Double"]())
    assert ours.weight is not ours.weight
    with P.cached():
        with tc.no_grad():
            assert not ours.weight.requires_grad
        first = ours.weight
        assert first.requires_grad
        with P.cached():
            assert ours.weight is first
        assert ours.weight is first
        twin = copy.deepcopy(ours)
        assert twin.weight is not first
        ours.weight = tc.zeros(3, 3, dtype=tc.float64)
        assert ours.weight.abs().sum().item() == 0
    assert ours.weight is not first
    assert ours.weight is not ours.weight


class Bad(nn.Module):
    def __init__(self, forward=None, inverse=None):
        super().__init__()
        self.f, self.g = forward or (lambda x: x), inverse or (lambda x: x)

    def forward(self, *x):
        return self.f(*x)

    def right_inverse(self, x):
        return self.g(x)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (Bad(lambda x: 3), DTypeError, "forward must return a Tensor, got int"),
        (Bad(lambda x: x.float()), DTypeError, "forward must keep the dtype"),
        (Bad(lambda x: x[:1]), ShapeError, r"\(3, 3\), got \(1, 3\); pass unsafe=True"),
        (Bad(inverse=lambda x: 3), DTypeError, "right_inverse must return"),
        (Bad(inverse=lambda x: x.float()), DTypeError, "right_inverse must keep the dtype"),
        (Bad(lambda *x: x[0], lambda x: (x, 1)), DTypeError, r"\['Parameter', 'int'\]"),
        (lambda x: x, DTypeError, "must be a Module, got function"),
    ],
)
def test_bad_parametrizations(bad, error, words):
    layer = pair()[0]
    before = layer.weight.detach().numpy().copy()
    with pytest.raises(error, match=words):
        P.register_parametrization(layer, "weight", bad)
    assert type(layer) is nn.Linear
    np.testing.assert_array_equal(layer.weight.detach().numpy(), before)
    P.register_parametrization(layer, "weight", OURS["Double"]())
    if error is not DTypeError or "int'" not in words:
        with pytest.raises((error, DTypeError)):
            P.register_parametrization(layer, "weight", bad)
        assert len(layer.parametrizations.weight) == 1


def test_names_that_are_not_there():
    layer = nn.Linear(3, 3, bias=False)
    for name in ("kernel", "bias"):
        with pytest.raises(ArgumentError, match=f"no parameter or buffer '{name}'"):
            P.register_parametrization(layer, name, OURS["Double"]())
    with pytest.raises(ArgumentError, match="no parametrization of 'weight'"):
        P.remove_parametrizations(layer, "weight")


def test_right_inverse_that_returns_another_number_later():
    numbers = [2, 3]

    def inverse(x):
        return (x,) * numbers.pop(0)

    layer = P.register_parametrization(pair()[0], "weight", Bad(lambda a, b: a, inverse))
    with pytest.raises(ArgumentError, match="must return 2 tensors"):
        layer.weight = tc.zeros(3, 3, dtype=tc.float64)


def test_error_inside_names_the_parametrization():
    class Broken(nn.Module):
        def forward(self, x):
            return self.missing

    layer = P.register_parametrization(nn.Linear(2, 2), "weight", Broken(), unsafe=True)
    with pytest.raises(RuntimeError, match=r"parametrization of 'weight' .*'missing'"):
        layer(tc.ones(1, 2))


def test_abstract_right_inverse_is_no_inverse():
    class Abstract(nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            raise NotImplementedError

    layer = nn.Linear(2, 2)
    before = layer.weight.detach().numpy().copy()
    P.register_parametrization(layer, "weight", Abstract())
    np.testing.assert_allclose(layer.weight.detach().numpy(), np.exp(before), rtol=1e-6)


# -- writing into what is computed ----------------------------------------------------------------


@pytest.mark.parametrize("show", [lambda w: w, lambda w: w.data, lambda w: w.detach()[:2],
                                  lambda w: w.T], ids=["it", "data", "part", "view"])  # fmt: skip
def test_initialising_a_computed_weight_is_an_error(show):
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    before = layer.weight.detach().numpy().copy()
    for initialise in (nn.init.normal_, nn.init.zeros_, nn.init.xavier_uniform_,
                       nn.init.kaiming_normal_):  # fmt: skip
        words = (
            rf"{initialise.__name__}: 'weight' of ParametrizedLinear is computed .* is lost; .*"
            rf"layer\.weight = init\.{initialise.__name__}\(empty_like\(layer\.weight\)\)"
        )
        with pytest.raises(ArgumentError, match=words):
            initialise(show(layer.weight))
    with tc.no_grad(), pytest.raises(ArgumentError, match="computed"):
        nn.init.ones_(show(layer.weight))
    np.testing.assert_array_equal(layer.weight.detach().numpy(), before)


def test_the_ways_that_the_error_names_work():
    tc.manual_seed(3)
    expected = nn.init.xavier_uniform_(tc.empty(4, 3)).numpy()
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    tc.manual_seed(3)
    layer.weight = nn.init.xavier_uniform_(tc.empty_like(layer.weight))
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-6)
    nn.init.zeros_(layer.bias)
    nn.init.ones_(layer.parametrizations.weight.original0)
    np.testing.assert_allclose(layer.weight.norm(dim=1).detach().numpy(), np.ones(4), rtol=1e-6)


def test_what_is_no_computed_weight_can_be_initialised():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    weight = layer.weight
    nn.init.zeros_(nn.Parameter(weight.detach()))  # a parameter of its own from here on
    nn.init.zeros_(weight.clone())
    nn.init.zeros_(weight.detach() * 1)
    del weight

    class Transposed(nn.Module):
        def forward(self, x):
            return x.T

    layer = P.register_parametrization(nn.Linear(3, 3), "weight", Transposed())
    with tc.no_grad():
        nn.init.ones_(layer.weight)  # shows the memory of the original
    assert layer.weight.sum().item() == 9
    layer = P.register_parametrization(nn.Linear(3, 3), "bias", nn.Identity())
    nn.init.ones_(layer.bias)
    assert layer.bias.sum().item() == 3


def test_computed_weights_are_not_held():
    from tinyconv.nn import _computed

    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    before = len(_computed._arrays)
    weight = layer.weight
    assert len(_computed._arrays) == before + 1
    with P.cached():
        assert layer.weight is layer.weight
        assert len(_computed._arrays) == before + 2
    del weight
    assert len(_computed._arrays) == before
