"""Sorting."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, IndexRangeError


def np_topk(x, k, axis, largest):
    order = np.argsort(-x if largest else x, axis=axis, kind="stable")
    order = np.take(order, np.arange(k), axis=axis)
    return np.take_along_axis(x, order, axis), order


A = (3, 4, 2)
CASES = [
    OpCase("sort", ops.sort, [A], lambda x: (np.sort(x), np.argsort(x)), distinct=True,
           zero_size=True),
    OpCase("sort dim", lambda x: ops.sort(x, 0), [A],
           lambda x: (np.sort(x, 0), np.argsort(x, 0)), distinct=True),
    OpCase("sort descending", lambda x: ops.sort(x, 1, descending=True), [A],
           lambda x: (-np.sort(-x, 1), np.argsort(-x, 1)), distinct=True),
    OpCase("sort 0-d", ops.sort, [()], lambda x: (x, np.array(0))),
    OpCase("argsort", lambda x: ops.argsort(x, 1), [A], lambda x: np.argsort(x, 1),
           distinct=True, gradient=False),
    OpCase("msort", ops.msort, [A], lambda x: np.sort(x, 0), distinct=True),
    OpCase("topk", lambda x: ops.topk(x, 2, 1), [A], lambda x: np_topk(x, 2, 1, True),
           distinct=True),
    OpCase("topk smallest", lambda x: ops.topk(x, 1, largest=False), [A],
           lambda x: np_topk(x, 1, -1, False), distinct=True),
]  # fmt: skip


class TestSorting(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("descending", [False, True])
def test_ties_and_nan_match_torch(descending, backend):
    torch = pytest.importorskip("torch")
    x = np.array([[1.0, np.nan, 0.0, 1.0, -np.inf, 0.0, np.inf], [2.0, 2, 2, np.nan, 2, 1, 1]])
    values, indices = ops.sort(tensor(x), descending=descending)
    expected = torch.sort(torch.tensor(x), descending=descending, stable=True)
    np.testing.assert_array_equal(host(values), expected.values.numpy())
    np.testing.assert_array_equal(host(indices), expected.indices.numpy())


@pytest.mark.parametrize("descending", [False, True])
def test_many_ties_keep_their_order(descending, backend):
    x = np.random.default_rng(0).integers(0, 3, 300).astype(float)
    order = host(ops.argsort(tensor(x), descending=descending))
    np.testing.assert_array_equal(order, np.argsort(-x if descending else x, kind="stable"))


def test_integers_and_bools(backend):
    assert ops.sort(ops.tensor([3, 1, 2])).values.tolist() == [1, 2, 3]
    values, indices = ops.sort(ops.tensor([True, False, True]))
    assert values.tolist() == [False, True, True]
    assert indices.tolist() == [1, 0, 2]
    assert ops.sort(ops.tensor([3, 1, 2]).byte(), descending=True).values.tolist() == [3, 2, 1]


def test_result_has_names():
    result = ops.tensor([1.0, 3.0, 2.0]).topk(2)
    assert result.values.tolist() == [3.0, 2.0]
    assert result.indices.tolist() == [1, 2]
    assert result.indices.dtype.name == "int64"


def test_errors():
    x = ops.zeros(2, 3)
    for k in (4, -1):
        with pytest.raises(ArgumentError, match=f"k={k} must be from 0 to 3"):
            ops.topk(x, k)
    with pytest.raises(IndexRangeError, match="dim=2"):
        ops.sort(x, 2)
