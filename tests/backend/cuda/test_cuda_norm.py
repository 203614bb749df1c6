"""Batch and group normalisation on the emulator, against the reference kernels in float64."""

import itertools

import numpy as np
import pytest
from cuda_cases import OF, assert_near, numbers, wide, xp
from cuda_emulator import COMPILER, emulated
from kernel_cases import LAYOUTS

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda.loops import columns, tiling

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
EPS = 1e-3
RELU, BOTH = (0.0, np.inf), (-0.5, 0.75)
SHAPES = [
    (5, 3), (4, 3, 7), (3, 5, 4, 6), (2, 3, 2, 3, 4), (1, 4, 1, 1), (2, 8, 5, 3), (2, 70, 3, 3),
    (3, 64, 7, 1), (1, 1, 1, 1), (2, 136, 2, 5), (2, 1, 40, 30),
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def run(name, *arguments):
    return cuda.override(name)(xp, *arguments)


def exact(name, *arguments):
    return reference.KERNELS[name](np, *wide(*arguments))


def check_batch_norm(x, dtype, limits=None, residual=None, affine=True, training=True, saved=True):
    channels = x.shape[1]
    dy = numbers(x.shape, dtype, 1)
    weight, bias = (numbers((channels,), dtype, s) if affine else None for s in (2, 3))
    mean, var = run("batch_statistics", x)
    for actual, expected in zip((mean, var), exact("batch_statistics", x), strict=True):
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=4e-7, atol=1e-7)
    arguments = (mean, var, weight, bias, EPS)
    y = run("batch_norm", x, *arguments, residual, limits)
    assert_near(y, exact("batch_norm", x, *arguments, residual, limits), dtype, 16)
    # The mask is a step: it is taken of one and the same y.
    given = y if saved or residual is not None else None
    actual = run("batch_norm_grad", dy, x, *arguments, given, limits, training)
    if given is None and limits is not None:
        given = cuda.override("batch_norm")(
            np, x.astype("f4"), *wide(mean, var), *wide(weight, bias), EPS, None, None
        )
    expected = exact("batch_norm_grad", dy, x, *arguments, given, limits, training)
    count = x.size // channels
    assert_near(actual[0], expected[0], dtype, 32)
    for one, other in zip(actual[1:], expected[1:], strict=True):
        assert_near(one, other, "float32", 4 * count)


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape, training, dtype):
    x = numbers(shape, dtype, offset=4, scale=3)
    check_batch_norm(x, dtype, affine=training, training=training)


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("limits", [RELU, BOTH])
@pytest.mark.parametrize("form", ["residual", "saved", "computed again"])
def test_residual_and_limits(form, limits, training, dtype):
    x = numbers((3, 8, 5, 4), dtype)
    residual = numbers(x.shape, dtype, 4) if form == "residual" else None
    check_batch_norm(x, dtype, limits, residual, training=training, saved=form == "saved")


@pytest.mark.parametrize("channels", [*range(1, 20), 31, 32, 33, 64, 70])
def test_any_number_of_channels(channels):
    check_batch_norm(numbers((2, channels, 3, 5), offset=2), "float32", RELU)


@pytest.mark.parametrize("order", LAYOUTS)
def test_any_layout(order):
    change = LAYOUTS[order]
    x, dy, more = (numbers((3, 8, 4, 5), seed=s) for s in range(3))
    weight, bias = (numbers((8,), seed=s) for s in (4, 5))
    mean, var = exact("batch_statistics", x)
    plain = (mean, var, weight, bias, EPS)
    given = [change(v) if isinstance(v, np.ndarray) else v for v in plain]
    y = run("batch_norm", x, *plain, more, RELU)
    np.testing.assert_array_equal(run("batch_norm", change(x), *given, change(more), RELU), y)
    one = run("batch_norm_grad", dy, x, *plain, y, RELU, True)
    other = run("batch_norm_grad", change(dy), change(x), *given, change(y), RELU, True)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(run("batch_statistics", change(x)), (mean, var), strict=True):
        np.testing.assert_allclose(a, b, rtol=4e-7, atol=1e-7)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("shape", [(40, 3, 16, 16), (2, 16, 64, 48), (3000, 8), (7, 3, 101)])
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 1e6])
def test_statistics_where_the_mean_is_large(offset, shape):
    x = numbers(shape, offset=offset)
    mean, var = run("batch_statistics", x)
    right = exact("batch_statistics", x)
    np.testing.assert_allclose(mean, right[0], rtol=1e-12, atol=2e-8)
    np.testing.assert_allclose(var, right[1], rtol=2e-7)
    arguments = (x, mean, var, None, None, 1e-5, None, None)
    assert_near(run("batch_norm", *arguments), exact("batch_norm", *arguments), "float32", 4)
    arguments = (numbers(shape, seed=1, offset=1), x, mean, var, None, None, 1e-5, None, None, True)
    expected = exact("batch_norm_grad", *arguments)
    for one, other in zip(run("batch_norm_grad", *arguments), expected, strict=True):
        assert_near(one, other, "float32", 32)


@pytest.mark.parametrize("pattern", ["outlier first", "constant", "steps"])
def test_a_first_number_far_from_the_mean(pattern):
    x = numbers((40, 2, 32, 32))
    if pattern == "outlier first":
        x[0] = 1e4
    elif pattern == "constant":
        x[...] = 0.1
    else:
        x += 1e3 * np.arange(40, dtype=np.float32).reshape(-1, 1, 1, 1)
    for ours, right in zip(run("batch_statistics", x), exact("batch_statistics", x), strict=True):
        np.testing.assert_allclose(ours, right, rtol=5e-7, atol=1e-13)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, -1])
def test_statistics_of_what_is_not_finite(value, place):
    x = np.ones((4, 8, 32, 32), np.float32)
    x[place, 1, place, place] = value
    with np.errstate(invalid="ignore"):
        right = reference.batch_statistics(np, x)
    for ours, wanted in zip(run("batch_statistics", x), right, strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("limits", [RELU, (-1.0, 2.0)])
def test_nan_passes_limits_and_their_gradient(limits):
    x = np.ones((2, 4, 8, 8), np.float32)
    x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    zero, one = np.zeros(4), np.ones(4)
    y = run("batch_norm", x, zero, one, None, None, 0.0, None, limits)
    assert np.isnan(y).sum() == np.isnan(y[0, 0, 0, 0]) == 1
    assert tuple(y[0, 0, 0, [2, 1]]) == limits
    dy = np.ones_like(x)
    hit = 1.0 if limits[1] == np.inf else 0.0  # infinity is no limit
    for given in (y, None):
        dx, _, dbias = run(
            "batch_norm_grad", dy, x, zero, one, None, None, 0.0, given, limits, False
        )
        assert dx[0, 0, 0, :4].tolist() == [1.0, hit, 0.0, 1.0]
        assert dbias[0] == 2 * 64 - 2 + hit


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 3, 3), (2, 8, 0, 3)])
def test_empty(shape):
    x = np.zeros(shape, np.float32)
    mean, var = run("batch_statistics", x)
    assert mean.dtype == np.float64
    np.testing.assert_array_equal(mean, np.zeros(shape[1]))
    assert run("batch_norm", x, mean, var, None, None, EPS, None, None).shape == shape
    dx, dweight, dbias = run("batch_norm_grad", x, x, mean, var, None, None, EPS, None, None, True)
    assert dx.shape == shape
    np.testing.assert_array_equal((dweight, dbias), np.zeros((2, shape[1])))


def test_parameters_of_another_dtype():
    """Weight and bias may be float32 where images are half precision, statistics float32."""
    x = numbers((2, 8, 4, 4), "bfloat16")
    dy = numbers(x.shape, "bfloat16", 1)
    weight, bias = numbers((8,), seed=2), numbers((8,), seed=3)
    mean, var = (s.astype(np.float32) for s in run("batch_statistics", x))
    for pair in ((weight, bias), tuple(wide(weight, bias)), (weight, None)):
        arguments = (mean, var, *pair, EPS)
        y = run("batch_norm", x, *arguments, None, None)
        assert_near(y, exact("batch_norm", x, *arguments, None, None), "bfloat16", 16)
        actual = run("batch_norm_grad", dy, x, *arguments, None, None, True)
        expected = exact("batch_norm_grad", dy, x, *arguments, None, None, True)
        for one, other, dtype in zip(actual, expected, ("bfloat16", *["float32"] * 2), strict=True):
            assert_near(one, other, dtype, 200)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("channels", [1, 5, 300])
@pytest.mark.parametrize("dtype", OF)
def test_running_averages(dtype, channels, count):
    averages = [numbers((channels,), dtype, seed) for seed in range(count)]
    values = [numbers((channels,), "float64", seed) for seed in range(2, 2 + count)]
    values[-1] = values[-1].astype(np.float32)
    expected = wide(*averages)
    reference.move_averages(np, expected, values, 0.3)
    run("move_averages", averages, values, 0.3)
    for one, other in zip(averages, expected, strict=True):
        assert_near(one, other, dtype, 1)


@pytest.mark.parametrize("form", ["float64", "every second", "three"])
def test_running_averages_of_other_forms(form):
    dtype = "float64" if form == "float64" else "float32"
    step, count = 2 if form == "every second" else 1, 3 if form == "three" else 2
    averages = [numbers((12,), dtype, seed)[::step] for seed in range(count)]
    values = [numbers((12,), "float64", seed)[::step] for seed in range(5, 5 + count)]
    expected = [average.copy() for average in averages]
    reference.move_averages(np, expected, values, 0.25)
    run("move_averages", averages, values, 0.25)
    np.testing.assert_array_equal(averages, expected)


@pytest.mark.parametrize("form", ["float32", "float64", "every second"])
@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("dtype", OF)
def test_statistics_move_averages(dtype, counted, form):
    x = numbers((3, 6, 4, 5), dtype)
    kept, step = ("float32", 2) if form == "every second" else (form, 1)
    averages = tuple(numbers((6 * step,), kept, seed)[::step] for seed in (1, 2))
    count = (np.array(41),) if counted else ()
    expected = tuple(wide(*averages))
    right = reference.batch_statistics(np, wide(x)[0], expected, 0.3)
    statistics = run("batch_statistics", x, (*averages, *count), 0.3)
    for one, wanted in zip((*statistics, *averages), (*right, *expected), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)
    assert count == ((42,) if counted else ())


def test_gradients_of_weight_and_bias_have_memory_of_their_own():
    x = numbers((3, 6, 4, 5))
    arguments = *run("batch_statistics", x), x[0, :, 0, 0], x[1, :, 0, 0], EPS, None, None, True
    for gradient in run("batch_norm_grad", x, x, *arguments)[1:]:
        assert gradient.base is None or gradient.base.nbytes == gradient.nbytes


def test_float64_goes_to_the_reference():
    x = numbers((2, 3, 4), "float64")
    statistics = run("batch_statistics", x)
    arguments = (*statistics, None, None, EPS)
    for name, given in (
        ("batch_statistics", (x,)),
        ("batch_norm", (x, *arguments, x, RELU)),
        ("batch_norm_grad", (x, x, *arguments, None, None, True)),
    ):
        for one, other in zip(run(name, *given), exact(name, *given), strict=True):
            assert one.dtype == np.float64
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("processors", [1, 3, 50])
def test_any_number_of_blocks(processors, emulator, monkeypatch):
    monkeypatch.setattr(emulator, "multiprocessors", processors, raising=False)
    x = numbers((6, 12, 9, 7)) + np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    check_batch_norm(x, "float32", RELU)


def test_rows_of_a_tile_that_divide_nothing(monkeypatch):
    for rows, columns_of_tile in itertools.product((1, 3, 8), (1, 2, 32)):
        monkeypatch.setattr(tiling, "ROWS", rows)
        monkeypatch.setattr(tiling, "ACROSS", columns_of_tile)
        monkeypatch.setattr(columns, "SUM_BLOCKS", 1000)
        check_batch_norm(numbers((3, 20, 7, 11), offset=5), "float32", BOTH)
