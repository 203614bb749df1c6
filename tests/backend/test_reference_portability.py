"""Every reference kernel gives the same bits under array_api_strict as under NumPy."""

import array_api_strict
import numpy as np
import pytest
from kernel_examples import IN_PLACE, examples

from tinyconv.backend.reference import KERNELS


def test_every_kernel_has_an_example():
    assert set(examples()) == set(KERNELS) - IN_PLACE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(set(KERNELS) - IN_PLACE))
def test_strict_namespace(name, dtype):
    arguments = examples(dtype)[name]
    strict = [array_api_strict.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
    expected, actual = KERNELS[name](np, *arguments), KERNELS[name](array_api_strict, *strict)
    if not isinstance(expected, tuple):
        expected, actual = (expected,), (actual,)
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert isinstance(one, array_api_strict._array_object.Array)
        np.testing.assert_array_equal(np.asarray(one), other)
        assert np.asarray(one).dtype == other.dtype


@pytest.mark.parametrize("name", sorted(set(examples()) - {"philox"}))
def test_arguments_are_not_changed(name):
    arguments, fresh = examples()[name], examples()[name]
    KERNELS[name](np, *arguments)
    for used, untouched in zip(arguments, fresh, strict=True):
        np.testing.assert_array_equal(used, untouched)
