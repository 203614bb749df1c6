"""Distances, directions, bilinear forms, RMS norm, shuffles and look-ups, by their formulas."""

from functools import partial

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

A, B = (2, 3, 4), (2, 1, 4)
INDEX = np.array([[0, 2, 1], [2, 2, 4]])


def unit(x, p=2.0, axis=1):
    return x / np.linalg.norm(x, p, axis, keepdims=True)


def cosine(a, b, axis=1):
    a, b = np.broadcast_arrays(a, b)
    return (unit(a, axis=axis) * unit(b, axis=axis)).sum(axis)


def distance(a, b, p=2.0, eps=1e-6, keepdims=False):
    return np.linalg.norm(a - b + eps, p, -1, keepdims=keepdims)


def rms(x, dims=1, eps=2.0**-52):
    axes = tuple(range(-dims, 0))
    return x / np.sqrt((x**2).mean(axes, keepdims=True) + eps)


def bilinear(a, b, w, bias=0.0):
    return np.einsum("...i,oij,...j->...o", a, w, b) + bias


def upscale(x, r):
    """Pixel by pixel, as the definition has it."""
    *batch, c, h, w = x.shape
    y = np.empty((*batch, c // r**2, h * r, w * r))
    for i in range(h * r):
        for j in range(w * r):
            first = (i % r) * r + j % r
            y[..., i, j] = x[..., first :: r * r, i // r, j // r]
    return y


class TestDistance(OpSuite):
    CASES = [
        OpCase("normalize", ops.normalize, [A], unit, low=0.1, zero_size=True),
        *[
            OpCase(f"normalize p={p}", partial(ops.normalize, p=p, dim=-1), [A],
                   partial(unit, p=p, axis=-1), low=0.1, distinct=True)
            for p in (1, 3.0, 0.5, np.inf, -np.inf, -1.0)
        ],
        OpCase("normalize short vectors", lambda x: ops.normalize(x, eps=10.0), [A],
               lambda x: x / 10),
        OpCase("normalize matrices", lambda x: ops.normalize(x, dim=(1, 2)), [A],
               lambda x: x / np.sqrt((x**2).sum((1, 2), keepdims=True))),
        OpCase("cosine_similarity", ops.cosine_similarity, [A, A], cosine, zero_size=True),
        OpCase("cosine_similarity last", partial(ops.cosine_similarity, dim=-1), [A, B],
               partial(cosine, axis=-1)),
        OpCase("cosine_similarity broadcast dim", ops.cosine_similarity, [A, B], cosine,
               bfloat16=False),  # of one element it is 1, and what remains of its gradient noise
        OpCase("cosine_similarity vectors", partial(ops.cosine_similarity, dim=0), [(5,), (5,)],
               partial(cosine, axis=0)),
        OpCase("pairwise_distance", ops.pairwise_distance, [A, A], distance, zero_size=True),
        OpCase("pairwise_distance broadcast", ops.pairwise_distance, [A, (4,)], distance),
        OpCase("pairwise_distance keepdim", lambda a, b: ops.pairwise_distance(a, b, 3, 0.1, True),
               [A, B], partial(distance, p=3, eps=0.1, keepdims=True)),
        *[
            OpCase(f"pairwise_distance p={p}", partial(ops.pairwise_distance, p=p),
                   [(2, 5), np.linspace(4, 5, 10).reshape(2, 5)], partial(distance, p=p),
                   distinct=True)
            for p in (1, 0.5, np.inf, -np.inf, -1.0)
        ],
    ]  # fmt: skip


class TestRmsNorm(OpSuite):
    CASES = [
        OpCase("rms_norm", lambda x: ops.rms_norm(x, 4, eps=1e-5), [A],
               partial(rms, eps=1e-5), zero_size=True),
        OpCase("rms_norm weight", lambda x, w: ops.rms_norm(x, (3, 4), w, 0.1), [A, (3, 4)],
               lambda x, w: rms(x, 2, 0.1) * w),
        OpCase("rms_norm of one row", lambda x, w: ops.rms_norm(x, [4], w), [(4,), (4,)],
               lambda x, w: rms(x) * w),
    ]  # fmt: skip


class TestBilinear(OpSuite):
    CASES = [
        OpCase("bilinear", ops.bilinear, [(5, 3), (5, 4), (2, 3, 4), (2,)], bilinear),
        OpCase("bilinear no bias", ops.bilinear, [(2, 5, 3), (2, 5, 4), (6, 3, 4)], bilinear),
        OpCase("bilinear vectors", ops.bilinear, [(3,), (1,), (2, 3, 1), (2,)], bilinear),
        OpCase("bilinear rows", lambda a, b: ops.bilinear(a, b, ops.ones(2, 3, 4).to(a.dtype)),
               [(5, 3), (5, 4)], lambda a, b: bilinear(a, b, np.ones((2, 3, 4))), zero_size=True),
    ]  # fmt: skip


class TestShuffle(OpSuite):
    CASES = [
        OpCase("pixel_shuffle", lambda x: ops.pixel_shuffle(x, 2), [(2, 8, 3, 1)],
               lambda x: upscale(x, 2), zero_size=True),
        OpCase("pixel_shuffle without batch", lambda x: ops.pixel_shuffle(x, 3), [(9, 2, 3)],
               lambda x: upscale(x, 3)),
        OpCase("pixel_shuffle by 1", lambda x: ops.pixel_shuffle(x, 1), [(2, 3, 2, 2)],
               lambda x: x),
        OpCase("pixel_unshuffle", lambda x: ops.pixel_unshuffle(ops.pixel_shuffle(x, 2), 2),
               [(3, 1, 4, 2, 5)], lambda x: x, zero_size=True),
        OpCase("channel_shuffle", lambda x: ops.channel_shuffle(x, 3), [(2, 6, 2, 2)],
               lambda x: x[:, [0, 2, 4, 1, 3, 5]], zero_size=True),
    ]  # fmt: skip


class TestEmbedding(OpSuite):
    CASES = [
        OpCase("embedding", lambda w, i: ops.embedding(i, w), [(5, 3), INDEX],
               lambda w, i: w[i]),
        OpCase("embedding of one index", lambda w, i: ops.embedding(i, w), [(5, 3), np.array(4)],
               lambda w, i: w[i]),
        OpCase("embedding int32", lambda w, i: ops.embedding(i, w),
               [(5, 3), INDEX.astype(np.int32)], lambda w, i: w[i]),
        OpCase("embedding of nothing", lambda w, i: ops.embedding(i, w), [(5, 3), INDEX[:0]],
               lambda w, i: w[i]),
    ]  # fmt: skip


def test_float16_is_computed_in_float32():
    x = np.array([[300.0, 400.0]], np.float16)  # the squares would overflow
    y = ops.rms_norm(ops.from_numpy(x), 2)
    assert y.dtype.name == "float16"
    np.testing.assert_allclose(y.numpy(), rms(x.astype(float)), rtol=1e-3)
    np.testing.assert_allclose(ops.normalize(ops.from_numpy(x)).numpy(), [[0.6, 0.8]], rtol=1e-3)


def test_integers_move_too(backend):
    x = ops.arange(8).reshape(1, 8, 1, 1)
    assert ops.pixel_shuffle(x, 2).flatten().tolist() == list(range(8))
    assert ops.channel_shuffle(x, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert ops.embedding(ops.tensor([1, 0]), ops.tensor([[1], [2]])).tolist() == [[2], [1]]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.pixel_shuffle(ops.ones(6, 2, 2), 2), ShapeError, "multiple of .* = 4, got 6"),
        (lambda: ops.pixel_shuffle(ops.ones(2, 2), 2), ShapeError, "3 dimensions or more"),
        (lambda: ops.pixel_shuffle(ops.ones(4, 2, 2), 0), ArgumentError, "at least 1, got 0"),
        (lambda: ops.pixel_shuffle(ops.ones(4, 2, 2), 2.0), DTypeError, "upscale_factor"),
        (lambda: ops.pixel_unshuffle(ops.ones(4, 3, 2), 2), ShapeError, "divide height and width"),
        (lambda: ops.channel_shuffle(ops.ones(1, 4, 2), 3), ShapeError, "groups=3 must divide"),
        (lambda: ops.channel_shuffle(ops.ones(4, 2), 2), ShapeError, "3 dimensions or more"),
        (lambda: ops.rms_norm(ops.ones(2, 3), 2), ShapeError, r"rms_norm: .* ends in .*\(2,\)"),
        (lambda: ops.rms_norm(ops.ones(3), 3, ops.ones(2)), ShapeError, "rms_norm: .*'weight'"),
        (lambda: ops.rms_norm(ops.arange(3), 3), DTypeError, "rms_norm: argument 'input'"),
        (lambda: ops.normalize(ops.arange(3), dim=0), DTypeError, "normalize: argument 'input'"),
        (lambda: ops.cosine_similarity(ops.arange(3), ops.arange(3), 0), DTypeError, "cosine_sim"),
        (lambda: ops.cosine_similarity(ops.ones(2, 3), ops.ones(2, 2)), ShapeError, "broadcast"),
        (lambda: ops.pairwise_distance(ops.ones(2, 3), ops.ones(2, 2)), ShapeError, "broadcast"),
        (lambda: ops.pairwise_distance(ops.ones(2), ops.ones(2), p="x"), ArgumentError, "p='x'"),
        (lambda: ops.bilinear(ops.ones(2, 3), ops.ones(3, 4), ops.ones(1, 3, 4)), ShapeError,
         "bilinear: needs"),
        (lambda: ops.bilinear(ops.ones(3), ops.ones(4), ops.ones(1, 4, 3)), ShapeError,
         "bilinear: needs"),
        (lambda: ops.bilinear(ops.ones(3), ops.ones(4).double(), ops.ones(1, 3, 4)), DTypeError,
         "bilinear: 'input1' is .*float32 but 'input2'"),
        (lambda: ops.embedding(ops.tensor([5]), ops.ones(5, 2)), IndexRangeError, "index 5 is out"),
        (lambda: ops.embedding(ops.tensor([0, -1]), ops.ones(5, 2)), IndexRangeError,
         "from 0 to 4, got -1"),
        (lambda: ops.embedding(ops.tensor([1.0]), ops.ones(5, 2)), DTypeError, "indices"),
        (lambda: ops.embedding(ops.tensor([1]), ops.ones(5)), ShapeError, "must be a matrix"),
        (lambda: ops.embedding(ops.tensor([1]), ops.ones(5, 2), 5), IndexRangeError,
         "padding_idx=5 is out of range for 5"),
        (lambda: ops.embedding(ops.tensor([1]), ops.ones(5, 2), sparse=True), ArgumentError,
         "sparse=True"),
        (lambda: ops.embedding(ops.tensor([1]), ops.ones(5, 2).long(), max_norm=1.0), DTypeError,
         "must be floating point"),
    ],
)  # fmt: skip
def test_errors(call, error, match, backend):
    with pytest.raises(error, match=match):
        call()
