"""Matrix products on CUDA, however operands lie in memory, against the reference in float64."""

import ml_dtypes
import numpy as np
import pytest
from cuda_emulator import COMPILER, MEMORY, emulated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import random_array
from product_cases import KINDS, SMALL, check, use_tiles

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import matmul
from tinyconv.backend.cuda.products import choice

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
#: matmul is exact in float32 whatever the precision.
TYPES = ("exact", "bfloat16", "float16")


@pytest.fixture(autouse=True)
def runs_emulated(monkeypatch):
    use_tiles(monkeypatch, SMALL)
    with emulated() as runner:
        yield runner


def transposed(x):
    return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def inner(x):
    """Return the array as part of a wider one."""
    wide = np.full((*x.shape[:-1], x.shape[-1] + 16), np.nan, x.dtype)
    wide[..., :-16] = x
    return wide[..., :-16]


def every_second(x):
    wide = np.full((*x.shape[:-1], x.shape[-1] * 2), np.nan, x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


ORDERS = {
    "rows": np.ascontiguousarray, "columns": transposed, "inner": inner, "strided": every_second,
    "negative": lambda x: np.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :],
}  # fmt: skip


def check_product(kind, a, b, orders=("rows", "rows"), bias=False):
    dtype = KINDS[kind][0]
    left, right = (
        ORDERS[order](random_array(shape, seed=seed).astype(dtype))
        for seed, (order, shape) in enumerate(zip(orders, (a, b), strict=True))
    )
    offset = random_array((b[-1],)).astype(dtype) if bias else None
    limits = (-0.5, 1.0) if bias else None
    return check(kind, "matmul", (left, right, offset, limits), a[-1])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("a", ORDERS)
@pytest.mark.parametrize("b", ORDERS)
def test_any_order_in_memory(a, b, kind):
    check_product(kind, (37, 48), (48, 72), (a, b), bias=True)


@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.sampled_from(TYPES[:2]),
    st.tuples(*[st.sampled_from(sorted(ORDERS))] * 2), st.booleans(),
)  # fmt: skip
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_size(rows, depth, columns, kind, orders, bias):
    check_product(kind, (rows, depth), (depth, columns), orders, bias)


@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
@pytest.mark.parametrize(
    ("a", "b"),
    [((3,), (3,)), ((2, 3), (2, 3)), ((2, 1), (1, 3)), ((3,), (2, 3)), ((3,), ()), ((), (3,)),
     ((1, 2), (2,)), ((1, 1), (1,))],
)  # fmt: skip
def test_stacks(a, b, kind):
    for order in ("rows", "columns"):
        check_product(kind, (*a, 17, 24), (*b, 24, 40), (order, order), bias=True)
    check_product(kind, (*a, 5, 7), (*b, 7, 3))


def test_stacks_of_more_products_than_a_launch_has(monkeypatch):
    monkeypatch.setattr(matmul, "STACK", 4)
    check_product("exact", (11, 5, 8), (11, 8, 4), bias=True)
    check_product("exact", (11, 5, 8), (1, 8, 4), ("columns", "rows"))


@pytest.mark.parametrize("kind", ["exact", "bfloat16"])
def test_sliced_depth(kind, monkeypatch, runs_emulated):
    monkeypatch.setattr(runs_emulated, "multiprocessors", 20, raising=False)
    monkeypatch.setattr(choice, "SHORTEST", 1)
    for orders in (("rows", "rows"), ("columns", "rows"), ("rows", "columns")):
        check_product(kind, (16, 520), (520, 24), orders, bias=True)
        check_product(kind, (3, 16, 520), (3, 520, 24), orders, bias=True)


def test_nan_spreads_along_its_row_only():
    a, b = np.ones((40, 33), np.float32), np.ones((33, 50), np.float32)
    a[7, 30] = np.nan
    y = cuda.override("matmul")(np, a, b)
    assert np.isnan(y[7]).all()
    assert np.isfinite(np.delete(y, 7, 0)).all()


def test_empty_and_unknown_go_to_the_reference():
    for dtype, rows, depth in (("float64", 3, 4), ("float32", 0, 4), ("float32", 3, 0)):
        a, b = np.ones((rows, depth), dtype), np.ones((depth, 5), dtype)
        y = cuda.override("matmul")(np, a, b, np.ones(5, dtype))
        np.testing.assert_array_equal(y, reference.matmul(np, a, b, np.ones(5, dtype)))
        assert y.dtype == dtype


def test_the_largest_tile_with_work_for_all_is_chosen(monkeypatch, runs_emulated):
    monkeypatch.undo()
    monkeypatch.setattr(runs_emulated, "multiprocessors", 132, raising=False)
    large, *_, small = choice.TILES["HALF"]
    depth = 256 * 32 * 32

    def choose(rows, columns, odd=False, sliced=False):
        return choice.choose(choice.Size("HALF", rows, columns, depth, 2, odd=odd), sliced)

    assert choose(128 * 28 * 28, 512) == (large, 1, 0)
    assert choose(100_000, 64).tile.columns == 64  # no tile half empty
    assert choose(64, 32).tile is small
    assert choose(100_000, 512, odd=True).tile in choice.TILES["HALF"][-2:]
    tile, slices, each = choose(64, 576, sliced=True)
    assert 132 < tile.tiles(64, 576) * slices <= 2 * 132
    assert slices * each * tile.depth(2) >= depth
    assert (slices - 1) * each * tile.depth(2) < depth


# -- half precision in, float32 out ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((5, 7), (7, 3)), ((2, 3, 33, 17), (2, 3, 17, 65)), ((3, 1, 64), (3, 64, 40)),
        ((2, 16, 300), (300, 24)), ((1, 1), (1, 1)), ((2, 1, 8, 16), (1, 3, 16, 8)),
        ((8, 4096), (4096, 8)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_wide_products_are_not_rounded(a, b, turned, dtype):
    x, y = random_array(a, "float32").astype(dtype), random_array(b, "float32", 1).astype(dtype)
    if turned:
        y = np.ascontiguousarray(np.swapaxes(y, -1, -2)).swapaxes(-1, -2)
    exact, sizes = (
        np.matmul(change(x.astype("float64")), change(y.astype("float64")))
        for change in (np.array, np.abs)
    )
    found = cuda.override("wide_matmul")(MEMORY, x, y)
    assert found.dtype == np.float32
    assert (np.abs(found - exact) <= 2 * a[-1] * 2.0**-23 * sizes + 1e-30).all()
