"""Resampling on the emulator, against the reference kernel in float64."""

import numpy as np
import pytest
from cuda_cases import OF, assert_near, numbers, wide, xp
from cuda_emulator import COMPILER, emulated
from kernel_cases import LAYOUTS

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import resampling

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def table(outputs, inputs, dtype, most=4):
    """Return terms of a random matrix; some outputs have none, some inputs are met twice."""
    generator = np.random.default_rng(outputs)
    counts = generator.integers(0, most + 1, outputs) if inputs else np.zeros(outputs, np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = generator.integers(0, max(inputs, 1), starts[-1])
    return starts, places, numbers((int(starts[-1]),), dtype)


def check(x, axis, outputs, dtype, change=np.asarray):
    terms = table(outputs, x.shape[axis], dtype)
    actual = cuda.override("resample")(xp, change(x), axis, *(change(t) for t in terms))
    expected = reference.resample(np, *wide(x), axis, terms[0], terms[1], *wide(terms[2]))
    assert_near(actual, expected, dtype, 16)
    return actual


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("order", LAYOUTS)
def test_any_layout(order, axis, dtype):
    for outputs in (1, 7):
        check(numbers((2, 8, 5, 4), dtype), axis, outputs, dtype, LAYOUTS[order])


@pytest.mark.parametrize("channels", [1, 3, 4, 17, 64])
@pytest.mark.parametrize("outputs", [1, 30, 300])
def test_sizes(outputs, channels):
    x = numbers((3, 10, 9, channels)).transpose(0, 3, 1, 2)
    for axis in range(4):
        y = check(x, axis, outputs, "float32")
        if axis > 1:
            assert y.transpose(0, 2, 3, 1).flags.c_contiguous


def test_one_block_an_image(monkeypatch):
    monkeypatch.setattr(resampling, "blocks_for", lambda *_, **__: 1)
    check(numbers((2, 3, 20, 31)), 2, 40, "float32")


def test_nan_stays_where_it_is():
    x = np.ones((1, 3, 4), np.float32)
    x[0, 1, 2] = np.nan
    terms = np.array([0, 1, 2, 3]), np.array([0, 1, 2]), np.ones(3, np.float32)
    y = cuda.override("resample")(xp, x, 1, *terms)
    np.testing.assert_array_equal(y, x)


def test_empty():
    for shape, outputs in [((0, 3, 4), 2), ((2, 3, 4), 0), ((2, 0, 4), 3), ((2, 3, 0), 2)]:
        x = np.zeros(shape, np.float32)
        y = check(x, 1, outputs, "float32")
        assert y.shape == (shape[0], outputs, shape[2])


def test_float64_goes_to_the_reference():
    assert check(numbers((2, 5, 3), "float64"), 1, 4, "float64").dtype == np.float64
