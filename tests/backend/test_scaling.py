"""The reference kernels that take all gradients at once, in the strict namespace and by formula."""

import math

import array_api_strict
import numpy as np
import pytest
from scaling_cases import calls

from tinyconv.backend import cpu, reference


def strict(part):
    if isinstance(part, list):
        return [strict(a) for a in part]
    return array_api_strict.asarray(part, copy=True) if isinstance(part, np.ndarray) else part


def plain(part):
    if isinstance(part, list):
        return [plain(a) for a in part]
    return np.asarray(part._array) if hasattr(part, "_array") else part


@pytest.mark.parametrize("name", calls())
def test_strict_namespace(name):
    kernel, arguments = calls()[name]
    there = [strict(part) for part in arguments]
    one = getattr(reference, kernel)(array_api_strict, *there)
    other = getattr(reference, kernel)(np, *arguments)
    np.testing.assert_allclose(plain(one) if other is not None else 0, other or 0, rtol=1e-12)
    for a, b in zip(there, arguments, strict=True):
        for x, y in zip(*([p] if not isinstance(p, list) else p for p in (plain(a), b)),
                        strict=True):  # fmt: skip
            np.testing.assert_allclose(x, y, rtol=1e-12)


def test_formulas():
    arrays = [np.array([3.0, -4.0]), np.array(12.0), np.zeros((0, 2))]
    norms = [float(reference.total_norm(np, arrays, order)) for order in (1.0, 2.0, math.inf)]
    assert norms == [19.0, 13.0, 12.0]
    reference.clip_to_norm(np, arrays, np.array(13.0), 6.5)
    np.testing.assert_allclose(arrays[0], [1.5, -2.0], rtol=1e-6)
    grads, scale = [np.array([2.0, np.inf])], np.float32(2.0)
    assert reference.unscale(np, grads, scale) == 1
    np.testing.assert_array_equal(grads[0], [1.0, np.inf])


@pytest.mark.parametrize(
    ("found", "tracker", "scale", "after"),
    [(0, 0, 8, (8, 1)), (0, 2, 8, (16, 0)), (1, 2, 8, (4, 0)), (0, 2, 2.0**127, (2.0**127, 0))],
)
def test_next_scale(found, tracker, scale, after):
    scale, tracker = np.full((), scale, "float32"), np.full((), tracker, "int64")
    with np.errstate(over="ignore"):
        reference.next_scale(np, scale, tracker, np.full((), found, "float32"), 2.0, 0.5, 3)
    assert (scale, tracker) == after


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", calls())
def test_fast_is_the_reference(name, dtype):
    kernel, mine = calls(dtype)[name]
    _, exact = calls(dtype)[name]
    one, other = cpu.override(kernel)(np, *mine), getattr(reference, kernel)(np, *exact)
    tolerance = {"float64": 1e-7, "float32": 2e-6, "float16": 2e-3}[dtype]  # the scale is float32
    if other is not None:
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance)
    for a, b in zip(mine, exact, strict=True):
        for x, y in zip(*([p] if not isinstance(p, list) else p for p in (a, b)), strict=True):
            np.testing.assert_allclose(x, y, rtol=tolerance)
