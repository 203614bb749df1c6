"""What the tests of pending results and of fusion share."""

from collections import Counter

import numpy as np

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.autograd import pending
from tinyconv.backend import backends

SHAPE = (4, 16, 32, 32)


def is_pending(x):
    """Return whether the array of ``x`` is not computed yet."""
    return type(x) is not tc.Tensor and pending.promise_of(x) is not None


def random(shape=SHAPE, seed=0, requires_grad=True):
    """Return a leaf of normal numbers."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return tc.tensor(values, requires_grad=requires_grad)


def layer(seed=1, training=True):
    """Return a batch normalisation of no special parameters."""
    bn = nn.BatchNorm2d(16)
    rng = np.random.default_rng(seed)
    with tc.no_grad():
        for name, low in (("weight", -1), ("bias", -1), ("running_mean", -1), ("running_var", 0.5)):
            getattr(bn, name).copy_(tc.tensor(rng.uniform(low, 1, 16).astype(np.float32)))
    return bn.train(training)


def names(node):
    """Return the names of the nodes of a graph."""
    found, stack = [], [node]
    while stack:
        node = stack.pop()
        if node is not None and hasattr(node, "next_functions"):
            found.append(node.name())
            stack.extend(target for target, _ in node.next_functions)
    return found


def both_ways(program):
    """Return what a program returns with and without fusion."""
    results = []
    for mode in ("auto", "off"):
        with config.fusion.override(mode):
            results.append(program())
    return results


def assert_same(program):
    """Check that fusion changes no bit of what a program returns."""
    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


class Calls:
    """Counts the calls of the backend's kernels."""

    def __init__(self, monkeypatch, *names):
        backend, self.counts = backends()["cpu"], Counter(dict.fromkeys(names, 0))
        for name in names:
            monkeypatch.setattr(backend, name, self._counting(name, getattr(backend, name)))

    def _counting(self, name, kernel):
        def counted(*args):
            self.counts[name] += 1
            return kernel(*args)

        return counted


def pending_tensor():
    """Return a tensor whose array is not computed yet, and which is part of a graph."""
    z = layer()(random() * 1.5)
    assert is_pending(z)
    return z
