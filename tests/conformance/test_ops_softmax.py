"""Softmax and its relatives against SciPy."""

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops

special = pytest.importorskip("scipy.special")
S = (2, 3, 4)
MASKED = np.array([[0.5, -np.inf, 1.5], [-np.inf, 2.0, -np.inf]])


def _along(name, oracle):
    op = getattr(ops, name)
    return [
        OpCase(f"{name} dim={dim}", lambda x, d=dim: op(x, d), [S],
               lambda x, d=dim: oracle(x, axis=d) if x.size else x, zero_size=True)
        for dim in (0, 1, -1)
    ] + [
        OpCase(f"{name} 0-d", lambda x: op(x, 0), [()], lambda x: oracle(x[None], axis=0)[0]),
        OpCase(f"{name} large", lambda x: op(x, 1), [(2, 3)], lambda x: oracle(x, axis=1),
               low=-1000.0, high=1000.0, rtol32=1e-3),
        OpCase(f"{name} large, close together", lambda x: op(x, 1), [(2, 3)],
               lambda x: oracle(x, axis=1), low=1000.0, high=1002.0),
        OpCase(f"{name} no elements", lambda x: op(x, 0), [np.zeros((3, 0))], lambda x: x),
    ]  # fmt: skip


class TestSoftmax(OpSuite):
    CASES = [
        *_along("softmax", special.softmax),
        *_along("log_softmax", special.log_softmax),
        *_along("softmin", lambda x, axis: special.softmax(-x, axis=axis)),
        OpCase("softmax masked", lambda x: ops.softmax(x, 1), [MASKED],
               lambda x: special.softmax(x, axis=1), gradient=False),
    ]  # fmt: skip
