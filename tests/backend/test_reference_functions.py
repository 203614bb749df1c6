"""Reference loss, erf, scatter-add and Philox against independent oracles."""

import itertools
from math import inf, nan

import numpy as np
import pytest
from kernel_cases import assert_close, random_array
from scipy import special

from tinyconv.backend import reference
from tinyconv.backend.reference.random import philox_rounds


def test_softmax_of_the_textbook():
    loss, p = reference.softmax_cross_entropy(np, np.array([[2.0, 5.0]]), np.array([1]))
    np.testing.assert_allclose(p, [[0.0474, 0.9526]], atol=5e-5)
    np.testing.assert_allclose(loss, -np.log(p[:, 1]), rtol=1e-14)


def test_softmax_cross_entropy_scipy():
    logits, g = random_array((7, 5)) * 4, random_array((7,), seed=1)
    target = np.array([0, 4, 2, -100, 1, 3, -1])
    loss, p = reference.softmax_cross_entropy(np, logits, target)
    log_p = special.log_softmax(logits, axis=1)
    expected = np.where(target < 0, 0, -log_p[np.arange(7), np.maximum(target, 0)])
    assert_close(loss, expected, 10)
    assert_close(p, special.softmax(logits, axis=1))
    gradient = reference.softmax_cross_entropy_grad(np, p, target, g)
    onehot = np.eye(5)[np.maximum(target, 0)]
    assert_close(gradient, (p - onehot) * (g * (target >= 0))[:, None])


def test_softmax_cross_entropy_extremes():
    logits = np.array([[1000.0, -1000.0], [-1000.0, 1000.0], [5.0, -inf]])
    loss, p = reference.softmax_cross_entropy(np, logits, np.array([0, 0, 0]))
    np.testing.assert_array_equal(loss, [0, 2000, 0])
    np.testing.assert_array_equal(p, [[1, 0], [0, 1], [1, 0]])
    loss, p = reference.softmax_cross_entropy(np, np.zeros((0, 3)), np.zeros(0, np.int64))
    assert loss.shape == (0,)
    assert p.shape == (0, 3)


def test_erf_scipy():
    x = np.concatenate([np.linspace(-7, 7, 20001), [0.0, -0.0, 1e-300, -1e-20, 0.46875, inf, -inf]])
    np.testing.assert_allclose(reference.erf(np, x), special.erf(x), rtol=1e-15, atol=0)
    assert np.isnan(reference.erf(np, np.array([nan]))).all()
    single = x.astype(np.float32)
    assert reference.erf(np, single).dtype == np.float32
    np.testing.assert_allclose(reference.erf(np, single), special.erf(single), rtol=1.2e-7)


@pytest.mark.parametrize(("size", "n", "k"), [(5, 40, 3), (1, 9, 2), (50, 10, 1), (4, 0, 3)])
def test_scatter_add_is_the_loop_bit_for_bit(size, n, k):
    index = np.random.default_rng(n).integers(0, size, n)
    source = random_array((n, k), "float32") * 10.0 ** random_array((n, k), "float32")
    expected = np.zeros((size, k), source.dtype)
    np.add.at(expected, index, source)
    np.testing.assert_array_equal(reference.scatter_add(np, size, index, source), expected)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
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
def test_philox_known_answers(counter, key, words):
    # kat_vectors of the Random123 distribution, philox4x32 with 10 rounds
    arrays = tuple(np.array([word], np.uint64) for word in counter)
    assert tuple(int(w[0]) for w in philox_rounds(arrays, key)) == words


def test_philox_numpy_generator():
    # NumPy has Philox-4x64; its 4x32 sibling is checked by known answers and by structure here:
    # a prefix is a prefix, and every word of key and counter matters.
    base = reference.philox(np, 8, (1, 2), (3, 4, 5))
    assert base.dtype == np.uint32
    np.testing.assert_array_equal(reference.philox(np, 3, (1, 2), (3, 4, 5)), base[:12])
    seen = {base.tobytes()}
    for position in range(5):
        changed = [1, 2, 3, 4, 5]
        changed[position] += 1
        seen.add(reference.philox(np, 8, tuple(changed[:2]), tuple(changed[2:])).tobytes())
    assert len(seen) == 6
    assert reference.philox(np, 0, (0, 0), (0, 0, 0)).shape == (0,)


@pytest.mark.parametrize("kernel", ["softmax_cross_entropy", "scatter_add"])
def test_half_precision_is_rounded_once(kernel):
    x = (random_array((3000, 2)) + 8).astype(np.float16)
    index = np.arange(3000) % 2
    arguments = {
        "softmax_cross_entropy": (x, index),
        "scatter_add": (2, index, x),
    }[kernel]
    wide = [
        a.astype(np.float64) if getattr(a, "dtype", None) == np.float16 else a for a in arguments
    ]
    function = reference.KERNELS[kernel]
    results, expected = function(np, *arguments), function(np, *wide)
    if kernel == "scatter_add":
        results, expected = (results,), (expected,)
    for result, exact in itertools.zip_longest(results, expected):
        assert result.dtype == np.float16
        np.testing.assert_allclose(result, exact, rtol=1e-3, atol=2e-3)
