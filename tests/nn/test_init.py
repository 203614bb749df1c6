"""Initialisation: bounds, moments, structure, and that the numbers follow the seed."""

import math

import numpy as np
import pytest
from scipy import stats

import tinyconv as tc
from tinyconv import nn
from tinyconv.backend.generator import Generator
from tinyconv.errors import ArgumentError, DTypeError, ShapeError
from tinyconv.nn import init
from tinyconv.nn._skipping import skipped

SHAPE = (64, 32, 3, 3)  # fan_in 288, fan_out 576
UNIFORM = [
    (init.uniform_, {"a": -2.0, "b": 1.0}, (-2.0, 1.0)),
    (init.xavier_uniform_, {"gain": 2.0}, (-2 * math.sqrt(6 / 864), 2 * math.sqrt(6 / 864))),
    (init.kaiming_uniform_, {"a": math.sqrt(5)}, (-1 / math.sqrt(288), 1 / math.sqrt(288))),
    (init.kaiming_uniform_, {"mode": "fan_out", "nonlinearity": "relu"},
     (-math.sqrt(6 / 576), math.sqrt(6 / 576))),
    (init.lecun_uniform_, {}, (-math.sqrt(3 / 288), math.sqrt(3 / 288))),
]  # fmt: skip
NORMAL = [
    (init.normal_, {"mean": 3.0, "std": 0.5}, (3.0, 0.5)),
    (init.xavier_normal_, {}, (0.0, math.sqrt(2 / 864))),
    (init.kaiming_normal_, {"nonlinearity": "relu"}, (0.0, math.sqrt(2 / 288))),
    (init.kaiming_normal_, {"mode": "fan_out", "a": 1.0}, (0.0, math.sqrt(1 / 576))),
    (init.lecun_normal_, {}, (0.0, math.sqrt(1 / 288))),
]


def fresh(*shape, **kwargs):
    return tc.zeros(*shape, **kwargs)


@pytest.mark.parametrize(("fill", "options", "bounds"), UNIFORM)
def test_uniform(fill, options, bounds):
    w = fresh(*SHAPE)
    assert fill(w, **options, generator=Generator(0)) is w
    low, high = bounds
    assert stats.kstest(w.numpy().ravel(), "uniform", (low, high - low)).pvalue > 1e-3


@pytest.mark.parametrize(("fill", "options", "moments"), NORMAL)
def test_normal(fill, options, moments):
    w = fill(fresh(*SHAPE), **options, generator=Generator(0))
    assert stats.kstest(w.numpy().ravel(), stats.norm(*moments).cdf).pvalue > 1e-3


def test_trunc_normal():
    w = init.trunc_normal_(fresh(*SHAPE), 1.0, 2.0, -1.0, 4.0, Generator(0)).numpy()
    assert w.min() >= -1
    assert w.max() <= 4
    distribution = stats.truncnorm((-1 - 1) / 2, (4 - 1) / 2, 1, 2)
    assert stats.kstest(w.ravel(), distribution.cdf).pvalue > 1e-3
    with pytest.raises(ArgumentError, match="widen the bounds"):
        init.trunc_normal_(fresh(3), a=8.0, b=9.0)


def test_constants():
    assert init.constant_(fresh(2), 1.5).tolist() == [1.5, 1.5]
    assert init.ones_(fresh(2)).tolist() == [1, 1]
    assert init.zeros_(tc.ones(2, dtype=tc.int64)).tolist() == [0, 0]
    assert init.eye_(tc.ones(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5), (3, 2, 2, 2)])
def test_orthogonal(shape):
    w = init.orthogonal_(fresh(*shape, dtype=tc.float64), gain=2.0, generator=Generator(1))
    m = w.numpy().reshape(shape[0], -1)
    product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_is_uniform_over_signs():
    """Without the sign correction the first row of Q would lean to one side."""
    first = [init.orthogonal_(fresh(3, 3), generator=Generator(s))[0, 0].item() for s in range(300)]
    assert abs(np.mean(first)) < 4 * np.std(first) / math.sqrt(300)


@pytest.mark.parametrize(("dims", "groups"), [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_dirac_passes_channels_through(dims, groups):
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
        4, 4, 3, padding=1, groups=groups, bias=False
    )
    init.dirac_(layer.weight, groups)
    x = tc.randn(2, 4, *(5,) * dims)
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy(), atol=1e-6)


def test_sparse():
    w = init.sparse_(fresh(10, 7), 0.25, std=2.0, generator=Generator(0)).numpy()
    assert ((w == 0).sum(0) == 3).all()  # a quarter of 10, rounded up
    assert np.std(w[w != 0]) == pytest.approx(2, rel=0.3)
    rows = {tuple(np.flatnonzero(column == 0)) for column in w.T}
    assert len(rows) > 1


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [("linear", None, 1), ("conv2d", None, 1), ("tanh", None, 5 / 3), ("relu", None, 2**0.5),
     ("leaky_relu", None, (2 / 1.0001) ** 0.5), ("leaky_relu", 1, 1), ("selu", None, 0.75)],
)  # fmt: skip
def test_gain(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain)


def test_fans():
    assert init.calculate_fan_in_and_fan_out(fresh(8, 4, 3, 5)) == (60, 120)
    assert init._calculate_fan_in_and_fan_out(fresh(8, 4)) == (4, 8)


def test_refused():
    with pytest.raises(ArgumentError, match="choose leaky_relu, linear"):
        init.calculate_gain("relu7")
    with pytest.raises(ArgumentError, match="fan_in"):
        init.kaiming_normal_(fresh(2, 2), mode="fan")
    with pytest.raises(DTypeError):
        init.normal_(tc.zeros(2, dtype=tc.int64))
    for call in (init.xavier_normal_, init.orthogonal_, init.eye_, init.dirac_):
        with pytest.raises(ShapeError):
            call(fresh(3))
    with pytest.raises(ShapeError):
        init.dirac_(fresh(3, 2, 1), groups=2)
    with pytest.raises(ShapeError):
        init.sparse_(fresh(3), 0.5)


def test_follows_the_seed_and_the_default_generator(device):
    def draw():
        return init.kaiming_normal_(fresh(3, 4, device=device)).tolist()

    tc.manual_seed(5)
    first = draw()
    second = draw()
    tc.manual_seed(5)
    assert draw() == first != second
    assert init.normal_(fresh(3), generator=Generator(1)).tolist() == (
        init.normal_(fresh(3, device=device), generator=Generator(1)).tolist()
    )


def test_works_on_parameters_and_shows_in_their_version():
    w = nn.Parameter(tc.zeros(2, 2))
    y = (w * w).sum()
    assert init.ones_(w) is w
    assert w.grad_fn is None
    with pytest.raises(tc.errors.InPlaceError):
        y.backward()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_nothing_to_fill(shape):
    for call in (init.kaiming_uniform_, init.xavier_normal_, init.orthogonal_, init.lecun_normal_):
        assert call(fresh(*shape)).numel() == 0
    assert nn.Linear(*shape)(tc.ones(2, shape[0])).shape == (2, shape[1])


def test_truncated_glorot_has_the_variance_of_glorot():
    tc.manual_seed(0)
    w = nn.init.xavier_normal_(tc.empty(300, 500), truncated=True).numpy()
    std = np.sqrt(2 / 800)
    assert abs(w.std() / std - 1) < 0.01
    assert np.abs(w).max() <= 2 * std / 0.8796
    assert np.abs(w).max() > 1.9 * std / 0.8796


@pytest.mark.parametrize(
    ("function", "options", "std"),
    [
        (init.xavier_normal_, {}, math.sqrt(2 / 864)),
        (init.kaiming_normal_, {"nonlinearity": "relu"}, math.sqrt(2 / 288)),
        (init.kaiming_normal_, {"mode": "fan_out", "a": 1.0}, math.sqrt(1 / 576)),
        (init.lecun_normal_, {}, math.sqrt(1 / 288)),
    ],
)
def test_truncated_keeps_the_deviation(function, options, std):
    w = function(tc.empty(*SHAPE), **options, truncated=True).numpy().ravel()
    assert w.std() == pytest.approx(std, rel=0.03)
    bound = 2 * std / init.TRUNCATED_STD
    assert 0.98 * bound < np.abs(w).max() <= bound


def test_skip_init_draws_nothing_and_ends():
    tc.manual_seed(5)
    expected = tc.rand(3).tolist()
    tc.manual_seed(5)
    layer = nn.utils.skip_init(nn.Conv2d, 2, 3, kernel_size=3, dtype=tc.float64)
    assert tc.rand(3).tolist() == expected
    assert tuple(layer.weight.shape) == (3, 2, 3, 3)
    assert layer.weight.dtype == tc.float64
    weight = tc.zeros(4, 4)
    with skipped():
        for function in (init.orthogonal_, init.eye_, init.ones_, init.trunc_normal_):
            assert function(weight) is weight
    assert weight.abs().sum().item() == 0
    assert init.ones_(weight).sum().item() == 16
    with pytest.raises(TypeError):
        nn.utils.skip_init(nn.Linear)
    assert init.zeros_(weight).sum().item() == 0
    with pytest.raises(DTypeError, match="skip_init"):
        nn.utils.skip_init(lambda: nn.Linear(1, 1))


def test_pytorch_has_no_others():
    torch = pytest.importorskip("torch")
    theirs = {n for n in vars(torch.nn.init) if n.endswith("_") and not n.startswith("_")}
    assert theirs
    assert {n for n in theirs if callable(getattr(torch.nn.init, n))} <= set(vars(init))
    assert {"calculate_gain", "_calculate_fan_in_and_fan_out"} <= set(vars(init))
