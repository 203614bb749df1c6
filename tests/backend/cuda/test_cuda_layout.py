"""Images and weights on CUDA that are brought into channels-last memory, padded or not."""

import ml_dtypes
import numpy as np
import pytest
from cuda_cases import OF, numbers, plant, xp
from cuda_emulator import COMPILER, emulated
from kernel_cases import LAYOUTS

from tinyconv.backend.cuda import layout
from tinyconv.backend.cuda.driver import launching

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
#: (N, C, *S): weights, images of few channels, maps, sequences, volumes; odd and even sizes.
SHAPES = [
    (5, 64, 3, 3), (3, 37, 3, 3), (2, 300, 3, 3), (4, 3, 7, 7), (2, 3, 37, 41), (1, 2, 50, 50),
    (2, 70, 9, 11), (1, 129, 33), (2, 1100, 2), (3, 5, 4, 3, 6), (70, 6, 2), (2, 2049, 1, 1),
]  # fmt: skip


@pytest.fixture(autouse=True)
def launched(monkeypatch):
    """Collects the names of the kernels that are launched."""
    names, launch = [], launching.Variant.__call__

    def noted(self, *values, **options):
        names.append(self.name)
        return launch(self, *values, **options)

    monkeypatch.setattr(launching.Variant, "__call__", noted)
    with emulated():
        yield names


def expected(x, wide):
    """Return what (N, C, *S) arrays are as (N, *S, at least ``wide``) ones."""
    last = np.moveaxis(x, 1, -1)
    further = [(0, 0)] * (x.ndim - 1) + [(0, max(wide - x.shape[1], 0))]
    return np.pad(last, further)


def bits(x):
    return np.ascontiguousarray(x).view(f"u{x.itemsize}")


def check(x, wide=0):
    before = x.copy()
    found = layout.channels_last(xp, x, wide)
    right = expected(before, wide)
    assert found.flags.c_contiguous
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(bits(found), bits(right))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", OF)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape, dtype, launched):
    check(numbers(shape, dtype))
    assert launched == ([] if shape[2:] == (1, 1) else ["channels_last"])
    launched.clear()
    check(numbers(shape, dtype), shape[1] + 3)
    assert launched == ["channels_last"]


@pytest.mark.parametrize("wide", [0, 4])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 3, 9, 8), (2, 1, 5, 7)])
def test_any_memory(shape, order, wide, launched):
    """What lies neither way is copied first, or as a whole."""
    x = LAYOUTS[order](numbers(shape, "bfloat16"))
    check(x, wide)
    assert len(launched) == (1 if wide or (shape[1] > 1 and order in KNOWN) else 0)


KNOWN = {"contiguous", "read_only"}


def test_what_lies_so_already_is_no_copy(launched):
    x = np.moveaxis(numbers((2, 5, 6, 7)), -1, 1)
    for wide in (0, 7):
        assert np.shares_memory(layout.channels_last(xp, x, wide), x)
    assert not launched


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int64"])
def test_other_dtypes_are_copied(dtype, launched):
    check((numbers((2, 3, 5, 4)) * 9).astype(dtype))
    assert not launched


def test_nothing_is_copied():
    for shape in ((0, 3, 4, 4), (2, 3, 0, 4), (2, 0, 4, 4)):
        check(numbers(shape))


def test_all_bits_arrive():
    x = np.arange(3 * 128 * 512).astype(np.uint16).reshape(3, 128, 512).view(ml_dtypes.bfloat16)
    found = layout.channels_last(xp, x)
    np.testing.assert_array_equal(found.view(np.uint16), np.moveaxis(x.view(np.uint16), 1, -1))


def test_tiles_fit_their_memory_and_runs_are_long():
    for channels in (1, 2, 3, 4, 31, 32, 33, 63, 64, 65, 100, 512, 2048, 5000):
        for positions in (1, 2, 3, 9, 25, 31, 32, 33, 49, 1000, 50176):
            rows, columns = layout.tile_of(channels, positions)
            assert rows * (columns | 1) <= layout.TILE * 3 // 2
            assert rows >= min(channels, 32)
            assert columns >= min(positions, 32)


@pytest.fixture
def small_grid(monkeypatch):
    """Have few blocks do all work."""
    launch = launching.Variant.__call__

    def small(self, grid, *values, **options):
        return launch(self, (grid[0], 1, min(grid[2], 2)), *values, **options)

    monkeypatch.setattr(launching.Variant, "__call__", small)


def test_more_images_and_channels_than_a_grid_has(small_grid):
    check(numbers((5, 300, 9)))
    check(numbers((5, 3, 9)), 4)


#: What goes wrong: what stands in layout.cu, and what stands there then.
FAULTS = {
    "written too early": ("            __syncthreads();\n", ""),
    "read too late": ("            __syncthreads();  // the tile has been read\n", ""),
    "no zeros": ("if (channel + row >= a.channels)", "if (false)"),
    "channels of the first image": ("image * a.channels * a.positions", "0"),
    "tiles of the first positions": ("first * a.position_step", "0"),
    "tiles of the first channels": ("channel * a.channel_step", "0"),
    "lines that end early": ("if (place >= length)", "if (place > length)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_noticed(fault, monkeypatch, small_grid):
    plant(monkeypatch, "layout.cu", *FAULTS[fault])
    with emulated(), pytest.raises((AssertionError, RuntimeError)):
        check_some()


def check_some():
    """Check several tiles of several images, then padded ones."""
    check(numbers((2, 100, 9, 11)))
    check(numbers((2, 3, 9, 11), "bfloat16"), 4)
    check(np.moveaxis(numbers((2, 9, 11, 3), "bfloat16"), -1, 1), 4)


def test_orders_without_a_fault(small_grid):
    check_some()
