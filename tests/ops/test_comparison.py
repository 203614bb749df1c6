"""Dtypes, special values and errors of comparisons and logic."""

import numpy as np
import pytest

from tinyconv import ops
from tinyconv.backend.dtypes import bool_, int64
from tinyconv.errors import DTypeError, ShapeError

NAN, INF = float("nan"), float("inf")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", [*COMPARISONS, "logical_and", "logical_or", "logical_xor"])
def test_mixed_dtypes_are_pytorchs(name, oracle):
    for a in oracle.DTYPES:
        for b in oracle.DTYPES:
            x, tx = oracle.pair(np.array([0, 1, 2, 3]).astype(a))
            y, ty = oracle.pair(np.array([0, 2, 1, 3]).astype(b))
            oracle.assert_same(getattr(ops, name)(x, y), getattr(oracle.torch, name)(tx, ty))


@pytest.mark.parametrize("name", COMPARISONS)
def test_numbers(name, oracle):
    for dtype in oracle.DTYPES:
        for number in (True, 1, 1.5, -1, 300):
            if dtype == "uint8" and number == -1:
                continue  # PyTorch wraps -1 around to 255; tinyconv compares what is meant
            x, tx = oracle.pair(np.array([0, 1, 2]).astype(dtype))
            expected = getattr(oracle.torch, name)(tx, number)
            oracle.assert_same(getattr(ops, name)(x, number), expected)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bits_are_pytorchs(name, oracle):
    for a in oracle.DTYPES[:6]:
        for b in oracle.DTYPES[:6]:
            x, tx = oracle.pair(np.array([0, 1, 6]).astype(a))
            y, ty = oracle.pair(np.array([1, 1, 3]).astype(b))
            oracle.assert_same(getattr(ops, name)(x, y), getattr(oracle.torch, name)(tx, ty))


def test_results_have_no_gradient(backend):
    x = ops.tensor([1.0, 2.0], requires_grad=True)
    for result in (x > 1, x == x, ops.isnan(x), ops.logical_not(x), ops.isclose(x, x)):
        assert result.dtype is bool_
        assert not result.requires_grad


def test_nan_is_not_close_unless_asked(backend):
    x = ops.tensor([NAN, INF, 1.0])
    assert ops.isclose(x, x).tolist() == [False, True, True]
    assert ops.isclose(x, x, equal_nan=True).tolist() == [True, True, True]
    assert ops.isclose(ops.tensor([INF]), ops.tensor([-INF])).tolist() == [False]
    assert ops.isclose(ops.tensor([1e30]), ops.tensor([INF])).tolist() == [False]


def test_allclose_and_equal_return_python_bools(backend):
    x = ops.tensor([1.0, 2.0])
    assert ops.allclose(x, x + 1e-9) is True
    assert ops.allclose(x, x + 0.1) is False
    assert ops.equal(x, x.clone()) is True
    assert ops.equal(x, x + 1) is False
    assert ops.equal(x, ops.tensor([[1.0, 2.0]])) is False
    assert ops.equal(ops.tensor([1, 2]), x) is True
    assert ops.equal(ops.zeros(0), ops.zeros(0)) is True


def test_bits_of_floats_are_refused(backend):
    x = ops.tensor([1.0])
    for bad in (lambda: ops.bitwise_and(x, 1), lambda: ops.bitwise_not(x),
                lambda: ops.bitwise_or(ops.tensor([1]), 1.5)):  # fmt: skip
        with pytest.raises(DTypeError, match="needs integers or bools"):
            bad()


def test_bits_with_numbers(backend):
    assert ops.bitwise_and(ops.tensor([5, 6]), 3).tolist() == [1, 2]
    assert ops.bitwise_or(ops.tensor([True, False]), True).tolist() == [True, True]
    assert ops.bitwise_and(ops.tensor([True, False]), 1).dtype is int64


def test_errors_name_the_comparison(backend):
    with pytest.raises(ShapeError, match=r"gt: shapes \(2,\) and \(3,\)"):
        ops.gt(ops.zeros(2), ops.zeros(3))
    with pytest.raises(DTypeError, match="eq: argument 'other'"):
        ops.eq(ops.zeros(2), "0")
