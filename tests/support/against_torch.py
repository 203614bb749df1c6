"""The same computation in tinyconv and in PyTorch, compared in value, dtype and gradient."""

import numpy as np
import pytest

from tinyconv import ops

torch = pytest.importorskip("torch")

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def pair(array, requires_grad=False):
    """Return a tinyconv and a PyTorch tensor with the contents of a NumPy array."""
    ours = ops.from_numpy(np.array(array))
    theirs = torch.from_numpy(np.array(array))
    return ours.requires_grad_(requires_grad), theirs.requires_grad_(requires_grad)


def assert_same(ours, theirs, rtol=2e-6, atol=1e-6, dtype=True):
    """Compare results, through tuples."""
    if isinstance(theirs, tuple):
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b, rtol, atol, dtype)
        return
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape
    if dtype:
        assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def assert_same_gradients(ours, theirs, *arrays, rtol=1e-9, atol=1e-12):
    """Compare the value, and the gradients of the sum, of a function of float64 arrays."""
    a, b = zip(*(pair(array, requires_grad=True) for array in arrays), strict=True)
    result, expected = ours(*a), theirs(*b)
    assert_same(result, expected, rtol, atol)
    result.sum().backward()
    expected.sum().backward()
    for x, y in zip(a, b, strict=True):
        assert (x.grad is None) == (y.grad is None)
        if x.grad is not None:
            assert_same(x.grad, y.grad, rtol, atol)
