"""Layer normalisation on the emulator, against the reference kernel in float64."""

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


def check(x, dims, dtype, weight=None, bias=None, roundings=16, change=np.asarray):
    y, mean, var = run("layer_norm", change(x), dims, weight, bias, EPS)
    expected = exact("layer_norm", x, dims, weight, bias, EPS)
    assert mean.dtype == var.dtype == np.float64
    np.testing.assert_allclose(mean, expected[1], rtol=1e-7, atol=4e-7)
    np.testing.assert_allclose(var, expected[2], rtol=8e-7, atol=1e-12)
    assert_near(y, expected[0], dtype, roundings)
    dy = numbers(x.shape, dtype, 9)
    arguments = (mean, var, weight, EPS)
    actual = run("layer_norm_grad", change(dy), change(x), *arguments)
    wanted = exact("layer_norm_grad", dy, x, *arguments)
    rows = x.size // max(wanted[1].size, 1)
    assert_near(actual[0], wanted[0], dtype, 4 * roundings)
    for one, other in zip(actual[1:], wanted[1:], strict=True):
        assert_near(one, other, "float32", rows + 32)
    return y


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("shape", [(3, 4, 5, 7), (2, 3, 4, 8)])
@pytest.mark.parametrize("order", LAYOUTS)
def test_any_layout(order, shape, dtype, dims):
    x = numbers(shape, dtype, scale=2, offset=3)
    weight, bias = (LAYOUTS[order](numbers(shape[-dims:], dtype, s)) for s in (2, 3))
    check(x, dims, dtype, weight, bias, change=LAYOUTS[order])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 31, 128, 512, 520, 1000, 1031, 4096, 5000])
def test_sizes_of_rows(size, dtype):
    for rows in (1, 11):
        weight = numbers((size,), dtype, 2)
        check(numbers((rows, size), dtype, offset=1), 1, dtype, weight, None, 32)


@pytest.mark.parametrize("processors", [1, 20])
def test_many_rows(processors, emulator, monkeypatch):
    monkeypatch.setattr(emulator, "multiprocessors", processors, raising=False)
    for size in (12, 1500):
        check(numbers((150, size)), 1, "float32", numbers((size,), seed=2), numbers((size,)), 32)


@pytest.mark.parametrize("size", [3, 48, 2048])
@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
def test_where_the_mean_is_large(offset, size):
    check(numbers((7, size), offset=offset), 1, "float32")


@pytest.mark.parametrize("size", [9, 1200])
def test_constant_rows_and_an_outlier(size):
    x = np.full((3, size), 0.1, np.float32)
    _, mean, var = run("layer_norm", x, 1, None, None, EPS)
    np.testing.assert_allclose(mean, x[:, 0].astype(np.float64), rtol=1e-15)
    np.testing.assert_array_equal(var, np.zeros(3))
    x = numbers((3, size))
    x[:, 0] = 1e4
    check(x, 1, "float32")


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 5, -1])
@pytest.mark.parametrize("size", [12, 1200])
def test_what_is_not_finite(size, place, value):
    x = np.ones((3, size), np.float32)
    x[1, place] = value
    with np.errstate(invalid="ignore"):
        expected = reference.layer_norm(np, x, 1, None, None, EPS)
        for one, other in zip(run("layer_norm", x, 1, None, None, EPS), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_channels_last_memory_is_kept():
    x = numbers((2, 5, 5, 3)).transpose(0, 3, 1, 2)
    assert run("layer_norm", x, 3, None, None, EPS)[0].strides == x.strides


def test_parameters_of_another_dtype():
    x = numbers((6, 16), "bfloat16")
    for dtype in ("float32", "float64", "float16"):
        check(x, 1, "bfloat16", numbers((16,), dtype, 2), numbers((16,), dtype, 3))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_empty(shape):
    x = np.zeros(shape, np.float32)
    y, mean, var = run("layer_norm", x, 1, None, None, EPS)
    assert y.shape == shape
    np.testing.assert_array_equal((mean, var), np.zeros((2, shape[0])))
    dx, dweight, dbias = run("layer_norm_grad", x, x, mean, var, None, EPS)
    assert dx.shape == shape
    np.testing.assert_array_equal((dweight, dbias), np.zeros((2, shape[1])))


def test_float64_goes_to_the_reference():
    x = numbers((3, 4), "float64")
    y, mean, var = run("layer_norm", x, 1, None, None, EPS)
    np.testing.assert_array_equal(y, exact("layer_norm", x, 1, None, None, EPS)[0])
    dx = run("layer_norm_grad", x, x, mean, var, None, EPS)[0]
    assert dx.dtype == np.float64
