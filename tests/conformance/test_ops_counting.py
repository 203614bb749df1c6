"""Unique values, counts and places in an order, against NumPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suite import host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(0)
SAMPLES = [
    RNG.integers(0, 4, (3, 5)), RNG.integers(-2, 2, 9).astype(np.float32), np.zeros((0,)),
    RNG.integers(0, 2, (2, 3, 2)) > 0, np.array(7.5),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_unique(number, backend):
    x = SAMPLES[number]
    values, inverse, counts = ops.unique(tensor(x), return_inverse=True, return_counts=True)
    expected = np.unique(x, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(host(values), expected[0])
    np.testing.assert_array_equal(host(inverse), expected[1].reshape(x.shape))
    np.testing.assert_array_equal(host(counts), expected[2])
    assert host(values).dtype == x.dtype
    assert host(inverse).dtype == np.int64


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_unique_slices(dim, backend):
    x = np.random.default_rng(1).integers(0, 2, (6, 5, 2))
    values, inverse, counts = ops.unique(
        tensor(x), return_inverse=True, return_counts=True, dim=dim
    )
    expected = np.unique(x, axis=dim, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(host(values), expected[0])
    np.testing.assert_array_equal(host(inverse), expected[1].reshape(-1))
    np.testing.assert_array_equal(host(counts), expected[2])


@given(st.lists(st.integers(0, 2), max_size=12))
@settings(deadline=None)
def test_unique_consecutive(values):
    x = np.array(values, np.int64)
    y, inverse, counts = ops.unique_consecutive(tensor(x), True, True)
    np.testing.assert_array_equal(np.repeat(host(y), host(counts)), x)
    np.testing.assert_array_equal(host(y)[host(inverse)], x)
    assert (np.diff(host(y)) != 0).all()


def test_unique_consecutive_slices_and_shapes(backend):
    x = np.array([[1, 1, 2], [1, 1, 2], [1, 1, 3]])
    np.testing.assert_array_equal(host(ops.unique_consecutive(tensor(x), dim=0)), x[1:])
    y, inverse = ops.unique_consecutive(tensor(x), return_inverse=True)
    np.testing.assert_array_equal(host(y), [1, 2, 1, 2, 1, 3])
    np.testing.assert_array_equal(host(inverse), [[0, 0, 1], [2, 2, 3], [4, 4, 5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_bincount(dtype, backend):
    x, w = np.array([3, 0, 3, 1]), np.array([1, 2, 3, 4]).astype(dtype)
    np.testing.assert_array_equal(host(ops.bincount(tensor(x), minlength=6)), [1, 1, 0, 2, 0, 0])
    y = host(ops.bincount(tensor(x), tensor(w)))
    np.testing.assert_array_equal(y, np.bincount(x, w))
    assert y.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert host(ops.bincount(tensor(x[:0]))).shape == (0,)


@pytest.mark.parametrize("limits", [(0, 0), (-1, 2), (0.5, 0.75)])
def test_histc(limits, backend):
    x = np.random.default_rng(2).uniform(-1, 2, (7, 5))
    x[0, 0], x[1, 1] = limits
    low, high = limits if limits[0] != limits[1] else (x.min(), x.max())
    expected = np.histogram(x, 6, (low, high))[0]
    np.testing.assert_array_equal(host(ops.histc(tensor(x), 6, *limits)), expected)
    x[2] = np.nan
    assert host(ops.histc(tensor(x), 4, -1, 2)).sum() == 30
    np.testing.assert_array_equal(host(ops.histc(tensor(np.ones(3)), 2)), [0, 3])


@pytest.mark.parametrize("right", [False, True])
def test_searchsorted(right, backend):
    rows = np.sort(np.random.default_rng(3).integers(0, 5, (2, 3, 6)).astype(float))
    wanted = np.random.default_rng(4).integers(-1, 6, (2, 3, 4)).astype(float)
    side = "right" if right else "left"
    expected = [[np.searchsorted(r, w, side) for r, w in zip(a, b, strict=True)]
                for a, b in zip(rows, wanted, strict=True)]  # fmt: skip
    np.testing.assert_array_equal(
        host(ops.searchsorted(tensor(rows), tensor(wanted), right=right)), expected
    )
    np.testing.assert_array_equal(
        host(ops.bucketize(tensor(wanted), tensor(rows[0, 0]), right=right, out_int32=True)),
        np.searchsorted(rows[0, 0], wanted, side),
    )
    assert host(ops.searchsorted(tensor(rows[0, 0]), 100.0, side=side)) == 6


def zeros(*shape):
    return tensor(np.zeros(shape))


@pytest.mark.parametrize(
    ("error", "part", "call"),
    [
        (DTypeError, "integers", lambda: ops.bincount(zeros(3))),
        (ShapeError, "vectors", lambda: ops.bincount(tensor(np.array([[1]])))),
        (ArgumentError, "-2", lambda: ops.bincount(tensor(np.array([1, -2])))),
        (ArgumentError, "minlength", lambda: ops.bincount(tensor(np.array([1])), minlength=-1)),
        (ArgumentError, "bins", lambda: ops.histc(zeros(3), 0)),
        (ArgumentError, "2.0 to 1.0", lambda: ops.histc(zeros(3), 2, 2, 1)),
        (ArgumentError, "finite", lambda: ops.histc(tensor(np.array([np.inf, 0.0])))),
        (ShapeError, "leading", lambda: ops.searchsorted(zeros(2, 3), zeros(3, 3))),
        (ArgumentError, "side", lambda: ops.searchsorted(zeros(3), zeros(3), side="up")),
        (ArgumentError, "side",
         lambda: ops.searchsorted(zeros(3), zeros(3), side="left", right=True)),
        (ShapeError, "boundaries", lambda: ops.bucketize(zeros(3), zeros(3, 1))),
    ],
)  # fmt: skip
def test_errors(error, part, call):
    with pytest.raises(error, match=part):
        call()
