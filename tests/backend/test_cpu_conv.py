"""The fast convolutions against the reference, over odd shapes."""

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
    geometry,
    random_array,
)

from tinyconv import config
from tinyconv.backend import reference
from tinyconv.backend.cpu import conv as fast
from tinyconv.backend.cpu.convolution import direct, lines, pointwise
from tinyconv.backend.cpu.layout import channels_last

#: Kernel size, groups and outputs: depthwise, one tap, Winograd, narrow, direct.
CLIPPED = [(3, 8, 8), (1, 1, 20), (1, 2, 8), (3, 1, 40), (5, 1, 3), (5, 1, 40), (3, 2, 40)]


def check(g, dtype, change=np.ascontiguousarray):
    x = change(random_array((g.batch, g.channels, *g.spatial), dtype))
    w = change(random_array((g.out_channels, g.channels // g.groups, *g.kernel), dtype))
    dy = change(random_array((g.batch, g.out_channels, *g.out), dtype, seed=1))
    bias, other = random_array((g.out_channels,), dtype), random_array((g.channels,), dtype)
    rest = (g.stride, g.padding, g.dilation, g.groups)
    for name, arguments in (
        ("conv", (x, w, bias)),
        ("conv", (x, w, None)),
        ("clipped", (x, w, bias)),
        ("conv_input_grad", (dy, w, g.spatial)),
        ("transposed", (dy, w, g.spatial)),
        ("conv_weight_grad", (x, dy, g.kernel)),
    ):
        wide = [a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments]
        last = {"clipped": ((-0.5, 1.0),), "transposed": (other,)}.get(name, ())
        name = {"clipped": "conv", "transposed": "conv_input_grad"}.get(name, name)
        expected = getattr(reference, name)(np, *wide, *rest, *last).astype(dtype)
        # Winograd has tests of its own.
        for algorithm in ("direct", "positions", "narrow", "joined", "grouped", "sheets"):
            with config.override(conv_algorithm=algorithm, float32_precision="highest"):
                actual = getattr(fast, name)(np, *arguments, *rest, *last)
            assert_close(actual, expected, 30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("g", GEOMETRIES)
def test_geometries(g, dtype):
    check(g, dtype)


@pytest.mark.parametrize(
    ("spatial", "kernel", "padding", "dilation"),
    [
        ((4, 6), (2, 2), 0, 1), ((4, 9), (2, 3), 0, 1), ((5, 6), (3, 2), 0, 1),
        ((6, 8), (2, 2), 2, 3),
    ],
)  # fmt: skip
def test_windows_that_do_not_overlap(spatial, kernel, padding, dilation):
    for groups in (1, 2):
        padded = ((0, padding), (0, padding))
        g = Geometry(2, 4, 6, spatial, kernel, kernel, padded, (dilation,) * 2, groups)
        check(g, "float32")


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("spatial", "stride", "after"),
    [((5, 6), (2, 2), 0), ((7, 4), (3, 1), 0), ((4, 4), (3, 3), 3), ((5, 5), (2, 2), 1)],
)
def test_one_tap_with_a_stride(spatial, stride, after, groups):
    for batch in (0, 3):
        padding = ((0, after), (0, after))
        check(Geometry(batch, 4, 8, spatial, (1, 1), stride, padding, (1, 1), groups), "float32")


@st.composite
def geometries(draw):
    def pair(low, high):
        return (draw(st.integers(low, high)), draw(st.integers(low, high)))

    kernel, dilation = pair(1, 4), pair(1, 3)
    stride = draw(st.sampled_from([(1, 1), pair(1, 3)]))
    padding = (pair(0, 3), pair(0, 3))
    spatial = tuple(
        max(draw(st.integers(1, 9)), d * (k - 1) + 1 - sum(p))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, out_channels = (draw(st.integers(1, 3)) * groups for _ in range(2))
    batch = draw(st.integers(0, 3))
    return Geometry(
        batch, channels, out_channels, spatial, kernel, stride, padding, dilation, groups
    )


@given(geometries(), st.sampled_from(sorted(LAYOUTS)))
@settings(deadline=None, max_examples=60)
def test_random_geometries(g, name):
    check(g, "float64", LAYOUTS[name])


@pytest.mark.parametrize("size", [1, 1000, 1 << 14])
def test_many_small_blocks(size, monkeypatch):
    # Small shapes are one block; here a block has one line, or a few.
    monkeypatch.setattr(lines, "BLOCK_BYTES", size)
    monkeypatch.setattr(pointwise, "BLOCK_BYTES", size)
    monkeypatch.setattr(pointwise, "LONG", 14)
    for g in GEOMETRIES:
        check(g, "float64")


@pytest.mark.parametrize("shared", [1, 1 << 30])
def test_weight_gradient_in_shares_or_in_parts(shared, monkeypatch):
    monkeypatch.setattr(direct, "SHARED_WEIGHTS", shared)
    monkeypatch.setattr(pointwise, "TASKS", 1 if shared == 1 else 100)
    monkeypatch.setattr(direct, "PARTIAL_BYTES", 1000)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 100)
    for g in GEOMETRIES:
        check(g, "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
def test_more_channels_than_a_panel_and_a_tile_have(kernel, dtype):
    g = geometry(3, 37, 70, (7, 6), kernel, (1, 1), ((1, 1), (2, 0)), (1, 1))
    check(g, dtype)
    check(g._replace(stride=(2, 2)), dtype)
    check(geometry(2, 68, 36, (5, 5), kernel, (1, 1), ((1, 1), (2, 2)), (1, 1), 2), dtype)


@pytest.mark.parametrize("turn", [0.0, 100.0])
def test_weight_gradient_of_one_tap_either_way_round(turn, monkeypatch):
    monkeypatch.setattr(pointwise, "TURN", turn)
    monkeypatch.setattr(pointwise, "LONG", 14)
    for c, o in ((3, 70), (70, 3), (33, 17)):
        check(geometry(2, c, o, (9, 7), (1, 1), (1, 1), NONE, (1, 1)), "float32")


@pytest.mark.parametrize("images", [1, 2, 15, 33])
def test_maps_of_few_positions(images):
    for size, kernel, out_channels in (((2, 2), (3, 3), 70), ((1, 3), (1, 3), 5)):
        g = geometry(images, 64, out_channels, size, kernel, (1, 1), ((1, 1),) * 2, (1, 1))
        check(g, "float32")
        check(g._replace(stride=(2, 1), groups=1 if out_channels == 5 else 2), "float32")


def test_channels_that_fill_a_page_of_memory():
    check(geometry(20, 256, 3, (2, 2), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), "float32")
    check(geometry(1, 1024, 3, (5, 6), (1, 1), (1, 1), NONE, (1, 1)), "float32")


@pytest.mark.parametrize("output_padding", [0, 1, 2])
def test_transposed_convolution_with_output_padding(output_padding):
    x, w = random_array((2, 4, 3, 5)), random_array((4, 3, 3, 3))
    spatial = tuple((n - 1) * 3 - 2 + 3 + output_padding for n in (3, 5))
    rest = (spatial, (3, 3), ((1, 1), (1, 1)), (1, 1), 1)
    actual = fast.conv_input_grad(np, x, w, *rest)
    assert_close(actual, reference.conv_input_grad(np, x, w, *rest), 30)


@pytest.mark.parametrize(("kernel", "groups", "outputs"), CLIPPED)
def test_clipped_to_limits(kernel, groups, outputs):
    x, w = random_array((2, 8, 9, 10)), random_array((outputs, 8 // groups, kernel, kernel))
    x[0, 0, 4, 5] = np.nan
    rest = ((1, 1), ((kernel // 2,) * 2,) * 2, (1, 1), groups)
    for limits in ((0.0, np.inf), (0.0, 6.0), (-0.25, 0.25)):
        y = fast.conv(np, x, w, None, *rest, limits)
        expected = reference.conv(np, x, w, None, *rest, limits)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)  # NaN stays NaN
        assert np.nanmin(y) >= limits[0]
        assert np.nanmax(y) <= limits[1]
        assert np.nanmin(y) < np.nanmax(y)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_sequences_and_volumes(dimensions, stride, groups):
    kernel, spatial = (3, 2, 3)[:dimensions], (7, 6, 5)[:dimensions]
    padding, dilation = ((1, 2), (0, 1), (1, 0))[:dimensions], (2, 1, 1)[:dimensions]
    g = geometry(2, 4, 6, spatial, kernel, (stride,) * dimensions, padding, dilation, groups)
    check(g, "float64")


def test_one_thread_and_three_give_the_same_bits():
    for shape, kernel in (((3, 40, 17, 15), 3), ((3, 40, 17, 15), 1), ((2, 3, 30, 30), 5)):
        x, w = (
            random_array(shape, "float32"),
            random_array((70, shape[1], kernel, kernel), "float32"),
        )
        dy = random_array((shape[0], 70, *shape[2:]), "float32")
        rest = ((1, 1), ((kernel // 2,) * 2,) * 2, (1, 1), 1)
        results = []
        for threads in (1, 3):
            with config.override(num_threads=threads):
                results.append((
                    fast.conv(np, x, w, None, *rest),
                    fast.conv_input_grad(np, dy, w, shape[2:], *rest),
                    fast.conv_weight_grad(np, x, dy, (kernel, kernel), *rest),
                ))  # fmt: skip
        for one, three in zip(*results, strict=True):
            np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("channels", [1, 64, 512])
def test_error_bound_in_float32(channels):
    # |error| <= 2 K eps (|x| * |w|) in every element, for sums of K = 9 to 4608 products
    x, w = (
        random_array((2, channels, 6, 6), "float32"),
        random_array((8, channels, 3, 3), "float32"),
    )
    rest = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    exact = reference.conv(np, x.astype(np.float64), w.astype(np.float64), None, *rest)
    size = reference.conv(np, *(np.abs(a).astype(np.float64) for a in (x, w)), None, *rest)
    error = np.abs(fast.conv(np, x, w, None, *rest) - exact)
    assert (error <= 2 * 9 * channels * np.finfo(np.float32).eps * size).all()


@pytest.mark.parametrize("groups", [1, 4])
def test_nan_and_infinity_stay_where_they_are_read(groups):
    x = np.ones((2, 4, 6, 6), np.float32)
    x[0, 1, 0, 0], x[1, 2, 5, 5] = np.nan, np.inf
    w = np.ones((4, 4 // groups, 3, 3), np.float32)
    rest = ((1, 1), NONE, (1, 1), groups)
    np.testing.assert_array_equal(
        fast.conv(np, x, w, None, *rest), reference.conv(np, x, w, None, *rest)
    )


def test_torch_at_a_realistic_size():
    torch = pytest.importorskip("torch")
    x, w = random_array((4, 16, 32, 32), "float32"), random_array((32, 16, 3, 3), "float32")
    tx, tw = (torch.tensor(a, requires_grad=True) for a in (x, w))
    ty = torch.nn.functional.conv2d(tx, tw, stride=2, padding=1)
    dy = random_array(tuple(ty.shape), "float32")
    ty.backward(torch.tensor(dy))
    rest = ((2, 2), ((1, 1), (1, 1)), (1, 1), 1)
    assert_close(fast.conv(np, x, w, None, *rest), ty.detach().numpy(), 50)
    assert_close(fast.conv_input_grad(np, dy, w, (32, 32), *rest), tx.grad.numpy(), 50)
    assert_close(fast.conv_weight_grad(np, x, dy, (3, 3), *rest), tw.grad.numpy(), 200)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 3, 300, 301), (2, 17, 90, 91), (5, 40, 9, 9, 9), (3, 64, 777)]
)
def test_memory_becomes_channels_last(shape, dtype):
    x = random_array(shape, dtype)
    y = channels_last(x)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, np.moveaxis(x, 1, -1))
