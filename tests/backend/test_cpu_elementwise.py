"""Element-wise formulas in parallel pieces against NumPy on whole arrays."""

import operator
import warnings

import numpy as np
import pytest
from kernel_cases import LAYOUTS, random_array

from tinyconv import config
from tinyconv.backend import backends, reference
from tinyconv.backend.cpu import elementwise as fast

SHAPES = [(3, 20, 60, 50), (1 << 18,), (1, 7, 200, 130), (400, 500), (2, 90000)]


def formula(a, b):
    return a * (1 - b) + np.exp(-b)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("function", [operator.add, operator.truediv, operator.gt, formula])
def test_two_arrays_in_any_layout(shape, layout, function):
    a, b = LAYOUTS[layout](random_array(shape)), random_array(shape, seed=1)
    for x, y in ((a, b), (b, a), (a, a)):
        actual, expected = fast.elementwise(np, function, x, y), function(x, y)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "other", [(1, 20, 1, 1), (3, 20, 1, 1), (60, 50), (1,), (), (3, 1, 60, 1), (20, 1, 1)]
)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_broadcasting(other, layout):
    a, b = LAYOUTS[layout](random_array((3, 20, 60, 50), "float32")), random_array(other, "float32")
    for x, y in ((a, b), (b, a)):
        actual = fast.elementwise(np, formula, x, y)
        np.testing.assert_array_equal(actual, formula(x, y))
        assert actual.dtype == np.float32


def test_numbers_do_not_widen():
    x = random_array((1 << 18,), "float32")
    assert fast.elementwise(np, operator.mul, x, 2.5).dtype == np.float32
    np.testing.assert_array_equal(fast.elementwise(np, operator.sub, 2, x), 2 - x)


def test_order_of_memory_is_kept():
    x = LAYOUTS["channels_last"](random_array((3, 20, 60, 50)))
    assert fast.elementwise(np, np.exp, x).transpose(0, 2, 3, 1).flags.c_contiguous


def test_no_warning_from_any_thread():
    x = np.zeros(1 << 19)
    with warnings.catch_warnings(), config.override(num_threads=2):
        warnings.simplefilter("error")
        assert np.isneginf(backends()["cpu"].elementwise(np.log, x)).all()


def test_errors_reach_the_caller():
    def broken(x):
        if x.size:
            raise KeyError("no")
        return x

    with pytest.raises(KeyError):
        fast.elementwise(np, broken, np.zeros(1 << 19))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_copy(layout, dtype):
    for shape in ((3, 20, 60, 50), (1, 7, 3, 13)):
        x = LAYOUTS[layout](random_array(shape).astype(dtype))
        for threads in (1, 2):
            with config.override(num_threads=threads):
                y = fast.copy(np, x)
            np.testing.assert_array_equal(y, x)
            assert y.dtype == x.dtype
            assert not np.may_share_memory(x, y)
            assert y.flags.writeable


def test_copy_keeps_the_order_of_memory():
    x = LAYOUTS["channels_last"](random_array((3, 20, 60, 50), "float32"))
    assert fast.copy(np, x).strides == x.strides


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_accumulate(layout):
    total = random_array((3, 20, 60, 50))
    addend = LAYOUTS[layout](random_array(total.shape, seed=1))
    for change in (np.array, LAYOUTS["channels_last"]):
        actual, expected = change(total.copy()), total.copy()
        fast.accumulate(np, actual, addend)
        reference.accumulate(np, expected, addend)
        np.testing.assert_array_equal(actual, expected)
