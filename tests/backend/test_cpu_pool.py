"""The fast pooling kernels against the reference, over odd shapes and values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import (
    DTYPES,
    GEOMETRIES,
    LAYOUTS,
    NONE,
    Geometry,
    assert_close,
    random_array,
)

from tinyconv import config
from tinyconv.backend import reference
from tinyconv.backend.cpu import pool as fast


def check(g, x, hang, change=np.ascontiguousarray):
    """Compare all five kernels; ``hang`` windows more than fit lie over the end."""
    out = tuple(n + hang for n in g.out)
    x = change(x)
    rest = (g.kernel, g.stride, g.padding, g.dilation)
    y, window = fast.max_pool(np, x, *rest, out)
    expected_y, expected_window = reference.max_pool(np, x, *rest, out)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(window, expected_window)
    assert window.dtype == expected_window.dtype

    dy = change(random_array((g.batch, g.channels, *out), x.dtype, seed=1))
    window = change(window)
    spread = (dy, window, g.spatial, *rest)
    assert_close(fast.max_pool_grad(np, *spread), reference.max_pool_grad(np, *spread), 10)
    taken = fast.max_pool_take(np, x, window, *rest)
    np.testing.assert_array_equal(taken, reference.max_pool_take(np, x, window, *rest))

    x = np.nan_to_num(x, posinf=3, neginf=-3)
    rest = rest[:3]
    total = fast.sum_pool(np, x, *rest, out)
    assert_close(total, reference.sum_pool(np, x, *rest, out), 20)
    spread = (dy, g.spatial, *rest)
    assert_close(fast.sum_pool_grad(np, *spread), reference.sum_pool_grad(np, *spread), 20)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hang", [0, 1])
@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "infinite"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_geometries(g, kind, hang, dtype):
    x = random_array((g.batch, g.channels, *g.spatial), dtype)
    if kind == "ties":
        x = np.round(x)
    elif kind == "nan":
        x[x > 0.5] = np.nan
    elif kind == "infinite":
        x[x < 0.7] = -np.inf
        x[x > 1.5] = np.inf
    check(g, x, hang)


@given(st.sampled_from(GEOMETRIES), st.sampled_from(sorted(LAYOUTS)), st.integers(0, 2), st.data())
@settings(deadline=None, max_examples=40)
def test_few_values_any_layout(g, layout, hang, data):
    values = data.draw(st.lists(st.sampled_from([0.0, 1.0, np.nan, -np.inf]), min_size=1))
    shape = (g.batch, g.channels, *g.spatial)
    check(g, np.resize(values, shape), hang, LAYOUTS[layout])


def test_all_equal_first_wins():
    _, window = fast.max_pool(
        np, np.zeros((1, 1, 4, 4)), (2, 2), (2, 2), ((1, 0), (1, 0)), (1, 1), (2, 2)
    )
    np.testing.assert_array_equal(window[0, 0], [[3, 2], [1, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_window(dtype):
    x = random_array((2, 3, 20, 18), dtype)
    rest = ((17, 18), (1, 1), NONE, (1, 1))
    y, window = fast.max_pool(np, x, *rest, (4, 1))
    assert window.dtype == np.int32
    np.testing.assert_array_equal(window, reference.max_pool(np, x, *rest, (4, 1))[1])
    dx = fast.max_pool_grad(np, y, window, (20, 18), *rest)
    assert_close(dx, reference.max_pool_grad(np, y, window, (20, 18), *rest), 10)
    total = fast.sum_pool(np, x, *rest[:3], (4, 1)).astype(np.float64)
    exact = reference.sum_pool(np, x.astype(np.float64), *rest[:3], (4, 1))
    # Sums are float64, so float32 pays for one rounding only.
    np.testing.assert_allclose(total, exact, rtol=np.finfo(dtype).eps * 4, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 16, 17, 70])
@pytest.mark.parametrize(
    ("spatial", "kernel", "stride", "dilation"),
    [
        ((9,), (3,), (2,), (2,)),
        ((8,), (2,), (1,), (1,)),
        ((6, 7), (3, 2), (2, 1), (1, 2)),
        ((5, 5, 6), (2, 3, 2), (2, 1, 3), (1, 2, 1)),
        ((4, 4, 4), (2, 2, 2), (2, 2, 2), (1, 1, 1)),
    ],
)
def test_one_to_three_dimensions(spatial, kernel, stride, dilation, channels, dtype):
    padding = tuple((k // 2, (k - 1) // 2) for k in kernel)
    g = Geometry(2, channels, 0, spatial, kernel, stride, padding, dilation, 1)
    check(g, random_array((2, channels, *spatial), dtype), 0)


def test_spatial_sizes_beyond_three_go_to_the_reference():
    x, rest = random_array((2, 3, 4, 4, 4, 4)), ((2,) * 4, (2,) * 4, ((0, 0),) * 4)
    y, window = fast.max_pool(np, x, *rest, (1,) * 4, (2,) * 4)
    dx = fast.max_pool_grad(np, y, window, x.shape[2:], *rest, (1,) * 4)
    assert dx.shape == x.shape
    total = fast.sum_pool(np, x, *rest, (2,) * 4, 16)
    np.testing.assert_allclose(total, x.reshape(2, 3, 2, 2, 2, 2, 2, 2, 2, 2).mean((3, 5, 7, 9)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sum_divided(dtype):
    x = random_array((2, 5, 6, 7), dtype)
    rest = ((3, 2), (2, 2), ((1, 1), (0, 1)))
    for divisor in (6, 0.5):
        total = fast.sum_pool(np, x, *rest, (3, 4), divisor)
        assert total.dtype == dtype
        assert_close(total, fast.sum_pool(np, x, *rest, (3, 4)) / divisor, 4)
        spread = fast.sum_pool_grad(np, total, (6, 7), *rest, divisor)
        assert_close(spread, reference.sum_pool_grad(np, total, (6, 7), *rest, divisor), 10)


@pytest.mark.parametrize("name", ["max_pool", "sum_pool"])
def test_threads_do_not_change_bits(name):
    x = random_array((3, 20, 33, 31), "float32")
    arguments = (np, x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    arguments += ((1, 1), (17, 16)) if name == "max_pool" else ((17, 16),)
    results = []
    for threads in (1, 2):
        with config.override(num_threads=threads):
            result = getattr(fast, name)(*arguments)
            results.append(result if isinstance(result, tuple) else (result,))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_integers_go_to_the_reference():
    x = np.arange(16, dtype=np.int32).reshape(1, 1, 4, 4)
    y, _ = fast.max_pool(np, x, (2, 2), (2, 2), NONE, (1, 1), (2, 2))
    np.testing.assert_array_equal(y[0, 0], [[5, 7], [13, 15]])
    assert y.dtype == np.int32
