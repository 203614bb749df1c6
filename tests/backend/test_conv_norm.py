"""Convolution that normalises its result by constants: every algorithm, on either backend."""

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated
from kernel_cases import GEOMETRIES, LAYOUTS, geometry, random_array

from tinyconv import config
from tinyconv.backend import cpu, cuda
from tinyconv.backend.reference import KERNELS

PAD, ONE, NONE = ((1, 1), (1, 1)), (1, 1), ((0, 0), (0, 0))


#: Several panels and chunks of channels, and rests of each.
LARGE = {
    "shallow winograd": geometry(2, 35, 70, (13, 18), (3, 3), ONE, PAD, ONE),
    "deep winograd": geometry(2, 300, 170, (14, 9), (3, 3), ONE, PAD, ONE),
    "pointwise": geometry(2, 140, 130, (21, 20), ONE, ONE, NONE, ONE),
    "few rows": geometry(5, 140, 130, (2, 3), ONE, ONE, NONE, ONE),
    "pointwise in groups": geometry(2, 140, 130, (21, 20), ONE, ONE, NONE, ONE, 2),
    "direct": geometry(2, 70, 170, (13, 12), (3, 3), (2, 2), PAD, ONE),
    "direct in groups": geometry(2, 140, 90, (13, 12), (3, 3), (2, 2), PAD, ONE, 2),
    "narrow": geometry(2, 40, 3, (30, 31), (5, 5), ONE, PAD, ONE),
    "positions": geometry(8, 64, 70, (2, 2), (3, 3), ONE, PAD, ONE),
    "depthwise": geometry(2, 70, 70, (13, 12), (3, 3), ONE, PAD, ONE, 70),
}


def arguments(g, dtype, bias=True, affine=True):
    """Return the arguments of a convolution but its limits, and a normalisation of its result."""
    x = random_array((g.batch, g.channels, *g.spatial), dtype)
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel), dtype)
    added, mean, var, weight, shift = (
        random_array((g.out_channels,), dtype, seed) for seed in range(5)
    )
    norm = (mean.astype("float64"), np.abs(var).astype("float64") + 0.1)
    norm += (weight, shift) if affine else (None, None)
    rest = (g.stride, g.padding, g.dilation, g.groups)
    return (x, w, added if bias else None, *rest), (*norm, 1e-3)


def wide(values):
    return [v.astype("float64") if isinstance(v, np.ndarray) else v for v in values]


def check(kernel, given, norm, limits, dtype, scale=100):
    y = kernel(np, *given, limits, norm)
    exact = KERNELS["conv"](np, *wide(given), None, tuple(wide(norm)))
    size = np.abs(exact).max(initial=1)
    exact = exact if limits is None else np.clip(exact, *limits)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, exact, 0, scale * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_any_geometry(g, bias):
    given, norm = arguments(g, "float32", bias, not bias)
    check(cpu.override("conv"), given, norm, None, "float32")
    check(KERNELS["conv"], given, norm, (0.0, np.inf), "float32")
    if COMPILER:
        with emulated(), config.float32_precision.override("highest"):
            check(cuda.override("conv"), given, norm, (0.0, np.inf), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LARGE)
def test_any_algorithm_and_number_of_threads(name, dtype):
    given, norm = arguments(LARGE[name], dtype)
    for limits in (None, (-0.5, 0.75)):
        check(cpu.override("conv"), given, norm, limits, dtype, 400)
    results = []
    for count in (1, 2, 8):
        with config.num_threads.override(count):
            results.append(cpu.override("conv")(np, *given, None, norm))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("name", LARGE)
def test_a_residual_is_added_before_the_limits(name, order, dtype, override):
    g = LARGE[name]
    given, norm = arguments(g, dtype)
    more = LAYOUTS[order](random_array((g.batch, g.out_channels, *g.out), dtype, 7))
    limits, size = (0.0, 2.0), np.finfo(dtype).eps * np.prod(given[1].shape[1:]) ** 0.5
    y = override("conv")(np, *given, limits, norm, more)
    expected = override("conv")(np, *given, None, norm) + more
    assert y.dtype == dtype
    assert 0 < (y == 0).sum() < y.size
    np.testing.assert_allclose(y, np.clip(expected, *limits), 0, 200 * size)
    exact = KERNELS["conv"](np, *given, limits, norm, more)
    np.testing.assert_allclose(y, exact, 0, 400 * size)


def test_threads_and_nan_in_a_sum_with_a_residual():
    g = LARGE["pointwise"]
    given, norm = arguments(g, "float32")
    more = random_array((g.batch, g.out_channels, *g.out), "float32", 7)
    more[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    results = []
    for count in (1, 2, 8):
        with config.num_threads.override(count):
            results.append(cpu.override("conv")(np, *given, (0.0, np.inf), norm, more))
    assert np.isnan(results[0]).sum() == 1
    assert results[0][0, 0, 0, 1:3].tolist() == [np.inf, 0.0]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_half_precision_is_rounded_once():
    given, norm = arguments(LARGE["shallow winograd"], "float32")
    half = [v.astype("float16") if isinstance(v, np.ndarray) else v for v in given]
    for kernel in (KERNELS["conv"], cpu.override("conv")):
        y = kernel(np, *half, None, norm)
        assert y.dtype == np.float16
        exact = KERNELS["conv"](np, *wide(half), None, tuple(wide(norm)))
        np.testing.assert_allclose(y, exact, 2e-3, 2e-3 * np.abs(exact).max())
