"""Kernels of piecewise linear activations: fast against reference, layouts, NaN as PyTorch."""

import numpy as np
import pytest
from kernel_cases import DTYPES, LAYOUTS, random_array

from tinyconv.backend import cpu
from tinyconv.backend.cpu import activation
from tinyconv.backend.reference import KERNELS

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 6.0, 7.0, 1e-40])
FORWARD = {"relu": (), "hardtanh": (-1.0, 6.0), "leaky_relu": (0.1,)}
BACKWARD = {"relu_grad": (), "hardtanh_grad": (-1.0, 6.0), "leaky_relu_grad": (0.1,)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
@pytest.mark.parametrize("size", [3, 40])
def test_fast_is_reference_on_any_two_layouts(size, other, order, dtype, monkeypatch):
    monkeypatch.setattr(activation, "STEP", 100)
    shape = (2, 3, size, 5)
    x, dy = (LAYOUTS[o](random_array(shape, dtype, s)) for o, s in ((order, 0), (other, 1)))
    calls = [(n, (x, *a)) for n, a in FORWARD.items()]
    calls += [(n, (dy, x, *a)) for n, a in BACKWARD.items()] + [("masked", (dy, x > 0.2))]
    for name, arguments in calls:
        actual = cpu.override(name)(np, *arguments)
        expected = KERNELS[name](np, *arguments)
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == dtype


@pytest.mark.parametrize("name", [*FORWARD, *BACKWARD])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeats", [1, 500])
def test_special_numbers_are_pytorchs(name, dtype, repeats):
    torch = pytest.importorskip("torch")
    # PyTorch's own vector code and scalar code do not agree on the gradient of hardtanh at NaN.
    special = SPECIAL[1:] if name == "hardtanh_grad" else SPECIAL
    x = np.tile(special, repeats).astype(dtype)
    dy = np.arange(1, x.size + 1).astype(dtype)
    aten, tx, tdy = torch.ops.aten, torch.tensor(x), torch.tensor(dy)
    expected = {
        "relu": lambda: aten.relu(tx),
        "hardtanh": lambda: aten.hardtanh(tx, -1, 6),
        "leaky_relu": lambda: aten.leaky_relu(tx, 0.1),
        "relu_grad": lambda: aten.threshold_backward(tdy, tx, 0),
        "hardtanh_grad": lambda: aten.hardtanh_backward(tdy, tx, -1, 6),
        "leaky_relu_grad": lambda: aten.leaky_relu_backward(tdy, tx, 0.1, False),
    }[name]().numpy()
    arguments = (x, *FORWARD[name]) if name in FORWARD else (dy, x, *BACKWARD[name])
    for kernel in (cpu.override(name), KERNELS[name]):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(kernel(np, *arguments), expected)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 1, 0, 2)])
def test_results_keep_the_strides_of_a_dense_input(order):
    x = random_array((4, 20, 30, 5), "float32").transpose(order)
    for name, more in FORWARD.items():
        assert cpu.override(name)(np, x, *more).strides == x.strides
    for name, more in BACKWARD.items():
        assert cpu.override(name)(np, np.ascontiguousarray(x), x, *more).strides == x.strides


def test_a_mask_may_broadcast_and_zero_times_infinity_is_zero():
    x = np.full((3, 4), np.inf)
    expected = np.where([[True], [False], [True]], x, 0.0)
    for kernel in (cpu.override("masked"), KERNELS["masked"]):
        mask = np.array([[True], [False], [True]])
        np.testing.assert_array_equal(kernel(np, x, mask), expected)
    same = np.broadcast_to(mask, x.shape)
    np.testing.assert_array_equal(cpu.override("masked")(np, x, same), expected)


@pytest.mark.parametrize("name", ["relu", "hardtanh"])
def test_integers_and_empty_arrays(name):
    kernel, more = cpu.override(name), {"relu": (), "hardtanh": (-1, 6)}[name]
    for x in (np.arange(-3, 9), np.zeros((0, 3)), np.zeros((2, 0, 4), np.float32)):
        expected = KERNELS[name](np, x, *more)
        result = kernel(np, x, *more)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)
