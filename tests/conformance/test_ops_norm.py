"""Normalisation against its formulas, against PyTorch, and where it usually goes wrong."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad, gradcheck
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

EPS = 1e-5


def standardised(x, axes, eps=EPS):
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


def channel(v, x):
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))


def batch_norm_training(x, w=None, b=None, eps=EPS):
    y = standardised(x, (0, *range(2, x.ndim)), eps)
    y = y if w is None else y * channel(w, x)
    return y if b is None else y + channel(b, x)


def training(x, w=None, b=None, eps=EPS):
    return F.batch_norm(x, None, None, w, b, True, eps=eps)


def batch_norm_inference(x, mean, var, w, b):
    scaled = (x - channel(mean, x)) / np.sqrt(channel(var, x) + EPS)
    return scaled * channel(w, x) + channel(b, x)


def group_norm(x, groups, w, b):
    y = standardised(x.reshape(len(x), groups, -1), 2).reshape(x.shape)
    return y * channel(w, x) + channel(b, x)


def local_response(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        around = x[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha / size * (around**2).sum(1)) ** beta
    return y


MEAN, VAR = np.array([0.5, -1.0]), np.array([2.0, 0.3])

CASES = [
    OpCase("batch_norm 2d", training, [(3, 2, 2, 2), (2,), (2,)], batch_norm_training),
    OpCase(
        "batch_norm relu",
        lambda *a: F.batch_norm(a[0], None, None, *a[1:], True, eps=EPS, activation="relu"),
        [(3, 2, 2, 2), (2,), (2,)], lambda *a: np.maximum(batch_norm_training(*a), 0),
    ),
    OpCase(
        "batch_norm relu6 inference",
        lambda x, w, b: F.batch_norm(
            x * 5, *(tensor(v).to(x.dtype) for v in (MEAN, VAR)), w, b, activation="relu6"
        ),
        [(2, 2, 2, 3), (2,), (2,)],
        lambda x, w, b: np.clip(batch_norm_inference(x * 5, MEAN, VAR, w, b), 0, 6),
        zero_size=False,
    ),
    OpCase("batch_norm no affine", training, [(4, 2)], batch_norm_training),
    OpCase("batch_norm weight only", training, [(3, 2, 2), (2,)], batch_norm_training),
    OpCase(
        "batch_norm large eps", lambda *a: training(*a, eps=0.5), [(2, 2, 1, 2, 2), (2,), (2,)],
        lambda *a: batch_norm_training(*a, eps=0.5),
    ),
    OpCase(
        "batch_norm inference",
        lambda x, w, b: F.batch_norm(x, *(tensor(v).to(x.dtype) for v in (MEAN, VAR)), w, b),
        [(2, 2, 2, 3), (2,), (2,)],
        lambda x, w, b: batch_norm_inference(x, MEAN, VAR, w, b),
        zero_size=False,
    ),
    OpCase(
        "layer_norm", lambda x, w, b: F.layer_norm(x, (2, 3), w, b), [(2, 2, 2, 3), (2, 3), (2, 3)],
        lambda x, w, b: standardised(x, (2, 3)) * w + b,
    ),
    OpCase("layer_norm int", lambda x: F.layer_norm(x, 4), [(3, 4)], lambda x: standardised(x, -1)),
    OpCase(
        "group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), [(2, 4, 3), (4,), (4,)],
        lambda x, w, b: group_norm(x, 2, w, b),
    ),
    OpCase(
        "instance_norm", lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        [(2, 2, 3, 2), (2,), (2,)], lambda x, w, b: group_norm(x, 2, w, b),
    ),
    OpCase(
        "local_response_norm",
        lambda x: F.local_response_norm(x, 4, 0.5, 0.75, 2.0), [(2, 5, 2, 2)],
        lambda x: local_response(x, 4, 0.5, 0.75, 2.0),
    ),
]  # fmt: skip


class TestNorm(OpSuite):
    CASES = CASES


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", [(4, 3), (3, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("is_training", [True, False])
def test_batch_norm_agrees_with_pytorch(shape, is_training, backend):
    torch = pytest.importorskip("torch")
    arrays = [random(*shape), random(3, seed=1), random(3, seed=2)]
    averages = [random(3, seed=3), np.abs(random(3, seed=4)) + 0.1]
    ours, theirs = [tensor(a, True) for a in arrays], [
        torch.tensor(a, requires_grad=True) for a in arrays
    ]  # fmt: skip
    running = [tensor(a) for a in averages]
    expected_running = [torch.tensor(a) for a in averages]
    y = F.batch_norm(ours[0], *running, *ours[1:], is_training, 0.3, 1e-3)
    expected = torch.nn.functional.batch_norm(
        theirs[0], *expected_running, *theirs[1:], is_training, 0.3, 1e-3
    )
    assert_close(host(y), expected.detach().numpy(), 1e-10, 1e-10)
    for o, t in zip(running, expected_running, strict=True):
        assert_close(host(o), t.numpy(), 1e-12, 1e-12)
    (y * y * y).sum().backward()
    (expected * expected * expected).sum().backward()
    for o, t in zip(ours, theirs, strict=True):
        assert_close(host(o.grad), t.grad.numpy(), 1e-9, 1e-9)


def test_other_norms_agree_with_pytorch(backend):
    torch = pytest.importorskip("torch")
    T, x = torch.nn.functional, random(3, 6, 4, 5)
    v, image = random(6, seed=1), random(4, 5, seed=2)
    a, b = tensor(x), torch.tensor(x)
    for y, expected in (
        (F.group_norm(a, 3, tensor(v), tensor(v), 0.1), T.group_norm(b, 3, torch.tensor(v),
                                                                    torch.tensor(v), 0.1)),
        (F.layer_norm(a, (4, 5), tensor(image)), T.layer_norm(b, (4, 5), torch.tensor(image))),
        (F.instance_norm(a, weight=tensor(v)), T.instance_norm(b, weight=torch.tensor(v))),
        (F.local_response_norm(a, 3, 0.3, 0.6, 1.5), T.local_response_norm(b, 3, 0.3, 0.6, 1.5)),
        (F.local_response_norm(a, 4), T.local_response_norm(b, 4)),
    ):  # fmt: skip
        assert_close(host(y), expected.numpy(), 1e-10, 1e-10)


def test_instance_norm_running_averages_agree_with_pytorch(backend):
    torch = pytest.importorskip("torch")
    x, averages = random(3, 2, 4), [random(2, seed=1), np.abs(random(2, seed=2))]
    ours, theirs = [tensor(a) for a in averages], [torch.tensor(a) for a in averages]
    F.instance_norm(tensor(x), *ours, momentum=0.4)
    torch.nn.functional.instance_norm(torch.tensor(x), *theirs, momentum=0.4)
    for o, t in zip(ours, theirs, strict=True):
        assert_close(host(o), t.numpy(), 1e-12, 1e-12)
    y = F.instance_norm(tensor(x), *ours, use_input_stats=False)
    expected = torch.nn.functional.instance_norm(torch.tensor(x), *theirs, use_input_stats=False)
    assert_close(host(y), expected.numpy(), 1e-12, 1e-12)


def test_first_gradient_is_the_same_with_and_without_create_graph(backend):
    """The kernel and the differentiable formula are two ways to the same numbers."""
    x, w, b = tensor(random(3, 2, 4), True), tensor(random(2), True), tensor(random(2), True)
    loss = (training(x, w, b) ** 3).sum()
    kernel = grad(loss, (x, w, b), retain_graph=True)
    formula = grad(loss, (x, w, b), create_graph=True)
    for k, f in zip(kernel, formula, strict=True):
        assert_close(host(k), host(f), 1e-9, 1e-10)


def test_inference_gives_input_gradients_and_leaves_the_averages(backend):
    x, mean, var = tensor(random(1, 2, 3), True), tensor(MEAN), tensor(VAR)
    F.batch_norm(x, mean, var).sum().backward()
    expected = np.broadcast_to((1 / np.sqrt(VAR + EPS)).reshape(1, 2, 1), (1, 2, 3))
    assert_close(host(x.grad), expected, 1e-12, 0)
    np.testing.assert_array_equal(host(mean), MEAN)
    np.testing.assert_array_equal(host(var), VAR)


def test_running_variance_is_the_unbiased_one(backend):
    mean, var = tensor(np.zeros(1)), tensor(np.zeros(1))
    F.batch_norm(tensor(np.array([[1.0], [3.0]])), mean, var, training=True, momentum=0.5)
    np.testing.assert_allclose([host(mean)[0], host(var)[0]], [1.0, 1.0])


def test_large_mean_keeps_its_digits(backend):
    x = (random(8, 1, 16) + 1e4).astype(np.float32)
    y = host(training(tensor(x)))
    exact = standardised(x.astype(np.float64), (0, 2))
    assert np.abs(y - exact).max() < 3e-3


@pytest.mark.parametrize("bad", ["weight", "one value"])
def test_an_error_leaves_the_running_averages(bad, backend):
    mean, var = tensor(MEAN), tensor(VAR)
    x = tensor(random(1 if bad == "one value" else 3, 2))
    weight = tensor(np.ones(3)) if bad == "weight" else None
    with pytest.raises(ShapeError):
        F.batch_norm(x, mean, var, weight, training=True)
    np.testing.assert_array_equal(host(mean), MEAN)
    np.testing.assert_array_equal(host(var), VAR)


def test_empty_batch_changes_no_average(backend):
    mean, var = tensor(MEAN), tensor(VAR)
    x = tensor(np.zeros((0, 2, 3)), True)
    y = F.batch_norm(x, mean, var, training=True)
    y.sum().backward()
    assert tuple(x.grad.shape) == tuple(y.shape) == (0, 2, 3)
    np.testing.assert_array_equal(host(mean), MEAN)
    np.testing.assert_array_equal(host(var), VAR)


def test_running_averages_keep_their_dtype(backend):
    mean, var = tensor(np.zeros(2, np.float32)), tensor(np.ones(2, np.float32))
    y = F.batch_norm(tensor(random(3, 2)), mean, var, training=True)
    assert host(mean).dtype == host(var).dtype == np.float32
    assert host(y).dtype == np.float64
    assert host(F.batch_norm(tensor(random(3, 2)), mean, var)).dtype == np.float64


@pytest.mark.parametrize("averages", [("float32", "float32"), ("float32", "float64"), None])
@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_batches_are_counted_in_training(dtype, averages, backend):
    mean = var = None
    if averages is not None:
        mean, var = tensor(MEAN.astype(averages[0])), tensor(VAR.astype(averages[1]))
    count = tensor(np.array(5, dtype))
    x, version = tensor(random(3, 2).astype(np.float32)), count._version[0]
    for _ in range(2):
        F.batch_norm(x, mean, var, training=True, num_batches_tracked=count)
    assert host(count) == 7
    assert host(count).dtype == dtype
    assert count._version[0] == version + 2
    if averages is not None:
        F.batch_norm(x, mean, var, num_batches_tracked=count)
        assert host(count) == 7
    with pytest.raises(ShapeError):
        F.batch_norm(x[:1], mean, var, training=True, num_batches_tracked=count)
    assert host(count) == 7


def test_nan_and_infinity_pass_through_without_a_warning(backend):
    x = np.array([[np.inf, 1.0, np.nan], [1.0, 2.0, 3.0]])
    mean, var = tensor(np.zeros(3)), tensor(np.ones(3))
    y = host(F.batch_norm(tensor(x), mean, var, training=True))
    assert np.isfinite(y[:, 1]).all()
    assert np.isnan(y[:, [0, 2]]).all()
    assert host(mean)[0] == np.inf
    with np.errstate(invalid="ignore"):
        expected = standardised(x, 1)
    assert_close(host(F.layer_norm(tensor(x), 3)), expected, 1e-12, 1e-12)


def test_errors():
    x, two = tensor(random(2, 2, 3)), tensor(np.ones(2))
    with pytest.raises(ShapeError, match=r"each channel needs more than one value.*\(1, 2\)"):
        F.batch_norm(tensor(random(1, 2)), None, None, training=True)
    with pytest.raises(ShapeError, match=r"'weight' must have shape \(2,\).*got \(3,\)"):
        F.batch_norm(x, two, two, tensor(np.ones(3)))
    with pytest.raises(ShapeError, match=r"'running_mean' must have shape \(2,\)"):
        F.batch_norm(x, tensor(np.ones(3)), two)
    with pytest.raises(ArgumentError, match="running_mean and running_var are needed"):
        F.batch_norm(x, None, None)
    with pytest.raises(DTypeError, match="'input' must be floating point"):
        F.batch_norm(tensor(np.ones((2, 2), np.int64)), two, two)
    with pytest.raises(ShapeError, match=r"must be \(N, C, ...\)"):
        F.batch_norm(tensor(np.ones(2)), two, two)
    with pytest.raises(ShapeError, match="num_groups=3 must divide the 2 channels"):
        F.group_norm(x, 3)
    with pytest.raises(ShapeError, match=r"ends in normalized_shape \(2, 2\)"):
        F.layer_norm(x, (2, 2))
    with pytest.raises(ShapeError, match=r"layer_norm: argument 'bias' must have shape \(3,\)"):
        F.layer_norm(x, 3, bias=two)
    with pytest.raises(ShapeError, match="more than one position"):
        F.instance_norm(tensor(random(2, 2, 1)))
    with pytest.raises(ArgumentError, match="size must be at least 1"):
        F.local_response_norm(x, 0)


def test_running_averages_that_want_gradients(backend):
    rng = np.random.default_rng(3)
    x, mean, var = rng.standard_normal((4, 3, 2)), rng.standard_normal(3), rng.uniform(0.1, 1, 3)
    weight, bias = rng.standard_normal((2, 3))

    def normalised(*arguments):
        return F.batch_norm(*arguments, eps=0.2)

    constant = normalised(*map(tensor, (x, mean, var, weight, bias)))
    tensors = [tensor(a, requires_grad=True) for a in (x, mean, var, weight, bias)]
    np.testing.assert_allclose(host(normalised(*tensors)), host(constant), rtol=1e-12)
    assert gradcheck(normalised, tensors)
