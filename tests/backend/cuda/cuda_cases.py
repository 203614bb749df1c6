"""What the tests of CUDA kernels share: dtypes, poisoned memory, bounds of errors, and faults."""

import types

import ml_dtypes
import numpy as np

from tinyconv.backend.cuda.driver import launching

OF = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
#: Half the distance of neighbours: what one rounding of a result costs, as a part of it.
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def _poisoned(make):
    def empty(*args, **kwargs):
        array = make(*args, **kwargs)
        array.view(np.uint8 if array.ndim else array.dtype)[...] = 0xFF  # NaN
        return array

    return empty


#: NumPy, but what is fresh holds NaN.
xp = types.ModuleType("poisoned numpy")
xp.__dict__.update(np.__dict__)
xp.empty, xp.empty_like = _poisoned(np.empty), _poisoned(np.empty_like)


def numbers(shape, dtype="float32", seed=0, offset=0.0, scale=1.0):
    """Return normal numbers of a dtype."""
    generator = np.random.default_rng([seed, *shape])
    return (generator.standard_normal(shape) * scale + offset).astype(OF.get(dtype, dtype))


def wide(*arguments):
    """Return the arguments, arrays of numbers in float64."""
    return [
        a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind not in "iub" else a
        for a in arguments
    ]


def assert_near(actual, expected, dtype, roundings=8, scale=None):
    """Compare with float64 results: one rounding to ``dtype``, and float32 roundings before it.

    ``scale`` is the size of the numbers that were added; default: that of the largest result.
    """
    assert actual.shape == expected.shape
    assert actual.dtype == OF.get(dtype, dtype)
    if scale is None:
        scale = max(np.abs(expected).max(), 1) if expected.size else 1
    bound = ROUNDING[dtype] * 1.01 * np.abs(expected) + roundings * 2.0**-24 * scale
    bound += 2.0**-25 if dtype == "float16" else 0  # numbers below the normal ones
    error = np.abs(np.asarray(actual, np.float64) - expected)
    assert (error <= bound).all(), f"error {(error / bound).max():.3g} times the bound"


def launches(monkeypatch):
    """Return a list that gets the name of each kernel that is launched from now on."""
    names, launch = [], launching.Variant.__call__

    def noting(self, *values, **options):
        names.append(self.name)
        launch(self, *values, **options)

    monkeypatch.setattr(launching.Variant, "__call__", noting)
    return names


def plant(monkeypatch, file, right, wrong):
    """Have a source of kernels say something else; kernels are compiled anew in `emulated()`."""
    original = launching._text

    def changed(name):
        text = original(name)
        if name == file:
            assert text.count(right) == 1, "the source has changed: change the fault, too"
            text = text.replace(right, wrong)
        return text

    monkeypatch.setattr(launching, "_text", changed)
