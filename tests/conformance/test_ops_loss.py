"""Losses against their formulas, SciPy, and PyTorch over a grid of settings."""

import math
from itertools import product

import numpy as np
import pytest
from loss_agreement import agree, random
from scipy import special
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

LABELS = np.array([2, 0, 1])
PIXELS = np.array([[[0, 2], [1, 1]], [[2, -100], [0, 0]]])
WEIGHTS = np.array([0.5, 2.0, 1.5])


def nll(log_p, labels, weight=None, ignore=-100):
    """Weighted mean of -log p[label], one label at a time."""
    total = norm = 0.0
    weight = np.ones(log_p.shape[1]) if weight is None else weight
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label != ignore:
            total -= weight[label] * log_p[(place[0], label, *place[1:])]
            norm += weight[label]
    return total / norm


def cross_entropy(z, labels, weight=None):
    return nll(special.log_softmax(z, axis=1), labels, weight)


def huber(d, delta):
    size = np.abs(d)
    return np.where(size < delta, 0.5 * d**2, delta * (size - 0.5 * delta)).mean()


def binary(p, t):
    return -(special.xlogy(t, p) + special.xlog1py(1 - t, -p)).mean()


def logit_binary(z, t, pos=1.0):
    s = special.expit(z)
    return -(pos * t * np.log(s) + (1 - t) * np.log(1 - s)).mean()


PROBABILITIES = special.softmax(np.arange(6.0).reshape(2, 3) % 4, axis=1)
SHARES = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3))

CASES = [
    OpCase("cross_entropy", F.cross_entropy, [(3, 4), LABELS], cross_entropy),
    OpCase("cross_entropy pixels", F.cross_entropy, [(2, 3, 2, 2), PIXELS], cross_entropy),
    OpCase(
        "cross_entropy weight",
        lambda z, t: F.cross_entropy(z, t, tensor(WEIGHTS).to(z.dtype)), [(3, 3), LABELS],
        lambda z, t: cross_entropy(z, t, WEIGHTS),
    ),
    OpCase(
        "cross_entropy probabilities", F.cross_entropy, [(2, 3), PROBABILITIES],
        lambda z, p: -(p * special.log_softmax(z, axis=1)).sum(1).mean(),
    ),
    OpCase(
        "cross_entropy smoothing", lambda z, t: F.cross_entropy(z, t, label_smoothing=0.2),
        [(3, 4), LABELS],
        lambda z, t: 0.8 * cross_entropy(z, t) - 0.2 * special.log_softmax(z, axis=1).mean(),
    ),
    OpCase("nll_loss", F.nll_loss, [(3, 4), LABELS], nll),
    OpCase("nll_loss pixels", F.nll_loss, [(2, 3, 2, 2), PIXELS], nll),
    OpCase("mse_loss", F.mse_loss, [(2, 3), (2, 3)], lambda a, b: ((a - b) ** 2).mean()),
    OpCase("l1_loss", F.l1_loss, [(2, 3), (2, 3)], lambda a, b: np.abs(a - b).mean()),
    OpCase(
        "huber_loss", lambda a, b: F.huber_loss(a, b, delta=0.7), [(3, 4), (3, 4)],
        lambda a, b: huber(a - b, 0.7),
    ),
    OpCase(
        "smooth_l1_loss", lambda a, b: F.smooth_l1_loss(a, b, beta=0.5), [(3, 4), (3, 4)],
        lambda a, b: huber(a - b, 0.5) / 0.5,
    ),
    OpCase(
        "smooth_l1_loss beta 0", lambda a, b: F.smooth_l1_loss(a, b, beta=0.0), [(3, 4), (3, 4)],
        lambda a, b: np.abs(a - b).mean(),
    ),
    OpCase("kl_div", F.kl_div, [(2, 3), SHARES], lambda a, t: (t * (np.log(t) - a)).mean()),
    OpCase(
        "kl_div log batchmean", lambda a, t: F.kl_div(a, t, "batchmean", log_target=True),
        [(2, 3), (2, 3)], lambda a, t: (np.exp(t) * (t - a)).sum() / 2,
    ),
    OpCase(
        "binary_cross_entropy", F.binary_cross_entropy, [(2, 3), SHARES], binary, low=0.1, high=0.9
    ),
    OpCase(
        "binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits, [(2, 3), SHARES],
        logit_binary,
    ),
    OpCase(
        "binary_cross_entropy_with_logits pos_weight",
        lambda z, t: F.binary_cross_entropy_with_logits(
            z, t, pos_weight=tensor(WEIGHTS).to(z.dtype)
        ),
        [(2, 3), SHARES], lambda z, t: logit_binary(z, t, WEIGHTS),
    ),
]  # fmt: skip


class TestLoss(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_label_losses_agree_with_pytorch_over_a_grid(reduction, backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    inputs = [
        (random(5, 4), np.array([3, 1, 0, 1, 2])),
        (random(2, 4, 3), np.array([[0, 1, 1], [3, 2, 1]])),
        (random(4), np.array(2)),
    ]
    for (z, t), weight, ignore in product(
        inputs, (None, np.array([0.2, 1.0, 2.0, 0.7])), (-100, 1)
    ):
        settings = {"weight": weight, "ignore_index": ignore, "reduction": reduction}
        agree(F.nll_loss, T.nll_loss, [z], [t], **settings)
        for smoothing in (0.0, 0.3):
            agree(F.cross_entropy, T.cross_entropy, [z], [t], **settings, label_smoothing=smoothing)
        shares = special.softmax(random(*z.shape, seed=1), axis=min(1, z.ndim - 1))
        agree(
            F.cross_entropy, T.cross_entropy, [z, shares], weight=weight, reduction=reduction,
            label_smoothing=0.1,
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_other_losses_agree_with_pytorch(reduction, backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    a, b, w = 2 * random(3, 4), 2 * random(3, 4, seed=1), np.abs(random(4, seed=2))
    p, t = special.expit(a), special.expit(b)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        agree(getattr(F, name), getattr(T, name), [a, b], reduction=reduction)
    agree(F.smooth_l1_loss, T.smooth_l1_loss, [a, b], reduction=reduction, beta=0.3)
    agree(F.huber_loss, T.huber_loss, [a, b], reduction=reduction, delta=2.0)
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        agree(getattr(F, name), getattr(T, name), [a, b], reduction=reduction, weight=np.abs(p))
    agree(F.kl_div, T.kl_div, [a, t], reduction=reduction)
    agree(F.kl_div, T.kl_div, [a, b], reduction=reduction, log_target=True)
    agree(F.binary_cross_entropy, T.binary_cross_entropy, [p, t], reduction=reduction)
    agree(
        F.binary_cross_entropy, T.binary_cross_entropy, [p], [np.round(t)], weight=w,
        reduction=reduction,
    )  # fmt: skip
    agree(
        F.binary_cross_entropy_with_logits, T.binary_cross_entropy_with_logits, [a], [t], weight=w,
        pos_weight=w + 1, reduction=reduction,
    )  # fmt: skip


# -- cross-entropy -------------------------------------------------------------------------------


def test_huge_scores_do_not_overflow(backend):
    z = tensor(np.array([[1e4, -1e4], [0.0, 1e4]], np.float32), True)
    loss = F.cross_entropy(z, tensor(np.array([0, 0])), reduction="none")
    np.testing.assert_allclose(host(loss), [0.0, 1e4])
    loss.sum().backward()
    np.testing.assert_allclose(host(z.grad), [[0, 0], [-1, 1]])


def test_first_gradient_is_the_same_with_and_without_create_graph(backend):
    z = tensor(random(3, 4), True)
    loss = F.cross_entropy(z, tensor(np.array([1, -100, 3])))
    (kernel,) = grad(loss, z, retain_graph=True)
    (formula,) = grad(loss, z, create_graph=True)
    assert_close(host(kernel), host(formula), 1e-12, 1e-14)


def test_an_ignored_label_may_be_any_number(backend):
    z, expected = random(3, 4), None
    for ignore in (-100, -1, 255, 2):
        labels = np.array([0, ignore, 1])
        z_ours = tensor(z, True)
        loss = F.cross_entropy(z_ours, tensor(labels), ignore_index=ignore)
        loss.backward()
        expected = float(loss) if expected is None else expected
        assert float(loss) == expected == pytest.approx(cross_entropy(z[[0, 2]], np.array([0, 1])))
        assert not host(z_ours.grad)[1].any()


def test_the_mean_of_nothing_is_nan_without_a_warning(backend):
    z = tensor(random(2, 3))
    assert math.isnan(float(F.cross_entropy(z, tensor(np.array([-100, -100])))))
    assert float(F.cross_entropy(z, tensor(np.array([-100, -100])), reduction="sum")) == 0
    empty = tensor(np.zeros((0, 3)))
    assert math.isnan(float(F.cross_entropy(empty, tensor(np.zeros(0, np.int64)))))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_dtype(dtype, backend):
    z = random(3, 4)
    loss = F.cross_entropy(tensor(z), tensor(LABELS.astype(dtype)))
    assert float(loss) == pytest.approx(cross_entropy(z, LABELS))


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss])
def test_a_label_that_is_no_class_is_named(function, backend):
    name = function.__name__
    with pytest.raises(IndexRangeError, match=rf"{name}: target\[1\] is 3, but .* 3 classes"):
        function(tensor(random(3, 3)), tensor(np.array([0, 3, 5])))
    with pytest.raises(IndexRangeError, match=rf"{name}: target\[1, 0, 1\] is -1, but .* 0 to 2"):
        function(tensor(random(2, 3, 1, 2)), tensor(np.array([[[0, 0]], [[-100, -1]]])))
    with pytest.raises(IndexRangeError, match=f"{name}: target is 7"):
        function(tensor(random(3)), tensor(np.array(7)))
    with pytest.raises(
        IndexRangeError, match=rf"{name}: target\[0\] is 0, but there are 0 classes"
    ):
        function(tensor(np.zeros((2, 0))), tensor(np.zeros(2, np.int64)))


def test_errors_of_label_losses():
    z, t = tensor(random(2, 3)), tensor(np.array([0, 1]))
    with pytest.raises(ShapeError, match=r"'target' must have shape \(2,\).*got \(3,\)"):
        F.cross_entropy(z, tensor(LABELS))
    with pytest.raises(ShapeError, match=r"must have the shape of input, \(2, 3\), got \(2,\)"):
        F.cross_entropy(z, tensor(np.array([0.0, 1.0])))
    with pytest.raises(ShapeError, match=r"'weight' must have shape \(3,\)"):
        F.cross_entropy(z, t, tensor(np.ones(2)))
    with pytest.raises(ArgumentError, match="reduction='avg' is unknown; choose none, mean, sum"):
        F.cross_entropy(z, t, reduction="avg")
    with pytest.raises(ArgumentError, match=r"label_smoothing must be from 0 to 1, got 1\.5"):
        F.cross_entropy(z, t, label_smoothing=1.5)
    with pytest.raises(DTypeError, match="labels must be integers"):
        F.nll_loss(z, tensor(np.array([0.0, 1.0])))
    with pytest.raises(DTypeError, match="'input' must be floating point"):
        F.cross_entropy(tensor(np.zeros((2, 3), np.int64)), t)


# -- the others ----------------------------------------------------------------------------------


def test_binary_cross_entropy_of_certain_answers(backend):
    p = tensor(np.array([0.0, 1.0, 0.0, 1.0]), True)
    losses = F.binary_cross_entropy(p, tensor(np.array([1.0, 0.0, 0.0, 1.0])), reduction="none")
    np.testing.assert_array_equal(host(losses), [100, 100, 0, 0])
    losses.sum().backward()
    np.testing.assert_array_equal(host(p.grad), [-1e12, 1e12, 0, 0])


def test_binary_cross_entropy_with_logits_is_exact_everywhere(backend):
    z = np.array([-800.0, -30.0, 0.0, 30.0, 800.0])
    for t in (0.0, 1.0):
        x = tensor(z, True)
        y = F.binary_cross_entropy_with_logits(x, tensor(np.full(5, t)), reduction="none")
        np.testing.assert_allclose(host(y), np.logaddexp(0, z if t == 0 else -z), rtol=1e-14)
        y.sum().backward()
        expected = special.expit(z) if t == 0 else -special.expit(-z)
        np.testing.assert_allclose(host(x.grad), expected, rtol=1e-12, atol=1e-300)


def test_kl_div_of_zero_probability_is_zero(backend):
    y = F.kl_div(tensor(np.log([0.5, 0.5])), tensor(np.array([0.0, 1.0])), "sum")
    assert float(y) == pytest.approx(math.log(2))


def test_kl_div_of_a_number_has_a_batch_of_one(backend):
    a, t = tensor(np.array(-1.5)), tensor(np.array(0.5))
    assert float(F.kl_div(a, t, "batchmean")) == float(F.kl_div(a, t, "sum"))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weights_have_the_shape_of_the_input(name):
    a = tensor(random(2, 3))
    with pytest.raises(ShapeError, match=rf"{name}: argument 'weight'.*\(2, 3\), got \(3,\)"):
        getattr(F, name)(a, a, weight=tensor(random(3)))


def test_shapes_that_broadcast_are_warned_of(backend):
    a, b = tensor(random(3, 1)), tensor(random(3))
    with pytest.warns(UserWarning, match=r"mse_loss: input has shape \(3, 1\) and target \(3,\)"):
        y = F.mse_loss(a, b)
    assert float(y) == pytest.approx(((host(a) - host(b)) ** 2).mean())
    with pytest.raises(ShapeError, match="l1_loss: shapes"):
        F.l1_loss(a, tensor(random(2, 2)))


def test_integer_targets_are_numbers_too(backend):
    z = random(4)
    t = np.array([1, 0, 1, 1])
    loss = F.binary_cross_entropy_with_logits(tensor(z), tensor(t))
    assert float(loss) == pytest.approx(logit_binary(z, t))
    assert float(F.mse_loss(tensor(z), tensor(t))) == pytest.approx(((z - t) ** 2).mean())


def test_errors_of_other_losses():
    a, b = tensor(random(3)), tensor(random(4))
    with pytest.raises(ShapeError, match=r"must have the shape of input, \(3,\), got \(4,\)"):
        F.binary_cross_entropy_with_logits(a, b)
    with pytest.raises(ArgumentError, match=r"probabilities in \[0, 1\]"):
        F.binary_cross_entropy(tensor(np.array([1.5])), tensor(np.array([1.0])))
    with pytest.raises(ArgumentError, match=r"probabilities in \[0, 1\]"):
        F.binary_cross_entropy(tensor(np.array([np.nan])), tensor(np.array([1.0])))
    with pytest.raises(ArgumentError, match="delta must be positive"):
        F.huber_loss(a, a, delta=0.0)
    with pytest.raises(ArgumentError, match="beta must not be negative"):
        F.smooth_l1_loss(a, a, beta=-1.0)
    with pytest.raises(ArgumentError, match="choose none, mean, sum, batchmean"):
        F.kl_div(a, a, "average")
    with pytest.raises(DTypeError, match="'target' must be a Tensor"):
        F.mse_loss(a, 1.0)


# -- one-hot -------------------------------------------------------------------------------------


def test_one_hot(backend):
    labels = np.array([[0, 2], [1, 0]])
    np.testing.assert_array_equal(host(F.one_hot(tensor(labels))), np.eye(3, dtype=int)[labels])
    np.testing.assert_array_equal(host(F.one_hot(tensor(labels), 4)), np.eye(4, dtype=int)[labels])
    assert host(F.one_hot(tensor(np.zeros((0, 2), np.int64)), 3)).shape == (0, 2, 3)
    assert host(F.one_hot(tensor(np.array(1)))).tolist() == [0, 1]
    with pytest.raises(IndexRangeError, match=r"one_hot: tensor\[0, 1\] is 2, but there are 2"):
        F.one_hot(tensor(labels), 2)
    with pytest.raises(IndexRangeError, match=r"tensor\[0\] is -1"):
        F.one_hot(tensor(np.array([-1, 1])))
    with pytest.raises(ArgumentError, match="num_classes is needed"):
        F.one_hot(tensor(np.zeros(0, np.int64)))
    with pytest.raises(ArgumentError, match="at least 1"):
        F.one_hot(tensor(labels), 0)
    with pytest.raises(DTypeError, match="labels must be integers"):
        F.one_hot(tensor(np.array([1.0])))
