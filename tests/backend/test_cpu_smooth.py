"""exp and erf to the last place, and the kernels that are made of them."""

import math

import numpy as np
import pytest
from kernel_cases import DTYPES, assert_close, random_array

from tinyconv import config
from tinyconv.backend import cpu, reference
from tinyconv.backend.cpu.compiler.jit import kernel, load_numba

load_numba()
from tinyconv.backend.cpu import loss, reduction, smooth, softmax, special  # noqa: E402
from tinyconv.backend.cpu.vectors.exponential import exponential  # noqa: E402

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 88.7, 88.8, 1e30, -103.0, -104.5, 1e-40], np.float32
)


@kernel
def exp_loop(x, y):
    for i in range(len(x)):
        y[i] = exponential(x[i])


def units(actual, exact):
    """Return the largest error in units of the last place of normal float32 numbers."""
    normal = (np.abs(exact) > 1.2e-38) & (np.abs(exact) < 3.4e38)
    error = np.abs(actual[normal].astype(np.float64) - exact[normal])
    return (error / np.spacing(np.abs(exact[normal]).astype(np.float32))).max()


def test_exp():
    x = np.concatenate([np.linspace(-104, 89, 200001), np.linspace(-1, 1, 100001)])
    x, y = x.astype(np.float32), np.empty(300002, np.float32)
    exp_loop(x, y)
    assert units(y, np.exp(x.astype(np.float64))) < 1.0
    y = np.empty_like(SPECIAL)
    exp_loop(SPECIAL, y)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(y, np.exp(SPECIAL), rtol=3e-7, atol=2e-45)


def test_erf():
    x = np.concatenate([np.linspace(-5, 5, 100001), np.linspace(-1e-3, 1e-3, 1001), SPECIAL])
    x = x.astype(np.float32)
    exact = np.array([math.erf(value) for value in x.astype(np.float64)])
    actual = special.erf(np, x)
    finite = ~np.isnan(exact)
    assert units(actual[finite], exact[finite]) < 1.0
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(x))


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu"])
def test_activations(name):
    x = np.concatenate([np.linspace(-90, 90, 3001), np.linspace(-4, 4, 4001)])
    exact = getattr(reference, name)(np, x)
    with np.errstate(all="ignore"):
        actual = getattr(smooth, name)(np, x.astype(np.float32))
    np.testing.assert_allclose(actual, exact, rtol=2e-6, atol=3e-7)


@pytest.mark.parametrize("name", ["silu_grad", "gelu_grad"])
def test_gradients_of_activations(name):
    x, dy = np.linspace(-30, 30, 3001), random_array((3001,))
    exact = getattr(reference, name)(np, dy, x)
    actual = getattr(smooth, name)(np, dy.astype(np.float32), x.astype(np.float32))
    np.testing.assert_allclose(actual, exact, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (700, 10), (9, 33), (5, 1000), (2, 3, 4, 50)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_along_every_axis(name, shape, dtype):
    x, dy = (9 * random_array(shape)).astype("float32"), random_array(shape, seed=1)
    eps = np.finfo(dtype).eps
    for axis in range(len(shape)):
        y = getattr(softmax, name)(np, x.astype(dtype), axis)
        exact = getattr(reference, name)(np, x.astype("float64"), axis)
        tiny = 0 if name == "softmax" else 60 * eps  # a logarithm near 0 is a difference
        np.testing.assert_allclose(y, exact, rtol=60 * eps, atol=tiny)
        gradient = f"{name}_grad"
        actual = getattr(softmax, gradient)(np, dy.astype(dtype), y, axis)
        exact = getattr(reference, gradient)(np, dy, exact, axis)
        assert_close(actual, exact.astype(dtype), 200)


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_special_values(classes, axis):
    rows = np.zeros((6, classes), np.float32)
    for i, place in enumerate((0, 1, classes - 1)):
        rows[i, place] = np.nan
    rows[3, 1], rows[4, :], rows[5, 1:] = -np.inf, -np.inf, 1e30
    x = np.ascontiguousarray(rows.T) if axis == 0 else rows
    with np.errstate(invalid="ignore"):
        for name in ("softmax", "log_softmax"):
            exact = getattr(reference, name)(np, x, axis)
            np.testing.assert_allclose(getattr(softmax, name)(np, x, axis), exact, rtol=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 10, 21, 100, 1000])
def test_cross_entropy_is_accurate(classes):
    logits = (9 * random_array((300, classes))).astype("float32").astype("float64")
    target = np.arange(300) % (classes + 1) - 1
    exact_loss, exact = reference.softmax_cross_entropy(np, logits, target)
    actual_loss, actual = loss.softmax_cross_entropy(np, logits.astype(np.float32), target)
    np.testing.assert_allclose(actual_loss, exact_loss, rtol=1e-6, atol=4e-6)
    np.testing.assert_allclose(actual, exact, rtol=4e-6)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((8, 20, 30, 40), (0, 2, 3)), ((8, 20, 30, 40), (2, 3)), ((8, 3, 50, 60), (0, 2, 3)),
        ((8, 20, 30, 40), (0, 1, 2, 3)), ((8, 20, 30, 40), (1,)), ((8, 20, 30, 40), (0, 3)),
        ((300, 700), (0,)), ((300, 700), (1,)), ((9, 1, 4000), (1,)), ((40000,), (0,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums(shape, axes, channels_last, dtype):
    x = (random_array(shape) + 1).astype(dtype)
    if channels_last and len(shape) == 4:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    results = []
    for threads in (1, 2):
        with config.override(num_threads=threads):
            results.append(reduction.total(np, x, axes))
    np.testing.assert_array_equal(*results)
    exact = np.abs(x).astype(np.longdouble).sum(axis=axes)
    eps = float(np.finfo(dtype).eps)
    bound = (6 if dtype == "float32" else 30) * eps * exact  # a plain float32 sum has hundreds
    exact = x.astype(np.longdouble).sum(axis=axes)
    assert results[0].shape == exact.shape
    assert results[0].dtype == dtype
    assert (np.abs(results[0] - exact) <= bound).all()


def test_kernels_are_the_overrides():
    for name in ("sigmoid", "gelu_grad", "softmax", "total", "concat", "dropout", "accumulate"):
        assert cpu.override(name) is not getattr(reference, name)
