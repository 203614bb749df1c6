"""Focal and Dice loss against their formulas, and their limits against cross-entropy."""

from itertools import product

import numpy as np
import pytest
from loss_agreement import assert_finite, random
from scipy import special
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad, gradcheck
from tinyconv.errors import ArgumentError, IndexRangeError, ShapeError

HARD = np.array([[0.0, 1, 1], [1, 0, 0]])
SHARES = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3))
LABELS = np.array([2, 0, 1])
PIXELS = np.array([[[0, 2], [1, 1]], [[2, -100], [0, 0]]])
WEIGHTS = np.array([0.5, 2.0, 1.5])


def sigmoid_focal(z, t, alpha=0.25, gamma=2.0):
    p = special.expit(z)
    p_t = p * t + (1 - p) * (1 - t)
    entropy = -(special.xlogy(t, p) + special.xlog1py(1 - t, -p))
    factor = 1 if alpha < 0 else alpha * t + (1 - alpha) * (1 - t)
    return factor * (1 - p_t) ** gamma * entropy


def softmax_focal(z, labels, gamma=2.0, weight=(1, 1, 1)):
    """Weighted mean, one label at a time."""
    p = special.softmax(z, axis=1)
    total = norm = 0.0
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label >= 0:
            q = p[(place[0], label, *place[1:])]
            total -= weight[label] * (1 - q) ** gamma * np.log(q)
            norm += weight[label]
    return total / norm


def dice(p, t, smooth=1.0, squared=False, batch=False):
    """Coefficients of p and t (N, C, *S), one at a time."""

    def loss(a, b):
        sizes = (a**2 + b**2).sum() if squared else a.sum() + b.sum()
        return 1 - (2 * (a * b).sum() + smooth) / (sizes + smooth)

    n, c = p.shape[:2]
    if batch:
        return np.array([loss(p[:, j], t[:, j]) for j in range(c)])
    return np.array([[loss(p[i, j], t[i, j]) for j in range(c)] for i in range(n)])


def hot_maps(labels, classes):
    """(N, *S) to (N, C, *S); labels that are ignored give zeros."""
    return np.moveaxis((labels[..., None] == np.arange(classes)).astype(float), -1, 1)


def dice_of_labels(z, labels, **options):
    taking_part = (labels >= 0)[:, None]
    p = special.softmax(z, axis=1) * taking_part
    return dice(p, hot_maps(labels, z.shape[1]), **options)


MASKS = (np.random.default_rng(1).uniform(size=(2, 3, 4)) < 0.4).astype(float)

CASES = [
    OpCase("sigmoid_focal_loss", F.sigmoid_focal_loss, [(2, 3), HARD], sigmoid_focal),
    OpCase(
        "sigmoid_focal_loss shares",
        lambda z, t: F.sigmoid_focal_loss(z, t, -1, 0.5, "mean"),
        [(2, 3), SHARES], lambda z, t: sigmoid_focal(z, t, -1, 0.5).mean(),
    ),
    OpCase(
        "softmax_focal_loss", F.softmax_focal_loss, [(3, 4), LABELS],
        lambda z, t: softmax_focal(z, t, weight=np.ones(4)),
    ),
    OpCase("softmax_focal_loss maps", F.softmax_focal_loss, [(2, 3, 2, 2), PIXELS], softmax_focal),
    OpCase(
        "softmax_focal_loss weight",
        lambda z, t: F.softmax_focal_loss(z, t, tensor(WEIGHTS).to(z.dtype), 0.7),
        [(3, 3), LABELS], lambda z, t: softmax_focal(z, t, 0.7, WEIGHTS),
    ),
    OpCase(
        "dice_loss", F.dice_loss, [(2, 3, 2, 2), PIXELS],
        lambda z, t: dice_of_labels(z, t).mean(),
    ),
    OpCase(
        "dice_loss squared batch",
        lambda z, t: F.dice_loss(z, t, smooth=0.3, squared=True, batch=True, reduction="none"),
        [(2, 3, 2, 2), PIXELS],
        lambda z, t: dice_of_labels(z, t, smooth=0.3, squared=True, batch=True),
    ),
    OpCase(
        "dice_loss multilabel", lambda z, t: F.dice_loss(z, t, "multilabel", reduction="none"),
        [(2, 3, 4), MASKS], lambda z, t: dice(special.expit(z), t),
    ),
    OpCase(
        "dice_loss binary", lambda z, t: F.dice_loss(z, t, "binary", 0.0, reduction="none"),
        [(2, 3, 4), MASKS], lambda z, t: dice(special.expit(z)[:, None], t[:, None], 0.0)[:, 0],
    ),
]  # fmt: skip


class TestImbalanceLoss(OpSuite):
    CASES = CASES


# -- focal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_gamma_focal_is_cross_entropy(reduction, backend):
    z, w = tensor(random(2, 3, 2, 2)), tensor(WEIGHTS)
    for weight, ignore in product((None, w), (-100, 1)):
        labels = tensor(np.where(PIXELS == -100, ignore, PIXELS))
        focal = F.softmax_focal_loss(z, labels, weight, 0.0, ignore, reduction)
        exact = F.cross_entropy(z, labels, weight, ignore, reduction)
        assert_close(host(focal), host(exact), 1e-12, 1e-14)
    z, t = tensor(random(2, 3)), tensor(SHARES)
    focal = F.sigmoid_focal_loss(z, t, -1, 0.0, reduction)
    exact = F.binary_cross_entropy_with_logits(z, t, reduction=reduction)
    assert_close(host(focal), host(exact), 1e-12, 1e-14)


def test_two_classes_of_focal_are_one_question(backend):
    z = random(5, 2)
    labels = np.array([0, 1, 1, 0, 1])
    of_classes = F.softmax_focal_loss(tensor(z), tensor(labels), gamma=1.5)
    question = F.sigmoid_focal_loss(
        tensor(z[:, 1] - z[:, 0]), tensor(labels), alpha=-1, gamma=1.5, reduction="mean"
    )
    assert float(of_classes) == pytest.approx(float(question), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
def test_focal_far_from_zero(gamma, backend):
    z = np.array([-1e4, -90.0, -30.0, 30.0, 90.0, 1e4, 0.0])
    for t in (0.0, 1.0, 0.3):
        target = tensor(np.full(7, t, np.float32))
        assert_finite(lambda x, t=target: F.sigmoid_focal_loss(x, t, gamma=gamma), z)
    rows = np.stack([z, -z, 0 * z], 1)
    for label in range(3):
        labels = tensor(np.full(7, label))
        assert_finite(lambda x, t=labels: F.softmax_focal_loss(x, t, gamma=gamma), rows)
    wrong = F.sigmoid_focal_loss(tensor(z[:1]), tensor(np.ones(1)), -1, gamma)
    assert host(wrong)[0] == 1e4
    one_class = F.softmax_focal_loss(tensor(z[:, None]), tensor(np.zeros(7, np.int64)), gamma=gamma)
    assert float(one_class) == 0


def test_focal_keeps_its_digits_where_the_answer_is_right(backend):
    """Where 1 - sigmoid(x) rounds to 0, (1 - p)**gamma * -log(p) is exp(-x)**(gamma + 1)."""
    for gamma in (0.5, 1.0, 2.0):
        z = np.array([40.0, 60.0])
        focal = F.sigmoid_focal_loss(tensor(z), tensor(np.ones(2)), -1, gamma)
        np.testing.assert_allclose(host(focal), np.exp(-z * (gamma + 1)), rtol=1e-12)
        rows = tensor(np.stack([z, 0 * z], 1))
        focal = F.softmax_focal_loss(rows, tensor(np.zeros(2, np.int64)), None, gamma, -100, "none")
        np.testing.assert_allclose(host(focal), np.exp(-z * (gamma + 1)), rtol=1e-12)


def test_focal_is_differentiable_in_shares_also_at_0_and_1(backend):
    z, t = tensor(random(2, 3), True), tensor(SHARES, True)
    assert gradcheck(F.sigmoid_focal_loss, (z, t))
    ends = tensor(HARD, True)
    (slope,) = grad(F.sigmoid_focal_loss(z, ends).sum(), ends)
    h = 1e-6
    x = host(z)
    expected = (sigmoid_focal(x, HARD + h) - sigmoid_focal(x, HARD - h)) / (2 * h)
    np.testing.assert_allclose(host(slope), expected, rtol=1e-6)


# -- dice ----------------------------------------------------------------------------------------


def test_dice_of_perfect_and_of_no_overlap(backend):
    t = tensor(MASKS)
    for squared in (True, False):
        same = F.dice_loss(t, t, "multilabel", squared=squared, from_logits=False)
        assert float(same) == pytest.approx(0, abs=1e-15)
        other = F.dice_loss(1 - t, t, "multilabel", 0.0, squared, from_logits=False)
        assert float(other) == 1
    empty = tensor(np.zeros((2, 3, 4)))
    assert float(F.dice_loss(empty, empty, "multilabel", from_logits=False)) == 0
    assert float(F.dice_loss(empty, empty, "multilabel", 0.0, from_logits=False)) == 1


def test_dice_of_labels_is_that_of_one_hot_maps(backend):
    z, labels = random(2, 3, 2, 2), np.abs(PIXELS) % 3
    hot = hot_maps(labels, 3)
    for batch in (True, False):
        a = F.dice_loss(tensor(z), tensor(labels), batch=batch, reduction="none")
        b = F.dice_loss(tensor(z), tensor(hot), batch=batch, reduction="none")
        np.testing.assert_array_equal(host(a), host(b))
        assert a.shape == ((3,) if batch else (2, 3))


def test_dice_leaves_out_what_is_ignored(backend):
    z, mask = random(2, 6), MASKS[:, 0].repeat(2, 1)[:, :6]
    left_out = np.where(np.arange(6) == 4, -100, mask)
    kept = np.arange(6) != 4
    a = F.dice_loss(tensor(z), tensor(left_out), "binary")
    b = F.dice_loss(tensor(z[:, kept]), tensor(mask[:, kept]), "binary")
    assert float(a) == pytest.approx(float(b), rel=1e-12)


def test_dice_far_from_zero(backend):
    z = np.array([[1e4, -1e4, 0.0, 1e4], [-1e4, -1e4, -1e4, -1e4]])
    t = tensor(np.array([[1.0, 1, 0, 0], [0, 0, 0, 0]], np.float32))
    for smooth, squared in product((0.0, 1.0), (True, False)):
        options = {"smooth": smooth, "squared": squared}
        assert_finite(lambda x, o=options: F.dice_loss(x, t, "binary", **o), z)
        labels = tensor(np.array([[1], [3]]))
        assert_finite(lambda x, o=options, t=labels: F.dice_loss(x.unsqueeze(2), t, **o), z)


def test_errors():
    z, t = tensor(random(2, 3)), tensor(np.array([0, 1]))
    with pytest.raises(ArgumentError, match=r"alpha must be from 0 to 1, or -1 for none, got 2"):
        F.sigmoid_focal_loss(z, z, 2.0)
    for function in (F.sigmoid_focal_loss, F.softmax_focal_loss):
        with pytest.raises(ArgumentError, match="gamma must not be negative, got -1"):
            function(z, t, gamma=-1.0)
    with pytest.raises(ShapeError, match=r"sigmoid_focal_loss: argument 'target'"):
        F.sigmoid_focal_loss(z, t)
    with pytest.raises(IndexRangeError, match=r"softmax_focal_loss: target\[0\] is 3"):
        F.softmax_focal_loss(z, t + 3)
    with pytest.raises(IndexRangeError, match=r"dice_loss: target\[0\] is 3"):
        F.dice_loss(z, t + 3)
    with pytest.raises(ArgumentError, match="choose binary, multilabel, multiclass"):
        F.dice_loss(z, t, "both")
    with pytest.raises(ArgumentError, match="smooth must not be negative"):
        F.dice_loss(z, t, smooth=-1.0)
    with pytest.raises(ShapeError, match=r"dice_loss: argument 'target'.*\(2, 3\), got \(2,\)"):
        F.dice_loss(z, t, "binary")
    with pytest.raises(ShapeError, match=r"'input' must have shape \(N, C, \*S\)"):
        F.dice_loss(tensor(random(3)), tensor(np.array(1)))
