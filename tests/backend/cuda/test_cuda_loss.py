"""CUDA kernels of cross-entropy: losses of rows, their mean in one or two launches, gradients."""

from types import SimpleNamespace

import numpy as np
import pytest
from cuda_cases import OF, assert_near, launches, numbers, wide, xp
from cuda_emulator import COMPILER, emulated, emulated_device
from kernel_cases import random_array
from test_without_gpu import FAKE, needs_emulator, run_python

import tinyconv as tc
from tinyconv.backend import cuda, reference
from tinyconv.errors import IndexRangeError
from tinyconv.nn import functional as F

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
#: A namespace that can make arrays, but do nothing with them.
MEMORY = SimpleNamespace(
    empty=xp.empty, empty_like=xp.empty_like, int64=np.int64, float64=np.float64
)
#: Rows and classes of one block, of several, and of more than are launched.
ONE_BLOCK = [(1, 1), (7, 1), (9, 2), (256, 10), (70, 33), (5, 1000)]
SEVERAL = [(5000, 1), (2500, 2), (700, 10), (300, 33), (75, 1000), (140, 600)]


@pytest.fixture(autouse=True)
def runner():
    with emulated() as runner:
        yield runner


@pytest.fixture
def launched(monkeypatch):
    """Notes the names of the kernels that are launched."""
    return launches(monkeypatch)


def close(actual, expected, bound=2e-6):
    np.testing.assert_allclose(actual.astype("float64"), expected, rtol=bound, atol=bound)


def rows(shape, dtype="float32", ignored=-100, every=3):
    """Return logits, and labels of which some are ignored: the last one, too."""
    logits, labels = numbers(shape, dtype, scale=5.0), np.arange(shape[0]) * 7 % shape[1]
    labels[every - 1 :: every] = ignored
    if shape[0] > 1:
        labels[-1] = ignored
    return logits, labels


def mean_of(logits, labels, ignored=-100, mean=True):
    return cuda.override("mean_cross_entropy")(MEMORY, logits, labels, ignored, mean)


def check(logits, labels, ignored=-100, mean=True):
    """Compare with the reference in float64."""
    dtype = logits.dtype.name
    loss, p, target, count = mean_of(logits, labels, ignored, mean)
    right = reference.mean_cross_entropy(np, *wide(logits), labels, ignored, mean)
    assert_near(loss, np.asarray(right[0]), dtype)
    assert_near(p, right[1], dtype, roundings=16)
    for one, other in ((target, right[2]), (count, right[3])):
        assert (one.dtype, one.shape) == (np.int64, other.shape)
        np.testing.assert_array_equal(one, other)


# -- losses of rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 10, 33, 1000])
def test_cross_entropy(classes):
    logits, target = random_array((7, classes), "float32") * 20, np.arange(7) % classes
    target[3] = -100
    loss, p = cuda.override("softmax_cross_entropy")(np, logits, target)
    expected, probabilities = reference.softmax_cross_entropy(np, logits.astype("f8"), target)
    close(loss, expected, 5e-6)
    close(p, probabilities)
    one = np.full(1, 0.25, "f4")
    for g in (random_array((7,), "float32"), one, np.broadcast_to(one, (7,))):
        close(
            cuda.override("softmax_cross_entropy_grad")(np, p, target, g),
            reference.softmax_cross_entropy_grad(np, probabilities, target, g.astype("f8")),
        )


def test_a_label_that_is_no_class_gives_nan():
    logits, target = np.zeros((3, 4), "float32"), np.array([0, 4, 2**40])
    loss, _ = cuda.override("softmax_cross_entropy")(np, logits, target)
    np.testing.assert_array_equal(np.isnan(loss), [False, True, True])


@pytest.mark.parametrize("shape", SEVERAL)
def test_rows_of_several_blocks(shape):
    logits, target = rows(shape)
    loss, p = cuda.override("softmax_cross_entropy")(MEMORY, logits, target)
    expected, probabilities = reference.softmax_cross_entropy(np, *wide(logits), target)
    assert_near(loss, expected, "float32")
    assert_near(p, probabilities, "float32", roundings=16)


# -- their mean -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("shape", ONE_BLOCK + SEVERAL)
def test_mean_and_sum(shape, mean, dtype, launched):
    check(*rows(shape, dtype), mean=mean)
    assert launched == ["mean_cross_entropy", "merge_losses"][: 1 + (shape in SEVERAL)]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_labels_of_any_integer_dtype(dtype):
    logits, labels = rows((40, 10), ignored=3)
    right = mean_of(logits, labels, 3)
    found = cuda.override("mean_cross_entropy")(np, logits, labels.astype(dtype), 3, True)
    for one, other in zip(found, right, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("ignored", [-100, -1, 0, 2, 10, 2**40, -(2**63)])
def test_any_label_can_be_ignored(ignored):
    check(*rows((40, 10), ignored=ignored), ignored)


@pytest.mark.parametrize("wrong", [-1, -101, 10, 2**40, -(2**63)])
@pytest.mark.parametrize("place", [0, 353, 699])
@pytest.mark.parametrize("mean", [True, False])
def test_a_label_that_is_no_class(wrong, place, mean):
    logits, labels = rows((700, 10))
    labels[place] = wrong
    loss, _, target, count = mean_of(logits, labels, mean=mean)
    assert np.isnan(loss)
    assert count == -1
    np.testing.assert_array_equal(target, np.where((labels < 0) | (labels > 9), -1, labels))


@pytest.mark.parametrize("shape", [(3, 4), (700, 10)])
def test_no_row_takes_part(shape):
    logits, labels = rows(shape, every=1)
    logits[0] = np.nan
    for mean, right in ((True, np.nan), (False, 0)):
        loss, _, target, count = mean_of(logits, labels, mean=mean)
        np.testing.assert_array_equal(loss, right)
        assert count == 0
        assert (target == -1).all()


@pytest.mark.parametrize("dtype", OF)
def test_no_rows(dtype):
    logits, labels = np.zeros((0, 3), OF[dtype]), np.zeros(0, np.int64)
    for mean, right in ((True, np.nan), (False, 0)):
        with np.errstate(invalid="ignore"):
            loss, p, target, count = cuda.override("mean_cross_entropy")(
                np, logits, labels, -100, mean
            )
        np.testing.assert_array_equal(loss.astype("f4"), right)
        assert (loss.dtype, p.shape, target.shape, count) == (logits.dtype, (0, 3), (0,), 0)


@pytest.mark.parametrize("classes", [2, 10, 33, 1000])
def test_logits_that_are_not_finite(classes):
    """They spoil their own row, and the mean if it takes part; no other row."""
    logits, labels = rows((150, classes), every=1000)
    clean = mean_of(logits, labels)[1]
    rest = np.delete(np.arange(150), [3, 70, 148])
    logits[3, 1], logits[70, 0], logits[148] = np.nan, np.inf, -np.inf
    loss, p, _, count = mean_of(logits, labels)
    assert np.isnan(loss)
    assert count == 149
    assert np.isnan(p[[3, 70, 148]]).all()
    np.testing.assert_array_equal(p[rest], clean[rest])
    labels[[3, 70, 148]] = -100
    loss, _, _, count = mean_of(logits, labels)
    assert count == 146
    right = reference.mean_cross_entropy(np, *wide(logits[rest]), labels[rest], -100, True)[0]
    assert_near(loss, np.asarray(right), "float32")


def test_a_class_out_of_question():
    logits = np.array([[0, -np.inf], [1, 2]], "float32")
    for labels, right in (([0, 1], np.log1p(np.exp(-1)) / 2), ([1, 1], np.inf)):
        loss = mean_of(logits, np.array(labels))[0]
        np.testing.assert_allclose(loss, right, rtol=1e-6)


def test_losses_are_added_in_float64():
    """Each thread has one loss of 20, beside which float32 would lose those of 7 * 2**-23."""
    logits = np.zeros((2048, 2), "float32")
    logits[:256, 0], logits[256:, 1] = 20, -np.log(7 * 2.0**-23)
    labels = np.ones(2048, np.int64)
    loss = mean_of(logits, labels, mean=False)[0]
    right = reference.mean_cross_entropy(np, *wide(logits), labels, -100, False)[0]
    assert_near(loss, np.asarray(right), "float32", roundings=1)


@pytest.mark.parametrize("multiprocessors", [1, 2, 30])
def test_the_same_bits_every_time(multiprocessors, runner, monkeypatch):
    monkeypatch.setattr(runner, "multiprocessors", multiprocessors, raising=False)
    arguments = rows((5000, 10))
    for one, other in zip(mean_of(*arguments), mean_of(*arguments), strict=True):
        np.testing.assert_array_equal(one, other)


# -- the gradient of the mean ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("each", [True, False])
def test_the_gradient_of_a_mean_is_divided(dtype, each):
    logits, labels = rows((40, 10), dtype)
    _, p, target, count = mean_of(logits, labels)
    g = numbers((40,) if each else (1,), dtype)
    found = cuda.override("softmax_cross_entropy_grad")(MEMORY, p, target, g, count)
    right = reference.softmax_cross_entropy_grad(np, *wide(p, target, g), count)
    assert_near(found, right, dtype)
    assert not found[labels == -100].any()


def test_the_gradient_of_a_mean_that_is_nan():
    logits, labels = rows((40, 10))
    labels[4] = 10
    _, p, target, count = mean_of(logits, labels)
    g = np.ones(1, "float32")
    for kernel in (
        cuda.override("softmax_cross_entropy_grad"),
        reference.softmax_cross_entropy_grad,
    ):
        found = kernel(np, p, target, g, count)
        assert np.isnan(found[target >= 0]).all()
        assert not found[target < 0].any()


# -- on a device ----------------------------------------------------------------------------------

Z = random_array((6, 5, 3, 2), "float32")
Y = np.arange(36).reshape(6, 3, 2) % 5


def results(loss_of, dtype):
    """Return a loss of Z, its gradient with and without a graph, and the second gradient."""
    z = tc.tensor(Z, dtype=dtype, requires_grad=True)
    loss = loss_of(z)
    (first,) = tc.autograd.grad(loss * 3, [z], retain_graph=True)
    (again,) = tc.autograd.grad(loss * 3, [z], create_graph=True)
    (second,) = tc.autograd.grad((again**2).sum(), [z])
    return [t.detach().double().cpu().numpy() for t in (loss, first, again, second)]


def composed(z, reduction):
    """Return the loss with 4 ignored, from other ops."""
    hot = (np.arange(4)[:, None] == Y.reshape(-1)) * 1.0
    losses = -z.log_softmax(1).permute(1, 0, 2, 3).reshape(5, -1)[:4] * tc.tensor(hot)
    return losses.sum() / (hot.sum() if reduction == "mean" else 1)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_values_and_gradients(reduction, dtype):
    def loss(z):
        return F.cross_entropy(z, tc.tensor(Y), ignore_index=4, reduction=reduction)

    with emulated_device():
        found = results(loss, getattr(tc, dtype))
    right = results(lambda z: composed(z, reduction), tc.float64)
    bound = {"float32": 2e-6, "bfloat16": 2e-2, "float16": 3e-3}[dtype]
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * max(np.abs(other).max(), 1))


def test_a_step_launches_two_kernels(monkeypatch):
    with emulated_device():
        z, y = tc.tensor(Z[..., 0, 0], requires_grad=True), tc.tensor(Y[:, 0, 0])
        names = launches(monkeypatch)
        F.cross_entropy(z, y).backward()
    assert names == ["mean_cross_entropy", "softmax_cross_entropy_grad"]


@pytest.mark.parametrize("wrong", [-1, 5, 2**40])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_errors_name_the_label(wrong, reduction):
    labels = Y.copy()
    labels[2, 1, 0] = wrong
    words = rf"cross_entropy: target\[2, 1, 0\] is {wrong}, but there are 5 classes, .* 0 to 4 \(or"
    with emulated_device(), pytest.raises(IndexRangeError, match=words):
        F.cross_entropy(tc.tensor(Z), tc.tensor(labels), reduction=reduction)


def test_labels_may_change_before_the_gradient():
    with emulated_device():
        z, y = tc.tensor(Z[..., 0, 0], requires_grad=True), tc.tensor(Y[:, 0, 0])
        loss = F.cross_entropy(z, y)
        (right,) = tc.autograd.grad(loss, [z], retain_graph=True)
        y.fill_(0)
        (found,) = tc.autograd.grad(loss, [z])
        np.testing.assert_array_equal(found.numpy(), right.numpy())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_recorded_loss_of_a_label_that_is_no_class_is_nan(reduction):
    def step(z, y):
        return F.cross_entropy(z, y, reduction=reduction)

    with emulated_device():
        recorded, z = tc.graphed(step, warmup=1), tc.tensor(Z)
        for number in (0, 1, 2, 5, -7, 3):
            labels = Y.copy()
            labels[5, 2, 1] = number
            labels[0, 0, 0] = -100
            y = tc.tensor(labels)
            found = recorded(z, y).item()
            if 0 <= number < 5:
                assert found == step(z, y).item()
            else:
                assert np.isnan(found)


@pytest.mark.parametrize("label", [5, -7, -1])
def test_recorded_losses_of_labels_one_by_one(label):
    def step(z, y):
        return F.cross_entropy(z, y, reduction="none")

    with emulated_device():
        recorded, z = tc.graphed(step, warmup=1), tc.tensor(Z[..., 0, 0])
        recorded(z, tc.tensor(Y[:, 0, 0]))
        labels = Y[:, 0, 0].copy()
        labels[1], labels[2] = label, -100
        losses = recorded(z, tc.tensor(labels)).numpy()
    assert np.isnan(losses[1])
    assert losses[2] == 0
    assert np.isfinite(np.delete(losses, 1)).all()


# What a value costs that is read, on something that answers as CuPy does.
READS = (
    FAKE.format(gpus=1)
    + """
import fake_cupy
import tinyconv.nn.functional as F
reads = []
for name in ("__bool__", "__float__", "__index__", "__int__", "get", "item", "nonzero", "tolist"):
    def noting(self, *args, name=name, plain=getattr(fake_cupy.ndarray, name)):
        reads.append(name)
        return plain(self, *args)
    setattr(fake_cupy.ndarray, name, noting)
with tc.device("cuda"):
    z, y = tc.randn(6, 5, requires_grad=True), tc.arange(6) % 5
reads.clear()
"""
)


@needs_emulator
def test_a_step_reads_one_number():
    run_python(
        READS
        + """
F.cross_entropy(z, y).backward()
assert reads == ["__int__"], reads
"""
    )


@needs_emulator
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_recorded_step_reads_nothing(dtype):
    run_python(
        READS
        + f"""
z, calls = z.detach().to(tc.{dtype}).requires_grad_(), []
@tc.graphed
def step(z, y):
    calls.append(len(reads))
    z = z.detach().requires_grad_()
    loss = F.cross_entropy(z, y)
    loss.backward()
    calls.append(len(reads))
    return loss.detach(), z.grad
warm = [step(z, y) for _ in range(6)]
assert len(calls) < 10, "it was not recorded"
assert calls[-2] == calls[-1], (reads, calls)
loss, grad = step(z, y)
assert loss.item() == warm[0][0].item() and (grad == warm[0][1]).all()
wrong = y.clone()
wrong[2], wrong[3] = 5, -100
loss, grad = (t.cpu().numpy() for t in step(z, wrong))
assert np.isnan(loss) and np.isnan(grad[[0, 1, 4, 5]]).all() and not grad[2:4].any(), (loss, grad)
"""
    )
