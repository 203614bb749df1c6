"""One description of an op, many checks of it.

A family's test file lists :class:`OpCase` objects and subclasses :class:`OpSuite`:

    CASES = [
        OpCase("exp", ops.exp, [(2, 3)], np.exp),
        OpCase("log", ops.log, [(2, 3)], np.log, low=0.1, high=3.0),
        OpCase("add broadcast", ops.add, [(2, 3), (3,)], np.add),
    ]

    class TestUnary(OpSuite):
        CASES = CASES

Each case then runs on every backend: value in float64 and float32, odd memory layouts, zero-size
input, gradient, second gradient, and that the op leaves its inputs alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinyconv.autograd import grad, gradcheck, gradgradcheck
from tinyconv.backend import as_device
from tinyconv.backend.dtypes import bfloat16, float32
from tinyconv.tensor import Tensor


@dataclass
class OpCase:
    """An op, inputs for it, and what it should return.

    Parameters
    ----------
    name : str
        Test id.
    op : callable
        Function of tensors that returns a tensor or a tuple of tensors.
    shapes : sequence
        Shape of each input; an array instead of a shape is passed as it is (float64 arrays are
        differentiated, integer and bool arrays are not).
    oracle : callable
        Function of the NumPy arrays that returns the expected array(s); independent of tinyconv.
    low, high : float
        Range of random inputs.
    distinct : bool
        All elements of an input differ by at least 0.01 (for max, sort ...: no ties, no kinks).
    gradient, second : bool
        Whether the op is once, and twice, differentiable.
    zero_size : bool
        Whether the op makes sense when the first dimension of every input is 0.
    layouts : bool
        Whether to try strided input.
    rtol32 : float
        Relative tolerance in float32.
    bfloat16 : bool
        Whether the op takes bfloat16, and returns it for what it gets of it.
    """

    name: str
    op: Callable[..., Any]
    shapes: Sequence[Any]
    oracle: Callable[..., Any]
    low: float = -2.0
    high: float = 2.0
    distinct: bool = False
    gradient: bool = True
    second: bool = True
    zero_size: bool = False
    layouts: bool = True
    rtol32: float = 2e-5
    bfloat16: bool = True

    def __str__(self) -> str:
        return self.name

    def arrays(self) -> list[np.ndarray]:
        """Return the inputs, the same in every run."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [self._array(rng, shape) for shape in self.shapes]

    def _array(self, rng: np.random.Generator, shape: Any) -> np.ndarray:
        if isinstance(shape, np.ndarray):
            return shape
        size = int(np.prod(shape))
        if self.distinct:
            steps = self.low + (np.arange(size) + 0.5) * (self.high - self.low) / max(size, 1)
            return rng.permutation(steps).reshape(shape)
        return rng.uniform(self.low, self.high, shape)


def tensor(array: np.ndarray, requires_grad: bool = False) -> Any:
    """Return a tensor on the default device with the contents of ``array``."""
    device = as_device()
    native = device.backend.asarray(np.array(array, copy=True))
    floating = array.dtype.kind == "f"
    return Tensor(native, device, requires_grad and floating)


def host(result: Any) -> Any:
    """Return NumPy arrays for tensors, through tuples."""
    if isinstance(result, tuple | list):
        return tuple(host(r) for r in result)
    return result.device.backend.to_host(result.array)


def assert_close(actual: Any, expected: Any, rtol: float, atol: float) -> None:
    """Compare shapes and values, through tuples."""
    if isinstance(actual, tuple):
        assert isinstance(expected, tuple | list)
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e, rtol, atol)
        return
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    if actual.dtype.kind == "f":
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(actual, expected)


def like(twin: np.ndarray, device: Any) -> Any:
    """Return an array of the device with the contents of ``twin``, in as odd a layout."""
    if device.backend.xp is np:
        return twin
    if twin.strides[0] < 0:
        return device.backend.from_host(np.ascontiguousarray(twin[::-1]))[::-1]
    return device.backend.from_host(np.repeat(twin, 2, axis=-1))[..., ::2]


def _floating(result: Any) -> list[Any]:
    """Return the floating-point tensors of a result."""
    parts = result if isinstance(result, tuple | list) else (result,)
    return [part for part in parts if hasattr(part, "dtype") and part.dtype.is_floating_point]


def gradients(case: OpCase, tensors: Sequence[Any], followed: bool) -> Sequence[Any]:
    """Return gradients of the floating-point inputs, computed with or without a graph of them."""
    results = [r for r in _floating(case.op(*tensors)) if r.requires_grad]
    rng = np.random.default_rng(5)
    outer = [tensor(rng.uniform(-1, 1, tuple(r.shape))) for r in results]
    inputs = [t for t in tensors if t.requires_grad]
    return grad(results, inputs, outer, create_graph=followed, allow_unused=True)


def assert_rounded(actual: Any, expected: Any) -> None:
    """Compare a bfloat16 result with one of float32, within a few roundings to 8 bits."""
    a, e = (host(t.detach().double()) for t in (actual, expected))
    size = np.abs(e[np.isfinite(e)]).max(initial=0)
    np.testing.assert_allclose(a, e, rtol=2e-2, atol=3e-2 * size + 5e-3)


def strided_twins(array: np.ndarray) -> list[np.ndarray]:
    """Return arrays equal to ``array`` in other memory layouts: transposed, reversed, sliced."""
    if array.ndim == 0 or array.size == 0:
        return []
    reversed_twin = np.ascontiguousarray(array[::-1])[::-1]
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), dtype=array.dtype)
    wide[..., ::2] = array
    return [np.asfortranarray(array), reversed_twin, wide[..., ::2]]


#: Which cases a check is for; the others it would have nothing to say about.
APPLIES: dict[str, Callable[[OpCase], bool]] = {
    "test_strided_input": lambda case: case.layouts,
    "test_gradient": lambda case: case.gradient,
    "test_second_gradient": lambda case: case.gradient and case.second,
    "test_zero_size": lambda case: case.zero_size,
    "test_bfloat16": lambda case: case.bfloat16,
}


class OpSuite:
    """The checks; a subclass gives ``CASES``."""

    CASES: Sequence[OpCase] = ()

    def test_value_float64(self, case, backend):
        arrays = case.arrays()
        result = host(case.op(*map(tensor, arrays)))
        assert_close(result, case.oracle(*arrays), rtol=1e-9, atol=1e-10)

    def test_value_float32(self, case, backend):
        arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in case.arrays()]
        result = host(case.op(*map(tensor, arrays)))
        exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
        expected = case.oracle(*exact)
        for r in result if isinstance(result, tuple) else (result,):
            assert r.dtype != np.float64, "float32 input gave a float64 result"
        assert_close(result, expected, rtol=case.rtol32, atol=case.rtol32)

    def test_bfloat16(self, case, backend):
        """Computed in float32 and rounded: dtypes, values, gradients."""
        if backend == "strict":
            pytest.skip("array-api-strict has no bfloat16")
        arrays = case.arrays()
        floating = [a.dtype.kind == "f" for a in arrays]
        half = [tensor(a, case.gradient) for a in arrays]
        half = [
            t.detach().bfloat16().requires_grad_(case.gradient) if f else t
            for t, f in zip(half, floating, strict=True)
        ]
        single = [
            t.detach().float().requires_grad_(case.gradient) if f else t
            for t, f in zip(half, floating, strict=True)
        ]
        results, expected = _floating(case.op(*half)), _floating(case.op(*single))
        for r, e in zip(results, expected, strict=True):
            assert r.dtype is (bfloat16 if e.dtype is float32 and any(floating) else e.dtype)
            assert_rounded(r, e)
        if not case.gradient:
            return
        for outputs in (results, expected):
            grown = [r.sum() for r in outputs if r.requires_grad]
            if grown:
                sum(grown).backward()
        for h, s, f in zip(half, single, floating, strict=True):
            if f and h.grad is not None:
                assert h.grad.dtype is bfloat16
                assert_rounded(h.grad, s.grad)

    def test_strided_input(self, case, backend):
        if backend == "strict":
            pytest.skip("array-api-strict has one layout")
        arrays = case.arrays()
        expected = case.oracle(*arrays)
        device = as_device()
        for position, array in enumerate(arrays):
            for twin in strided_twins(array):
                tensors = [tensor(a) for a in arrays]
                tensors[position] = Tensor(like(twin, device), device)
                assert_close(host(case.op(*tensors)), expected, rtol=1e-9, atol=1e-10)

    def test_inputs_stay_as_they_are(self, case, backend):
        arrays = case.arrays()
        tensors = [tensor(a, requires_grad=case.gradient) for a in arrays]
        case.op(*tensors)
        for t, array in zip(tensors, arrays, strict=True):
            np.testing.assert_array_equal(host(t), array)

    def test_gradient(self, case, backend):
        tensors = [tensor(a, requires_grad=True) for a in case.arrays()]
        assert gradcheck(case.op, tensors)

    def test_second_gradient(self, case, backend):
        tensors = [tensor(a, requires_grad=True) for a in case.arrays()]
        assert gradgradcheck(case.op, tensors)
        # That compares second gradients with the first ones of the same rule, which may be another
        # one than where nobody follows.
        for one, other in zip(*(gradients(case, tensors, f) for f in (True, False)), strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert_close(host(one), host(other), rtol=1e-9, atol=1e-10)

    def test_zero_size(self, case, backend):
        arrays = [a[:0] if a.ndim else a for a in case.arrays()]
        tensors = [tensor(a, requires_grad=case.gradient) for a in arrays]
        result = case.op(*tensors)
        assert_close(host(result), case.oracle(*arrays), rtol=1e-9, atol=1e-10)
        first = result[0] if isinstance(result, tuple) else result
        if case.gradient and first.requires_grad:
            first.sum().backward()
            for t in tensors:
                if t.requires_grad and t.grad is not None:
                    assert t.grad.array.shape == t.array.shape
