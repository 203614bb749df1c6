"""Cross-entropies from probabilities and at a temperature, against SciPy and each other."""

import numpy as np
import pytest
from loss_agreement import agree, assert_finite, random
from scipy import special, stats
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

P = special.softmax(random(3, 4, seed=5), axis=1)
T = special.softmax(random(3, 4, seed=6), axis=1)
LABELS = np.array([2, 0, 3])
WEIGHTS = np.array([0.5, 2.0, 1.5, 1.0])
TEACHER = random(3, 4, seed=7)


def divergences(student, teacher, t):
    p, q = (special.softmax(z / t, axis=1) for z in (teacher, student))
    return stats.entropy(p, q, axis=1)


CASES = [
    OpCase(
        "categorical_cross_entropy", F.categorical_cross_entropy, [P, T],
        lambda p, t: -(t * np.log(p)).sum(1).mean(),
    ),
    OpCase(
        "categorical_cross_entropy weight smoothing",
        lambda p, t: F.categorical_cross_entropy(p, t, tensor(WEIGHTS).to(p.dtype), "none", 0.2),
        [P, T], lambda p, t: -((0.8 * t + 0.05) * WEIGHTS * np.log(p)).sum(1),
    ),
    OpCase(
        "sparse_categorical_cross_entropy", F.sparse_categorical_cross_entropy, [P, LABELS],
        lambda p, t: -np.log(p[np.arange(3), t]).mean(),
    ),
    OpCase(
        "soft_target_cross_entropy", lambda z, t: F.soft_target_cross_entropy(z, t, 3.0),
        [(3, 4), T], lambda z, t: -(t * special.log_softmax(z / 3, axis=1)).sum(1).mean(),
    ),
    OpCase(
        "distillation_kl_loss",
        lambda z: F.distillation_kl_loss(z, tensor(TEACHER).to(z.dtype), 3.0),
        [(3, 4)], lambda z: 9 * divergences(z, TEACHER, 3).mean(),
    ),
    OpCase(
        "distillation_kl_loss unscaled",
        lambda z: F.distillation_kl_loss(z, tensor(TEACHER).to(z.dtype), 2.0, "none", False),
        [(3, 4)], lambda z: divergences(z, TEACHER, 2),
    ),
]  # fmt: skip


class TestSoftCrossEntropy(OpSuite):
    CASES = CASES


# -- from probabilities --------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_probabilities_and_scores_give_one_loss(reduction, backend):
    for shape in ((3, 4), (3, 4, 2), (4,)):
        z = random(*shape)
        axis = min(1, len(shape) - 1)
        p, t = special.softmax(z, axis), special.softmax(random(*shape, seed=1), axis)
        labels = t.argmax(axis)
        weight = tensor(WEIGHTS)
        exact = host(F.cross_entropy(tensor(z), tensor(t), weight, reduction=reduction))
        for x, logits in ((p, False), (z, True)):
            loss = F.categorical_cross_entropy(
                tensor(x), tensor(t), weight, reduction, from_logits=logits
            )
            assert_close(host(loss), exact, 1e-12, 1e-14)
        for ignore in (-100, 1):
            exact = host(F.cross_entropy(tensor(z), tensor(labels), weight, ignore, reduction))
            for x, logits in ((p, False), (z, True)):
                loss = F.sparse_categorical_cross_entropy(
                    tensor(x), tensor(labels), weight, ignore, reduction, logits
                )
                assert_close(host(loss), exact, 1e-12, 1e-14)


def test_certain_and_wrong_costs_100_and_can_be_unlearnt(backend):
    p = tensor(np.array([[0.0, 1.0]]), True)
    for loss in (
        F.categorical_cross_entropy(p, tensor(np.array([[1.0, 0.0]]))),
        F.sparse_categorical_cross_entropy(p, tensor(np.array([0]))),
    ):
        assert float(loss) == 100
        np.testing.assert_array_equal(host(grad(loss, p)[0]), [[-1e12, 0]])


# -- at a temperature ----------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_soft_targets_without_a_temperature_are_cross_entropy(reduction, backend):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.cross_entropy
    for shape in ((3, 4), (2, 4, 3), (4,)):
        z, t = random(*shape), special.softmax(random(*shape, seed=1), min(1, len(shape) - 1))
        agree(F.soft_target_cross_entropy, theirs, [z, t], reduction=reduction)


@pytest.mark.parametrize("t", [1.0, 4.0, 20.0])
def test_gradient_of_distillation(t, backend):
    """T * (p_student - p_teacher) / N, whatever T, for the student; none for the teacher."""
    z, teacher = tensor(random(3, 4), True), tensor(TEACHER, True)
    loss = F.distillation_kl_loss(z, teacher, t)
    loss.backward()
    p, q = special.softmax(host(z) / t, axis=1), special.softmax(TEACHER / t, axis=1)
    np.testing.assert_allclose(host(z.grad), t * (p - q) / 3, rtol=1e-9, atol=1e-14)
    assert teacher.grad is None


def test_hot_distillation_is_the_squared_error_of_centred_scores(backend):
    z = random(3, 4)
    loss = F.distillation_kl_loss(tensor(z), tensor(TEACHER), 1e4)
    d = z - TEACHER
    d -= d.mean(1, keepdims=True)
    assert float(loss) == pytest.approx(0.5 * (d**2).mean(), rel=1e-3)


def test_a_certain_teacher_gives_labels(backend):
    z = tensor(random(3, 4))
    teacher = tensor(1e4 * np.eye(4)[LABELS])
    loss = F.distillation_kl_loss(z, teacher, 1.0)
    assert float(loss) == pytest.approx(float(F.cross_entropy(z, tensor(LABELS))), rel=1e-12)


def test_reductions_of_distillation(backend):
    z, teacher = random(2, 4, 3), random(2, 4, 3, seed=1)
    each = host(F.distillation_kl_loss(tensor(z), tensor(teacher), 2.0, "none"))
    assert each.shape == (2, 3)
    for reduction, divisor in (("sum", 1), ("mean", 6), ("batchmean", 2)):
        loss = F.distillation_kl_loss(tensor(z), tensor(teacher), 2.0, reduction)
        assert float(loss) == pytest.approx(each.sum() / divisor, rel=1e-12)
    flat = [tensor(x).log_softmax(1) for x in (z[..., 0], teacher[..., 0])]
    exact = F.kl_div(*flat, "batchmean", log_target=True)
    same = F.distillation_kl_loss(tensor(z[..., 0]), tensor(teacher[..., 0]), 1.0)
    assert float(same) == pytest.approx(float(exact), rel=1e-12)
    row = F.distillation_kl_loss(tensor(z[0, :, 0]), tensor(teacher[0, :, 0]), 2.0, "batchmean")
    assert float(row) == pytest.approx(each[0, 0], rel=1e-12)


def test_equal_scores_never_give_less_than_zero(backend):
    z = np.random.default_rng(0).standard_normal((200, 7)).astype(np.float32)
    shifted = z + np.float32(0.1)
    each = host(F.distillation_kl_loss(tensor(z), tensor(shifted), reduction="none"))
    assert (each >= 0).all()
    assert each.max() < 1e-4


def test_far_from_zero(backend):
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]])
    t = tensor(np.array([[0.0, 1, 0], [0.5, 0.5, 0]], np.float32))
    for temperature in (1.0, 20.0):
        assert_finite(lambda x, k=temperature: F.soft_target_cross_entropy(x, t, k), z)
        for teacher in (z, -z, 0 * z):
            other = tensor(teacher.astype(np.float32))
            assert_finite(lambda x, o=other, k=temperature: F.distillation_kl_loss(x, o, k), z)
    for reduction in ("mean", "none"):
        options = {"reduction": reduction, "from_logits": True}
        labels = tensor(np.array([1, -100]))
        assert_finite(lambda x, o=options: F.categorical_cross_entropy(x, t, **o), z)
        assert_finite(
            lambda x, t=labels, o=options: F.sparse_categorical_cross_entropy(x, t, **o), z
        )


def test_errors():
    p, z = tensor(P), tensor(random(3, 4))
    for function, target in (
        (F.categorical_cross_entropy, p),
        (F.sparse_categorical_cross_entropy, tensor(LABELS)),
    ):
        with pytest.raises(ArgumentError, match=r"in \[0, 1\].*for scores pass from_logits=True"):
            function(z, target)
        with pytest.raises(ShapeError, match=rf"{function.__name__}: argument 'target'"):
            function(p, target[:2])
        with pytest.raises(ShapeError, match=r"'weight' must have shape \(4,\)"):
            function(p, target, tensor(np.ones(3)))
        with pytest.raises(DTypeError, match="'target' must be a Tensor"):
            function(p, [0])
    with pytest.raises(IndexRangeError, match=r"categorical_cross_entropy: target\[1\] is 4"):
        F.sparse_categorical_cross_entropy(p, tensor(np.array([0, 4, 1])))
    with pytest.raises(ArgumentError, match="label_smoothing must be from 0 to 1"):
        F.categorical_cross_entropy(p, p, label_smoothing=2.0)
    for function in (F.soft_target_cross_entropy, F.distillation_kl_loss):
        with pytest.raises(ArgumentError, match="temperature must be positive, got 0"):
            function(z, p, 0.0)
        with pytest.raises(ShapeError, match=rf"{function.__name__}: argument 'target'"):
            function(z, p[:2])
        with pytest.raises(ArgumentError, match="reduction='no' is unknown"):
            function(z, p, reduction="no")
