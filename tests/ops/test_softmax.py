"""Extreme logits, dtypes and errors of softmax and its relatives."""

import numpy as np
import pytest

from tinyconv import ops
from tinyconv.backend.dtypes import float16, float32, float64
from tinyconv.errors import DTypeError, IndexRangeError

INF = float("inf")
ROWS = np.array(
    [[0.0, 1.0, 2.0], [1e4, -1e4, 1e4], [-INF, 0.0, 1.0], [-INF, -INF, -INF], [700.0, 0.0, -INF]]
)


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_extreme_rows_are_pytorchs(name, oracle):
    theirs = getattr(oracle.torch.nn.functional, name)
    ours = getattr(ops, name)
    rows = -ROWS if name == "softmin" else ROWS
    oracle.assert_same_gradients(
        lambda x: ours(x, 1).pow(2) if name != "log_softmax" else ours(x, 1),
        lambda x: theirs(x, 1).pow(2) if name != "log_softmax" else theirs(x, 1), rows,
    )  # fmt: skip


def test_rows_sum_to_one_in_float32(backend):
    x = ops.tensor(np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32) * 30)
    np.testing.assert_allclose(ops.softmax(x, 1).sum(1).tolist(), 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_dtypes(name, backend):
    function = getattr(ops, name)
    assert function(ops.zeros(2), 0).dtype is float32
    assert function(ops.tensor([1, 2]), 0, dtype=float64).dtype is float64
    with pytest.raises(DTypeError, match="must be floating point"):
        function(ops.tensor([1, 2]), 0)
    with pytest.raises(IndexRangeError, match="dim=1"):
        function(ops.zeros(2), 1)


def test_float16_is_computed_in_float32():
    x = ops.zeros(4096, dtype=float16)
    y = ops.softmax(x, 0)
    assert y.dtype is float16
    np.testing.assert_array_equal(y.numpy(), np.float16(1 / 4096))
    assert ops.logsumexp(x, 0).dtype is float16


def test_log_softmax_is_finite_where_softmax_is_zero(backend):
    x = ops.tensor([0.0, 1000.0])
    assert ops.softmax(x, 0).tolist() == [0.0, 1.0]
    assert ops.log_softmax(x, 0).tolist() == [-1000.0, 0.0]


@pytest.mark.parametrize("shift", [-2000.0, 2000.0])
def test_logsumexp_far_from_zero(shift):
    x = np.array([[0.0, 1.0, -1.5], [0.5, 0.5, 0.25]])
    result = ops.logsumexp(ops.tensor(x + shift), 1).numpy()
    np.testing.assert_allclose(result - shift, np.log(np.exp(x).sum(1)), rtol=1e-9)
