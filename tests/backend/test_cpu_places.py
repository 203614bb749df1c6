"""Kernels that order, scatter and compare vectors, beside the reference, in many shapes."""

import numpy as np
import pytest
from kernel_cases import assert_close

from tinyconv.backend import cpu
from tinyconv.backend.quiet import quiet
from tinyconv.backend.reference import KERNELS

DTYPES = ("float32", "float64", "float16", "int64", "int32", "uint8")
SHAPES = [((7, 5), 0), ((7, 5), 1), ((3, 200, 2), 1), ((2, 3, 150), 1), ((1, 1), 0), ((4, 1, 3), 1),
          ((300,), 0), ((6, 40, 130), 0)]  # fmt: skip


def numbers(shape, dtype):
    """Return an array with many ties and, of floats, NaN, infinities and both zeros."""
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(0 if dtype == "uint8" else -5, 6, shape).astype(dtype)
    if x.dtype.kind == "f":
        odd = rng.integers(0, 40, shape)
        x[odd == 0], x[odd == 1], x[odd == 2] = np.inf, -np.inf, -0.0
        x[odd == 3] = np.nan
    return x


def both(name, *arguments):
    return (quiet(kernel, np, *arguments) for kernel in (cpu.override(name), KERNELS[name]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("largest", [True, False])
def test_cumulative_extreme(largest, shape, axis, dtype):
    for a, b in zip(*both("cumulative_extreme", numbers(shape, dtype), axis, largest), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_place_of_rank(shape, axis, dtype):
    x = numbers(shape, dtype)
    size = shape[axis]
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    for rank in {0, size // 2, size - 1}:
        a, b = both("place_of_rank", x, axis, np.full(one, rank))
        np.testing.assert_array_equal(a, b)
    a, b = both("place_of_rank", x, axis, np.arange(np.prod(one)).reshape(one) % size)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("order", ["up", "down", "equal", "organ", "alternating", "all nan"])
def test_ranks_of_lines_in_order(order):
    size = 501
    ramp = np.arange(size, dtype=np.float32)
    x = {
        "up": ramp, "down": ramp[::-1], "equal": np.ones_like(ramp), "organ": -abs(ramp - 250),
        "alternating": ramp % 2, "all nan": ramp * np.nan,
    }[order]  # fmt: skip
    for rank in (0, 1, 250, 499, 500):
        a, b = both("place_of_rank", x, 0, np.array([rank]))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_place_of_mode(shape, axis, dtype):
    a, b = both("place_of_mode", numbers(shape, dtype), axis)
    np.testing.assert_array_equal(a, b)
    if dtype == "float32":
        a, b = both("place_of_mode", np.full(shape, np.nan, dtype), axis)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("reduce", ["prod", "amax", "amin"])
@pytest.mark.parametrize("columns", [1, 3, 200])
def test_scatter_reduce(columns, reduce, dtype):
    index = np.concatenate([np.arange(20), np.random.default_rng(1).integers(0, 20, 300)])
    source = numbers((320, columns), dtype)
    if reduce == "prod":
        source = (1 + (source == 1)).astype(dtype)  # few twos, so that no product overflows
    a, b = both("scatter_reduce", 20, index, source, reduce)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_scatter_last():
    rng = np.random.default_rng(2)
    for size, count in ((5, 0), (5, 3), (7, 100), (300, 100), (0, 0)):
        index = rng.integers(0, max(size, 1), count)
        a, b = both("scatter_last", size, index)
        assert a.dtype == b.dtype == np.int64
        np.testing.assert_array_equal(a, b)
        expected = [max((i for i in range(count) if index[i] == p), default=-1)
                    for p in range(size)]  # fmt: skip
        assert a.tolist() == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, np.inf])
@pytest.mark.parametrize(
    "sizes", [(2, 5, 7, 3), (1, 3, 300, 130), (1, 70, 2, 1), (3, 1, 1, 65), (0, 2, 3, 4),
              (1, 0, 3, 2), (1, 2, 0, 2), (2, 3, 4, 0)]
)  # fmt: skip
def test_distances(sizes, p, dtype):
    n, rows, others, length = sizes
    rng = np.random.default_rng(4)
    a = rng.integers(-4, 5, (n, rows, length)).astype(dtype)
    b = rng.integers(-4, 5, (n, others, length)).astype(dtype)
    b[:, ::2] += 0.125
    if rows and others:
        a[:, 0] = b[:, 0]
    found, expected = both("distances", a, b, p)
    assert_close(found, expected, 100)
    if p == 0:
        return
    grad = rng.uniform(-1, 1, expected.shape).astype(dtype)
    found, reference = both("distances_grad", grad, a, b, expected, p)
    assert found.dtype == reference.dtype
    np.testing.assert_allclose(found, reference, rtol=1e-4 if dtype == "float32" else 1e-11,
                               atol=1e-4 if dtype == "float32" else 1e-11)  # fmt: skip


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_distances_of_nan(p):
    a, b = np.zeros((1, 2, 3), np.float32), np.ones((1, 2, 3), np.float32)
    a[0, 1, 1] = np.nan
    found, expected = both("distances", a, b, p)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found[0, 1]).all()
    found, _ = both("distances_grad", np.ones((1, 2, 2), np.float32), a, b, expected, p)
    assert np.isnan(found[0, 1, 1])
    assert not np.isnan(found[0, 0]).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erfinv_to_its_ends(dtype):
    rng = np.random.default_rng(0)
    edge = 1 - 10.0 ** rng.uniform(-15, -1, 500)
    y = np.concatenate([rng.uniform(-1, 1, 5000), edge, -edge, [0, 1, -1, 2, np.nan, np.inf]])
    a, b = both("erfinv", y.astype(dtype))
    np.testing.assert_allclose(a, b, rtol=4e-7 if dtype == "float32" else 2e-15)
