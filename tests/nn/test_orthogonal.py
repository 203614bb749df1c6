"""The orthogonal parametrization against PyTorch, and by its definition."""

import copy

import numpy as np
import pytest
from against_torch import assert_same, torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

orthogonal = nn.utils.parametrizations.orthogonal
theirs_orthogonal = torch.nn.utils.parametrizations.orthogonal
MAPS = ("matrix_exp", "cayley", "householder")
LAYERS = {
    "high": (lambda lib: lib.nn.Linear(3, 5), (2, 3)),
    "wide": (lambda lib: lib.nn.Linear(5, 3), (2, 5)),
    "square": (lambda lib: lib.nn.Linear(4, 4), (2, 4)),
    "kernels": (lambda lib: lib.nn.Conv2d(2, 3, (3, 2)), (2, 2, 4, 5)),
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def made(library, kind, dtype="float64"):
    """Return a layer with figures that do not depend on the library."""
    layer = LAYERS[kind][0](library).to(getattr(library, dtype))
    for p in layer.parameters():
        p.data = library.tensor(random(*p.shape, seed=p.ndim).astype(dtype))
    return layer


def assert_orthogonal(weight, atol=1e-12):
    array = weight.detach().numpy()
    if array.shape[-2] < array.shape[-1]:
        array = np.swapaxes(array, -1, -2)
    gram = np.swapaxes(array, -1, -2) @ array
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(gram.shape[-1]), gram.shape), atol=atol)


@pytest.mark.parametrize("trivialized", [True, False])
@pytest.mark.parametrize("name", [None, *MAPS])
@pytest.mark.parametrize("kind", LAYERS)
def test_orthogonal_as_in_pytorch(kind, name, trivialized):
    """Values, keys and gradients, at the start and away from it."""
    ours, theirs = made(tc, kind), made(torch, kind)
    assert orthogonal(ours, "weight", name, use_trivialization=trivialized) is ours
    theirs_orthogonal(theirs, "weight", name, use_trivialization=trivialized)
    assert repr(ours) == repr(theirs)
    assert_orthogonal(ours.weight)
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    if trivialized:  # PyTorch completes it by random columns; the known ones are the same
        key, size = "parametrizations.weight.0.base", min(ours.weight.shape[-2:])
        assert_same(state[key][..., :size], expected[key][..., :size], 1e-9, 1e-12)
        theirs.parametrizations.weight[0].base = torch.tensor(state[key].numpy())
    x = random(*LAYERS[kind][1], seed=9)
    for step in (0.0, 0.3):
        with tc.no_grad(), torch.no_grad():
            original = ours.parametrizations.weight.original
            move = step * random(*original.shape, seed=5)
            original += tc.tensor(move)
            theirs.parametrizations.weight.original += torch.tensor(move)
            if name == "householder" or (name is None and kind != "square"):
                # PyTorch rounds the diagonal to an integer, here its sign counts
                theirs.parametrizations.weight.original.diagonal(dim1=-2, dim2=-1).sign_()
        ours.zero_grad()
        theirs.zero_grad()
        assert_orthogonal(ours.weight)
        a, b = ours(tc.tensor(x)), theirs(torch.tensor(x))
        assert_same(a, b, 1e-9, 1e-11)
        (a * a).sum().backward()
        (b * b).sum().backward()
        assert_same(original.grad, theirs.parametrizations.weight.original.grad, 1e-8, 1e-10)
        assert_same(ours.bias.grad, theirs.bias.grad, 1e-8, 1e-10)


@pytest.mark.parametrize("trivialized", [True, False])
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("kind", ["high", "wide", "square"])
def test_assigning(kind, name, trivialized):
    layer = orthogonal(made(tc, kind), orthogonal_map=name, use_trivialization=trivialized)
    value = random(*layer.weight.shape, seed=21)
    if name != "householder" and not trivialized:
        before = layer.parametrizations.weight.original.detach().numpy().copy()
        with pytest.raises(ArgumentError, match="no right_inverse"):
            layer.weight = tc.tensor(value)
        np.testing.assert_array_equal(
            layer.parametrizations.weight.original.detach().numpy(), before
        )
        return
    layer.weight = tc.tensor(value)
    high = value.T if kind == "wide" else value
    q, r = np.linalg.qr(high)
    expected = q * np.sign(np.diagonal(r))
    found = layer.weight.detach().numpy()
    np.testing.assert_allclose(found.T if kind == "wide" else found, expected, atol=1e-12)
    layer.weight = layer.weight  # what is orthogonal stays
    again = layer.weight.detach().numpy()
    np.testing.assert_allclose(again.T if kind == "wide" else again, expected, atol=1e-12)
    with pytest.raises(ShapeError, match=r"has shape .*, but \(2, 2\) was assigned"):
        layer.weight = tc.eye(2).double()


@pytest.mark.parametrize("trivialized", [True, False])
@pytest.mark.parametrize("name", MAPS)
def test_special_matrices_can_be_assigned(name, trivialized):
    if name != "householder" and not trivialized:
        pytest.skip("nothing can be assigned")
    layer = orthogonal(nn.Linear(3, 3).double(), orthogonal_map=name,
                       use_trivialization=trivialized)  # fmt: skip
    for value in (np.eye(3), -np.eye(3), np.diag([1.0, -1, 1]), np.eye(3)[[1, 2, 0]]):
        layer.weight = tc.tensor(value)
        np.testing.assert_allclose(layer.weight.detach().numpy(), value, atol=1e-14)
    layer.weight = tc.zeros(3, 3, dtype=tc.float64)
    assert_orthogonal(layer.weight)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3), (2, 3, 2)])
def test_gradients_of_the_maps(name, shape):
    layer = nn.Module()
    layer.weight = nn.Parameter(tc.tensor(random(*shape)))
    orthogonal(layer, orthogonal_map=name)
    x = tc.tensor(random(*shape, seed=3), requires_grad=True)
    assert gradcheck(layer.parametrizations.weight[0], x)
    assert gradgradcheck(layer.parametrizations.weight[0], x)


@pytest.mark.parametrize("name", MAPS)
def test_training_keeps_it_orthogonal(name):
    """The nearest orthogonal matrix to a rotation is found, in float32, with weight decay."""
    tc.manual_seed(0)
    target = tc.tensor(np.linalg.qr(random(6, 4, seed=2))[0].astype(np.float32))
    layer = orthogonal(nn.Linear(4, 6, bias=False), orthogonal_map=name)
    optimizer = tc.optim.SGD(layer.parameters(), lr=0.1, weight_decay=1e-3)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = ((layer.weight - target) ** 2).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert_orthogonal(layer.weight, 1e-5)
    assert losses[-1] < 0.05 * losses[0]


def test_copies_files_and_removal(tmp_path):
    layer = orthogonal(nn.Linear(3, 5))
    weight = layer.weight.detach().numpy().copy()
    twin = copy.deepcopy(layer)
    tc.save(layer.state_dict(), tmp_path / "state")
    other = orthogonal(nn.Linear(3, 5))
    other.load_state_dict(tc.load(tmp_path / "state"))
    layer.weight = tc.ones(5, 3)
    for module in (twin, other):
        np.testing.assert_array_equal(module.weight.detach().numpy(), weight)
    nn.utils.parametrize.remove_parametrizations(twin, "weight")
    assert type(twin) is nn.Linear
    np.testing.assert_array_equal(twin.weight.detach().numpy(), weight)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda m: orthogonal(m, "kernel"), ArgumentError, "orthogonal: Linear has no .*'kernel'"),
        (lambda m: orthogonal(m, "bias"), ShapeError, r"'bias' must be a matrix .* got shape \(2,"),
        (lambda m: orthogonal(m, orthogonal_map="qr"), ArgumentError,
         "orthogonal_map='qr' is not legal; choose 'matrix_exp', 'cayley', 'householder'"),
        (lambda m: orthogonal(m.half()), DTypeError, "orthogonal: 'weight' is float16"),
    ],
)  # fmt: skip
def test_refused_weights(make, error, words):
    layer = nn.Linear(2, 2)
    with pytest.raises(error, match=words):
        make(layer)
    assert type(layer) is nn.Linear
