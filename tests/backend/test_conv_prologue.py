"""Convolution that normalises and clips its input by constants: the bits of one after the other."""

import numpy as np
import pytest
from kernel_cases import GEOMETRIES, LAYOUTS, geometry, random_array

from tinyconv import config
from tinyconv.backend import cpu
from tinyconv.backend.reference import KERNELS
from tinyconv.backend.reference.norm import Prologue

ONE, NONE = (1, 1), ((0, 0), (0, 0))
RELU = (0.0, np.inf)


def one_tap(batch, channels, outputs, *spatial, stride=ONE, groups=1):
    return geometry(batch, channels, outputs, spatial, (1, 1), stride, NONE, ONE, groups)


#: Which operand of the weight gradient is mapped, and how pixels and columns are shared out.
SHAPES = {
    "one channel": one_tap(3, 1, 1, 9, 9),
    "few channels, lines of many pixels": one_tap(3, 3, 70, 40, 41),
    "rests of vectors": one_tap(2, 70, 37, 33, 31),
    "turned": one_tap(2, 40, 64, 33, 31),
    "turned, shares of columns": one_tap(2, 200, 520, 9, 11),
    "shares of columns": one_tap(2, 300, 48, 16, 13),
    "shares of outputs": one_tap(2, 96, 640, 16, 13),
    "pages apart": one_tap(2, 1024, 70, 13, 12),
    "pages apart, two a row": one_tap(2, 2048, 9, 12, 11),
    "few rows": one_tap(5, 140, 130, 2, 3),
    "stride": one_tap(3, 37, 40, 31, 32, stride=(2, 3)),
    "groups": one_tap(2, 40, 60, 13, 12, groups=2),
    "no pixels": one_tap(0, 40, 60, 13, 12),
    "one channel a group": one_tap(2, 6, 6, 13, 12, groups=6),
}


def arguments(g, dtype, affine=True):
    """Return input, weights, output gradient, how the kernel moves, and a prologue."""
    x = random_array((g.batch, g.channels, *g.spatial), dtype)
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel), dtype, 1)
    dy = random_array((g.batch, g.out_channels, *g.out), dtype, 2)
    mean, var, weight, shift = (random_array((g.channels,), dtype, s) for s in range(3, 7))
    norm = (mean.astype("float64"), np.abs(var).astype("float64") + 0.1)
    norm += (weight, shift) if affine else (None, None)
    return x, w, dy, (g.stride, g.padding, g.dilation, g.groups), Prologue((*norm, 1e-3), RELU)


def normalised(kernel, x, prologue):
    return kernel("batch_norm")(np, x, *prologue.norm, None, prologue.limits)


def apart(kernel, x, w, dy, rest, prologue):
    """Return what is convolved, and the weight gradient, with the prologue as a pass of its own."""
    y = normalised(kernel, x, prologue)
    weight_grad = kernel("conv_weight_grad")(np, y, dy, w.shape[2:], *rest)
    return kernel("conv")(np, y, w, None, *rest), weight_grad


def together(kernel, x, w, dy, rest, prologue):
    convolved = kernel("conv")(np, x, w, None, *rest, None, None, None, prologue)
    return convolved, kernel("conv_weight_grad")(np, x, dy, w.shape[2:], *rest, prologue)


def check(kernel, *given):
    for one, other in zip(together(kernel, *given), apart(kernel, *given), strict=True):
        assert one.dtype == given[0].dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_bits_are_those_of_a_pass_of_its_own(name, dtype):
    for affine in (True, False):
        check(cpu.override, *arguments(SHAPES[name], dtype, affine))


@pytest.mark.parametrize("channels", range(1, 71))
def test_any_number_of_channels(channels):
    check(cpu.override, *arguments(one_tap(2, channels, 71 - channels, 19, 17), "float32"))


@pytest.mark.parametrize("g", GEOMETRIES)
def test_any_geometry(g, override):
    check(override, *arguments(g, "float32"))


def test_the_reference_computes_what_it_says():
    x, w, dy, rest, prologue = arguments(one_tap(2, 5, 7, 6, 4), "float64")
    mean, var, weight, shift, eps = prologue.norm
    x_last = np.moveaxis(x, 1, -1)
    y = np.maximum((x_last - mean) / np.sqrt(var + eps) * weight + shift, 0)
    convolved, weight_grad = together(KERNELS.__getitem__, x, w, dy, rest, prologue)
    np.testing.assert_allclose(np.moveaxis(convolved, 1, -1), y @ w[:, :, 0, 0].T, 1e-12, 1e-12)
    exact = np.einsum("nohw,nhwc->oc", dy, y)
    np.testing.assert_allclose(weight_grad[:, :, 0, 0], exact, 1e-12, 1e-12)


@pytest.mark.parametrize("order", LAYOUTS)
def test_any_memory_layout(order):
    x, w, dy, rest, prologue = arguments(SHAPES["rests of vectors"], "float32")
    change = LAYOUTS[order]
    norm = [change(v) if isinstance(v, np.ndarray) else v for v in prologue.norm]
    check(cpu.override, change(x), change(w), change(dy), rest, Prologue(tuple(norm), (-0.5, 0.5)))


@pytest.mark.parametrize("dims", [1, 3])
def test_sequences_and_volumes(dims):
    x, w, dy, _, prologue = arguments(one_tap(2, 40, 64, 24, 30), "float32")
    shape = (24 * 30,) if dims == 1 else (4, 6, 30)
    x, dy, w = x.reshape(2, 40, *shape), dy.reshape(2, 64, *shape), w.reshape(64, 40, *(1,) * dims)
    rest = (1,) * dims, ((0, 0),) * dims, (1,) * dims, 1
    check(cpu.override, x, w, dy, rest, prologue)


@pytest.mark.parametrize("name", SHAPES)
def test_any_number_of_threads(name):
    given, results = arguments(SHAPES[name], "float32"), []
    for count in (1, 2, 8):
        with config.num_threads.override(count):
            results.append(together(cpu.override, *given))
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_with_everything_that_may_come_after():
    g = SHAPES["rests of vectors"]
    x, w, dy, rest, prologue = arguments(g, "float32")
    bias, mean, shift = (random_array((g.out_channels,), "float32", s) for s in (7, 8, 9))
    after = (0.0, 6.0), (mean.astype("float64"), np.abs(mean) + 1.0, shift, None, 1e-5), dy
    fast = cpu.override("conv")
    result = fast(np, x, w, bias, *rest, *after, prologue)
    y = normalised(cpu.override, x, prologue)
    np.testing.assert_array_equal(result, fast(np, y, w, bias, *rest, *after))


def test_nan_and_infinity_pass_through():
    x, w, dy, rest, prologue = arguments(SHAPES["rests of vectors"], "float32")
    x[0, 3, 5, 7], x[1, 0, 0, 0] = np.nan, np.inf
    check(cpu.override, x, w, dy, rest, prologue)
    assert np.isnan(together(cpu.override, x, w, dy, rest, prologue)[0]).any()


def test_half_precision_is_rounded_once():
    x, w, dy, rest, prologue = arguments(one_tap(2, 40, 60, 13, 12), "float32")
    half = [a.astype("float16") for a in (x, w, dy)]
    wide = [a.astype("float32") for a in half]
    for kernel in (KERNELS.__getitem__, cpu.override):
        results = together(kernel, *half, rest, prologue)
        for result, exact in zip(results, together(kernel, *wide, rest, prologue), strict=True):
            assert result.dtype == np.float16
            np.testing.assert_allclose(result, exact, 2e-3, 2e-3 * np.abs(exact).max())
