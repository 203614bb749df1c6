"""Reference pooling against the definition and PyTorch."""

import numpy as np
import pytest
from kernel_cases import GEOMETRIES, NONE, assert_close, random_array

from tinyconv.backend import reference

# A window at least half inside the input, as an op demands, and some that are not.
POOLS = [g._replace(groups=1, out_channels=g.channels) for g in GEOMETRIES]


def definition(x, g, out):
    """Walk over every window; return maxima and winners."""
    y, window = np.full((*x.shape[:2], *out), -np.inf), np.zeros((*x.shape[:2], *out), int)
    for n, c, i, j in np.ndindex(*y.shape):
        found = False
        for tap, (a, b) in enumerate(np.ndindex(*g.kernel)):
            row = i * g.stride[0] - g.padding[0][0] + a * g.dilation[0]
            column = j * g.stride[1] - g.padding[1][0] + b * g.dilation[1]
            if not (0 <= row < x.shape[2] and 0 <= column < x.shape[3]):
                continue
            value, best = x[n, c, row, column], y[n, c, i, j]
            if not found or value > best or (np.isnan(value) and not np.isnan(best)):
                y[n, c, i, j], window[n, c, i, j], found = value, tap, True
    return y, window


@pytest.mark.parametrize("g", POOLS)
@pytest.mark.parametrize("hang", [0, 1])
@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "minus_inf"])
def test_max_pool_definition(g, hang, kind):
    x = random_array((g.batch, g.channels, *g.spatial))
    if kind == "ties":
        x = np.round(x)
    elif kind == "nan":
        x[x > 0.7] = np.nan
    elif kind == "minus_inf":
        x[x < 0.7] = -np.inf
    out = tuple(n + hang for n in g.out)
    y, window = reference.max_pool(np, x, g.kernel, g.stride, g.padding, g.dilation, out)
    expected_y, expected_window = definition(x, g, out)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(window, expected_window)
    assert window.dtype == np.uint8


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(2, 0, 1), (3, 1, 2), (1, 1, 1)])
def test_max_pool_torch(dimensions, ceil_mode, stride, padding, dilation):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = random_array((2, 3, *(8, 9, 10)[:dimensions]))
    tx = torch.tensor(x, requires_grad=True)
    pool = getattr(functional, f"max_pool{dimensions}d")
    ty, index = pool(tx, 3, stride, padding, dilation, ceil_mode, return_indices=True)
    dy = random_array(tuple(ty.shape), seed=1)
    ty.backward(torch.tensor(dy))

    d, out = dimensions, tuple(ty.shape[2:])
    rest = ((3,) * d, (stride,) * d, ((padding, padding),) * d, (dilation,) * d)
    y, window = reference.max_pool(np, x, *rest, out)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    dx = reference.max_pool_grad(np, dy, window, x.shape[2:], *rest)
    assert_close(dx, tx.grad.numpy(), 5)
    g = random_array(x.shape, seed=2)
    flat = g.reshape(2, 3, -1)
    picked = np.take_along_axis(flat, index.numpy().reshape(2, 3, -1), 2).reshape(dy.shape)
    np.testing.assert_array_equal(reference.max_pool_take(np, g, window, *rest), picked)


def test_max_pool_of_integers():
    x = np.array([[[[-5, -7], [-9, -6]]]], np.int32)
    ones = ((1, 1), (1, 1))
    y, window = reference.max_pool(np, x, (2, 2), (2, 2), ones, (1, 1), (2, 2))
    np.testing.assert_array_equal(y[0, 0], x[0, 0])
    np.testing.assert_array_equal(window[0, 0], [[3, 2], [1, 0]])


def test_large_window_has_wide_index():
    x = np.zeros((1, 1, 17, 17))
    x[0, 0, 16, 15] = 1
    _, window = reference.max_pool(np, x, (17, 17), (1, 1), NONE, (1, 1), (1, 1))
    assert window.dtype == np.int32
    assert window.item() == 16 * 17 + 15


def test_window_without_input_gets_no_gradient():
    # Dilation 3 steps over a 2-pixel input: every tap lies in the padding.
    x, rest = np.ones((1, 1, 2, 2)), ((2, 2), (1, 1), ((1, 1), (1, 1)), (3, 3))
    y, window = reference.max_pool(np, x, *rest, (1, 1))
    assert y.item() == -np.inf
    dx = reference.max_pool_grad(np, np.ones_like(y), window, (2, 2), *rest)
    np.testing.assert_array_equal(dx, np.zeros_like(x))
    assert reference.max_pool_take(np, x, window, *rest).item() == 0


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("stride", "padding"), [(2, 0), (3, 1), (1, 1)])
def test_sum_pool_torch(dimensions, ceil_mode, stride, padding):
    torch = pytest.importorskip("torch")
    x = random_array((2, 3, *(8, 9, 10)[:dimensions]))
    tx = torch.tensor(x, requires_grad=True)
    if dimensions == 1:  # avg_pool1d has no divisor_override
        pool = torch.nn.functional.avg_pool2d
        sizes = ((1, 3), (1, stride), (0, padding))
        ty = pool(tx[:, :, None], *sizes, ceil_mode, divisor_override=1)[:, :, 0]
    else:
        pool = getattr(torch.nn.functional, f"avg_pool{dimensions}d")
        ty = pool(tx, 3, stride, padding, ceil_mode, divisor_override=1)
    dy = random_array(tuple(ty.shape), seed=1)
    ty.backward(torch.tensor(dy))
    d, out = dimensions, tuple(ty.shape[2:])
    rest = ((3,) * d, (stride,) * d, ((padding, padding),) * d)
    assert_close(reference.sum_pool(np, x, *rest, out), ty.detach().numpy(), 10)
    dx = reference.sum_pool_grad(np, dy, x.shape[2:], *rest)
    assert_close(dx, tx.grad.numpy(), 10)
