"""Distances and losses of pairs and triplets against their formulas, SciPy and PyTorch."""

from itertools import product

import numpy as np
import pytest
from loss_agreement import agree, assert_finite, random
from scipy.spatial import distance
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

SIGNS = np.array([1.0, -1, 1, -1])


def rows(function):
    """Apply a function of vectors to the rows of matrices."""
    return lambda *arrays: np.array([function(*vectors) for vectors in zip(*arrays, strict=True)])


def cosine_embedding(a, b, y):
    cosine = 1 - rows(distance.cosine)(a, b)
    return np.where(y == 1, 1 - cosine, np.maximum(0, cosine - 0.1)).mean()


def contrastive(a, b, y, margin=1.5):
    d = rows(distance.euclidean)(a, b)
    return np.where(y == 1, d**2 / 2, np.maximum(0, margin - d) ** 2 / 2)


def triplet(a, p, n, swap=False):
    d = rows(lambda u, v: distance.minkowski(u + 1e-6, v, 3))
    far = np.minimum(d(a, n), d(p, n)) if swap else d(a, n)
    return np.maximum(0, 1 + d(a, p) - far).mean()


CASES = [
    OpCase(
        "pairwise_distance", F.pairwise_distance, [(3, 4), (3, 4)],
        rows(lambda a, b: distance.euclidean(a + 1e-6, b)),
    ),
    OpCase(
        "pairwise_distance p 3", lambda a, b: F.pairwise_distance(a, b, 3, 0.01), [(4,), (4,)],
        lambda a, b: distance.minkowski(a + 0.01, b, 3),
    ),
    OpCase(
        "cosine_similarity", F.cosine_similarity, [(3, 4), (3, 4)],
        lambda a, b: 1 - rows(distance.cosine)(a, b),
    ),
    OpCase(
        "normalize", F.normalize, [(3, 4)], lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    ),
    OpCase(
        "hinge_embedding_loss", lambda a, y: F.hinge_embedding_loss(a, y, 1.2), [(4,), SIGNS],
        lambda a, y: np.where(y == 1, a, np.maximum(0, 1.2 - a)).mean(),
    ),
    OpCase(
        "cosine_embedding_loss", lambda a, b: F.cosine_embedding_loss(a, b, tensor(SIGNS), 0.1),
        [(4, 3), (4, 3)], lambda a, b: cosine_embedding(a, b, SIGNS),
    ),
    OpCase(
        "contrastive_loss", lambda a, b: F.contrastive_loss(a, b, tensor(SIGNS), 1.5),
        [(4, 3), (4, 3)], lambda a, b: contrastive(a, b, SIGNS).mean(),
    ),
    OpCase(
        "triplet_margin_loss", lambda a, p, n: F.triplet_margin_loss(a, p, n, p=3),
        [(4, 3), (4, 3), (4, 3)], triplet,
    ),
    OpCase(
        "triplet_margin_loss swap", lambda a, p, n: F.triplet_margin_loss(a, p, n, p=3, swap=True),
        [(4, 3), (4, 3), (4, 3)], lambda a, p, n: triplet(a, p, n, True),
    ),
]  # fmt: skip


class TestEmbeddingLoss(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_agree_with_pytorch(reduction, backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    a, b, c = (random(4, 3, seed=seed) for seed in range(3))
    signs = np.array([1.0, -1, 1, 0])
    for margin in (1.0, 0.2):
        agree(
            F.hinge_embedding_loss, T.hinge_embedding_loss, [a], [signs[:, None]],
            margin=margin, reduction=reduction,
        )  # fmt: skip
    for vectors, margin in product(([a, b], [a[0], b[0]]), (0.0, -0.5)):
        for t in (signs, -signs):
            agree(
                F.cosine_embedding_loss, T.cosine_embedding_loss, vectors,
                [t if vectors[0].ndim > 1 else t[0]], margin=margin, reduction=reduction,
            )  # fmt: skip
    for p, swap, triplets in product(
        (1.0, 2.0, 3.0), (True, False), ([a, b, c], [a[0], b[0], c[0]])
    ):
        agree(
            F.triplet_margin_loss, T.triplet_margin_loss, triplets,
            p=p, swap=swap, margin=0.7, eps=1e-3, reduction=reduction,
        )  # fmt: skip
    for swap in (True, False):
        agree(
            F.triplet_margin_with_distance_loss, T.triplet_margin_with_distance_loss, [a, b, c],
            distance_function=lambda u, v: ((u - v) * (u - v)).sum(-1), margin=2.0, swap=swap,
            reduction=reduction,
        )  # fmt: skip


def test_distances_agree_with_pytorch(backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    a, b = random(4, 3, 2), random(4, 3, 2, seed=1)
    for p, keepdim in product((1.0, 2.0, 2.5, np.inf), (False, True)):
        agree(F.pairwise_distance, T.pairwise_distance, [a, b], p=float(p), keepdim=keepdim)
    agree(F.pairwise_distance, T.pairwise_distance, [a, b[0]], eps=0.1)
    for dim in (0, 1, -1):
        agree(F.cosine_similarity, T.cosine_similarity, [a, b], dim=dim)
        agree(F.cosine_similarity, T.cosine_similarity, [a, b], dim=dim, eps=2.0)
        for p in (1.0, 2.0):
            agree(F.normalize, T.normalize, [a], p=p, dim=dim)
            agree(F.normalize, T.normalize, [a], p=p, dim=dim, eps=1.5)
    agree(F.cosine_similarity, T.cosine_similarity, [a, b[:, :1]], dim=-1)
    agree(F.cosine_similarity, T.cosine_similarity, [a, b[0]], dim=-1)


def test_gradients_at_the_margin_are_pytorchs(backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    agree(F.hinge_embedding_loss, T.hinge_embedding_loss, [np.array([1.0])], [np.array([-1.0])])
    e = np.eye(2)[:1]
    agree(F.cosine_embedding_loss, T.cosine_embedding_loss, [e, e[:, ::-1].copy()], [-np.ones(1)])
    agree(F.triplet_margin_loss, T.triplet_margin_loss, [e, e, e - [[1.0, 0]]], eps=0.0)


def test_contrastive_pairs_one_by_one(backend):
    a, b = random(4, 3), random(4, 3, seed=1)
    terms = contrastive(a, b, SIGNS)
    pairs = tensor(a), tensor(b), tensor(SIGNS.astype(np.int64))
    assert_close(host(F.contrastive_loss(*pairs, 1.5, reduction="none")), terms, 1e-12, 0)
    assert float(F.contrastive_loss(*pairs, 1.5, reduction="sum")) == pytest.approx(terms.sum())
    assert_close(
        host(F.contrastive_loss(*pairs, 1.5, squared=False, reduction="none")),
        np.sqrt(2 * terms), 1e-12, 1e-15,
    )  # fmt: skip
    one = F.contrastive_loss(tensor(a[1]), tensor(b[1]), tensor(np.array(-1)), 1.5)
    assert float(one) == pytest.approx(terms[1])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_equal_vectors_have_finite_gradients(sign, backend):
    a, y = random(2, 3), tensor(np.full(2, sign, np.float32))
    for squared in (True, False):
        assert_finite(lambda u, v, s=squared: F.contrastive_loss(u, v, y, squared=s), a, a)
    assert_finite(lambda u, v: F.cosine_embedding_loss(u, v, y), 0 * a, 0 * a)
    for eps in (1e-6, 0.0):
        assert_finite(lambda u, v, w, e=eps: F.triplet_margin_loss(u, v, w, eps=e), a, a, a)
        assert_finite(lambda u, v, e=eps: F.pairwise_distance(u, v, eps=e), a, a)
    assert_finite(F.cosine_similarity, 0 * a, a)
    assert_finite(F.normalize, 0 * a + 1e-4)


def test_far_from_zero(backend):
    a = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]])
    y = tensor(np.array([1.0, -1.0], np.float32))
    assert_finite(lambda u, v: F.contrastive_loss(u, v, y), a, -a)
    assert_finite(lambda u, v: F.cosine_embedding_loss(u, v, y), a, -a)
    assert_finite(lambda u: F.hinge_embedding_loss(u, y.unsqueeze(1)), a)
    assert_finite(lambda u, v, w: F.triplet_margin_loss(u, v, w, swap=True), a, -a, a[::-1].copy())


def test_triplets_that_are_apart_cost_nothing(backend):
    a = tensor(random(3, 4), True)
    loss = F.triplet_margin_loss(a, a.detach(), a.detach() + 10)
    loss.backward()
    assert float(loss) == 0
    assert not host(a.grad).any()


def test_errors():
    a, b, y = tensor(random(2, 3)), tensor(random(2, 3)), tensor(np.array([1, -1]))
    for function in (F.cosine_embedding_loss, F.contrastive_loss):
        with pytest.raises(ShapeError, match=r"\(N, D\) and target \(N,\)"):
            function(a, b, tensor(np.ones(3)))
        with pytest.raises(ShapeError, match="do not broadcast"):
            function(a, tensor(random(2, 2)), y)
    with pytest.raises(ArgumentError, match=r"must be 1 \(similar\) or -1"):
        F.contrastive_loss(a, b, tensor(np.array([1, 0])))
    with pytest.raises(ArgumentError, match="margin must be positive, got 0"):
        F.contrastive_loss(a, b, y, 0)
    for function in (F.triplet_margin_loss, F.triplet_margin_with_distance_loss):
        with pytest.raises(ArgumentError, match="margin must be positive, got -1"):
            function(a, a, b, margin=-1.0)
        with pytest.raises(ShapeError, match="equally many dimensions"):
            function(a, a, tensor(random(3)))
        with pytest.raises(ArgumentError, match="reduction='no' is unknown"):
            function(a, a, b, reduction="no")
        with pytest.raises(DTypeError, match="'anchor' must be floating point"):
            function(y, a, b)
    with pytest.raises(ShapeError, match="do not broadcast"):
        F.hinge_embedding_loss(a, tensor(random(2, 2)))
