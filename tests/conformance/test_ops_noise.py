"""Alpha dropout, stochastic depth and Gaussian noise: distributions, gradients, what is kept."""

import numpy as np
import pytest
from scipy import stats
from suite import host, tensor

from tinyconv import nn
from tinyconv import ops as F
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

RANDOM = {
    "alpha_dropout": lambda x, **k: F.alpha_dropout(x, 0.3, True, **k),
    "feature_alpha_dropout": lambda x, **k: F.feature_alpha_dropout(x, 0.3, True, **k),
    "stochastic_depth row": lambda x, **k: F.stochastic_depth(x, 0.3, "row", **k),
    "stochastic_depth batch": lambda x, **k: F.stochastic_depth(x, 0.3, "batch", **k),
    "gaussian_noise": lambda x, **k: F.gaussian_noise(x, 0.3, **k),
}


@pytest.fixture(autouse=True)
def seeded():
    state = F.get_rng_state()
    F.manual_seed(1234)
    yield
    F.set_rng_state(state)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_gives_pytorchs_values(name, p, backend):
    """Kept and dropped elements are what PyTorch makes of them, and each as often as it should."""
    torch = pytest.importorskip("torch")
    x = np.full((60, 50, 2), 0.7)
    y = host(getattr(F, name)(tensor(x), p, True))
    theirs = getattr(torch.nn.functional, name)(torch.tensor(x), p, True).numpy()
    values, counts = np.unique(y.round(12), return_counts=True)
    np.testing.assert_allclose(values, np.unique(theirs.round(12)), rtol=1e-10)
    kept = int(counts[values.argmax()])
    if name == "alpha_dropout":
        assert stats.binomtest(kept, y.size, 1 - p).pvalue > 1e-3
    else:
        np.testing.assert_array_equal(y[..., 0], y[..., 1])
        assert stats.binomtest(kept // 2, y.size // 2, 1 - p).pvalue > 1e-3


def test_alpha_dropout_keeps_mean_and_variance(backend):
    x = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    y = host(F.alpha_dropout(tensor(x), 0.2, True))
    assert y.dtype == np.float32
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.02


def test_large_channels_are_dropped_whole():
    y = host(F.feature_alpha_dropout(tensor(np.ones((20, 30, 16, 17), np.float32)), 0.4, True))
    rows = y.reshape(600, -1)
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], rows.shape[1], axis=1))
    assert len(set(rows[:, 0].tolist())) == 2


def test_alpha_dropout_of_everything(backend):
    x = tensor(np.array([[1.0, np.inf]]), True)
    for function in (F.alpha_dropout, F.feature_alpha_dropout):
        x.grad = None
        y = function(x, 1.0, True)
        np.testing.assert_array_equal(host(y), [[0, 0]])
        y.sum().backward()
        np.testing.assert_array_equal(host(x.grad), [[0, 0]])


def test_alpha_dropout_in_place(backend):
    for function in (F.alpha_dropout, F.feature_alpha_dropout):
        x = tensor(np.ones((5, 10)))
        assert function(x, 0.5, True, True, generator=F.Generator(1)) is x
        expected = function(tensor(np.ones((5, 10))), 0.5, True, generator=F.Generator(1))
        np.testing.assert_array_equal(host(x), host(expected))


@pytest.mark.parametrize(("mode", "decisions"), [("row", 2000), ("batch", 1)])
def test_stochastic_depth(mode, decisions, backend):
    y = host(F.stochastic_depth(tensor(np.full((2000, 2, 3), 4.0)), 0.2, mode))
    rows = y.reshape(decisions, -1)
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], rows.shape[1], axis=1))
    assert set(rows[:, 0].tolist()) <= {0.0, 5.0}
    if mode == "row":
        assert stats.binomtest(int((rows[:, 0] > 0).sum()), 2000, 0.8).pvalue > 1e-3
    else:
        one = [F.stochastic_depth(tensor(np.ones(())), 0.2, mode).item() for _ in range(1000)]
        assert stats.binomtest(sum(v > 0 for v in one), 1000, 0.8).pvalue > 1e-3


def test_stochastic_depth_drops_all_and_hides_nan(backend):
    x = tensor(np.array([[1.0], [np.nan]]), True)
    y = F.stochastic_depth(x, 1.0, "row")
    y.sum().backward()
    np.testing.assert_array_equal(host(y), 0)
    np.testing.assert_array_equal(host(x.grad), 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gaussian_noise(dtype, backend):
    x = np.full(4000, 3.0, dtype)
    y = host(F.gaussian_noise(tensor(x), 0.5))
    assert y.dtype == dtype
    assert stats.kstest((y - 3) / 0.5, "norm").pvalue > 1e-3
    assert abs((y - 3).std() / 0.5 - 1) < 0.04


@pytest.mark.parametrize("name", RANDOM)
def test_gradients(name, backend):
    x = tensor(np.random.default_rng(0).standard_normal((4, 5, 2)), True)

    def same_numbers(x):
        return RANDOM[name](x, generator=F.Generator(3)) ** 2

    assert gradcheck(same_numbers, [x])
    assert gradgradcheck(same_numbers, [x])


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_fixes_the_numbers_on_every_backend(name, backend):
    from tinyconv import config

    x = np.ones((3, 40))
    first, again = (host(RANDOM[name](tensor(x), generator=F.Generator(7))) for _ in range(2))
    with config.override(backend="numpy", device="cpu"):
        elsewhere = host(RANDOM[name](F.from_numpy(x), generator=F.Generator(7)))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, elsewhere, rtol=1e-15)
    draws = {host(RANDOM[name](tensor(x))).tobytes() for _ in range(20)}
    assert len(draws) > 1


@pytest.mark.parametrize("name", RANDOM)
def test_nothing_to_draw(name, backend):
    assert RANDOM[name](tensor(np.zeros((0, 3)))).shape == (0, 3)


@pytest.mark.parametrize(
    ("layer", "off"),
    [
        (nn.AlphaDropout(0.4), nn.AlphaDropout(0.0)),
        (nn.FeatureAlphaDropout(0.4), nn.FeatureAlphaDropout(0.0)),
        (nn.StochasticDepth(0.4, "row"), nn.StochasticDepth(0.0, "row")),
        (nn.GaussianNoise(0.4), nn.GaussianNoise(0.0)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_random_in_training_only(layer, off):
    x = F.ones(50, 3)
    assert (layer(x).numpy() != 1).any()
    assert off(x) is x
    assert layer.eval()(x) is x
    layer.train()


def test_repr():
    assert repr(nn.StochasticDepth(0.2, "row")) == "StochasticDepth(p=0.2, mode=row)"  # torchvision
    assert repr(nn.GaussianNoise(0.1)) == "GaussianNoise(std=0.1)"


def test_errors():
    x = tensor(np.ones((2, 3)))
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ArgumentError, match="alpha_dropout: p is a probability"):
            F.alpha_dropout(x, p, True)
        with pytest.raises(ArgumentError, match="stochastic_depth: p is a probability"):
            F.stochastic_depth(x, p, "row")
    with pytest.raises(ArgumentError, match="stochastic_depth: mode 'rows' is unknown"):
        F.stochastic_depth(x, 0.5, "rows")
    with pytest.raises(ShapeError, match="no rows"):
        F.stochastic_depth(tensor(np.ones(())), 0.5, "row")
    with pytest.raises(ShapeError, match=r"feature_alpha_dropout: .* 2 dimensions or more"):
        F.feature_alpha_dropout(tensor(np.ones(3)), 0.5, True)
    for std in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ArgumentError, match="gaussian_noise: std"):
            F.gaussian_noise(x, std)
    whole = tensor(np.ones((2, 3), np.int64))
    for function in RANDOM.values():
        with pytest.raises(DTypeError, match="must be floating point"):
            function(whole)
