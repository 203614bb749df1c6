"""Kernels that add their result to an array, of either backend and in any memory layout."""

import numpy as np
import pytest
from kernel_cases import GEOMETRIES, LAYOUTS, geometry, random_array

from tinyconv import config
from tinyconv.backend import cpu
from tinyconv.backend.reference import KERNELS

PAD, ONE = ((1, 1), (1, 1)), (1, 1)
#: What each algorithm of the CPU does: several blocks, tiles and panels, and rests of each.
LARGE = [
    geometry(3, 35, 70, (13, 18), (3, 3), ONE, PAD, ONE),
    geometry(2, 300, 170, (14, 9), (3, 3), ONE, PAD, ONE),
    geometry(2, 140, 130, (21, 20), ONE, ONE, ((0, 0),) * 2, ONE),
    geometry(5, 140, 130, (2, 3), ONE, ONE, ((0, 0),) * 2, ONE),
    geometry(2, 40, 70, (21, 20), ONE, (2, 2), ((0, 0),) * 2, ONE),
    geometry(2, 140, 200, (13, 12), (3, 3), (2, 2), PAD, ONE, 2),
]
#: What a sum is written over can be written to.
ORDERS = sorted(set(LAYOUTS) - {"read_only"})


def check(kernel, name, arguments, total, dtype):
    """Compare with the sum of a call without it, and with the reference."""
    without = kernel(np, *arguments)
    single = not isinstance(without, tuple)
    before = total.copy()
    results = kernel(np, *arguments, total)
    exact = KERNELS[name](np, *(wide(a) for a in arguments), wide(before))
    if single:
        without, results, exact = (without,), (results,), (exact,)
    assert results[0].dtype == dtype
    scale = np.abs(exact[0]).max(initial=0)
    np.testing.assert_allclose(results[0], before + without[0], 0, 8 * np.finfo(dtype).eps * scale)
    np.testing.assert_allclose(results[0], exact[0], 0, 100 * np.finfo(dtype).eps * scale)
    for one, other in zip(results[1:], without[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    return results[0]


def wide(a):
    return a.astype("float64") if isinstance(a, np.ndarray) else a


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("g", GEOMETRIES)
def test_input_gradient_of_any_geometry_and_layout(g, order, override):
    dy = random_array((g.batch, g.out_channels, *g.out), "float32")
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel), "float32")
    total = LAYOUTS[order](random_array((g.batch, g.channels, *g.spatial), "float32", 1))
    rest = (g.spatial, g.stride, g.padding, g.dilation, g.groups, None)
    check(override("conv_input_grad"), "conv_input_grad", (dy, w, *rest), total, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("g", LARGE)
def test_input_gradient_in_place(g, dtype):
    dy = random_array((g.batch, g.out_channels, *g.out), dtype)
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel), dtype)
    total = random_array((g.batch, *g.spatial, g.channels), dtype, 1).transpose(0, 3, 1, 2)
    arguments = (dy, w, g.spatial, g.stride, g.padding, g.dilation, g.groups, None)
    results = []
    for count in (1, 2, 8):
        with config.num_threads.override(count):
            given = total.copy(order="K")
            kernel = cpu.override("conv_input_grad")
            results.append(check(kernel, "conv_input_grad", arguments, given, dtype))
            assert np.shares_memory(results[-1], given)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mask", ["none", "given", "again"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (8, 70, 30, 31), (0, 3, 2, 2)])
def test_gradient_of_batch_normalisation(shape, order, mask, training, override):
    x, y, dy, total = (random_array(shape, "float32", seed) for seed in range(4))
    vectors = [np.abs(random_array((shape[1],), "float32", seed)) + 0.1 for seed in range(4)]
    limits = None if mask == "none" else (0.0, np.inf)
    arguments = (dy, x, *vectors, 1e-5, y if mask == "given" else None, limits, training)
    kernel, total = override("batch_norm_grad"), LAYOUTS[order](total)
    check(kernel, "batch_norm_grad", arguments, total, "float32")


def test_threads_do_not_change_the_sum_with_a_gradient_of_batch_normalisation():
    x, dy, total = (random_array((8, 64, 64, 70), "float32", seed) for seed in range(3))
    x, dy, total = (a.transpose(0, 3, 1, 2) for a in (x, dy, total))
    vectors = [np.abs(random_array((70,), "float32", seed)) + 0.1 for seed in range(4)]
    results = []
    for count in (1, 2, 8):
        with config.num_threads.override(count):
            given = total.copy(order="K")
            arguments = (dy, x, *vectors, 1e-5, None, (0.0, 6.0), True, given)
            results.append(cpu.override("batch_norm_grad")(np, *arguments)[0])
            assert np.shares_memory(results[-1], given)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
