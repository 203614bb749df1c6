"""Swish with a beta that learns or does not, and RReLU in its two modes."""

import numpy as np

import tinyconv as tc
from tinyconv import nn


def test_beta_is_a_parameter_or_a_constant():
    learns, fixed = nn.Swish(1.5), nn.Swish(1.5, learnable=False)
    assert [(k, v.shape) for k, v in learns.state_dict().items()] == [("beta", ())]
    assert list(fixed.state_dict()) == list(fixed.parameters()) == []
    assert repr(learns) == "Swish(beta=1.5, learnable=True)"
    assert repr(fixed) == "Swish(beta=1.5, learnable=False)"
    x = tc.randn(3, 4)
    assert learns(x).tolist() == fixed(x).tolist()
    assert nn.Swish(dtype=tc.float64).beta.dtype is tc.float64


def test_beta_learns():
    """Gradient descent finds the beta that made the data."""
    layer, x = nn.Swish(), tc.linspace(-4, 4, 50)
    target = x * (3.0 * x).sigmoid()
    optimizer = tc.optim.SGD(layer.parameters(), lr=20.0)
    for _ in range(300):
        optimizer.zero_grad()
        ((layer(x) - target) ** 2).mean().backward()
        optimizer.step()
    np.testing.assert_allclose(layer.beta.item(), 3.0, rtol=1e-2)


def test_rrelu_is_random_in_training_only():
    layer, x = nn.RReLU(), -tc.ones(200)
    y = -layer(x).numpy()
    assert len(set(y.tolist())) > 150
    assert y.min() >= 1 / 8
    assert y.max() <= 1 / 3
    np.testing.assert_allclose(layer.eval()(x).numpy(), -(1 / 8 + 1 / 3) / 2, rtol=1e-6)
