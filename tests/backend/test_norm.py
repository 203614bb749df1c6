"""Kernels of batch, group and layer norm: references against PyTorch, fast ones against those."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import DTYPES, LAYOUTS, assert_close, random_array

from tinyconv.backend import cpu, reference
from tinyconv.backend.cpu import group_norm, layer_norm
from tinyconv.backend.cpu.loops import columns
from tinyconv.backend.reference import KERNELS

EPS = 1e-3
SHAPES = [
    (5, 3), (4, 3, 7), (3, 5, 4, 6), (2, 3, 2, 3, 4), (1, 4, 1, 1), (0, 3, 4, 4), (2, 130, 9),
    (3, 36, 9, 11), (2, 300, 5, 7), (19, 1030),  # many lines, and wide ones
]  # fmt: skip


def fast(name, *arguments):
    return cpu.override(name)(np, *arguments)


def exact(name, *arguments):
    """Return what the reference kernel makes of the same numbers in float64."""
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
    return KERNELS[name](np, *wide)


def largest_error(actual, expected):
    return max(np.abs(a - e).max() for a, e in zip(actual, expected, strict=True))


def vectors(channels, dtype, affine=True):
    return [random_array((channels,), dtype, s) if affine else None for s in (2, 3)]


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_reference_batch_norm_torch(shape, affine, training):
    torch = pytest.importorskip("torch")
    x, dy = random_array(shape) * 3 + 5, random_array(shape, seed=1)
    weight, bias = vectors(3, "float64", affine)
    mean, var = reference.batch_statistics(np, x) if training else (np.arange(3.0), np.ones(3) * 2)
    tx = torch.tensor(x, requires_grad=True)
    tw, tb = (torch.tensor(a, requires_grad=True) if affine else None for a in (weight, bias))
    ty = torch.nn.functional.batch_norm(
        tx, torch.tensor(mean), torch.tensor(var), tw, tb, training, eps=EPS
    )
    ty.backward(torch.tensor(dy))

    y = reference.batch_norm(np, x, mean, var, weight, bias, EPS, None, None)
    assert_close(y, ty.detach().numpy(), 10)
    if training:
        axes = (0, *range(2, len(shape)))
        assert_close(mean, x.mean(axis=axes), 10)
        assert_close(var, x.var(axis=axes), 10)
    grads = reference.batch_norm_grad(np, dy, x, mean, var, weight, bias, EPS, None, None, training)
    theirs = [tx, tw, tb] if affine else [tx]
    for ours, tensor in zip(grads, theirs, strict=False):
        assert_close(ours, tensor.grad.numpy(), 100)


LIMITS = (0.0, np.inf), (-0.5, 0.5)


@pytest.mark.parametrize("kernels", [KERNELS, {name: cpu.override(name) for name in KERNELS}])
def test_batch_norm_with_residual_and_limits(kernels):
    """The fused forms are the plain ones, followed by a sum and a ReLU, or one with two ends."""
    x, more, dy = (random_array((3, 5, 4, 6), seed=s) for s in range(3))
    statistics = kernels["batch_statistics"](np, x)
    weight, bias = vectors(5, "float64")
    plain = kernels["batch_norm"](np, x, *statistics, weight, bias, EPS, None, None)
    for residual in (None, more):
        both = plain if residual is None else plain + residual
        for limits in (None, *LIMITS):
            y = kernels["batch_norm"](np, x, *statistics, weight, bias, EPS, residual, limits)
            np.testing.assert_array_equal(y, both if limits is None else np.clip(both, *limits))
    for limits, training in itertools.product(LIMITS, (False, True)):
        y, grad = np.clip(plain, *limits), kernels["batch_norm_grad"]
        inside = (y > limits[0]) & (y < limits[1])
        assert 0 < inside.sum() < y.size
        fused = grad(np, dy, x, *statistics, weight, bias, EPS, y, limits, training)
        masked = grad(np, dy * inside, x, *statistics, weight, bias, EPS, None, None, training)
        again = grad(np, dy, x, *statistics, weight, bias, EPS, None, limits, training)
        for one, other, third in zip(fused, masked, again, strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(third, other)


@pytest.mark.parametrize("limits", [(0.0, np.inf), (-1.0, 2.0)])
def test_nan_passes_fused_limits_and_their_gradient(limits):
    x = np.ones((2, 2, 64, 64), np.float32)
    x[0, 0, 0, 0], x[0, 0, 0, 1], x[0, 0, 0, 2] = np.nan, np.inf, -np.inf
    zero, one = np.zeros(2), np.ones(2)
    y = fast("batch_norm", x, zero, one, None, None, 0.0, None, limits)
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isnan(y).sum() == 1
    assert tuple(y[0, 0, 0, [2, 1]]) == limits
    dy = np.ones_like(x)
    dx, _, dbias = fast("batch_norm_grad", dy, x, zero, one, None, None, 0.0, y, limits, False)
    hit = 1.0 if limits[1] == np.inf else 0.0  # infinity is no limit
    assert dx[0, 0, 0, :4].tolist() == [1.0, hit, 0.0, 1.0]
    assert dbias[0] == 2 * 64 * 64 - 2 + hit


def check_batch_norm(x, dy, affine, training):
    dtype, channels = x.dtype, x.shape[1]
    weight, bias = vectors(channels, dtype, affine)
    statistics = fast("batch_statistics", x)
    for actual, wanted in zip(statistics, exact("batch_statistics", x), strict=True):
        assert actual.dtype == np.float64
        assert_close(actual.astype(dtype), wanted.astype(dtype), 10)
    arguments = (x, *statistics, weight, bias, EPS, dy, (0.0, np.inf))
    y = fast("batch_norm", *arguments)
    assert_close(y, exact("batch_norm", *arguments).astype(dtype), 30)
    arguments = (dy, x, *statistics, weight, bias, EPS, y, (0.0, np.inf), training)
    expected = exact("batch_norm_grad", *arguments)
    for actual, wanted in zip(fast("batch_norm_grad", *arguments), expected, strict=True):
        assert_close(actual, wanted.astype(dtype), 100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape, training, affine, dtype):
    x = (random_array(shape, dtype) * 3 + 4).astype(dtype)
    check_batch_norm(x, random_array(shape, dtype, seed=1), affine, training)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9),
       st.sampled_from(sorted(LAYOUTS)))  # fmt: skip
def test_batch_norm_of_any_number_of_channels(channels, batch, height, width, order):
    shape = (batch, channels, height, width)
    x = (random_array(shape, "float32") + 2).astype("float32")
    check_batch_norm(LAYOUTS[order](x), random_array(shape, "float32", seed=1), True, True)


@pytest.mark.parametrize("line", [1, 64])
@pytest.mark.parametrize("block", [1, 7, 300])
def test_batch_norm_merges_blocks(block, line, monkeypatch):
    monkeypatch.setattr(columns, "MOST", block)
    monkeypatch.setattr(columns, "TASK", block)
    monkeypatch.setattr(columns, "LINE", line)
    monkeypatch.setattr(columns.Plan, "of", columns.Plan.of.__wrapped__.__get__(columns.Plan))
    x = random_array((6, 3, 5, 5)) + np.arange(6).reshape(6, 1, 1, 1)
    check_batch_norm(x, random_array(x.shape, seed=1), True, True)
    for groups in (1, 3):
        check_group_norm(x, random_array(x.shape, seed=1), groups)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_batch_norm_is_as_exact_as_pytorch(offset):
    torch = pytest.importorskip("torch")
    x = (offset + random_array((16, 19, 24, 24))).astype(np.float32)
    dy = random_array(x.shape, "float32", seed=1)
    weight, bias = vectors(19, "float32")
    statistics, wanted_statistics = fast("batch_statistics", x), exact("batch_statistics", x)
    np.testing.assert_allclose(statistics[1], wanted_statistics[1], rtol=1e-7)
    y = fast("batch_norm", x, *statistics, weight, bias, 1e-5, None, None)
    wanted = exact("batch_norm", x, *wanted_statistics, weight, bias, 1e-5, None, None)
    grads = fast("batch_norm_grad", dy, x, *statistics, weight, bias, 1e-5, None, None, True)
    wanted_grads = exact(
        "batch_norm_grad", dy, x, *wanted_statistics, weight, bias, 1e-5, None, None, True
    )
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    ty = torch.nn.functional.batch_norm(tensors[0], None, None, *tensors[1:], True, eps=1e-5)
    ty.backward(torch.tensor(dy))
    assert largest_error([y], [wanted]) <= 2 * largest_error([ty.detach().numpy()], [wanted])
    for ours, tensor, right in zip(grads, tensors, wanted_grads, strict=True):
        theirs = largest_error([tensor.grad.numpy()], [right])
        assert largest_error([ours], [right]) <= 2 * theirs + 1e-7 * np.abs(right).max()


@pytest.mark.parametrize("pattern", ["outlier first", "constant", "steps"])
def test_the_centre_may_be_far_from_the_mean(pattern):
    x = random_array((40, 2, 32, 32)).astype(np.float32)
    if pattern == "outlier first":
        x[0] = 1e4
    elif pattern == "constant":
        x[...] = 0.1
    else:
        x += 1e3 * np.arange(40, dtype=np.float32).reshape(-1, 1, 1, 1)
    for ours, right in zip(fast("batch_statistics", x), exact("batch_statistics", x), strict=True):
        np.testing.assert_allclose(ours, right, rtol=5e-7, atol=1e-13)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, -1])
def test_statistics_of_what_is_not_finite(value, place):
    x = np.ones((4, 3, 32, 32), np.float32)
    x[place, 1, place, place] = value
    with np.errstate(invalid="ignore"):
        ours, right = fast("batch_statistics", x), KERNELS["batch_statistics"](np, x)
    np.testing.assert_array_equal(ours, right)


def check_group_norm(x, dy, groups):
    dtype = x.dtype
    weight, bias = vectors(x.shape[1], dtype)
    arguments = (x, groups, weight, bias, EPS)
    (y, *statistics), (right, *means) = (
        fast("group_norm", *arguments),
        exact("group_norm", *arguments),
    )
    for actual, wanted in zip(statistics, means, strict=True):
        assert actual.dtype == np.float64
        assert_close(actual.astype(dtype), wanted.astype(dtype), 10)
    assert_close(y, right.astype(dtype), 30)
    arguments = (dy, x, *statistics, weight, EPS)
    expected = exact("group_norm_grad", *arguments)
    for actual, wanted in zip(fast("group_norm_grad", *arguments), expected, strict=True):
        assert_close(actual, wanted.astype(dtype), 100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 7), (3, 6, 4, 5), (1, 6, 2, 1, 3), (0, 6, 2)])
@pytest.mark.parametrize("by_sample", [True, False])
def test_group_norm(shape, groups, dtype, by_sample, monkeypatch):
    monkeypatch.setattr(group_norm, "_one_core_a_sample", lambda rows: by_sample)
    x = (random_array(shape, dtype) * 2 + 3).astype(dtype)
    check_group_norm(x, random_array(shape, dtype, seed=1), groups)


@pytest.mark.parametrize("by_sample", [True, False])
def test_group_norm_where_float32_cannot_hold_the_mean(by_sample, monkeypatch):
    monkeypatch.setattr(group_norm, "_one_core_a_sample", lambda rows: by_sample)
    x = (1e5 + random_array((8, 6, 15, 16))).astype(np.float32)
    dy = x - np.float32(1e5)
    y, *statistics = fast("group_norm", x, 2, None, None, EPS)
    np.testing.assert_allclose(y, exact("group_norm", x, 2, None, None, EPS)[0], atol=1e-5)
    arguments = (dy, x, *statistics, None, EPS)
    expected = exact("group_norm_grad", *arguments)
    for actual, wanted in zip(fast("group_norm_grad", *arguments), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=5e-6 * np.abs(dy).max())


def test_group_norm_does_not_confuse_samples():
    """Each sample alone gives what it gives in a batch, whatever the other samples hold."""
    x = random_array((5, 6, 30, 31), "float32") * 10.0 ** np.arange(5).reshape(-1, 1, 1, 1)
    x = x.astype(np.float32)
    together = fast("group_norm", x, 2, None, None, EPS)
    for i in range(5):
        alone = fast("group_norm", x[i : i + 1], 2, None, None, EPS)
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one[i], other[0])


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("order", LAYOUTS)
def test_layer_norm(order, affine, dtype, dims, monkeypatch):
    monkeypatch.setattr(layer_norm, "BLOCK", 50)
    shape = (3, 4, 5, 7)
    x, dy = LAYOUTS[order]((random_array(shape, dtype) * 2 + 3).astype(dtype)), random_array(
        shape, dtype, seed=1
    )  # fmt: skip
    weight, bias = (random_array(shape[-dims:], dtype, s) if affine else None for s in (2, 3))
    results = fast("layer_norm", x, dims, weight, bias, EPS)
    for actual, wanted in zip(
        results, exact("layer_norm", x, dims, weight, bias, EPS), strict=True
    ):
        assert_close(actual.astype(dtype), wanted.astype(dtype), 30)
    arguments = (dy, x, *results[1:], weight, EPS)
    expected = exact("layer_norm_grad", *arguments)
    for actual, wanted in zip(fast("layer_norm_grad", *arguments), expected, strict=True):
        assert_close(actual, wanted.astype(dtype), 100)


@pytest.mark.parametrize("size", [1, 3, 31, 2048, 5000])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_layer_norm_of_rows(size, offset):
    x = (offset + random_array((70, size))).astype(np.float32)
    y, mean, var = fast("layer_norm", x, 1, None, None, 1e-5)
    wanted = exact("layer_norm", x, 1, None, None, 1e-5)
    np.testing.assert_allclose(mean, wanted[1], rtol=1e-7, atol=4e-7)
    np.testing.assert_allclose(var, wanted[2], rtol=8e-7, atol=1e-12)
    np.testing.assert_allclose(y, wanted[0], rtol=1e-6, atol=2e-6)


def test_layer_norm_keeps_channels_last_memory():
    x = random_array((2, 5, 5, 3), "float32").transpose(0, 3, 1, 2)
    y = fast("layer_norm", x, 3, None, None, EPS)[0]
    assert y.strides == x.strides


@pytest.mark.parametrize("name", ["group_norm", "layer_norm"])
def test_other_norms_are_as_exact_as_pytorch(name):
    torch = pytest.importorskip("torch")
    x, dy = (50 + random_array((8, 24, 16, 17))).astype(np.float32), random_array(
        (8, 24, 16, 17), "float32", seed=1
    )  # fmt: skip
    tx = torch.tensor(x, requires_grad=True)
    if name == "group_norm":
        y, *statistics = fast(name, x, 4, None, None, EPS)
        ty = torch.nn.functional.group_norm(tx, 4, eps=EPS)
        wanted, *right = exact(name, x, 4, None, None, EPS)
    else:
        y, *statistics = fast(name, x, 2, None, None, EPS)
        ty = torch.nn.functional.layer_norm(tx, (16, 17), eps=EPS)
        wanted, *right = exact(name, x, 2, None, None, EPS)
    ty.backward(torch.tensor(dy))
    dx = fast(f"{name}_grad", dy, x, *statistics, None, EPS)[0]
    wanted_dx = exact(f"{name}_grad", dy, x, *right, None, EPS)[0]
    assert largest_error([y], [wanted]) <= 2 * largest_error([ty.detach().numpy()], [wanted])
    theirs = largest_error([tx.grad.numpy()], [wanted_dx])
    assert largest_error([dx], [wanted_dx]) <= 2 * theirs


def test_half_precision_is_rounded_once():
    x = (random_array((3000, 2)) + 8).astype(np.float16)
    mean, var = reference.batch_statistics(np, x)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
    arguments = (mean, var, None, None, 1e-5, None, None)
    y = reference.batch_norm(np, x, *arguments)
    assert y.dtype == np.float16
    wide = reference.batch_norm(np, x.astype(np.float64), *arguments)
    np.testing.assert_allclose(y, wide, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("of_values", ["float32", "float64"])
def test_running_averages(of_values, dtype, step):
    averages = [random_array((14,), dtype, seed)[::step] for seed in (1, 2)]
    values = [random_array((14,), of_values, seed)[::step] for seed in (3, 4)]
    expected = [average.copy() for average in averages]
    KERNELS["move_averages"](np, expected, values, 0.3)
    before = [average.copy() for average in averages]
    assert fast("move_averages", averages, values, 0.3) is None
    for one, other, old in zip(averages, expected, before, strict=True):
        np.testing.assert_allclose(one, other, rtol=4 * np.finfo(dtype).eps)
        assert not np.array_equal(one, old)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("kept", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 36, 9, 11)])
@pytest.mark.parametrize("counted", [False, True])
def test_statistics_move_averages(counted, shape, dtype, kept, step):
    x, channels = random_array(shape, dtype) * 2 + 1, shape[1]
    averages = [random_array((channels * step,), kept, seed)[::step] for seed in (1, 2)]
    axes = (0, *range(2, len(shape)))
    mean, var = (f(x.astype(np.float64), axis=axes) for f in (np.mean, np.var))
    unbiased = var * (x.size / channels) / (x.size / channels - 1)
    expected = [a * 0.7 + v * 0.3 for a, v in zip(averages, (mean, unbiased), strict=True)]
    for run in (fast, lambda name, *arguments: KERNELS[name](np, *arguments)):
        moved = tuple(average.copy() if step == 1 else average for average in averages)
        before, count = [average.copy() for average in moved], np.array(6)
        statistics = run("batch_statistics", x, (*moved, count) if counted else moved, 0.3)
        assert count == (7 if counted else 6)
        for one, wanted in zip(moved, expected, strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-5)
        for one, wanted in zip(statistics, (mean, var), strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-5)
        for one, old in zip(moved, before, strict=True):
            one[...] = old
