"""The pooling kernels on the emulator, against the reference, over odd shapes and values."""

import numpy as np
import pytest
from cuda_cases import OF, assert_near, numbers, wide, xp
from cuda_emulator import COMPILER, emulated
from kernel_cases import GEOMETRIES, LAYOUTS, NONE, Geometry

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import pool

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def run(name, *arguments):
    return cuda.override(name)(xp, *arguments)


def exact(name, *arguments):
    return reference.KERNELS[name](np, *wide(*arguments))


def check(g, x, hang, change=np.ascontiguousarray, dtype="float32", divisor=3):
    """Compare all five kernels; ``hang`` windows more than fit lie over the end."""
    out = tuple(n + hang for n in g.out)
    x = change(x)
    rest = (g.kernel, g.stride, g.padding, g.dilation)
    y, window = run("max_pool", x, *rest, out)
    expected_y, expected_window = exact("max_pool", x, *rest, out)
    np.testing.assert_array_equal(y.astype(np.float64), expected_y)
    np.testing.assert_array_equal(window, expected_window)
    assert y.dtype == x.dtype
    assert window.dtype == expected_window.dtype

    dy = change(numbers((g.batch, g.channels, *out), dtype, 1))
    window = change(window)
    spread = (dy, window, g.spatial, *rest)
    assert_near(run("max_pool_grad", *spread), exact("max_pool_grad", *spread), dtype, 16)
    taken = run("max_pool_take", x, window, *rest)
    expected = exact("max_pool_take", x, window, *rest)
    np.testing.assert_array_equal(taken.astype(np.float64), expected)

    x = np.where(np.isfinite(x), x, np.ones_like(x))
    rest = rest[:3]
    total = run("sum_pool", x, *rest, out, divisor)
    assert_near(total, exact("sum_pool", x, *rest, out, divisor), dtype, 32)
    spread = (dy, g.spatial, *rest, divisor)
    assert_near(run("sum_pool_grad", *spread), exact("sum_pool_grad", *spread), dtype, 32)


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("hang", [0, 1])
@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "infinite"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_geometries(g, kind, hang, dtype):
    x = numbers((g.batch, g.channels, *g.spatial), "float32")
    if kind == "ties":
        x = np.round(x)
    elif kind == "nan":
        x[x > 0.5] = np.nan
    elif kind == "infinite":
        x[x < 0.7] = -np.inf
        x[x > 1.5] = np.inf
    check(g, x.astype(OF[dtype]), hang, dtype=dtype)


@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("channels", [5, 8])
def test_any_layout(channels, order):
    g = GEOMETRIES[4]._replace(channels=channels)
    check(g, numbers((2, channels, *g.spatial)), 0, LAYOUTS[order])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
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
    check(g, numbers((2, channels, *spatial), dtype), 0, dtype=dtype)


@pytest.mark.parametrize("channels", [3, 4, 8])
@pytest.mark.parametrize("dtype", OF)
def test_large_window(dtype, channels):
    g = Geometry(2, channels, 0, (20, 18), (17, 18), (1, 1), NONE, (1, 1), 1)
    x = numbers((2, channels, 20, 18), dtype)
    assert run("max_pool", x, *g[4:8], g.out)[1].dtype == np.int32
    check(g, x, 0, dtype=dtype, divisor=306)


def test_first_of_equal_numbers_wins():
    zeros = np.zeros((1, 4, 4, 4), np.float32)
    _, window = run("max_pool", zeros, (2, 2), (2, 2), ((1, 0), (1, 0)), (1, 1), (2, 2))
    for channel in window[0]:
        np.testing.assert_array_equal(channel, [[3, 2], [1, 0]])


def test_window_that_misses_the_input():
    """Dilation 3 steps over a 2-pixel input: every tap lies in the padding."""
    x, rest = np.ones((1, 1, 2, 2), np.float32), ((2, 2), (1, 1), ((1, 1), (1, 1)), (3, 3))
    y, window = run("max_pool", x, *rest, (1, 1))
    assert y.item() == -np.inf
    assert window.item() == 0
    dx = run("max_pool_grad", np.ones_like(y), window, (2, 2), *rest)
    np.testing.assert_array_equal(dx, np.zeros_like(x))
    assert run("max_pool_take", x, window, *rest).item() == 0


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_empty(shape):
    x, rest = np.zeros(shape, np.float32), ((2, 2), (2, 2), NONE)
    y, window = run("max_pool", x, *rest, (1, 1), (2, 2))
    assert y.shape == window.shape == (*shape[:2], 2, 2)
    assert run("max_pool_grad", y, window, (4, 4), *rest, (1, 1)).shape == shape
    assert run("sum_pool_grad", run("sum_pool", x, *rest, (2, 2)), (4, 4), *rest).shape == shape


def test_one_block_an_image(monkeypatch):
    monkeypatch.setattr(pool, "blocks_for", lambda *_, **__: 1)
    g = Geometry(3, 12, 0, (21, 23), (3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1), 1)
    check(g, numbers((3, 12, 21, 23)), 0)


def test_others_go_to_the_reference():
    x = np.arange(16, dtype=np.int32).reshape(1, 1, 4, 4)
    y, window = run("max_pool", x, (2, 2), (2, 2), NONE, (1, 1), (2, 2))
    np.testing.assert_array_equal(y[0, 0], [[5, 7], [13, 15]])
    assert y.dtype == np.int32
    double = y.astype(np.float64)
    dx = run("max_pool_grad", double, window, (4, 4), (2, 2), (2, 2), NONE, (1, 1))
    assert dx.dtype == np.float64
    x, rest = numbers((2, 3, 4, 4, 4, 4)), ((2,) * 4, (2,) * 4, ((0, 0),) * 4)
    total = run("sum_pool", x, *rest, (2,) * 4, 16)
    np.testing.assert_allclose(
        total, x.reshape(2, 3, 2, 2, 2, 2, 2, 2, 2, 2).mean((3, 5, 7, 9)), rtol=1e-5, atol=1e-6
    )
