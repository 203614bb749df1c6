"""Volumes convolved as images of more channels: values, gradients, exactness, threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Geometry, assert_close, random_array

from tinyconv import config
from tinyconv.backend import reference
from tinyconv.backend.cpu import conv as fast
from tinyconv.backend.cpu.convolution.choice import choose, estimate

ONES, PAD = (1, 1, 1), ((1, 1),) * 3


def check(g, dtype="float64"):
    x = random_array((g.batch, g.channels, *g.spatial), dtype)
    w = random_array((g.out_channels, g.channels, *g.kernel), dtype)
    dy = random_array((g.batch, g.out_channels, *g.out), dtype, seed=1)
    bias, other = random_array((g.out_channels,), dtype), random_array((g.channels,), dtype)
    norm = *(np.abs(random_array((4, g.out_channels), dtype)) + 0.5), 1e-5
    rest = (g.stride, g.padding, g.dilation, 1)
    before = tuple(pair[0] for pair in g.padding)
    for part, arguments in (
        ("conv", (x, w, bias, *rest)),
        ("conv", (x, w, None, *rest, (-0.5, 1.0))),
        ("conv", (x, w, bias, *rest, (-0.5, 1.0), norm)),
        ("conv_input_grad", (dy, w, g.spatial, *rest)),
        ("conv_input_grad", (dy, w, g.spatial, *rest, other)),
        ("conv_weight_grad", (x, dy, g.kernel, *rest)),
    ):
        wide = [a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments]
        expected = getattr(reference, part)(np, *wide).astype(dtype)
        with config.override(conv_algorithm="sheets", float32_precision="highest"):
            assert_close(getattr(fast, part)(np, *arguments), expected, 30)
            name = part.removeprefix("conv_").replace("conv", "forward")
            shape = x.shape, w.shape, g.out, g.stride, before, g.dilation, 1, x.dtype
            applies = g.kernel[0] > 1 and g.stride[0] == 1
            assert (choose(name, *shape) == "sheets") == applies


@st.composite
def geometries(draw):
    def triple(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(3))

    kernel, dilation = triple(1, 3), triple(1, 2)
    stride = (draw(st.sampled_from([1, 1, 1, 2])), *triple(1, 2)[1:])
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(3))
    spatial = tuple(
        max(draw(st.integers(1, 6)), d * (k - 1) + 1 - sum(p))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    )
    sizes = [draw(st.integers(0, 3)), *(draw(st.integers(1, 18)) for _ in range(2))]
    return Geometry(*sizes, spatial, kernel, stride, padding, dilation, 1)


@given(geometries(), st.sampled_from(["float32", "float64"]))
@settings(deadline=None, max_examples=40)
def test_random_geometries(g, dtype):
    check(g, dtype)


@pytest.mark.parametrize("channels", [1, 5, 17, 40])
def test_numbers_of_channels(channels):
    g = Geometry(2, channels, 20, (4, 7, 6), (3, 3, 3), ONES, PAD, ONES, 1)
    check(g, "float32")
    check(g._replace(channels=20, out_channels=channels), "float32")


def winograd_case():
    """Return a convolution of volumes large enough for Winograd's algorithm, in all its parts."""
    x, w = random_array((2, 24, 5, 13, 14), "float32"), random_array((40, 24, 3, 3, 3), "float32")
    dy, geometry = random_array((2, 40, 5, 13, 14), "float32"), (ONES, PAD, ONES, 1)
    return {
        "conv": (x, w, None, *geometry),
        "conv_input_grad": (dy, w, x.shape[2:], *geometry),
        "conv_weight_grad": (x, dy, w.shape[2:], *geometry),
    }


@pytest.mark.parametrize("part", winograd_case())
def test_winograd_is_exact_enough_and_chosen(part):
    arguments = winograd_case()[part]
    name = part.removeprefix("conv_").replace("conv", "forward")
    shape = (2, 24, 5, 13, 14), (40, 24, 3, 3, 3), (5, 13, 14), ONES, (1, 1, 1), ONES, 1
    times = estimate(name, *shape, np.dtype("float32"))
    assert times["sheets"] < times["direct"]
    wide = [a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments]
    expected = getattr(reference, part)(np, *wide)
    actual = getattr(fast, part)(np, *arguments)
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert 5e-7 < error < 2e-5  # a larger error than that of sums tells that it was Winograd's


@pytest.mark.parametrize("part", winograd_case())
def test_threads_do_not_change_a_bit(part):
    arguments, results = winograd_case()[part], []
    for threads in (1, 2, 3):
        with config.override(num_threads=threads, conv_algorithm="sheets"):
            results.append(getattr(fast, part)(np, *arguments))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
