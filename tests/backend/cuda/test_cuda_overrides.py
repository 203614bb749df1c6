"""What holds for every CUDA kernel: its signature, its fallback, its result on any layout.

The real kernel sources run on NumPy arrays here; see tests/support/cuda_emulator.py.
"""

import inspect

import ml_dtypes
import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated
from kernel_cases import LAYOUTS
from kernel_examples import IN_PLACE, examples

import tinyconv as tc
from tinyconv.backend import cuda
from tinyconv.backend.reference import KERNELS

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
#: Largest error of a result, as a part of its largest number: storage rounds each number once.
BOUNDS = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
OF = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
tc.bfloat16.of(np)  # the reference computes in float32 once that is in use


@pytest.fixture(autouse=True)
def emulator():
    with emulated() as runner:
        yield runner


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def test_overrides_are_kernels():
    assert set(cuda.OVERRIDES) <= set(KERNELS)
    assert cuda.override("no_such_kernel") is None


@pytest.mark.parametrize("name", sorted(cuda.OVERRIDES))
def test_signature_is_that_of_the_reference(name):
    override = inspect.signature(cuda.override(name)).parameters
    assert list(override) == list(inspect.signature(KERNELS[name]).parameters)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("name", sorted(set(cuda.OVERRIDES) - IN_PLACE))
def test_any_memory_layout(name, order, dtype):
    plain = [
        a.astype(OF[dtype]) if isinstance(a, np.ndarray) and a.dtype == "float64" else a
        for a in examples("float64")[name]
    ]
    change = LAYOUTS[order]
    arguments = [change(a) if isinstance(a, np.ndarray) else a for a in plain]
    exact = [
        a.astype("float64") if isinstance(a, np.ndarray) and a.dtype == OF[dtype] else a
        for a in plain
    ]
    actual = as_tuple(cuda.override(name)(np, *arguments))
    expected = as_tuple(KERNELS[name](np, *exact))
    of_same_dtype = as_tuple(KERNELS[name](np, *plain))
    for one, other, same in zip(actual, expected, of_same_dtype, strict=True):
        assert one.shape == other.shape
        assert one.dtype == same.dtype
        if other.dtype == "float64":
            scale = np.abs(other).max(initial=1)
            error = np.abs(one.astype("float64") - other).max(initial=0)
            assert error <= BOUNDS[dtype] * scale
        else:
            np.testing.assert_array_equal(one, other)
    for used, untouched in zip(arguments, plain, strict=True):
        np.testing.assert_array_equal(used, untouched)


@pytest.mark.parametrize("name", sorted(set(cuda.OVERRIDES) - IN_PLACE))
def test_float64_goes_to_the_reference(name):
    arguments = examples("float64")[name]
    actual, expected = cuda.override(name)(np, *arguments), KERNELS[name](np, *arguments)
    for one, other in zip(as_tuple(actual), as_tuple(expected), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
