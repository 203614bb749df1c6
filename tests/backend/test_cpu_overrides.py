"""What holds for every CPU kernel: its signature, its fallback, its result on any layout."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
from kernel_cases import LAYOUTS, assert_close
from kernel_examples import examples

from tinyconv import config
from tinyconv.backend import as_dtype, cpu
from tinyconv.backend.cpu import layout
from tinyconv.backend.dtypes import bfloat16
from tinyconv.backend.reference import KERNELS
from tinyconv.errors import MissingDependencyError

#: Other dtypes of results for half-precision arguments.
UNROUNDED = {
    "max_pool": (np.uint8,), "dropout": (np.bool_,), "batch_norm_grad": (np.float32,),
    "group_norm_grad": (np.float32,), "layer_norm_grad": (np.float32,), "layer_norm": (np.float64,),
    "group_norm": (np.float64,), "wide_matmul": (np.float32,),
}  # fmt: skip


#: What a CPU has no faster kernel for: statistics are a pass of their own (`Backend.measures`).
REFERENCE = {"conv_with_statistics"}


def both(name, *arguments):
    """Return the results of override and reference as two tuples."""
    results = cpu.override(name)(np, *arguments), KERNELS[name](np, *arguments)
    return tuple(r if isinstance(r, tuple) else (r,) for r in results)


def test_every_kernel_is_overridden():
    assert set(cpu.OVERRIDES) == set(KERNELS) - REFERENCE
    assert cpu.override("no_such_kernel") is None


@pytest.mark.parametrize("name", cpu.OVERRIDES)
def test_signature_is_that_of_the_reference(name):
    override = inspect.signature(cpu.override(name)).parameters
    assert list(override) == list(inspect.signature(KERNELS[name]).parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("name", sorted(set(examples()) - REFERENCE - {"philox"}))
def test_any_memory_layout(name, order, dtype):
    change = LAYOUTS[order]
    plain = examples(dtype)[name]
    arguments = [change(a) if isinstance(a, np.ndarray) else a for a in plain]
    results = both(name, *arguments)
    for actual, expected in zip(*results, strict=True):
        assert actual.dtype == expected.dtype
        if expected.dtype == "float64":  # statistics are, but are as exact as the numbers allow
            actual, expected = actual.astype(dtype), expected.astype(dtype)
        assert_close(actual, expected, 20)
    for used, untouched in zip(arguments, plain, strict=True):
        np.testing.assert_array_equal(used, untouched)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted(set(examples()) - REFERENCE - {"philox"}))
def test_half_precision_is_computed_in_float32_and_rounded(name, dtype):
    native = as_dtype(dtype).of(np)  # from now on it is in use
    arguments = [
        a.astype(native) if getattr(a, "dtype", None) == np.float32 else a
        for a in examples("float32")[name]
    ]
    precision = 2.0**-10 if dtype == "float16" else 2.0**-7
    for actual, expected in zip(*both(name, *arguments), strict=True):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        scale = abs(expected.astype(np.float64)).max(initial=0)
        np.testing.assert_allclose(
            actual.astype(np.float64), expected.astype(np.float64), rtol=precision,
            atol=1e-6 * scale,
        )  # fmt: skip
        if not (name.endswith("statistics") or np.issubdtype(expected.dtype, np.integer)):
            assert expected.dtype in (native, *UNROUNDED.get(name, ()))


@pytest.mark.parametrize("name", ["batch_norm_grad", "group_norm_grad", "layer_norm_grad"])
def test_gradients_of_weight_and_bias_are_not_rounded(name):
    native = bfloat16.of(np)
    arguments = [
        a.astype(native) if getattr(a, "dtype", None) == np.float32 else a
        for a in examples("float32")[name]
    ]
    for kernel in (KERNELS[name], cpu.override(name)):
        assert [r.dtype for r in kernel(np, *arguments)] == [native, np.float32, np.float32]


@pytest.mark.parametrize("name", sorted(set(examples()) - REFERENCE - {"philox"}))
def test_reference_of_bfloat16_is_that_of_float32_rounded(name):
    native = bfloat16.of(np)
    arguments = [
        a.astype(native) if getattr(a, "dtype", None) == np.float32 else a
        for a in examples("float32")[name]
    ]
    wide = [a.astype(np.float32) if getattr(a, "dtype", None) == native else a for a in arguments]
    actual, expected = (KERNELS[name](np, *values) for values in (arguments, wide))
    for a, e in zip(
        *(r if isinstance(r, tuple) else (r,) for r in (actual, expected)), strict=True
    ):
        rounded = a.dtype == native and e.dtype == np.float32
        np.testing.assert_array_equal(a, e.astype(native) if rounded else e)


@pytest.mark.parametrize("name", ["conv", "max_pool", "sum_pool", "batch_norm"])
def test_image_results_are_channels_last(name):
    result = both(name, *examples("float32")[name])[0][0]
    assert result.transpose(0, 2, 3, 1).flags.c_contiguous


def test_compiled_code_sees_one_kind_of_array():
    x = np.arange(12.0).reshape(3, 4)
    assert layout.plain(x) is x
    for change in LAYOUTS.values():
        flags = layout.plain(change(x)).flags
        assert flags.c_contiguous
        assert flags.writeable
        assert flags.aligned


def test_big_endian_goes_to_the_reference():
    x = np.array([0.5, -1.0], ">f4")
    np.testing.assert_allclose(cpu.override("erf")(np, x), [0.5204999, -0.8427008], rtol=1e-6)


def test_package_imports_no_numba():
    code = (
        "import sys, tinyconv; from tinyconv.backend import cpu; "
        "assert cpu.numba_available(); tinyconv.ones(2) + 1; "
        "assert not {'numba', 'threadpoolctl'} & set(sys.modules), 'imported too early'; "
        "import threading; assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


BLOCK_NUMBA = """
import sys
sys.modules["numba"] = None      # any import of Numba now fails
import numpy as np
from tinyconv import config
from tinyconv.backend import backends, cpu, reference
from tinyconv.backend.generator import Generator
assert not cpu.numba_available()
backend = backends()["cpu"]
assert backend.overridden() == []
x = np.ones((1, 1, 3, 3), np.float32)
y = backend.conv(x, x, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
assert y.item() == 9
assert Generator(0).uniform(backend, (2, 3)).shape == (2, 3)
"""


def test_without_numba_the_reference_serves():
    subprocess.run([sys.executable, "-c", BLOCK_NUMBA], check=True)


def test_numba_demanded_but_missing_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with config.backend.override("numba"), pytest.raises(MissingDependencyError, match="pip"):
        cpu.override("conv")
    with config.backend.override("auto"):
        assert cpu.override("conv") is None
