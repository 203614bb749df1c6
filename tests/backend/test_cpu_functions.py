"""Fast loss, erf, scatter-add and Philox against the reference and exact values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import DTYPES, LAYOUTS, assert_close, random_array
from scipy import special

from tinyconv import config
from tinyconv.backend import reference
from tinyconv.backend.cpu import loss, random, scatter
from tinyconv.backend.cpu import special as fast_special


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (300, 3), (0, 4), (2, 40000)])
def test_softmax_cross_entropy(shape, dtype):
    logits, g = random_array(shape, dtype) * 5, random_array(shape[:1], dtype)
    logits = logits.astype(dtype)
    target = np.arange(shape[0]) % shape[1]
    target[::3] = -100
    results = loss.softmax_cross_entropy(np, logits, target)
    expected = reference.softmax_cross_entropy(np, logits, target)
    for actual, wanted in zip(results, expected, strict=True):
        assert_close(actual, wanted, 20)
    p = expected[1]
    one = np.array([0.3], dtype)
    for weights in (g, one, np.broadcast_to(one, g.shape)):  # the mean has one for all
        actual = loss.softmax_cross_entropy_grad(np, p, target, weights)
        assert_close(actual, reference.softmax_cross_entropy_grad(np, p, target, weights))


@pytest.mark.parametrize("labels", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (70, 10), (3000, 10), (300, 61)])
@pytest.mark.parametrize("mean", [False, True])
def test_mean_cross_entropy(shape, dtype, labels, mean):
    logits = (random_array(shape, dtype) * 5).astype(dtype)
    target = (np.arange(shape[0]) % max(shape[1], 2)).astype(labels)
    if shape == (1, 1):
        target[:] = 0
    expected = reference.mean_cross_entropy(np, logits, target, 1, mean)
    results = []
    for threads in (1, 2):
        with config.override(num_threads=threads):
            results.append(loss.mean_cross_entropy(np, logits, target, 1, mean))
    for actual, other, wanted in zip(*results, expected, strict=True):
        assert actual.dtype == wanted.dtype
        np.testing.assert_array_equal(actual, other)
        assert_close(actual, wanted, 40)


@pytest.mark.parametrize("classes", [3, 60])
@pytest.mark.parametrize("wrong", [-1, -101, 60])
def test_mean_cross_entropy_tells_of_a_label_that_is_no_class(classes, wrong):
    logits, target = random_array((4, classes)), np.array([0, -100, wrong, 2])
    for kernel in (reference.mean_cross_entropy, loss.mean_cross_entropy):
        for mean in (True, False):
            value, _, labels, count = kernel(np, logits, target, -100, mean)
            assert np.isnan(value)
            assert count == -1
        np.testing.assert_array_equal(labels, [0, -1, -1, 2])
        assert kernel(np, logits, target, wrong, True)[3] == -1  # the other one is wrong now


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_mean_is_divided(dtype, each):
    p, target = np.full((7, 3), 1 / 3, dtype), np.array([0, 2, -1, 1, 0, -1, 2])
    g = random_array((7,) if each else (1,), dtype)
    for kernel in (reference.softmax_cross_entropy_grad, loss.softmax_cross_entropy_grad):
        found = kernel(np, p, target, g, np.array(5))
        hit = np.arange(3) == target[:, None]
        assert_close(found, np.where(target[:, None] < 0, 0, (p - hit) * g[:, None] / 5))
        nothing = kernel(np, p, target, g, np.array(-1))  # a label was no class
        assert np.isnan(nothing[target >= 0]).all()
        assert not nothing[target < 0].any()


def test_mean_cross_entropy_of_nothing():
    logits = random_array((2, 3))
    for kernel in (reference.mean_cross_entropy, loss.mean_cross_entropy):
        with np.errstate(invalid="ignore"):
            value, _, _, count = kernel(np, logits, np.array([7, 7]), 7, True)
        assert np.isnan(value)
        assert count == 0


@pytest.mark.parametrize(
    "row", [[1e4, -1e4], [5.0, -np.inf], [np.nan, 1.0], [1.0, np.nan], [np.inf, 0.0]]
)
@pytest.mark.parametrize("ignored", [False, True])
def test_softmax_cross_entropy_extremes(row, ignored):
    logits, target = np.array([row]), np.array([-1 if ignored else 0])
    with np.errstate(invalid="ignore"):
        expected = reference.softmax_cross_entropy(np, logits, target)
    for actual, wanted in zip(
        loss.softmax_cross_entropy(np, logits, target), expected, strict=True
    ):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("classes", [2, 10, 47, 48, 130])
def test_one_row_of_special_values_spoils_no_other(classes):
    logits = random_array((150, classes), "float32")
    target = np.arange(150) % classes
    clean = loss.softmax_cross_entropy(np, logits, target)
    spoilt = logits.copy()
    spoilt[3, 1], spoilt[70, 0], spoilt[149] = np.nan, np.inf, -np.inf
    others = np.delete(np.arange(150), [3, 70, 149])
    for actual, wanted in zip(loss.softmax_cross_entropy(np, spoilt, target), clean, strict=True):
        np.testing.assert_array_equal(actual[others], wanted[others])
        assert np.isnan(actual[[3, 70, 149]]).all()


def test_probabilities_of_classes_that_are_out_of_question():
    logits = np.array([[0, -80, -87, -90, -1000, -np.inf]] * 3, np.float32)
    _, p = loss.softmax_cross_entropy(np, logits, np.zeros(3, np.int64))
    np.testing.assert_allclose(p[:, :3], np.exp(np.float64(logits[:, :3])), rtol=1e-5)
    assert not p[:, 3:].any()  # below the normal numbers
    tiny = np.array([[0.0, -20.0]], np.float32)
    losses, _ = loss.softmax_cross_entropy(np, tiny, np.array([0]))
    np.testing.assert_allclose(losses, np.log1p(np.exp(-20.0)), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_erf(layout, dtype):
    x = LAYOUTS[layout](random_array((3, 4, 50, 2), dtype))
    tolerance = 2 * np.finfo(dtype).eps
    y = fast_special.erf(np, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, special.erf(x), rtol=tolerance)


def test_erf_special_values():
    x = np.array([math.inf, -math.inf, math.nan, 0.0, -0.0])
    np.testing.assert_array_equal(fast_special.erf(np, x), [1, -1, math.nan, 0, 0])
    assert fast_special.erf(np, np.array(0.5)).shape == ()
    assert fast_special.erf(np, np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.integers(1, 9), st.integers(0, 60), st.sampled_from([0, 1, 3, 130]), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_scatter_add_bit_for_bit(dtype, size, n, k, seed):
    index = np.random.default_rng(seed).integers(0, size, n)
    source = random_array((n, k), dtype, seed) * 100
    source = source.astype(dtype)
    np.testing.assert_array_equal(
        scatter.scatter_add(np, size, index, source),
        reference.scatter_add(np, size, index, source),
    )


@given(
    st.integers(0, 3000),
    st.lists(st.integers(0, 2**32 - 1), min_size=5, max_size=5),
)
@settings(deadline=None, max_examples=30)
def test_philox_bit_for_bit(blocks, words):
    key, counter = tuple(words[:2]), tuple(words[2:])
    actual = random.philox(np, blocks, key, counter)
    np.testing.assert_array_equal(actual, reference.philox(np, blocks, key, counter))
    assert actual.dtype == np.uint32


@given(
    st.integers(0, 300),
    st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3),
    st.lists(st.integers(0, 2**64 - 1), max_size=100),
)
@settings(deadline=None, max_examples=30)
def test_philox_rows_bit_for_bit(blocks, words, draws):
    array = np.array(draws, np.uint64)
    actual = random.philox_rows(np, blocks, tuple(words[:2]), array, words[2])
    assert actual.dtype == np.uint32
    assert actual.shape == (len(draws), 4 * blocks)
    for row, draw in zip(actual, draws, strict=True):
        counter = (draw & 0xFFFFFFFF, draw >> 32, words[2])
        np.testing.assert_array_equal(row, reference.philox(np, blocks, tuple(words[:2]), counter))


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, answer):
    # kat_vectors of the Random123 distribution, philox4x32 with 10 rounds
    words = np.empty(4, np.uint32)
    first, *rest = (np.uint64(word) for word in counter)
    random.philox_blocks(first, *(np.uint64(word) for word in key), *rest, words)
    assert tuple(int(word) for word in words) == answer
