"""Penalties on weights, and which parameters are weights."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError
from tinyconv.nn.utils import l1_penalty, l2_penalty, weights_of


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4),
             nn.LayerNorm(4), nn.RMSNorm(4)]
        )  # fmt: skip
        self.prelu = nn.PReLU(4)
        self.head = nn.utils.weight_norm(nn.Linear(4, 2))
        self.tied = self.conv
        self.bias_k = nn.Parameter(tc.ones(1))
        self.biased = nn.Parameter(tc.ones(1))


def names(model, **options):
    chosen = {id(p) for p in weights_of(model, **options)}
    return [n for n, p in model.named_parameters() if id(p) in chosen]


def test_weights_of():
    model = Net()
    nn.utils.parametrize.register_parametrization(model.head, "bias", nn.Identity())
    weights = [
        "biased", "conv.weight", "prelu.weight",
        "head.parametrizations.weight.original0", "head.parametrizations.weight.original1",
    ]  # fmt: skip
    biases = ["bias_k", "conv.bias", "head.parametrizations.bias.original"]
    scales = [f"norms.{i}.weight" for i in range(5)]
    shifts = [f"norms.{i}.bias" for i in range(4)]
    assert sorted(names(model)) == sorted(weights)
    assert sorted(names(model, biases=True)) == sorted(weights + biases)
    assert sorted(names(model, norms=True)) == sorted(weights + scales)
    everything = [n for n, _ in model.named_parameters()]
    assert names(model, biases=True, norms=True) == everything
    assert sorted(everything) == sorted(weights + biases + scales + shifts)
    assert len(weights_of(model)) == len(weights)
    assert names(nn.BatchNorm1d(2)) == []
    with pytest.raises(DTypeError, match="expected a Module, got generator"):
        weights_of(model.parameters())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients(dtype):
    arrays = [random(3, 4).astype(dtype), random(5, seed=1).astype(dtype), np.zeros(2, dtype)]
    for penalty, value, slope in [
        (l1_penalty, lambda a: np.abs(a).sum(), np.sign),
        (l2_penalty, lambda a: (a * a).sum(), lambda a: 2 * a),
    ]:
        tensors = [tc.tensor(a, requires_grad=True) for a in arrays]
        total = penalty(t for t in tensors)
        assert total.shape == ()
        assert total.dtype.name == dtype
        assert total.item() == pytest.approx(sum(value(a) for a in arrays), rel=1e-5)
        total.backward()
        for t, a in zip(tensors, arrays, strict=True):
            np.testing.assert_allclose(t.grad.numpy(), slope(a), rtol=1e-6)
        tensors[0].grad = None
        penalty(tensors[0]).backward()
        np.testing.assert_allclose(tensors[0].grad.numpy(), slope(arrays[0]), rtol=1e-6)
        assert penalty([]).item() == 0


def test_gradients_of_gradients():
    w = tc.tensor(random(4), requires_grad=True)
    for penalty in (l1_penalty, l2_penalty):
        assert tc.autograd.gradgradcheck(penalty, (w,))


def test_half_the_squares_are_weight_decay():
    values, gradient = random(3), random(3, seed=1)
    decayed, penalised = (nn.Parameter(tc.tensor(values)) for _ in range(2))
    a = tc.optim.SGD([decayed], lr=0.1, weight_decay=0.3)
    b = tc.optim.SGD([penalised], lr=0.1)
    (decayed * tc.tensor(gradient)).sum().backward()
    ((penalised * tc.tensor(gradient)).sum() + 0.5 * 0.3 * l2_penalty(penalised)).backward()
    a.step()
    b.step()
    np.testing.assert_allclose(decayed.detach().numpy(), penalised.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_refused(penalty):
    with pytest.raises(DTypeError, match=f"{penalty.__name__}.*parameters"):
        penalty([tc.tensor([1, 2])])
    with pytest.raises(DTypeError, match=penalty.__name__):
        penalty(nn.Sequential(nn.Linear(1, 1)))
    with pytest.raises(ArgumentError, match=r"model\.parameters"):
        penalty(nn.Linear(1, 1))
