"""CUDA kernels of softmax, masks, random numbers and rows, beyond one example each."""

import ml_dtypes
import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import random_array

from tinyconv.backend import cuda, reference

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def close(actual, expected, bound=2e-6):
    np.testing.assert_allclose(actual.astype("float64"), expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_softmax_along_any_axis(name, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    order = data.draw(st.permutations(range(len(shape))))
    x = random_array(shape, "float32").transpose(order).copy().transpose(np.argsort(order))
    close(cuda.override(name)(np, x, axis), getattr(reference, name)(np, x.astype("f8"), axis))
    y = getattr(reference, name)(np, x, axis)
    dy = random_array(shape, "float32", 1)
    close(
        cuda.override(f"{name}_grad")(np, dy, y, axis),
        getattr(reference, f"{name}_grad")(np, dy.astype("f8"), y.astype("f8"), axis),
    )


@pytest.mark.parametrize("size", [31, 32, 33, 1024, 1025, 3000])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_of_a_warp_and_of_a_block(name, size):
    x = random_array((3, size), "float32") * 10
    close(cuda.override(name)(np, x, 1), getattr(reference, name)(np, x.astype("f8"), 1), 5e-6)


def test_softmax_of_nan_and_infinities():
    x = np.array([[1, np.nan, 2], [1, np.inf, 2], [1, -np.inf, 2], [-np.inf] * 3], "float32")
    with np.errstate(all="ignore"):
        expected = reference.softmax(np, x, 1)
    np.testing.assert_allclose(cuda.override("softmax")(np, x, 1), expected, rtol=1e-6)
    assert np.isnan(expected[0]).all()
    assert expected[2, 1] == 0


def test_no_rows():
    for name in ("softmax", "log_softmax"):
        assert cuda.override(name)(np, np.ones((0, 3), "f4"), 1).shape == (0, 3)


@pytest.mark.parametrize("blocks", [0, 1, 5, 3000])
def test_philox_gives_the_same_bits(blocks):
    arguments = (blocks, (2**32 - 1, 7), (3, 2**31, 5))
    np.testing.assert_array_equal(
        cuda.override("philox")(np, *arguments), reference.philox(np, *arguments)
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_dropout_keeps_the_same_elements_wherever_they_lie(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=5)))
    order = data.draw(st.permutations(range(len(shape))))
    x = random_array(shape, "float32").transpose(order).copy().transpose(np.argsort(order))
    arguments = (2**31 + 12345, 1.5, (1, 2), (3, 4, 1))
    y, keep = cuda.override("dropout")(np, x, *arguments)
    expected, same = reference.dropout(np, x, *arguments)
    np.testing.assert_array_equal(keep, same)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(cuda.override("kept")(np, x, same, 1.5), expected)


def test_dropout_that_keeps_all_or_nothing():
    x = random_array((3, 5), "float32")
    for threshold, kept in ((0, 0), (2**32, 15)):
        assert cuda.override("dropout")(np, x, threshold, 1.0, (1, 2), (3, 4, 1))[1].sum() == kept


def test_masked_hides_nan():
    x = np.array([np.nan, 1, np.inf, 2], "float32")
    mask = np.array([False, True, False, True])
    np.testing.assert_array_equal(cuda.override("masked")(np, x, mask), [0, 1, 0, 2])


@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (5, 3), (300, 2), (0, 4), (3, 0)])
def test_philox_rows_give_the_same_bits(rows, blocks):
    draws = (np.arange(rows, dtype=np.uint64) * np.uint64(2**60 + 12345)) ^ np.uint64(2**63)
    arguments = blocks, (7, 2**32 - 1), draws, 2**32 - 3
    np.testing.assert_array_equal(
        cuda.override("philox_rows")(np, *arguments), reference.philox_rows(np, *arguments)
    )


@pytest.mark.parametrize("reduce", ["prod", "amax", "amin"])
@pytest.mark.parametrize(("rows", "columns", "size"), [(1, 1, 1), (300, 5, 7), (64, 33, 64)])
def test_scatter_reduce(reduce, rows, columns, size):
    index = np.concatenate([np.arange(size), np.random.default_rng(1).integers(0, size, rows)])
    source = np.random.default_rng(2).uniform(0.5, 1.5, (len(index), columns)).astype("float32")
    source[size // 2, 0] = np.nan
    source[-1, -1] = -np.inf
    with np.errstate(all="ignore"):
        expected = reference.scatter_reduce(np, size, index, source.astype("float64"), reduce)
    found = cuda.override("scatter_reduce")(np, size, index, source, reduce)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_scatter_writes_nowhere_else():
    """An index that is out of range while a step is recorded cannot be reported."""
    index, source = np.array([3, -1, 0, 7, 3]), np.ones((5, 2), "float32")
    out = cuda.override("scatter_add")(np, 4, index, source)
    np.testing.assert_array_equal(out, [[1, 1], [0, 0], [0, 0], [2, 2]])


def test_scatter_adds_in_the_order_of_the_rows():
    index = np.array([2, 0, 2, 2, 5, 0])
    source = np.array([[1e8], [1], [1], [-1e8], [3], [4]], "float32").repeat(3, 1)
    out = cuda.override("scatter_add")(np, 6, index, source)
    np.testing.assert_array_equal(out, reference.scatter_add(np, 6, index, source))
    assert out[2, 0] == 0  # 1e8 + 1 - 1e8, from left to right


@pytest.mark.parametrize("dtype", ["float32", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("size", [0, 1, 3, 8, 1000])
def test_accumulate(dtype, size):
    total, addend = random_array((size,)).astype(dtype), random_array((size,), seed=1).astype(dtype)
    expected = (total.astype("f4") + addend.astype("f4")).astype(dtype)
    cuda.override("accumulate")(np, total, addend)
    np.testing.assert_array_equal(total, expected)


def test_accumulate_into_a_view():
    whole = random_array((4, 6), "float32")
    expected = whole[:, 1:4] + 1
    cuda.override("accumulate")(np, whole[:, 1:4], np.ones((4, 3), "float32"))
    np.testing.assert_array_equal(whole[:, 1:4], expected)


def test_a_gradient_that_was_spread_out_becomes_channels_last():
    y = random_array((2, 5, 6, 4), "float32").transpose(0, 3, 1, 2)
    dy = np.broadcast_to(random_array((2, 4, 1, 1), "float32"), y.shape)
    dx = cuda.override("relu_grad")(np, dy, y)
    np.testing.assert_array_equal(dx, reference.relu_grad(np, dy, y))
    assert dx.strides == y.strides


def test_concat_keeps_channels_last():
    x = random_array((2, 5, 3, 4), "float32").transpose(0, 3, 1, 2)
    y = cuda.override("concat")(np, 1, x, x[:, :2])
    np.testing.assert_array_equal(y, np.concatenate([x, x[:, :2]], axis=1))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid"])
def test_smooth_functions_far_out(name):
    x = np.array([-100, -20, -9, -5, -1e-8, 0, 1e-8, 5, 9, 100, np.inf, np.nan], "float32")
    with np.errstate(all="ignore"):
        expected = getattr(reference, name)(np, x.astype("float64"))
    np.testing.assert_allclose(cuda.override(name)(np, x), expected, rtol=5e-6, atol=1e-9)
