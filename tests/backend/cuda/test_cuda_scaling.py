"""All gradients at once: unscaled, their norm, clipped; and the next scale of a loss."""

import math

import ml_dtypes
import numpy as np
import pytest
from cuda_emulator import COMPILER, MEMORY, emulated
from kernel_cases import LAYOUTS, random_array
from scaling_cases import calls

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import scaling
from tinyconv.backend.cuda.loops import lists

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
OF = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
BOUNDS = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def changed(part, change):
    """Return an argument with new arrays; single numbers are float32 or int64 always."""
    if isinstance(part, list):
        return [change(a) for a in part]
    if not isinstance(part, np.ndarray):
        return part
    return part.copy() if part.dtype in ("float32", "int64") else np.asarray(change(part))


@pytest.fixture
def no_reference(monkeypatch):
    """Fail if the reference is asked."""
    monkeypatch.setattr(scaling, "reference", None)


def results(kernel, arguments):
    """Return what a call returns and what its arguments hold then, in float64."""
    made = kernel(MEMORY, *arguments)
    held = [a for part in arguments for a in (part if isinstance(part, list) else [part])]
    return [np.asarray(a, "float64") for a in (*held, *(() if made is None else (made,)))]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", calls())
def test_equal_to_the_reference(name, dtype, no_reference):
    kernel, arguments = calls()[name]
    mine = [changed(part, lambda a: a.astype(OF[dtype])) for part in arguments]
    exact = [changed(part, lambda a: a.astype("float64")) for part in mine]
    ours = results(cuda.override(kernel), mine)
    theirs = results(getattr(reference, kernel), exact)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=BOUNDS[dtype], atol=1e-7)


@pytest.mark.parametrize("count", [1, lists.MOST - 1, lists.MOST, 2 * lists.MOST + 3])
def test_any_number_of_arrays(count):
    arrays = [random_array((i % 7 + 1,), "float32", i) for i in range(count)]
    arrays += [random_array((2 * lists.PIECE + 1,), "float32")]
    everything = np.concatenate([a.astype("float64") for a in arrays])
    for order, expected in (
        (1.0, np.abs(everything).sum()),
        (2.0, np.sqrt((everything**2).sum())),
        (math.inf, np.abs(everything).max()),
    ):
        total = cuda.override("total_norm")(MEMORY, arrays, order)
        assert total.shape == ()
        np.testing.assert_allclose(total, expected, rtol=1e-6)
    cuda.override("clip_to_norm")(MEMORY, arrays, np.full((), 10, "float32"), 1.0)
    clipped = np.concatenate(arrays)
    np.testing.assert_allclose(clipped, everything * (1 / (10 + 1e-6)), rtol=1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 4095, 4096, 4099])
def test_one_number_that_is_not_finite_is_found(place, value):
    grads = [random_array((4100,), "float32"), random_array((3,), "float32")]
    scale = np.full((), 4, "float32")
    unscale = cuda.override("unscale")
    assert unscale(MEMORY, grads, scale) == 0
    grads[0][place] = value
    assert unscale(MEMORY, grads, scale) == 1
    assert unscale(MEMORY, grads[1:], scale) == 0  # nothing of the last call is left
    norm = cuda.override("total_norm")(MEMORY, grads, math.inf)
    assert norm == abs(value) or (np.isnan(value) and np.isnan(norm))


def test_no_square_overflows():
    arrays = [np.full((5,), 1e30, "float32")]
    np.testing.assert_allclose(
        cuda.override("total_norm")(MEMORY, arrays, 2.0), 1e30 * np.sqrt(5), rtol=1e-6
    )


@pytest.mark.parametrize("order", [n for n in LAYOUTS if n not in ("read_only", "unaligned")])
def test_any_memory_layout(order):
    arrays = [LAYOUTS[order](random_array((2, 3, 4, 5), "float32", seed)) for seed in range(3)]
    plain = [a.copy() for a in arrays]
    scale = np.full((), 3, "float32")
    assert cuda.override("unscale")(MEMORY, arrays, scale) == 0
    for one, other in zip(arrays, plain, strict=True):
        np.testing.assert_array_equal(one, other * np.float32(1 / 3))
    np.testing.assert_allclose(
        cuda.override("total_norm")(MEMORY, arrays, 2.0),
        np.sqrt(sum((a.astype("float64") ** 2).sum() for a in arrays)), rtol=1e-6,
    )  # fmt: skip


def test_nan_spreads_when_clipping():
    array = random_array((70,), "float32")
    cuda.override("clip_to_norm")(MEMORY, [array], np.full((), np.nan, "float32"), 1.0)
    assert np.isnan(array).all()


def test_the_scale_stays_finite():
    scale, tracker = np.full((), 2.0**127, "float32"), np.zeros((), "int64")
    cuda.override("next_scale")(MEMORY, scale, tracker, np.zeros((), "float32"), 2.0, 0.5, 1)
    assert (scale, tracker) == (2.0**127, 0)


def test_tables_fit_into_the_arguments_of_a_kernel():
    assert all(v.kernel.layout.size <= 4096 for v in scaling.VARIANTS)
