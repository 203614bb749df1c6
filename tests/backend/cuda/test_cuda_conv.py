"""Convolution on CUDA: every direction, arithmetic and tile against the reference in float64."""

from pathlib import Path

import numpy as np
import pytest
from cuda_cases import plant
from cuda_emulator import COMPILER, emulated, sanitized_python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import GEOMETRIES, LAYOUTS, NONE, Geometry, geometry, random_array
from product_cases import KINDS, SMALL, check, use_tiles

from tinyconv import config
from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda.convolution import direct
from tinyconv.backend.cuda.convolution.phases import phases_of
from tinyconv.backend.cuda.driver.launching import Variant
from tinyconv.backend.cuda.products import choice
from tinyconv.backend.cuda.products.choice import Tile

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
PAD = ((1, 1), (1, 1))


@pytest.fixture(autouse=True)
def runs_emulated(monkeypatch):
    use_tiles(monkeypatch, SMALL)
    with emulated() as runner:
        yield runner


def arrays(g, kind, change=np.ascontiguousarray):
    """Return x, w, dy and the bias of a geometry."""
    shapes = (
        (g.batch, g.channels, *g.spatial),
        (g.out_channels, g.channels // g.groups, *g.kernel),
        (g.batch, g.out_channels, *g.out),
    )
    dtype = KINDS[kind][0]
    x, w, dy = (change(random_array(shape).astype(dtype)) for shape in shapes)
    return x, w, dy, random_array((g.out_channels,)).astype(dtype)


def check_all(g, kind, change=np.ascontiguousarray, limits=None):
    x, w, dy, bias = arrays(g, kind, change)
    rest = (g.stride, g.padding, g.dilation, g.groups)
    taps, read = int(np.prod(g.kernel)), g.channels // g.groups
    check(kind, "conv", (x, w, bias, *rest), read * taps, () if limits is None else (limits,))
    transposed, terms = (dy, w, g.spatial, *rest), g.out_channels // g.groups * taps
    check(kind, "conv_input_grad", transposed, terms)
    check(
        kind, "conv_input_grad", (*transposed, random_array((g.channels,)).astype(x.dtype)), terms
    )
    check_total(g, kind, transposed, terms)
    dw = check(kind, "conv_weight_grad", (x, dy, g.kernel, *rest), g.batch * int(np.prod(g.out)))
    assert dw.strides == w.copy(order="C").strides


def check_total(g, kind, arguments, terms, bias=None):
    """Check an input gradient that is added to what is there, in the place of that."""
    total = random_array((g.batch, *g.spatial, g.channels), seed=1).astype(KINDS[kind][0])
    total = np.moveaxis(total, -1, 1)
    assert check(kind, "conv_input_grad", (*arguments, bias, total), terms + 1) is total


@pytest.fixture
def no_direct(monkeypatch):
    """Take products however few channels there are."""
    monkeypatch.setattr(direct, "applies", lambda reads, writes, groups: False)


@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_geometries(g, kind):
    check_all(g, kind)


@pytest.mark.parametrize("kind", ["tf32", "bfloat16"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_geometries_as_products(g, kind, no_direct):
    check_all(g, kind)


@st.composite
def geometries(draw):
    def pair(low, high):
        return (draw(st.integers(low, high)), draw(st.integers(low, high)))

    kernel, dilation = pair(1, 4), pair(1, 3)
    stride = draw(st.sampled_from([(1, 1), (2, 2), pair(1, 4)]))
    padding = (pair(0, 3), pair(0, 3))
    spatial = tuple(
        max(draw(st.integers(1, 9)), d * (k - 1) + 1 - sum(p))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, out_channels = (draw(st.integers(1, 70 // groups)) * groups for _ in range(2))
    batch = draw(st.sampled_from([0, 1, 3]))
    return Geometry(
        batch, channels, out_channels, spatial, kernel, stride, padding, dilation, groups
    )


@given(geometries(), st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(LAYOUTS)))
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_geometries(g, kind, layout):
    check_all(g, kind, LAYOUTS[layout] if layout != "unaligned" else np.ascontiguousarray)


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_fill_16_bytes(kind):
    check_all(geometry(2, 40, 72, (7, 6), (3, 3), (1, 1), PAD, (1, 1)), kind)
    check_all(geometry(2, 40, 72, (7, 6), (3, 3), (2, 2), PAD, (1, 1)), kind)
    check_all(geometry(2, 64, 96, (5, 6), (3, 3), (1, 1), PAD, (1, 1), 2), kind)
    check_all(geometry(3, 40, 72, (7, 6), (1, 1), (1, 1), NONE, (1, 1)), kind)
    check_all(geometry(3, 64, 96, (5, 6), (1, 1), (1, 1), NONE, (1, 1), 2), kind)


@pytest.mark.parametrize("kind", ["exact", "bfloat16", "float16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_few_channels(channels, kind):
    check_all(geometry(2, channels, 24, (12, 11), (7, 7), (2, 2), ((3, 3),) * 2, (1, 1)), kind)


def all_tiles():
    return [
        pytest.param(kind, tile, id=f"{kind}-{tile.rows}x{tile.columns}x{tile.chunks}")
        for kind, math in (("bfloat16", "HALF"), ("tf32", "TF32"), ("exact", "EXACT"))
        for tile in (*choice.TILES[math], *OTHERS[math])
    ]


#: Shapes of tiles that the table does not have.
OTHERS = {
    "HALF": (Tile(64, 128, 4, 2, 32, 64, 1), Tile(32, 64, 8, 5, 16, 16, 1)),
    "TF32": (Tile(64, 128, 8, 2, 64, 32, 1),),
    "EXACT": (Tile(64, 128, 2, 2, 64, 32, 1),),
}


@pytest.mark.parametrize(("kind", "tile"), all_tiles())
def test_every_tile(kind, tile, monkeypatch):
    use_tiles(monkeypatch, dict.fromkeys(SMALL, tile))
    check_all(geometry(2, 24, 136, (9, 10), (3, 3), (1, 1), PAD, (1, 1)), kind)


@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_sequences_and_volumes(dimensions, stride, groups, kind, no_direct):
    kernel, spatial = (3, 2, 3)[:dimensions], (7, 6, 5)[:dimensions]
    padding, dilation = ((1, 2), (0, 1), (1, 0))[:dimensions], (2, 1, 1)[:dimensions]
    check_all(
        geometry(2, 16, 24, spatial, kernel, (stride,) * dimensions, padding, dilation, groups),
        kind,
    )


@pytest.mark.parametrize(
    ("taps", "stride", "launches"),
    [(3, 1, 1), (3, 2, 1), (1, 2, 1), (4, 3, 2)],
    ids=["no stride", "a stride of 2", "one phase has taps", "9 phases"],
)
def test_phases_of_an_input_gradient_share_launches(taps, stride, launches, monkeypatch):
    grids, launch = [], Variant.__call__

    def counted(self, grid, *rest, **options):
        if self.name == "conv":
            grids.append(grid)
        return launch(self, grid, *rest, **options)

    monkeypatch.setattr(Variant, "__call__", counted)
    g = geometry(2, 48, 40, (11, 10), (taps, taps), (stride, stride), NONE, (1, 1), 2)
    _, w, dy, _ = arrays(g, "tf32")
    arguments, terms = (dy, w, g.spatial, *g[5:]), 20 * taps * taps
    check("tf32", "conv_input_grad", arguments, terms)
    assert len(grids) == launches
    assert sum(grid[2] for grid in grids) == 2 * stride**2
    grids.clear()
    check_total(g, "tf32", arguments, terms)  # pixels that no tap reaches are left as they are
    assert len(grids) == launches
    assert sum(grid[2] for grid in grids) == 2 * min(taps, stride) ** 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("applies", [True, False], ids=["few channels", "products"])
def test_bias_and_a_total_where_no_tap_reaches(applies, kind, monkeypatch):
    if not applies:
        monkeypatch.setattr(direct, "applies", lambda *_: False)
    for g in (
        *GEOMETRIES,
        geometry(2, 5, 4, (7, 8), (1, 1), (2, 2), NONE, (1, 1)),
        geometry(2, 4, 6, (9, 8), (2, 1), (3, 4), ((1, 0), (0, 2)), (1, 1), 2),
        geometry(1, 5, 3, (1,), (1,), (3,), ((1, 1),), (1,)),  # no pixel is reached
        geometry(1, 8, 8, (3, 4, 5), (1, 2, 1), (2, 2, 3), ((0, 0),) * 3, (1,) * 3),
    ):
        _, w, dy, _ = arrays(g, kind)
        arguments, terms = (dy, w, g.spatial, *g[5:]), w[0].size * g.out_channels
        bias = random_array((g.channels,)).astype(w.dtype)
        check(kind, "conv_input_grad", (*arguments, bias), terms)
        if dy.size:  # else nothing is convolved, and a sum of 16 bits is rounded again
            check_total(g, kind, arguments, terms, bias)
        check_total(g, kind, arguments, terms)


@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"channels_last", "read_only"}))
def test_a_total_in_other_memory_is_added_to_by_a_pass(layout, kind):
    for g in (
        geometry(2, 24, 40, (9, 10), (3, 3), (2, 2), PAD, (1, 1)),
        geometry(3, 40, 72, (7, 6), (1, 1), (1, 1), NONE, (1, 1)),
        geometry(2, 24, 24, (9, 8), (3, 3), (1, 1), PAD, (1, 1), 24),
    ):
        _, w, dy, _ = arrays(g, kind)
        arguments = dy, w, g.spatial, *g[5:]
        plain = random_array((g.batch, g.channels, *g.spatial), seed=1).astype(w.dtype)
        total = LAYOUTS[layout](plain)
        grad = cuda.override("conv_input_grad")
        expected = plain + grad(np, *arguments)
        assert grad(np, *arguments, None, total) is total
        np.testing.assert_array_equal(total, expected)
    wide = LAYOUTS["channels_last"](plain.astype(np.float64))
    right = wide + grad(np, *arguments).astype(np.float64)
    np.testing.assert_array_equal(grad(np, *arguments, None, wide), right)


#: What goes wrong: a source, what stands there, and what stands there then.
FAULTS = {
    "nothing is added": ("product.cuh", "if (end.add) {", "if (false) {"),
    "what is there is not awaited": ("product.cuh", "        cp_async_wait<0>();\n", ""),
    "what others have read is not awaited": (
        "product.cuh",
        "cp_async_wait<0>();\n        __syncthreads();",
        "cp_async_wait<0>();",
    ),
    "slices are not added": ("slices.cu", "a.addend ? to_float(a.addend[to - a.y]) : 0", "0"),
    "few channels are not added": ("direct.cu", "+= to_float(there.at[v])", "+= 0"),
    "few channels lose their bias": ("direct.cu", "a.bias ? to_float", "false ? to_float"),
    "pixels of another phase": ("conv.cu", "a.shifts[phase]", "a.shifts[0]"),
    "all results are next to each other": ("conv.cu", "a.spread[2] == 1;", "a.spread[2] > 0;"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_sums_are_noticed(fault, monkeypatch):
    plant(monkeypatch, *FAULTS[fault])
    monkeypatch.setattr(choice, "SHORTEST", 1)
    with emulated() as runner, pytest.raises((AssertionError, RuntimeError)):
        check_totals(runner)


def check_totals(runner):
    """Check sums of input gradients: of several phases, of slices, of few channels."""
    runner.multiprocessors = 60
    for g in (
        geometry(1, 24, 40, (5, 6), (3, 3), (2, 2), PAD, (1, 1)),
        geometry(1, 40, 192, (4, 3), (1, 1), (1, 1), NONE, (1, 1)),
        geometry(1, 9, 9, (5, 4), (3, 3), (1, 1), PAD, (1, 1), 9),
    ):
        _, w, dy, _ = arrays(g, "exact")
        bias = random_array((g.channels,)).astype(np.float32)
        check_total(g, "exact", (dy, w, g.spatial, *g[5:]), w.size, bias)


def test_sums_without_a_fault(monkeypatch):
    monkeypatch.setattr(choice, "SHORTEST", 1)
    with emulated() as runner:
        check_totals(runner)


FAULTS_OF_ORDER = {
    "taps before channels": (
        "conv_weight.cu", "* a.kept + read) * taps + tap", "* taps + tap) * a.kept + read"
    ),
    "all groups at the first": ("conv_weight.cu", "int64(channel + row)", "int64(row)"),
    "results that are not there yet": ("conv_weight.cu", "__syncthreads();  // the last", "// the"),
    "slices: taps before channels": ("slices.cu", "int64(channel) * taps + tap;", "column;"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS_OF_ORDER)
def test_faults_in_the_order_of_weights_are_noticed(fault, monkeypatch):
    plant(monkeypatch, *FAULTS_OF_ORDER[fault])
    with pytest.raises((AssertionError, RuntimeError)):
        check_weights(monkeypatch)


def check_weights(monkeypatch):
    """Check gradients of weights: of one slice, then of several."""
    for multiprocessors in (1, 60):
        with emulated() as runner:
            runner.multiprocessors = multiprocessors
            monkeypatch.setattr(choice, "SHORTEST", 1)
            for g in (
                geometry(2, 36, 40, (7, 7), (3, 2), (1, 1), PAD, (1, 1), 2),
                geometry(2, 3, 24, (8, 9), (3, 3), (1, 1), PAD, (1, 1)),
            ):
                x, _, dy, _ = arrays(g, "bfloat16")
                terms = g.batch * int(np.prod(g.out))
                check("bfloat16", "conv_weight_grad", (x, dy, g.kernel, *g[5:]), terms)


def test_order_of_weights_without_a_fault(monkeypatch):
    check_weights(monkeypatch)


@pytest.mark.parametrize("kind", ["exact", "tf32"])
def test_kernels_wider_than_the_mask(kind):
    check_all(geometry(1, 8, 20, (13, 5), (11, 3), (1, 1), ((5, 5), (1, 1)), (1, 1)), kind)
    check_all(geometry(2, 8, 20, (40,), (25,), (3,), ((2, 9),), (1,)), kind)


@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(kind, taps, multiplier, stride):
    for channels in (24, 37):
        check_all(
            geometry(2, channels, channels * multiplier, (9, 8), (taps, taps), (stride, 1),
                     ((taps // 2, taps // 2), (1, 0)), (1, 2), channels),
            kind,
        )  # fmt: skip


def test_many_slices_of_the_weight_gradient(monkeypatch, runs_emulated):
    monkeypatch.setattr(runs_emulated, "multiprocessors", 20, raising=False)
    monkeypatch.setattr(choice, "SHORTEST", 1)
    for kind in ("exact", "tf32", "bfloat16"):
        check_all(geometry(3, 24, 40, (9, 10), (3, 3), (1, 1), PAD, (1, 1)), kind)
        check_all(geometry(3, 40, 24, (9, 10), (1, 1), (1, 1), NONE, (1, 1)), kind)
        check_all(geometry(3, 34, 40, (9, 10), (3, 3), (1, 1), PAD, (1, 1), 2), kind)
        check_all(geometry(3, 3, 24, (12, 11), (5, 7), (2, 1), ((2, 3),) * 2, (1, 1)), kind)
        check_all(geometry(3, 3, 24, (9, 10), (1, 1), (2, 2), NONE, (1, 1)), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_slices_of_the_depth_of_several_groups(kind, monkeypatch, runs_emulated):
    monkeypatch.setattr(runs_emulated, "multiprocessors", 60, raising=False)
    monkeypatch.setattr(choice, "SHORTEST", 1)
    launched, launch = [], Variant.__call__

    def noted(self, *values, **options):
        launched.append(self.name)
        return launch(self, *values, **options)

    monkeypatch.setattr(Variant, "__call__", noted)
    check_all(geometry(1, 192, 192, (4, 4), (1, 1), (1, 1), NONE, (1, 1), 2), kind)
    check_all(geometry(1, 201, 195, (4, 3), (1, 1), (1, 1), NONE, (1, 1), 3), kind)
    assert launched.count("add_slices") >= 4


@pytest.mark.parametrize("shape", [(3, 20, 3), (3, 4, 3), (1, 20, 16)])
@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
def test_clipped_to_limits(shape, kind):
    taps, outputs, channels = shape
    g = geometry(2, channels, outputs, (6, 7), (taps, taps), (1, 1), NONE, (1, 1))
    for limits in ((0.0, np.inf), (0.0, 6.0), (-0.25, 0.25)):
        check_all(g, kind, limits=limits)
    x, w, _, _ = arrays(g, kind)
    x[0, 0, 3, 3] = np.nan
    y = cuda.override("conv")(np, x, w, None, *g[5:], (0.0, np.inf)).astype(float)
    expected = reference.conv(np, x.astype(float), w.astype(float), None, *g[5:])
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    assert np.nanmin(y) == 0


@pytest.mark.parametrize("precision", ["high", "highest"])
@pytest.mark.parametrize("groups", [1, 2])
def test_nan_and_infinity_stay_where_they_are_read(groups, precision):
    x = np.ones((2, 36, 6, 6), np.float32)
    x[0, 1, 0, 0], x[1, 20, 5, 5] = np.nan, np.inf
    w = np.ones((34, 36 // groups, 3, 3), np.float32)
    rest = ((1, 1), NONE, (1, 1), groups)
    with config.override(float32_precision=precision):
        y = cuda.override("conv")(np, x, w, None, *rest)
    np.testing.assert_array_equal(y, reference.conv(np, x, w, None, *rest))


def test_maps_are_channels_last_and_all_is_the_same_every_time():
    g = geometry(2, 24, 40, (9, 10), (3, 3), (1, 1), PAD, (1, 1))
    x, w, dy, bias = arrays(g, "tf32")
    for name, arguments in (
        ("conv", (x, w, bias)),
        ("conv_input_grad", (dy, w, g.spatial)),
        ("conv_weight_grad", (x, dy, g.kernel)),
    ):
        one, two = (cuda.override(name)(np, *arguments, *g[5:]) for _ in range(2))
        assert (one if name == "conv_weight_grad" else one.transpose(0, 2, 3, 1)).flags.c_contiguous
        np.testing.assert_array_equal(one, two)


def test_high_precision_is_tf32_and_highest_is_not():
    x, w = np.full((1, 32, 3, 3), 1 + 2**-11, np.float32), np.ones((32, 32, 1, 1), np.float32)
    rest = ((1, 1), NONE, (1, 1), 1)
    for precision, each in (("high", 1 + 2**-10), ("highest", 1 + 2**-11)):
        with config.override(float32_precision=precision):
            y = cuda.override("conv")(np, x, w, None, *rest)
        np.testing.assert_array_equal(y, np.full_like(y, 32 * each))


def test_what_no_kernel_knows_goes_to_the_reference():
    g = geometry(2, 4, 6, (5, 6), (3, 3), (1, 1), PAD, (1, 1))
    x, w = random_array((2, 4, 5, 6)), random_array((6, 4, 3, 3))
    y = cuda.override("conv")(np, x, w, None, *g[5:])
    np.testing.assert_array_equal(y, reference.conv(np, x, w, None, *g[5:]))
    four = np.ones((1, 2, 2, 2, 2, 2), np.float32)
    y = cuda.override("conv")(np, four, four, None, (1,) * 4, ((0, 0),) * 4, (1,) * 4, 1)
    assert y.shape == (1, 1, 1, 1, 1, 1)
    assert y.item() == 32


SANITIZED = """
import numpy as np
from cuda_emulator import emulated
from kernel_cases import geometry
from product_cases import SMALL
from test_cuda_conv import PAD, arrays, check_all
from tinyconv.backend.cuda.products import choice
choice.TILES = {math: (tile,) for math, tile in SMALL.items()}
with emulated(sanitize=True):
    for kind in ("exact", "bfloat16"):
        check_all(geometry(1, 24, 40, (5, 4), (3, 3), (1, 1), PAD, (1, 1)), kind)
        check_all(geometry(2, 7, 37, (6, 5), (3, 2), (2, 2), PAD, (1, 1)), kind)
        check_all(geometry(2, 9, 9, (6, 5), (3, 3), (2, 1), PAD, (1, 2), 9), kind)
        check_all(geometry(2, 3, 24, (6, 5), (3, 3), (1, 1), PAD, (1, 1)), kind)
print("done")
"""


@pytest.mark.slow
def test_no_access_outside_arrays():
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})"
    done = sanitized_python(here + SANITIZED)
    assert done.stdout == "done\n", done.stderr[-4000:]


def test_phases_cover_every_pixel_and_every_tap_once():
    for kernel in range(1, 6):
        for stride in range(1, 5):
            for dilation in range(1, 5):
                for before in range(3):
                    phases = phases_of(kernel, 11, stride, before, dilation)
                    pairs = set()
                    for p in phases:
                        for j in range(p.length):
                            for m in range(p.taps):
                                o = j - p.before + m * p.dilation
                                t = p.first + (p.taps - 1 - m) * p.step
                                pairs.add((p.shift + j * stride, o, t))
                    assert sum(p.length for p in phases) == 11
                    expected = {
                        (i, (i + before - t * dilation) // stride, t)
                        for i in range(11)
                        for t in range(kernel)
                        if (i + before - t * dilation) % stride == 0
                    }
                    assert pairs == expected
