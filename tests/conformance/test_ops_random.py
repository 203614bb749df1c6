"""Random tensors and dropout: distributions, reproducibility, and what dropout keeps."""

import numpy as np
import pytest
from scipy import stats
from suite import host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad, gradcheck, gradgradcheck, no_grad
from tinyconv.errors import ArgumentError, DTypeError, GradientError, ShapeError


@pytest.fixture(autouse=True)
def seeded():
    state = F.get_rng_state()
    F.manual_seed(1234)
    yield
    F.set_rng_state(state)


# -- the generator -------------------------------------------------------------------------------


def draws(device):
    return [
        host(t)
        for t in (
            F.rand(3, 4, device=device),
            F.randint(-5, 5, (6,), device=device),
            F.randperm(7, device=device),
            F.dropout(F.ones(20, device=device)),
            F.bernoulli(F.full((9,), 0.3, device=device)),
        )
    ]


def test_a_seed_fixes_everything_on_every_backend(device, backend):
    from tinyconv import config

    F.manual_seed(7)
    first = draws(device)
    F.manual_seed(7)
    again = draws(device)
    F.manual_seed(7)
    with config.override(backend="numpy", device="cpu"):
        elsewhere = draws("cpu")
    F.manual_seed(8)
    other = draws(device)
    for a, b, c in zip(first, again, elsewhere, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_state_can_be_saved_and_restored():
    F.rand(3)
    state = F.get_rng_state()
    a = host(F.randn(5))
    F.set_rng_state(state)
    np.testing.assert_array_equal(host(F.randn(5)), a)
    assert F.manual_seed(42).initial_seed() == F.initial_seed() == 42
    assert F.seed() == F.initial_seed() != 42


def test_a_generator_of_your_own_leaves_the_default_alone():
    state = F.get_rng_state()
    a = F.randn(5, generator=F.Generator(1))
    b = F.randn(5, generator=F.Generator(1))
    np.testing.assert_array_equal(host(a), host(b))
    F.dropout(F.ones(4), generator=F.Generator(1))
    assert F.get_rng_state() == state


# -- distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype, device):
    assert stats.kstest(host(F.rand(4000, dtype=dtype, device=device)), "uniform").pvalue > 1e-3
    assert stats.kstest(host(F.randn(4000, dtype=dtype, device=device)), "norm").pvalue > 1e-3
    x = host(F.rand(1000, dtype=dtype, device=device))
    assert x.min() >= 0
    assert x.max() < 1
    assert x.dtype == dtype


def test_randint_and_randperm(device):
    x = host(F.randint(-2, 3, (50, 40), device=device))
    values, counts = np.unique(x, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert host(F.randint(4, (2, 3), dtype="int32", device=device)).dtype == np.int32
    assert host(F.randint(high=2, low=0, size=(3,), device=device)).shape == (3,)
    p = host(F.randperm(100, device=device))
    assert sorted(p) == list(range(100))
    assert (p != np.arange(100)).any()


def test_like_takes_shape_dtype_and_device(backend):
    x = tensor(np.zeros((2, 3)))
    for function in (F.rand_like, F.randn_like):
        y = function(x)
        assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
        assert function(x, dtype="float32").dtype.name == "float32"
    y = F.randint_like(x, 3, 5)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert set(np.unique(host(y))) <= {3.0, 4.0}


def test_normal(backend):
    mean, std = tensor(np.full((2000, 2), [1.0, -4.0]), True), tensor(np.array([2.0, 0.0]), True)
    x = F.normal(mean, std)
    assert stats.kstest((host(x)[:, 0] - 1) / 2, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(host(x)[:, 1], -4.0)
    x.sum().backward()
    np.testing.assert_array_equal(host(mean.grad), 1)
    assert F.normal(0.0, 1.0, (2, 3)).shape == (2, 3)


def test_bernoulli(backend):
    p = np.repeat([0.0, 0.25, 1.0], 2000)
    x = host(F.bernoulli(tensor(p))).reshape(3, -1)
    assert x[0].sum() == 0
    assert x[2].sum() == 2000
    assert stats.binomtest(int(x[1].sum()), 2000, 0.25).pvalue > 1e-3
    count = int(host(F.bernoulli(tensor(p), 0.9)).sum())
    assert stats.binomtest(count, 6000, 0.9).pvalue > 1e-3


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial(replacement, backend):
    weights = tensor(np.array([0.0, 1.0, 3.0, 0.0, 4.0, 0.0]))
    many = tensor(np.broadcast_to(host(weights), (400, 6)))
    first = host(F.multinomial(many, 2, replacement))[:, 0]
    values, counts = np.unique(first, return_counts=True)
    assert values.tolist() == [1, 2, 4]
    assert stats.chisquare(counts, np.array([1, 3, 4]) / 8 * 400).pvalue > 1e-3
    rows = host(F.multinomial(tensor(np.array([[1.0, 0, 2], [0, 5.0, 1]])), 2, replacement))
    assert rows.shape == (2, 2)
    assert not (rows[0] == 1).any()
    assert not (rows[1] == 0).any()
    if not replacement:
        assert all(len(set(row)) == 2 for row in rows)


class Fixed:
    """A generator whose numbers are all the same."""

    def __init__(self, number):
        self.number = number

    def uniform(self, backend, shape, dtype_name):
        return backend.xp.full(shape, self.number, dtype=backend.xp.float64)


@pytest.mark.parametrize(("number", "expected"), [(0.0, 1), (1 - 2.0**-53, 3)])
def test_multinomial_at_the_ends_of_the_uniform_numbers(number, expected, backend):
    weights = tensor(np.array([0.0, 0.1, 0.3, 0.7, 0.0]))
    assert host(F.multinomial(weights, 1, True, generator=Fixed(number))).tolist() == [expected]


@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax(hard, dim, backend):
    """By the formula, from the same random numbers; the gradient is that of the softmax."""
    x = np.random.default_rng(5).standard_normal((4, 3))
    noise = -np.log(host(F.exponential_(tensor(np.zeros((4, 3))), generator=F.Generator(seed=3))))
    soft = np.exp((x + noise) / 0.7)
    soft /= soft.sum(dim, keepdims=True)
    largest = (soft == soft.max(dim, keepdims=True)).astype(float)
    y = tensor(x, True)
    found = F.gumbel_softmax(y, 0.7, hard, dim=dim, generator=F.Generator(seed=3))
    np.testing.assert_allclose(host(found), largest if hard else soft, rtol=0 if hard else 1e-12)
    weights = np.arange(12.0).reshape(4, 3)
    (g,) = grad((found * tensor(weights)).sum(), y)
    expected = soft * (weights - (weights * soft).sum(dim, keepdims=True)) / 0.7
    np.testing.assert_allclose(host(g), expected, atol=1e-12)
    assert gradcheck(lambda t: F.gumbel_softmax(t, 0.7, generator=F.Generator(seed=3)), y)
    assert gradgradcheck(lambda t: F.gumbel_softmax(t, 0.7, generator=F.Generator(seed=3)), y)


def test_gumbel_softmax_picks_with_the_probabilities_of_the_softmax(backend):
    logits = np.log([0.1, 0.6, 0.3])
    many = tensor(np.broadcast_to(logits, (3000, 3)))
    for hard in (True, False):
        picked = host(F.gumbel_softmax(many, 0.5, hard)).argmax(1)
        counts = np.bincount(picked, minlength=3)
        assert stats.chisquare(counts, np.array([0.1, 0.6, 0.3]) * 3000).pvalue > 1e-3


def test_gumbel_softmax_at_the_edges(backend):
    for number in (0.0, 1 - 2.0**-53):  # no draw is infinite
        x = F.gumbel_softmax(tensor(np.zeros(4, np.float32)), generator=Fixed(number))
        np.testing.assert_array_equal(host(x), np.full(4, 0.25, np.float32))
    assert host(F.gumbel_softmax(tensor(np.array(3.0)), hard=True)) == 1
    assert host(F.gumbel_softmax(tensor(np.zeros((0, 3))))).shape == (0, 3)
    with pytest.raises(ArgumentError, match="gumbel_softmax: tau must be above 0, got 0"):
        F.gumbel_softmax(tensor(np.zeros(2)), 0)
    with pytest.raises(DTypeError, match=r"gumbel_softmax: .* floating point"):
        F.gumbel_softmax(tensor(np.arange(2)))
    with pytest.warns(UserWarning, match="`eps` has no effect"):
        F.gumbel_softmax(tensor(np.zeros(2)), eps=1e-5)


def test_in_place(backend):
    x = tensor(np.zeros(4000))
    same = F.uniform_(x, -1.0, 3.0)
    assert same is x
    assert stats.kstest((host(x) + 1) / 4, "uniform").pvalue > 1e-3
    assert stats.kstest((host(F.normal_(x, 5.0, 0.5)) - 5) / 0.5, "norm").pvalue > 1e-3
    assert stats.binomtest(int(host(F.bernoulli_(x, 0.2)).sum()), 4000, 0.2).pvalue > 1e-3
    F.bernoulli_(x, tensor(np.array([1.0])))
    assert host(x).all()
    leaf = tensor(np.zeros(3), True)
    with pytest.raises(GradientError, match="uniform_: a leaf"):
        F.uniform_(leaf)
    with no_grad():
        F.uniform_(leaf, 1.0, 2.0)
    assert leaf.requires_grad
    assert host(leaf).min() >= 1


# -- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_mean(p, backend):
    y = host(F.dropout(tensor(np.ones(5000)), p))
    kept = y != 0
    assert stats.binomtest(int(kept.sum()), 5000, 1 - p).pvalue > 1e-3
    np.testing.assert_allclose(y[kept], 1 / (1 - p))


def test_dropout_in_evaluation_is_the_input_itself():
    x = tensor(np.ones(3))
    for function, shape in ((F.dropout, (3,)), (F.dropout2d, (1, 2, 3, 4))):
        x = tensor(np.ones(shape))
        assert function(x, 0.5, training=False) is x
        assert function(x, 0.0) is x


def test_dropout_of_everything(backend):
    x = tensor(np.array([1.0, np.inf]), True)
    y = F.dropout(x, 1.0)
    np.testing.assert_array_equal(host(y), [0, 0])
    y.sum().backward()
    np.testing.assert_array_equal(host(x.grad), [0, 0])


def test_dropout_zeroes_infinity(backend):
    y = host(F.dropout(tensor(np.full(100, np.inf))))
    assert set(y.tolist()) == {0.0, np.inf}


def test_gradients_of_dropout(backend):
    x = tensor(np.random.default_rng(0).standard_normal((4, 5)), True)

    def same_mask(x):
        return F.dropout(x, 0.4, generator=F.Generator(3)) ** 2

    assert gradcheck(same_mask, [x])
    assert gradgradcheck(same_mask, [x])
    y = F.dropout(x, 0.4)
    (dx,) = grad(y.sum(), x)
    np.testing.assert_allclose(host(dx), (host(y) != 0) / 0.6)


def test_the_mask_is_saved_as_one_byte():
    x = tensor(np.ones((10, 10)), True)
    node = F.dropout(x).grad_fn
    assert [saved.array.itemsize for saved in node._saved] == [1]


@pytest.mark.parametrize(
    ("name", "shape", "channels"),
    [
        ("dropout1d", (40, 30, 3), 2), ("dropout1d", (300, 3), 1), ("dropout2d", (40, 30, 3, 2), 2),
        ("dropout2d", (40, 30, 3), 2), ("dropout3d", (40, 30, 2, 1, 2), 2),
        ("dropout3d", (300, 2, 1, 2), 1),
    ],
)  # fmt: skip
def test_channel_dropout_drops_whole_channels(name, shape, channels, backend):
    y = host(getattr(F, name)(tensor(np.ones(shape)), 0.3))
    rows = y.reshape(int(np.prod(shape[:channels])), -1)
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], rows.shape[1], axis=1))
    assert stats.binomtest(int((rows[:, 0] != 0).sum()), len(rows), 0.7).pvalue > 1e-3


def test_dropout_in_place(backend):
    x = tensor(np.ones(50))
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(host(x).tolist()) == {0.0, 2.0}


def test_dropout_of_an_empty_batch(backend):
    assert F.dropout(tensor(np.zeros((0, 3)))).shape == (0, 3)


# -- errors --------------------------------------------------------------------------------------


def test_errors():
    x = tensor(np.ones((2, 3)))
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ArgumentError, match="dropout: p is a probability"):
            F.dropout(x, p)
    with pytest.raises(DTypeError, match="dropout: argument 'input' must be floating point"):
        F.dropout(tensor(np.ones(3, np.int64)))
    with pytest.raises(ShapeError, match="dropout2d: argument 'input' must have 4 dimensions"):
        F.dropout2d(x)
    with pytest.raises(DTypeError, match="rand: dtype must be floating point"):
        F.rand(3, dtype="int64")
    with pytest.raises(ArgumentError, match="low < high"):
        F.randint(3, 3, (2,))
    with pytest.raises(ArgumentError, match=r"randint\(high, size\)"):
        F.randint(3)
    with pytest.raises(ArgumentError, match="n must not be negative"):
        F.randperm(-1)
    with pytest.raises(ArgumentError, match="std must not be negative"):
        F.normal(0.0, -1.0, (2,))
    with pytest.raises(ArgumentError, match="size is needed"):
        F.normal(0.0, 1.0)
    with pytest.raises(ArgumentError, match="probabilities must be from 0 to 1"):
        F.bernoulli(tensor(np.array([1.5])))
    with pytest.raises(ArgumentError, match="need at least 2 weights above 0"):
        F.multinomial(tensor(np.array([0.0, 1.0])), 2)
    with pytest.raises(ArgumentError, match="finite"):
        F.multinomial(tensor(np.array([-1.0, 1.0])), 1)
    with pytest.raises(ShapeError, match=r"must be \(K,\) or \(M, K\)"):
        F.multinomial(tensor(np.ones((1, 1, 2))), 1)
    with pytest.raises(ArgumentError, match="bounds must be in order"):
        F.uniform_(x, 2.0, 1.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sise'"):
        F.rand(sise=3)
