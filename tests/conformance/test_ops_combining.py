"""Combinations, powers, indices by rule, membership, and sequences in exponents."""

import itertools

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

import tinyconv as tc
from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError


class TestCombining(OpSuite):
    CASES = [
        OpCase("cartesian_prod", ops.cartesian_prod, [(2,), (3,), (2,)],
               lambda *v: np.array(list(itertools.product(*v)))),
        OpCase("cartesian_prod of one", ops.cartesian_prod, [(3,)], lambda v: v),
        OpCase("combinations", ops.combinations, [(4,)],
               lambda v: np.array(list(itertools.combinations(v, 2)))),
        OpCase("combinations repeated", lambda v: ops.combinations(v, 3, True), [(3,)],
               lambda v: np.array(list(itertools.combinations_with_replacement(v, 3)))),
        OpCase("combinations of too few", lambda v: ops.combinations(v, 5), [(3,)],
               lambda v: np.zeros((0, 5))),
        OpCase("combinations of none", lambda v: ops.combinations(v, 0), [(3,)],
               lambda v: np.zeros(0)),
        OpCase("vander", ops.vander, [np.array([0.0, 2.0, -1.5])], np.vander),
        OpCase("vander increasing", lambda v: ops.vander(v, 5, True), [(3,)],
               lambda v: np.vander(v, 5, increasing=True)),
        OpCase("vander without columns", lambda v: ops.vander(v, 0), [(3,)],
               lambda v: np.zeros((3, 0))),
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (1, 5), (0, 3), (3, 0)])
@pytest.mark.parametrize("offset", [-5, -1, 0, 2, 9])
def test_triangle_indices(shape, offset, backend):
    for ours, theirs in ((ops.tril_indices, np.tril_indices), (ops.triu_indices, np.triu_indices)):
        found = ours(*shape, offset)
        np.testing.assert_array_equal(host(found), theirs(shape[0], offset, shape[1]))
        assert found.dtype is tc.int64
        assert ours(*shape, offset, dtype=tc.int32).dtype is tc.int32


def test_unravel_index(backend):
    index = np.arange(-24, 24).reshape(4, 12)
    found = ops.unravel_index(tensor(index), (2, 3, 4))
    for ours, theirs in zip(found, np.unravel_index(index % 24, (2, 3, 4)), strict=True):
        np.testing.assert_array_equal(host(ours), theirs)
    (whole,) = ops.unravel_index(ops.tensor(4), 6)
    assert (whole.item(), whole.ndim) == (4, 0)


def test_logspace_and_scalar_tensor(backend):
    np.testing.assert_allclose(host(ops.logspace(-1, 2, 7)), np.logspace(-1, 2, 7), rtol=1e-6)
    for base in (2, 0.5, 10):
        found = ops.logspace(0, 3.5, 5, base, dtype="float64")
        np.testing.assert_allclose(host(found), np.logspace(0, 3.5, 5, base=base), rtol=1e-14)
    assert ops.logspace(0, 2, 3, base=2, dtype="int64").tolist() == [1, 2, 4]
    assert ops.logspace(1, 2, 0).tolist() == []
    number = ops.scalar_tensor(3)
    assert (number.item(), number.dtype, tuple(number.shape)) == (3.0, tc.float32, ())
    assert ops.scalar_tensor(3, dtype=tc.int64).dtype is tc.int64


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("dtype", ["int64", "float32", "uint8"])
def test_isin(dtype, invert, backend):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 9, n).astype(dtype) for n in (30, 4))
    a = a.reshape(5, 6)
    found = ops.isin(tensor(a), tensor(b), invert=invert)
    np.testing.assert_array_equal(host(found), np.isin(a, b, invert=invert))
    assert ops.isin(tensor(a), tensor(b[:0])).any().item() is False


def test_isin_numbers_promotion_and_nan(backend):
    nan = float("nan")
    assert ops.isin(ops.tensor([1.0, nan, 2.5]), ops.tensor([1, 2])).tolist() == [
        True, False, False,
    ]  # fmt: skip
    assert ops.isin(ops.tensor([1.0, nan]), ops.tensor([nan, 1.0])).tolist() == [True, False]
    assert ops.isin(ops.tensor([1, 2]), 2).tolist() == [False, True]
    assert ops.isin(ops.tensor([1, 2]), 1.5).tolist() == [False, False]
    assert ops.isin(3, ops.tensor([3])).item() is True
    assert ops.isin(ops.tensor([True, False]), ops.tensor([True])).tolist() == [True, False]
    with pytest.raises(DTypeError, match="'elements' must be a Tensor"):
        ops.isin(1, 2)


def test_where_with_one_argument(backend):
    found = ops.where(ops.tensor([[True, False], [True, True]]))
    assert [f.tolist() for f in found] == [[0, 1, 1], [0, 0, 1]]
    assert ops.argwhere(ops.tensor([0, 5])).tolist() == [[1]]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.cartesian_prod(), ArgumentError, "at least one"),
        (lambda: ops.cartesian_prod(ops.ones(1), ops.ones(1, 1)), ShapeError, r"tensors\[1\]"),
        (lambda: ops.cartesian_prod(ops.ones(1), ops.arange(1)), DTypeError, "of one dtype"),
        (lambda: ops.combinations(ops.ones(2, 2)), ShapeError, "vector"),
        (lambda: ops.combinations(ops.ones(2), -1), ArgumentError, "r must not be negative"),
        (lambda: ops.vander(ops.ones(2, 2)), ShapeError, "vector"),
        (lambda: ops.vander(ops.ones(2), -1), ArgumentError, "N must not be negative"),
        (lambda: ops.tril_indices(2, 2, dtype="float32"), DTypeError, "must hold integers"),
        (lambda: ops.triu_indices(-1, 2), ShapeError, "must not be negative"),
        (lambda: ops.unravel_index(ops.tensor([6]), (2, 3)), IndexRangeError, "index 6 .* 6 elem"),
        (lambda: ops.unravel_index(ops.tensor([-7]), (2, 3)), IndexRangeError, "index -7"),
        (lambda: ops.unravel_index(ops.ones(1), (2, 3)), DTypeError, "must be integers"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
