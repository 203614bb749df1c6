"""Contrast by softmax: each anchor's probability by hand, and what must not change it."""

import numpy as np
import pytest
from loss_agreement import assert_finite, random
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

LABELS = np.array([0, 1, 0, 2, 1, 0])


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def picks(right, wrong):
    """-log of the probability of the right score among it and the wrong ones."""
    scores = np.array([right, *wrong])
    return np.log(np.exp(scores - right).sum())


def info_nce(q, k, negatives=None, t=0.1, cosine=True):
    if cosine:
        q, k = unit(q), unit(k)
        negatives = None if negatives is None else unit(negatives)
    n, losses = len(q), []
    for i in range(n):
        if negatives is None:
            wrong = [q[i] @ k[j] for j in range(n) if j != i]
        else:
            wrong = [q[i] @ v for v in (negatives if negatives.ndim == 2 else negatives[i])]
        losses.append(picks(q[i] @ k[i] / t, np.array(wrong) / t))
    return np.array(losses)


def sup_con(x, labels, t=0.1):
    x, losses = unit(x), []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        scores = {j: x[i] @ x[j] / t for j in others}
        terms = [
            picks(scores[p], [scores[j] for j in others if j != p])
            for p in others if labels[p] == labels[i]
        ]  # fmt: skip
        losses.append(np.mean(terms) if terms else 0.0)
    return np.array(losses)


def nt_xent(a, b, t=0.5):
    return sup_con(np.concatenate([a, b]), [*range(len(a)), *range(len(b))], t)


CASES = [
    OpCase("info_nce_loss", F.info_nce_loss, [(4, 3), (4, 3)], lambda q, k: info_nce(q, k).mean()),
    OpCase(
        "info_nce_loss shared negatives",
        lambda q, k, n: F.info_nce_loss(q, k, n, 0.5, "dot", "none"),
        [(4, 3), (4, 3), (5, 3)], lambda q, k, n: info_nce(q, k, n, 0.5, False),
    ),
    OpCase(
        "info_nce_loss own negatives", lambda q, k, n: F.info_nce_loss(q, k, n, reduction="sum"),
        [(4, 3), (4, 3), (4, 2, 3)], lambda q, k, n: info_nce(q, k, n).sum(),
    ),
    OpCase("nt_xent_loss", F.nt_xent_loss, [(3, 4), (3, 4)], lambda a, b: nt_xent(a, b).mean()),
    OpCase(
        "nt_xent_loss none", lambda a, b: F.nt_xent_loss(a, b, 0.2, "none"), [(3, 4), (3, 4)],
        lambda a, b: nt_xent(a, b, 0.2),
    ),
    OpCase(
        "sup_con_loss", F.sup_con_loss, [(6, 3), LABELS],
        lambda x, t: sup_con(x, t).sum() / 5,  # one class has a single member
    ),
    OpCase(
        "sup_con_loss views", lambda x, t: F.sup_con_loss(x, t, 0.3, "none"),
        [(3, 2, 4), LABELS[:3]],
        lambda x, t: sup_con(x.reshape(6, 4), np.repeat(t, 2), 0.3),
    ),
]  # fmt: skip


class TestContrast(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("n", [1, 2, 5])
def test_equal_vectors_leave_a_guess(n, backend):
    same = tensor(np.ones((n, 3)))
    assert float(F.nt_xent_loss(same, same)) == pytest.approx(np.log(2 * n - 1))
    assert float(F.info_nce_loss(same, same)) == pytest.approx(np.log(n))
    labels = tensor(np.zeros(2 * n, np.int64))
    both = F.cat([same, same], 0)
    assert float(F.sup_con_loss(both, labels)) == pytest.approx(np.log(2 * n - 1))


def test_order_of_samples_and_of_views_does_not_matter(backend):
    a, b = random(5, 3), random(5, 3, seed=1)
    loss = float(F.nt_xent_loss(tensor(a), tensor(b)))
    order = [3, 1, 4, 0, 2]
    assert float(F.nt_xent_loss(tensor(b), tensor(a))) == pytest.approx(loss, rel=1e-12)
    assert float(F.nt_xent_loss(tensor(a[order]), tensor(b[order]))) == pytest.approx(loss)
    assert float(F.nt_xent_loss(tensor(3 * a), tensor(b))) == pytest.approx(loss, rel=1e-12)
    assert float(F.nt_xent_loss(tensor(a), tensor(b[order]))) != pytest.approx(loss, rel=1e-3)


def test_one_positive_makes_sup_con_nt_xent(backend):
    a, b = random(5, 3), random(5, 3, seed=1)
    expected = float(F.nt_xent_loss(tensor(a), tensor(b), 0.3))
    views = tensor(np.stack([a, b], 1))
    assert float(F.sup_con_loss(views, temperature=0.3)) == pytest.approx(expected, rel=1e-12)
    rows, labels = tensor(np.concatenate([a, b])), tensor(np.array([*range(5), *range(5)]))
    assert float(F.sup_con_loss(rows, labels, 0.3)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_anchors_without_positives_cost_nothing(reduction, backend):
    for n in (1, 4):
        x = tensor(random(n, 3), True)
        loss = F.sup_con_loss(x, tensor(np.arange(n)), reduction=reduction).sum()
        assert float(loss) == 0
        assert not host(grad(loss, x)[0]).any()


def test_far_from_zero_and_zero_vectors(backend):
    a = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [1.0, 0.0, 0.0]])
    for t in (0.01, 1.0):
        for x, y in ((a, -a), (a, a), (a[:2], 0 * a[:2])):
            if not y.any():  # the slope of normalising 0 is 1e12, its own slope overflows
                assert np.isfinite(float(F.nt_xent_loss(tensor(x), tensor(y), t)))
                continue
            assert_finite(lambda u, v, t=t: F.nt_xent_loss(u, v, t), x, y)
            assert_finite(lambda u, v, t=t: F.info_nce_loss(u, v, temperature=t), x, y)
            assert_finite(lambda u, t=t: F.sup_con_loss(u, tensor(np.array([0, 1, 0])), t), x)
    assert_finite(lambda u, v: F.info_nce_loss(u / 100, v / 100, similarity="dot"), a, -a)


def test_integer_labels_of_any_dtype(backend):
    x = tensor(random(6, 3))
    expected = host(F.sup_con_loss(x, tensor(LABELS)))
    for dtype in (np.uint8, np.int32):
        assert_close(host(F.sup_con_loss(x, tensor(LABELS.astype(dtype)))), expected, 0, 0)


def test_errors():
    a, b = tensor(random(4, 3)), tensor(random(4, 2))
    for function in (F.info_nce_loss, F.nt_xent_loss):
        with pytest.raises(ShapeError, match=r"must have one shape \(N, D\), got \(4, 3\) and"):
            function(a, b)
        with pytest.raises(ArgumentError, match="temperature must be positive, got 0"):
            function(a, a, temperature=0)
        with pytest.raises(ArgumentError, match="reduction='no' is unknown"):
            function(a, a, reduction="no")
    for bad in (b, tensor(random(3, 2, 3)), tensor(random(3))):
        with pytest.raises(ShapeError, match=r"'negative_keys' must have shape \(M, 3\) or \(4, M"):
            F.info_nce_loss(a, a, bad)
    with pytest.raises(ArgumentError, match="similarity='l2' is unknown; choose 'cosine' or 'dot'"):
        F.info_nce_loss(a, a, similarity="l2")
    with pytest.raises(ArgumentError, match="labels are needed"):
        F.sup_con_loss(a)
    with pytest.raises(ShapeError, match=r"'labels' must have shape \(4,\)"):
        F.sup_con_loss(a, tensor(LABELS))
    with pytest.raises(DTypeError, match="labels must be integers"):
        F.sup_con_loss(a, tensor(np.ones(4)))
    with pytest.raises(ShapeError, match=r"\(N, D\) or \(N, V, D\), got \(3,\)"):
        F.sup_con_loss(tensor(random(3)), tensor(LABELS[:3]))
    with pytest.raises(ArgumentError, match="temperature must be positive"):
        F.sup_con_loss(a, tensor(LABELS[:4]), -1.0)
