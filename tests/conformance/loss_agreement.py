"""Losses beside PyTorch's of the same name, and at scores far from 0."""

import numpy as np
import pytest
from suite import assert_close, host, tensor

from tinyconv.autograd import grad


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def agree(ours, theirs, arrays, fixed=(), **settings):
    """Compare value and gradients of a loss with PyTorch's of the same name."""
    torch = pytest.importorskip("torch")
    a = [tensor(x, True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    tensors = {k: v for k, v in settings.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in settings.items() if k not in tensors}
    y = ours(*a, *map(tensor, fixed), **rest, **{k: tensor(v) for k, v in tensors.items()})
    expected = theirs(
        *b, *map(torch.tensor, fixed), **rest, **{k: torch.tensor(v) for k, v in tensors.items()}
    )
    assert_close(host(y), expected.detach().numpy(), 1e-11, 1e-12)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    for o, t in zip(a, b, strict=True):
        assert_close(host(o.grad), t.grad.numpy(), 1e-10, 1e-12)


def assert_finite(loss, *arrays, dtype=np.float32):
    """Value, gradients, and gradients of these, are finite numbers."""
    tensors = [tensor(np.asarray(a, dtype), True) for a in arrays]
    value = loss(*tensors)
    assert np.isfinite(host(value)).all(), value
    first = grad(value.sum(), tensors, create_graph=True)
    total = 0
    for g in first:
        assert np.isfinite(host(g)).all(), g
        total = total + (g * tensor(random(*g.shape).astype(dtype))).sum()
    if total.requires_grad:
        for g in grad(total, tensors, allow_unused=True):
            assert g is None or np.isfinite(host(g)).all(), g
