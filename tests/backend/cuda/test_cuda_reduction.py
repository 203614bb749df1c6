"""Sums over axes on the emulator, against float64 sums."""

from itertools import combinations

import numpy as np
import pytest
from cuda_cases import OF, assert_near, numbers, xp
from cuda_emulator import COMPILER, emulated
from kernel_cases import LAYOUTS

from tinyconv.backend import cuda
from tinyconv.backend.cuda import reduction

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def check(x, axes, dtype):
    actual = cuda.override("total")(xp, x, axes)
    wide = x.astype(np.float64)
    # At most 8 numbers are added in float32 before the sums are float64.
    assert_near(actual, wide.sum(axis=axes), dtype, 8, np.abs(wide).sum(axis=axes))


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("order", LAYOUTS)
def test_all_axes_of_all_layouts(order, dtype):
    x = LAYOUTS[order](numbers((3, 4, 5, 8), dtype, offset=1))
    for count in range(1, 5):
        for axes in combinations(range(4), count):
            check(x, axes, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 33, 64, 130, 300])
@pytest.mark.parametrize("rows", [1, 2, 3, 64, 1000])
def test_sizes(rows, columns, dtype):
    for samples in (1, 3):
        check(numbers((samples, rows, columns), dtype, offset=2), (1,), dtype)


@pytest.mark.parametrize("shape", [(1,), (5,), (4096,), (100003,), (1, 1, 1), (70000, 3)])
def test_everything_and_many_samples(shape):
    x = numbers(shape, offset=1)
    check(x, tuple(range(len(shape))), "float32")
    check(x, (len(shape) - 1,), "float32")


def test_a_large_sum_keeps_its_digits():
    x = np.full((1 << 20,), 0.1, np.float32)
    actual = cuda.override("total")(xp, x, (0,))
    np.testing.assert_allclose(actual, x.astype(np.float64).sum(), rtol=2e-7)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite(value):
    x = np.ones((5, 300, 8), np.float32)
    x[2, 7, 3] = value
    np.testing.assert_array_equal(cuda.override("total")(xp, x, (1,)), x.sum(axis=1))


def test_empty():
    zeros = cuda.override("total")(xp, np.zeros((3, 0, 2), np.float32), (1,))
    np.testing.assert_array_equal(zeros, np.zeros((3, 2)))
    assert zeros.dtype == np.float32


def test_others_go_to_the_reference():
    for dtype in ("float64", "int32", "bool"):
        x = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
        actual = cuda.override("total")(xp, x, (0,))
        np.testing.assert_array_equal(actual, x.sum(axis=0, dtype=dtype))
        assert actual.dtype == dtype
    x = numbers((3, 4))
    np.testing.assert_array_equal(cuda.override("total")(xp, x, ()), x)


def test_parts_of_many_blocks():
    for shape in [(1, 500, 3), (2, 1, 70), (3, 130, 40)]:
        parts = numbers(shape, "float64")
        actual = reduction.add_parts(xp, parts, np.dtype(np.float32))
        np.testing.assert_allclose(actual, parts.sum(axis=1), rtol=1e-6, atol=1e-6)
