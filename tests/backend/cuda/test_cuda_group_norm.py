"""Group and instance normalisation on the emulator, against the reference kernels in float64."""

import numpy as np
import pytest
from cuda_cases import OF, assert_near, numbers, wide, xp
from cuda_emulator import COMPILER, emulated
from kernel_cases import LAYOUTS

from tinyconv.backend import cuda, reference

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
EPS = 1e-3


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def run(name, *arguments):
    return cuda.override(name)(xp, *arguments)


def exact(name, *arguments):
    return reference.KERNELS[name](np, *wide(*arguments))


def check(x, groups, dtype="float32", affine=True, change=np.asarray):
    weight, bias = (numbers(x.shape[1:2], dtype, s) if affine else None for s in (2, 3))
    arguments = (groups, weight, bias, EPS)
    y, mean, var = run("group_norm", change(x), *arguments)
    right, *statistics = exact("group_norm", x, *arguments)
    for actual, expected in zip((mean, var), statistics, strict=True):
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=4e-7, atol=1e-7)
    assert_near(y, right, dtype, 16)
    dy, arguments = numbers(x.shape, dtype, 1), (mean, var, weight, EPS)
    actual = run("group_norm_grad", change(dy), change(x), *arguments)
    expected = exact("group_norm_grad", dy, x, *arguments)
    # dx is the difference of numbers of this size
    size = np.abs(dy).max() * (1 if weight is None else np.abs(weight).max()) / np.sqrt(var + EPS)
    assert_near(actual[0], expected[0], dtype, 16, float(size.max()))
    for one, other in zip(actual[1:], expected[1:], strict=True):
        assert_near(one, other, "float32", x.size // x.shape[1] + 32)


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 8, 24])
@pytest.mark.parametrize("shape", [(3, 24), (2, 24, 7), (3, 24, 4, 5), (1, 24, 2, 1, 3)])
def test_shapes(shape, groups, affine, dtype):
    check(numbers(shape, dtype, offset=3, scale=2), groups, dtype, affine)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 3), (6, 2), (70, 7), (64, 32), (320, 1), (130, 130)]
)
def test_channels(channels, groups):
    check(numbers((2, channels, 9, 8), offset=1), groups)


@pytest.mark.parametrize("order", LAYOUTS)
def test_any_layout(order):
    check(numbers((3, 8, 4, 5)), 2, change=LAYOUTS[order])


@pytest.mark.parametrize("processors", [1, 60])
def test_any_number_of_blocks(processors, emulator, monkeypatch):
    monkeypatch.setattr(emulator, "multiprocessors", processors, raising=False)
    check(numbers((3, 12, 21, 17), offset=5), 3)


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
def test_where_the_mean_is_large(offset):
    x = numbers((2, 8, 30, 31), offset=offset)
    y, mean, var = run("group_norm", x, 2, None, None, EPS)
    right = exact("group_norm", x, 2, None, None, EPS)
    np.testing.assert_allclose(mean, right[1], rtol=1e-12)
    np.testing.assert_allclose(var, right[2], rtol=2e-7)
    assert_near(y, right[0], "float32", 4)
    arguments = (numbers(x.shape, seed=1, offset=1), x, mean, var, None, EPS)
    expected = exact("group_norm_grad", *arguments)
    for one, other in zip(run("group_norm_grad", *arguments), expected, strict=True):
        assert_near(one, other, "float32", 32)


def test_samples_do_not_mix():
    """Each sample alone gives what it gives in a batch, whatever the other samples hold."""
    x = numbers((5, 6, 7, 8)) * 10.0 ** np.arange(5, dtype=np.float32).reshape(-1, 1, 1, 1)
    x[2, 3] = np.nan
    y, *together = run("group_norm", x, 2, None, None, EPS)
    for i in range(5):
        single, *alone = run("group_norm", x[i : i + 1], 2, None, None, EPS)
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[i], other[0], rtol=1e-7)
        np.testing.assert_allclose(y[i], single[0], rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("shape", [(0, 6, 2), (2, 6, 0)])
def test_empty(shape):
    x = np.zeros(shape, np.float32)
    y, mean, var = run("group_norm", x, 3, None, None, EPS)
    np.testing.assert_array_equal((mean, var), np.zeros((2, shape[0], 3)))
    assert y.shape == shape
    dx, dweight, dbias = run("group_norm_grad", x, x, mean, var, None, EPS)
    assert dx.shape == shape
    np.testing.assert_array_equal((dweight, dbias), np.zeros((2, 6)))


def test_float64_goes_to_the_reference():
    x = numbers((2, 6, 4), "float64")
    y, *statistics = run("group_norm", x, 2, None, None, EPS)
    for one, other in zip(statistics, exact("group_norm", x, 2, None, None, EPS)[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert y.dtype == np.float64
    assert run("group_norm_grad", x, x, *statistics, None, EPS)[0].dtype == np.float64
