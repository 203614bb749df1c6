"""nn.utils against PyTorch's."""

import numpy as np
import pytest
from against_torch import assert_same, torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.nn import utils

TU = torch.nn.utils


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def both(gradients):
    """Return parameters of both libraries with the given gradients, some of them ``None``."""
    ours, theirs = [], []
    for gradient in gradients:
        shape = (2,) if gradient is None else gradient.shape
        a = nn.Parameter(tc.tensor(np.zeros(shape)))
        b = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        if gradient is not None:
            a.grad, b.grad = tc.tensor(gradient), torch.tensor(gradient)
        ours.append(a)
        theirs.append(b)
    return ours, theirs


GRADIENTS = [random(3, 4), None, random(5, seed=1) * 10, random(1, seed=2).reshape(())]


@pytest.mark.parametrize("order", [2.0, 1.0, 3, float("inf"), 0.5])
@pytest.mark.parametrize("limit", [0.0, 0.1, 7.0, 1e6])
def test_clip_grad_norm(order, limit):
    ours, theirs = both(GRADIENTS)
    total = utils.clip_grad_norm_((p for p in ours), limit, order)
    expected = TU.clip_grad_norm_((p for p in theirs), limit, order)
    assert_same(total, expected, 1e-12, 1e-12)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert_same(a.grad, b.grad, 1e-12, 1e-12)


def test_clip_grad_norm_of_one_tensor_and_of_none():
    ours, theirs = both(GRADIENTS[:1])
    utils.clip_grad_norm_(ours[0], 0.5)
    TU.clip_grad_norm_(theirs[0], 0.5)
    assert_same(ours[0].grad, theirs[0].grad, 1e-12, 1e-12)
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    assert utils.clip_grad_norm_(both([None])[0], 1.0).item() == 0.0


def test_norm_that_is_not_finite():
    bad = [np.array([1.0, np.inf]), np.array([2.0])]
    ours, _ = both(bad)
    with pytest.raises(ArgumentError, match="inf"):
        utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(ours[1].grad.numpy(), [2.0])
    utils.clip_grad_norm_(ours, 1.0)
    np.testing.assert_array_equal(ours[1].grad.numpy(), [0.0])


def test_clip_grad_value():
    ours, theirs = both(GRADIENTS)
    utils.clip_grad_value_(ours, 0.75)
    TU.clip_grad_value_(theirs, 0.75)
    for a, b in zip(ours, theirs, strict=True):
        if a.grad is not None:
            assert_same(a.grad, b.grad)


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_bad_limits(limit):
    with pytest.raises(ArgumentError, match="max_norm"):
        utils.clip_grad_norm_([], limit)
    with pytest.raises(ArgumentError, match="clip_value"):
        utils.clip_grad_value_([], limit)
    with pytest.raises(ArgumentError, match=r"model\.parameters"):
        utils.clip_grad_norm_(3, 1.0)


def test_clipping_in_a_training_step():
    model = nn.Linear(4, 2)
    (model(tc.ones(3, 4)) * 100).sum().backward()
    utils.clip_grad_norm_(model.parameters(), 1.0)
    total = utils.get_total_norm(p.grad for p in model.parameters())
    assert total.item() == pytest.approx(1.0, rel=1e-5)


def test_vector_of_parameters_and_back():
    model, twin = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (8,)
    (vector * tc.arange(8.0)).sum().backward()
    np.testing.assert_array_equal(model.weight.grad.numpy().reshape(-1), np.arange(6.0))
    utils.vector_to_parameters(vector, twin.parameters())
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        assert b.is_leaf
        assert b.requires_grad


@pytest.mark.parametrize("size", [7, 9])
def test_vector_of_a_wrong_size_writes_nothing(size):
    model = nn.Linear(3, 2)
    before = model.weight.detach().numpy().copy()
    with pytest.raises(ShapeError, match=r"\(8,\)"):
        utils.vector_to_parameters(tc.ones(size), model.parameters())
    np.testing.assert_array_equal(model.weight.detach().numpy(), before)


def normalisation(kind, seed=3, **options):
    bn = kind(6, **options).eval()
    with tc.no_grad():
        for name, tensor in bn.state_dict().items():
            if name != "num_batches_tracked":
                values = random(6, seed=seed).astype(np.float32)
                tensor.copy_(tc.tensor(np.abs(values) if name == "running_var" else values))
    return bn


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_convolution_with_normalisation_in_it(transpose, bias, affine):
    kind = nn.ConvTranspose2d if transpose else nn.Conv2d
    conv = kind(4, 6, 3, bias=bias).eval()
    bn = normalisation(nn.BatchNorm2d, affine=affine)
    fused = utils.fuse_conv_bn_eval(conv, bn, transpose)
    x = tc.tensor(random(2, 4, 5, 6).astype(np.float32))
    expected = bn(conv(x)).detach().numpy()
    np.testing.assert_allclose(fused(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert fused is not conv
    assert isinstance(fused.bias, nn.Parameter)
    assert (conv.bias is None) == (not bias)


def test_linear_with_normalisation_in_it():
    linear, bn = nn.Linear(4, 6).eval(), normalisation(nn.BatchNorm1d)
    x = tc.tensor(random(3, 4).astype(np.float32))
    fused = utils.fuse_linear_bn_eval(linear, bn)
    np.testing.assert_allclose(
        fused(x).detach().numpy(), bn(linear(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_what_cannot_be_fused():
    conv, bn = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)
    with pytest.raises(ArgumentError, match="evaluation mode"):
        utils.fuse_conv_bn_eval(conv, bn)
    with pytest.raises(ArgumentError, match="running statistics"):
        utils.fuse_conv_bn_eval(conv.eval(), nn.BatchNorm2d(6, track_running_stats=False).eval())


class Doubled(nn.Module):
    """A parametrization that cannot be undone."""

    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "doubled"])
def test_parametrized_layers_with_normalisation_in_them(kind, name):
    conv, bn = nn.Conv2d(4, 6, 3), normalisation(nn.BatchNorm2d)
    if kind == "doubled":
        utils.parametrize.register_parametrization(conv, name, Doubled())
    else:
        getattr(utils.parametrizations, kind)(conv, name)
    conv.eval()
    before = {key: tensor.detach().numpy().copy() for key, tensor in conv.state_dict().items()}
    fused = utils.fuse_conv_bn_eval(conv, bn)
    assert type(fused) is nn.Conv2d
    assert {key for key, _ in fused.named_parameters()} == {"weight", "bias"}
    x = tc.tensor(random(2, 4, 5, 6).astype(np.float32))
    np.testing.assert_allclose(
        fused(x).detach().numpy(), bn(conv(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    assert utils.parametrize.is_parametrized(conv, name)
    for key, tensor in conv.state_dict().items():
        np.testing.assert_array_equal(tensor.detach().numpy(), before[key])
