"""nn.Normalize: the figures are part of the model."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, ShapeError


def test_values_by_channel_and_for_all():
    x = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    layer = nn.Normalize([0.1, 0.2, 0.3], [0.5, 1, 2])
    expected = (x - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1)) / np.array([0.5, 1, 2]).reshape(
        3, 1, 1
    )
    assert np.allclose(layer(tc.tensor(x)).numpy(), expected, atol=1e-6)
    assert np.allclose(nn.Normalize(1, 2)(tc.tensor(x)).numpy(), (x - 1) / 2, atol=1e-6)
    assert set(layer.state_dict()) == {"mean", "std"}
    assert list(layer.parameters()) == []


def test_it_equals_normalised_input():
    model = nn.Sequential(nn.Normalize(0.5, 0.25), nn.Conv2d(1, 2, 3))
    x = tc.rand(1, 1, 5, 5)
    assert np.allclose(
        model(x).numpy(force=True), model[1]((x - 0.5) / 0.25).numpy(force=True), atol=1e-6
    )


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="got 2 and 1"):
        nn.Normalize([0.0, 1.0], [1.0])
    with pytest.raises(ArgumentError, match="std must be positive and finite"):
        nn.Normalize(0.0, 0.0)
    with pytest.raises(ShapeError, match=r"\(N, 3, \.\.\.\), got shape \(2, 1, 4\)"):
        nn.Normalize([0, 0, 0], [1, 1, 1])(tc.zeros(2, 1, 4))
