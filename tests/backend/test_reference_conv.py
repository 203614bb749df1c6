"""Reference convolutions against SciPy, PyTorch, the definition, and worked examples."""

import itertools

import array_api_strict
import numpy as np
import pytest
from kernel_cases import GEOMETRIES, NONE, assert_close, random_array
from scipy import signal

from tinyconv.backend import reference


def run_conv(x, w, stride=1, padding=0, dilation=1, groups=1, bias=None, xp=np):
    d = x.ndim - 2
    return reference.conv(
        xp, x, w, bias, (stride,) * d, ((padding, padding),) * d, (dilation,) * d, groups
    )


def image(rows):
    return np.asarray(rows, dtype=np.float64)[None, None]


@pytest.mark.parametrize(
    ("x", "w", "y"),
    [
        (
            [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]],
            [[0, 1, 2], [2, 2, 0], [0, 1, 2]],
            [[12, 12, 17], [10, 17, 19], [9, 6, 14]],
        ),
        (
            [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]],
            [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
            [[4, 3, 4], [2, 4, 3], [2, 3, 4]],
        ),
        ([[0, 0, 0], [0, 0, 2], [0, 1, 2]], [[1, -1, 0], [1, 1, 0], [0, 1, -1]], [[-1]]),
    ],
)
def test_worked_cross_correlations(x, w, y):
    np.testing.assert_array_equal(run_conv(image(x), image(w)), image(y))


def test_worked_true_convolution():
    x = image([[2, 1, 2], [5, 0, 1], [1, 7, 3]])
    w = image([[0.5, 0.7, 0.4], [0.3, 0.4, 0.1], [0.5, 1, 0.5]])
    y = run_conv(x, w[:, :, ::-1, ::-1], stride=2, padding=1)
    np.testing.assert_allclose(y, image([[4.6, 1.6], [7.5, 2.9]]), rtol=1e-14)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_scipy_correlate(dimensions, mode):
    x, w = random_array((5,) * dimensions), random_array((3,) * dimensions)
    padding = {"full": 2, "same": 1, "valid": 0}[mode]
    y = run_conv(x[None, None], w[None, None], padding=padding)
    assert_close(y[0, 0], signal.correlate(x, w, mode), 10)


def definition(x, w, g):
    """The six nested loops."""
    y = np.zeros((x.shape[0], w.shape[0], *g.out))
    per_group, depth = w.shape[0] // g.groups, w.shape[1]
    for n, o, i, j in np.ndindex(*y.shape):
        for c, a, b in np.ndindex(*w.shape[1:]):
            row = i * g.stride[0] - g.padding[0][0] + a * g.dilation[0]
            column = j * g.stride[1] - g.padding[1][0] + b * g.dilation[1]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                y[n, o, i, j] += x[n, o // per_group * depth + c, row, column] * w[o, c, a, b]
    return y


@pytest.mark.parametrize("g", GEOMETRIES)
def test_definition(g):
    x = random_array((g.batch, g.channels, *g.spatial))
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel))
    bias = random_array((g.out_channels,))
    y = reference.conv(np, x, w, bias, g.stride, g.padding, g.dilation, g.groups)
    assert_close(y, definition(x, w, g) + bias[:, None, None], 30)


@pytest.mark.parametrize("g", GEOMETRIES)
def test_gradients_are_the_adjoints(g):
    # <conv(x, w), dy> is linear in x and in w, so the gradients must give the same number.
    x = random_array((g.batch, g.channels, *g.spatial), seed=1)
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel), seed=2)
    dy = random_array((g.batch, g.out_channels, *g.out), seed=3)
    rest = (g.stride, g.padding, g.dilation, g.groups)
    number = np.vdot(reference.conv(np, x, w, None, *rest), dy)
    dx = reference.conv_input_grad(np, dy, w, g.spatial, *rest)
    dw = reference.conv_weight_grad(np, x, dy, g.kernel, *rest)
    assert dx.shape == x.shape
    assert dw.shape == w.shape
    np.testing.assert_allclose(np.vdot(dx, x), number, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(np.vdot(dw, w), number, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    list(itertools.product([1, 2], [0, 2], [1, 2], [1, 3])),
)
def test_torch(dimensions, stride, padding, dilation, groups):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    spatial = (7, 8, 6)[:dimensions]
    x, w = random_array((2, 3, *spatial)), random_array((6, 3 // groups, *(3, 2, 3)[:dimensions]))
    bias = random_array((6,))
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, bias))
    function = getattr(functional, f"conv{dimensions}d")
    ty = function(tx, tw, tb, stride, padding, dilation, groups)
    dy = random_array(tuple(ty.shape), seed=5)
    ty.backward(torch.tensor(dy))

    d = dimensions
    rest = ((stride,) * d, ((padding, padding),) * d, (dilation,) * d, groups)
    assert_close(reference.conv(np, x, w, bias, *rest), ty.detach().numpy(), 20)
    assert_close(reference.conv_input_grad(np, dy, w, spatial, *rest), tx.grad.numpy(), 20)
    assert_close(reference.conv_weight_grad(np, x, dy, w.shape[2:], *rest), tw.grad.numpy(), 200)


@pytest.mark.parametrize("output_padding", [0, 1])
def test_input_gradient_is_transposed_convolution(output_padding):
    torch = pytest.importorskip("torch")
    x, w = random_array((2, 4, 3, 5)), random_array((4, 3, 3, 3))
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x), torch.tensor(w), stride=2, padding=1, output_padding=output_padding
    ).numpy()
    ones = ((1, 1), (1, 1))
    y = reference.conv_input_grad(np, x, w, expected.shape[2:], (2, 2), ones, (1, 1), 1)
    assert_close(y, expected, 20)


def test_float16_sums_in_float32():
    x, w = np.ones((1, 4096, 1, 1), np.float16), np.full((1, 4096, 1, 1), 0.1, np.float16)
    y = reference.conv(np, x, w, None, (1, 1), NONE, (1, 1), 1)
    assert y.dtype == np.float16
    assert y.item() == np.float16(4096 * float(np.float16(0.1)))


def test_integers_and_strict_namespace():
    x = array_api_strict.reshape(array_api_strict.arange(9), (1, 1, 3, 3))
    w = array_api_strict.ones((1, 1, 2, 2), dtype=array_api_strict.int64)
    y = run_conv(x, w, xp=array_api_strict)
    np.testing.assert_array_equal(np.asarray(y)[0, 0], [[8, 12], [20, 24]])


def test_inputs_are_left_alone():
    x, w, bias = random_array((1, 2, 3, 3)), random_array((2, 2, 1, 1)), random_array((2,))
    copies = [a.copy() for a in (x, w, bias)]
    run_conv(x, w, bias=bias)
    for array, copy in zip((x, w, bias), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
