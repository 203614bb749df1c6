"""Asynchronous copies and tensor cores in the emulator, and faults in products that it notices."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cuda_cases import plant
from cuda_emulator import COMPILER, emulated
from kernel_cases import random_array
from product_cases import SMALL, check, use_tiles

from tinyconv.backend.cuda.driver.launching import Kernel

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
SOURCE = str(Path(__file__).with_name("fragments.cu"))
PRODUCT, LOAD = (Kernel(SOURCE, name, "a b c d", threads=32) for name in ("product", "load"))
LOADING = {
    "BYTES": 16, "COMMIT": "cp_async_commit()", "WAIT": "cp_async_wait<0>()", "LOAD": "ldmatrix_x4",
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_product_of_fragments(dtype):
    depth = 8 if dtype == "float32" else 16
    numpy_dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    a, b = (random_array(shape).astype(numpy_dtype) for shape in ((16, depth), (depth, 8)))
    c, d = random_array((16, 8), "float32"), np.full((16, 8), np.nan, np.float32)
    with emulated():
        PRODUCT.of_name(dtype, **LOADING)(1, 32, a, b, c, d)
    exact = a.astype(float) @ b.astype(float) + c
    np.testing.assert_allclose(d, exact, rtol=0, atol=1e-2 if dtype == "float32" else 1e-5)
    assert (np.abs(d - exact) > 1e-5).any() == (dtype == "float32")  # TF32 rounds its inputs


def load(dtype="bfloat16", **changes):
    """Return the registers (32 lanes, 4 matrices) of 32 rows of 16 bytes."""
    rows = np.arange(32 * 8, dtype=np.uint16).reshape(32, 8)
    registers = np.full((32, 4), np.nan, np.float32)
    with emulated():
        LOAD.of_name(dtype, **{**LOADING, **changes})(
            1, 32, rows, None, None, registers, shared=32 * 16
        )
    return rows.reshape(4, 8, 8), registers.view(np.uint16).reshape(8, 4, 4, 2)


def test_matrices_reach_the_lanes():
    matrices, registers = load()
    # lane 4g + t holds elements 2t, 2t+1 of row g of each matrix
    np.testing.assert_array_equal(registers, matrices.reshape(4, 8, 4, 2).transpose(1, 2, 0, 3))
    matrices, registers = load(LOAD="ldmatrix_x4_trans")
    turned = matrices.transpose(0, 2, 1).reshape(4, 8, 4, 2)
    np.testing.assert_array_equal(registers, turned.transpose(1, 2, 0, 3))


def test_copies_land_at_the_wait_for_their_group():
    empty = np.full((8, 4, 4, 2), 0xFFFF)
    np.testing.assert_array_equal(load(WAIT="")[1], empty)
    np.testing.assert_array_equal(load(WAIT="cp_async_wait<1>()")[1], empty)
    np.testing.assert_array_equal(load(COMMIT="")[1], empty)


def test_what_is_not_copied_is_zero():
    assert not load(BYTES=0)[1].any()
    matrices, registers = load(BYTES=4)
    np.testing.assert_array_equal(registers[:, 0], matrices[:, :, :2].transpose(1, 0, 2))
    assert not registers[:, 1:].any()


def test_wrong_use_is_an_error():
    with pytest.raises(RuntimeError, match="misaligned"):
        load(LOAD="threadIdx.x == 3 ? ldmatrix_x4(r, row + 8) : ldmatrix_x4")
    with pytest.raises(RuntimeError, match="lane is missing"):
        load(LOAD="if (threadIdx.x == 3) return; ldmatrix_x4")
    with pytest.raises(RuntimeError, match="too many bytes"):
        load(BYTES=20)


def test_rounding_to_tf32_is_to_nearest_ties_away_from_zero():
    a, b = np.zeros((16, 8), np.float32), np.eye(8, dtype=np.float32)
    c, d = np.zeros((16, 8), np.float32), np.zeros((16, 8), np.float32)
    a[0, :4] = 1 + 2**-11, 1 + 2**-10 + 2**-11, -1 - 2**-11, 1 + 2**-12
    with emulated():
        PRODUCT.of_name("float32", **LOADING)(1, 32, a, b, c, d)
    expected = np.float32([1 + 2**-10, 1 + 2**-9, -1 - 2**-10, 1])
    np.testing.assert_array_equal(d[0, :4], expected)


# ---- faults planted in the products ------------------------------------------------------------

FRAGMENT = "A::place(row + lane % 16, 2 * step + lane / 16)"
COLUMNS = "int line = column + lane % 8 + lane / 16 * 8;"
#: What goes wrong: the file, what stands there, and what stands there then.
FAULTS = {
    "waits for one group too few": ("product.cuh", "wait<STAGES - 2>", "wait<STAGES - 1>"),
    "no wait": ("product.cuh", "cp_async_wait<STAGES - 2>();", ""),
    "no group where nothing is copied": (
        "product.cuh", "cp_async_commit();  // also",
        "if (i + STAGES - 1 < tiles) cp_async_commit();  //",
    ),
    "no barrier in the loop": (
        "product.cuh", "__syncthreads();              // everyone's", "// everyone's",
    ),
    "no barrier before results": (
        "product.cuh", "__syncthreads();  // the last tile has been multiplied", "",
    ),
    "copies into the tile that is read": ("product.cuh", "fetch(free);", "fetch(slot);"),
    "fragments read without the swizzle": (
        "product.cuh", FRAGMENT,
        FRAGMENT.replace("row + lane % 16", "0") + " + (row + lane % 16) * 64",
    ),
    "halves of the depth exchanged": (
        "product.cuh", "step + lane / 8 % 2", "step + 1 - lane / 8 % 2",
    ),
    "columns exchanged": ("product.cuh", COLUMNS, COLUMNS.replace("lane / 16", "(1 - lane / 16)")),
    "taps outside are read": ("gather.cuh", "(bits & question) == question", "(bits & question)"),
    "channels of a tap begin anew": ("gather.cuh", "channel -= o.channels;", "channel = 0;"),
    "bias of another column": ("product.cuh", "end.bias[column]", "end.bias[column ^ 1]"),
    "padding after instead of before": (
        "gather.cuh", "* o.stride[1] - o.before[1]", "* o.stride[1] + o.before[1]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_planted_faults_are_noticed(fault, monkeypatch):
    use_tiles(monkeypatch, SMALL)
    if fault:
        plant(monkeypatch, *FAULTS[fault])
    x, w = (
        random_array(shape).astype(ml_dtypes.bfloat16) for shape in ((2, 24, 9, 5), (40, 24, 3, 3))
    )
    bias = random_array((40,)).astype(ml_dtypes.bfloat16)
    rest = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    with emulated():
        if fault is None:
            check("bfloat16", "conv", (x, w, bias, *rest), 24 * 9)
        else:
            with pytest.raises((AssertionError, RuntimeError)):
                check("bfloat16", "conv", (x, w, bias, *rest), 24 * 9)
