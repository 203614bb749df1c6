"""Margin losses against their formulas, one element at a time, and PyTorch."""

from itertools import product

import numpy as np
import pytest
from loss_agreement import agree, assert_finite, random
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops as F
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

SIGNS = np.array([[1.0, -1, 1], [-1, 1, -1]])
LABELS = np.array([2, 0, 1])
WEIGHTS = np.array([0.5, 2.0, 1.5])
LISTS = np.array([[2, 0, -1, 1], [-1, 3, 3, 3], [1, 2, 3, 0], [3, 3, -1, -1]])
HOT = np.eye(4)[[3, 0, 2]]


def hinge(x, y):
    return np.maximum(0, 1 - x * y)


def multi_margin(x, labels, p=1, margin=1.0, weight=(1, 1, 1)):
    total = 0.0
    for row, label in zip(x, labels, strict=True):
        terms = [max(0, margin - row[label] + s) ** p for s in row]
        total += weight[label] * (sum(terms) - max(0, margin) ** p) / len(row)
    return total / len(x)


def multilabel_margin(x, lists):
    total = 0.0
    for row, listed in zip(x, lists, strict=True):
        right = []
        for label in listed:
            if label == -1:
                break
            right.append(label)
        for y in right:
            total += sum(max(0, 1 - row[y] + row[j]) for j in range(len(row)) if j not in right)
    return total / x.size


def categorical_hinge(x, t):
    return np.maximum(0, 1 + ((1 - t) * x).max(1) - (t * x).sum(1)).mean()


CASES = [
    OpCase(
        "soft_margin_loss", F.soft_margin_loss, [(2, 3), SIGNS],
        lambda x, y: np.log1p(np.exp(-x * y)).mean(),
    ),
    OpCase("hinge_loss", F.hinge_loss, [(2, 3), SIGNS], lambda x, y: hinge(x, y).mean()),
    OpCase(
        "squared_hinge_loss", F.squared_hinge_loss, [(2, 3), SIGNS],
        lambda x, y: (hinge(x, y) ** 2).mean(),
    ),
    OpCase("categorical_hinge_loss", F.categorical_hinge_loss, [(3, 4), HOT], categorical_hinge),
    OpCase(
        "margin_ranking_loss", lambda a, b, y: F.margin_ranking_loss(a, b, y, 0.3, "sum"),
        [(2, 3), (2, 3), SIGNS], lambda a, b, y: np.maximum(0, 0.3 - y * (a - b)).sum(),
    ),
    OpCase("multi_margin_loss", F.multi_margin_loss, [(3, 3), LABELS], multi_margin),
    OpCase(
        "multi_margin_loss squares and weights",
        lambda x, t: F.multi_margin_loss(x, t, 2, 0.7, tensor(WEIGHTS).to(x.dtype)),
        [(3, 3), LABELS], lambda x, t: multi_margin(x, t, 2, 0.7, WEIGHTS),
    ),
    OpCase("multilabel_margin_loss", F.multilabel_margin_loss, [(4, 4), LISTS], multilabel_margin),
    OpCase(
        "multilabel_soft_margin_loss", F.multilabel_soft_margin_loss, [(3, 4), HOT],
        lambda x, t: np.log1p(np.exp(np.where(t == 1, -x, x))).mean(),
    ),
]  # fmt: skip


class TestMarginLoss(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_agrees_with_pytorch(reduction, backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    x, y = 2 * random(3, 4), np.sign(random(3, 4, seed=1))
    weight = np.abs(random(4, seed=2))
    agree(F.soft_margin_loss, T.soft_margin_loss, [x], [y], reduction=reduction)
    for a, b in (((3, 4), (3, 4)), ((3, 1), (1, 4))):
        agree(
            F.margin_ranking_loss, T.margin_ranking_loss, [random(*a), random(*b, seed=3)], [y],
            margin=0.2, reduction=reduction,
        )  # fmt: skip
    for (z, t), p, margin, w in product(
        ((x, np.array([3, 0, 2])), (x[0], np.array(1))), (1, 2), (1.0, 0.3), (None, weight)
    ):
        agree(
            F.multi_margin_loss, T.multi_margin_loss, [z], [t],
            p=p, margin=margin, weight=w, reduction=reduction,
        )  # fmt: skip
    for z, t in ((x, LISTS[:3]), (x[0], LISTS[0]), (x[0], LISTS[1])):
        agree(F.multilabel_margin_loss, T.multilabel_margin_loss, [z], [t], reduction=reduction)
    for z, w in product((x, x[0], x.reshape(1, 3, 4)), (None, weight)):
        agree(
            F.multilabel_soft_margin_loss, T.multilabel_soft_margin_loss,
            [z], [(y.reshape(z.shape if z.ndim > 1 else (3, 4)) + 1)[: len(z)] / 2 if z.ndim > 1
                  else (y[0] + 1) / 2],
            weight=w, reduction=reduction,
        )  # fmt: skip


def test_gradients_at_the_margin_are_pytorchs(backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    a, b = np.array([0.5, 0.5]), np.array([0.0, 1.0])
    agree(F.margin_ranking_loss, T.margin_ranking_loss, [a, b], [np.array([1.0, -1.0])], margin=0.5)
    x = np.array([[2.0, 1.0, 0.0]])
    agree(F.multi_margin_loss, T.multi_margin_loss, [x], [np.array([0])])
    agree(F.multilabel_margin_loss, T.multilabel_margin_loss, [x], [np.array([[0, -1, 0]])])


def test_binary_labels_may_be_0_and_1(backend):
    x, y = random(2, 3), SIGNS
    for function in (F.hinge_loss, F.squared_hinge_loss):
        expected = float(function(tensor(x), tensor(y)))
        assert float(function(tensor(x), tensor((y > 0).astype(np.int64)))) == expected


def test_categorical_hinge_of_pixels_and_of_one_row(backend):
    x = random(3, 4)
    flat = F.categorical_hinge_loss(tensor(x), tensor(HOT), "none")
    pixels = F.categorical_hinge_loss(
        tensor(x.T[None].copy()), tensor(HOT.T[None].copy()), "none"
    )  # (1, C, 3)
    np.testing.assert_array_equal(host(pixels), host(flat)[None])
    one = F.categorical_hinge_loss(tensor(x[1]), tensor(HOT[1]), "none")
    assert float(one) == host(flat)[1]


def test_far_from_zero(backend):
    x = np.array([[1e4, -1e4, 0.0, 1e4], [-1e4, -1e4, 1e4, 3.0]])
    y = np.sign(x) + (x == 0)
    labels = tensor(np.array([1, 2]))
    for function in (F.soft_margin_loss, F.hinge_loss, F.squared_hinge_loss):
        assert_finite(lambda z, f=function: f(z, tensor(-y.astype(np.float32))), x)
    for p in (1, 2):
        assert_finite(lambda z, p=p: F.multi_margin_loss(z, labels, p), x)
    assert_finite(lambda z: F.multilabel_margin_loss(z, tensor(LISTS[:2])), x)
    hot = tensor(np.eye(4, dtype=np.float32)[[1, 3]])
    assert_finite(lambda z: F.multilabel_soft_margin_loss(z, hot), x)
    assert_finite(lambda z: F.categorical_hinge_loss(z, hot), x)
    far = F.soft_margin_loss(tensor(np.array([1e4])), tensor(np.array([-1.0])))
    assert float(far) == 1e4


def test_an_empty_batch(backend):
    x, t = tensor(np.zeros((0, 3))), tensor(np.zeros(0, np.int64))
    assert float(F.multi_margin_loss(x, t, reduction="sum")) == 0
    lists = tensor(np.zeros((0, 3), np.int64))
    assert F.multilabel_margin_loss(x, lists, "none").shape == (0,)
    assert np.isnan(float(F.multi_margin_loss(x, t)))


def test_errors():
    x, t = tensor(random(2, 3)), tensor(np.array([0, 1]))
    with pytest.raises(ArgumentError, match="multi_margin_loss: p must be 1 or 2, got 3"):
        F.multi_margin_loss(x, t, 3)
    with pytest.raises(IndexRangeError, match=r"target\[1\] is -1, but .* from 0 to 2$"):
        F.multi_margin_loss(x, tensor(np.array([0, -1])))
    with pytest.raises(ShapeError, match=r"'input' must have shape \(N, C\) or \(C,\)"):
        F.multi_margin_loss(tensor(random(2, 3, 4)), t)
    with pytest.raises(ShapeError, match=r"'weight' must have shape \(3,\)"):
        F.multi_margin_loss(x, t, weight=tensor(np.ones(2)))
    with pytest.raises(DTypeError, match="labels must be integers"):
        F.multi_margin_loss(x, tensor(np.array([0.0, 1.0])))
    with pytest.raises(IndexRangeError, match=r"multilabel_margin_loss: target\[1, 2\] is 3"):
        F.multilabel_margin_loss(x, tensor(np.array([[0, 1, -1], [0, -1, 3]])))
    with pytest.raises(IndexRangeError, match=r"target\[0, 0\] is -2.*\(or -1\)"):
        F.multilabel_margin_loss(x, tensor(np.array([[-2, 1, -1], [0, -1, 3]])))
    with pytest.raises(ShapeError, match=r"must have the shape of input, \(2, 3\), got \(2,\)"):
        F.multilabel_margin_loss(x, t)
    with pytest.raises(DTypeError, match="labels must be integers"):
        F.multilabel_margin_loss(x, x)
    with pytest.raises(ShapeError, match="equally many dimensions"):
        F.margin_ranking_loss(x, x, t)
    with pytest.raises(ShapeError, match="do not broadcast"):
        F.multilabel_soft_margin_loss(x, tensor(random(2, 2)))
    with pytest.warns(UserWarning, match="soft_margin_loss: input has shape"):
        F.soft_margin_loss(x, tensor(np.ones(3)))
    with pytest.raises(ArgumentError, match="reduction='no' is unknown"):
        F.hinge_loss(x, x, "no")
