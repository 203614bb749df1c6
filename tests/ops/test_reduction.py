"""Dtypes, ties, special values, empty input and errors of reductions."""

import math

import numpy as np
import pytest

from tinyconv import ops
from tinyconv.autograd import grad, gradgradcheck
from tinyconv.backend.dtypes import float16, float32, int64
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

NAN, INF = float("nan"), float("inf")
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
NANS = np.array([[1.0, NAN, 3.0], [NAN, 2.0, NAN]])


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "amax", "amin", "max", "min", "argmax"])
def test_dtypes_are_pytorchs(name, oracle):
    arguments = (0,) if name == "cumsum" else ()
    for dtype in oracle.DTYPES:
        if (name, dtype) == ("argmax", "bool"):
            continue  # PyTorch refuses; tinyconv finds the first True
        x, tx = oracle.pair(np.array([0, 1, 1]).astype(dtype))
        expected = getattr(oracle.torch, name)(tx, *arguments)
        oracle.assert_same(getattr(ops, name)(x, *arguments), expected)


@pytest.mark.parametrize("name", ["sum", "mean", "prod"])
def test_the_dtype_argument_is_pytorchs(name, oracle):
    x, tx = oracle.pair(np.array([1, 2, 3]))
    expected = getattr(oracle.torch, name)(tx, dtype=oracle.torch.float32)
    oracle.assert_same(getattr(ops, name)(x, dtype=float32), expected)
    assert ops.sum(ops.tensor([1.9, 1.9]), dtype="int64").tolist() == 2


def test_mean_of_integers_is_refused(backend):
    with pytest.raises(DTypeError, match="mean: needs a floating-point result, got"):
        ops.mean(ops.tensor([1, 2]))
    for op in (ops.var, ops.std, ops.norm):
        with pytest.raises(DTypeError, match="floating point"):
            op(ops.tensor([1, 2]))


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min"])
@pytest.mark.parametrize("array", [TIES, NANS], ids=["ties", "nan"])
def test_gradients_of_ties_and_nan_are_pytorchs(name, array, oracle):
    if name.startswith("a") and array is NANS:
        pytest.skip("PyTorch's gradient of amax is NaN there; tinyconv's is that of max")
    ours, theirs = getattr(ops, name), getattr(oracle.torch, name)
    oracle.assert_same_gradients(ours, theirs, array)
    if name.startswith("a"):
        oracle.assert_same_gradients(lambda x: ours(x, 1), lambda x: theirs(x, 1), array)
    else:
        oracle.assert_same_gradients(
            lambda x: ours(x, 1).values, lambda x: theirs(x, 1).values, array
        )


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_nan_is_found_first(name, oracle):
    x, tx = oracle.pair(NANS)
    oracle.assert_same(getattr(ops, name)(x, 1), getattr(oracle.torch, name)(tx, 1))


def test_max_returns_a_named_tuple(backend):
    x = ops.tensor([[1.0, 5.0], [7.0, 3.0]], requires_grad=True)
    result = ops.max(x, dim=1, keepdim=True)
    assert result.values.tolist() == [[5.0], [7.0]]
    assert result.indices.tolist() == [[1], [0]]
    assert result.indices.dtype is int64
    values, indices = ops.min(x, 0)
    assert values.tolist() == [1.0, 3.0]
    assert not indices.requires_grad


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 0, -1])
def test_argmax_shapes_are_pytorchs(dim, keepdim, oracle):
    for array in (TIES, np.array(3.0)):
        x, tx = oracle.pair(array)
        for name in ("argmax", "argmin"):
            oracle.assert_same(
                getattr(ops, name)(x, dim, keepdim), getattr(oracle.torch, name)(tx, dim, keepdim)
            )


def test_reductions_of_nothing(backend):
    nothing = ops.zeros(0, 3)
    assert ops.sum(nothing).item() == 0
    assert ops.prod(nothing).item() == 1
    assert math.isnan(ops.mean(nothing).item())
    assert math.isnan(ops.var(nothing).item())
    assert ops.logsumexp(nothing, (0, 1)).item() == -INF
    assert ops.norm(nothing).item() == 0
    assert ops.any(nothing).item() is False
    assert ops.all(nothing).item() is True
    assert ops.amax(nothing, 1).shape == (0,)
    for bad in (
        lambda: ops.max(nothing), lambda: ops.amin(nothing), lambda: ops.max(nothing, 0),
        lambda: ops.argmax(nothing), lambda: ops.argmin(nothing, 0), lambda: ops.amax(nothing, 0),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"shape \(0, 3\) has no elements"):
            bad()
    with pytest.raises(ArgumentError, match="norm: p=inf"):
        ops.norm(nothing, INF)


def test_dimensions_that_do_not_exist(backend):
    x = ops.zeros(2, 3)
    for name in ("sum", "mean", "amax", "argmax", "max", "prod", "cumsum", "any", "norm", "var"):
        with pytest.raises(IndexRangeError, match="dim=2 is out of range"):
            getattr(ops, name)(x, dim=2)
    with pytest.raises(ArgumentError, match="twice"):
        ops.sum(x, (0, -2))
    with pytest.raises(DTypeError, match="use amax"):
        ops.max(x, (0, 1))


def test_zero_dimensional_input_has_dimension_0_and_minus_1(backend):
    x = ops.tensor(3.0)
    for dim in (0, -1):
        assert ops.sum(x, dim).item() == ops.max(x, dim).values.item() == 3
        assert ops.cumsum(x, dim).item() == ops.prod(x, dim).item() == 3
    with pytest.raises(IndexRangeError):
        ops.sum(x, 1)


def test_sum_to_size_refuses_other_shapes(backend):
    for size in ((3, 1), (2, 2), (1, 2, 3)):
        with pytest.raises(ShapeError, match="does not broadcast"):
            ops.sum_to_size(ops.zeros(2, 3), size)


def test_float16_sums_do_not_stall_or_overflow():
    x = ops.ones(5000, 2, dtype=float16)
    assert ops.sum(x, 0).tolist() == [5000, 5000]  # 2048 + 1 is 2048 in float16
    assert ops.sum(x).dtype is float16
    large = ops.full((4,), 60000.0, dtype=float16)
    assert ops.mean(large).item() == 60000
    assert ops.norm(large, 2).item() == INF  # 120000 does not fit
    assert ops.std(large).item() == 0


@pytest.mark.parametrize("correction", [0, 1, 2.5, 3, 7])
def test_corrections(correction):
    x = np.array([[1.0, 2.0, 4.0], [0.0, 3.0, 5.0]])
    with np.errstate(all="ignore"):
        squares = ((x - x.mean(1, keepdims=True)) ** 2).sum(1)
        expected = squares / np.float64(max(3 - correction, 0))
    result = ops.var(ops.from_numpy(x), 1, correction=correction)
    np.testing.assert_allclose(result.numpy(), expected)


def test_var_takes_pytorchs_older_forms(oracle):
    x, tx = oracle.pair(TIES)
    for arguments in ((), (0,), (0, False), (1, True, True), (False,), (True,)):
        oracle.assert_same(ops.var(x, *arguments), oracle.torch.var(tx, *arguments))
        oracle.assert_same(ops.std(x, *arguments), oracle.torch.std(tx, *arguments))
    with pytest.raises(ArgumentError, match="unbiased or correction"):
        ops.var(x, 0, True, correction=1)


def test_the_deviation_of_equal_numbers_has_gradient_zero(oracle):
    x = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]])
    oracle.assert_same_gradients(lambda x: ops.std(x, 1), lambda x: oracle.torch.std(x, 1), x)


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, INF, -INF, "fro"])
def test_norm_gradients_at_zero_and_ties_are_pytorchs(p, oracle):
    for array in (np.array([0.0, 3.0, -3.0]), np.zeros(3), np.array([1.0, -2.0, 0.5])):
        oracle.assert_same_gradients(
            lambda x: ops.norm(x, p), lambda x: oracle.torch.norm(x, p), array
        )


def test_norm_0_counts_and_has_gradient_zero(backend):
    x = ops.tensor([0.0, 3.0, -3.0], requires_grad=True)
    result = ops.norm(x, 0)
    result.backward()
    assert (result.item(), x.grad.tolist()) == (2.0, [0.0, 0.0, 0.0])


def test_norms_that_do_not_exist():
    with pytest.raises(ArgumentError, match="p='nuc' is not supported"):
        ops.norm(ops.ones(2, 2), "nuc")


def test_products_with_zeros_have_exact_third_derivatives(backend):
    x = ops.tensor([0.0, 2.0, 0.0, 5.0], dtype="float64", requires_grad=True)
    assert gradgradcheck(ops.prod, [x])
    (first,) = grad(ops.prod(x), x, create_graph=True)
    (second,) = grad(first[0], x, create_graph=True)
    (third,) = grad(second[2], x)
    assert first.tolist() == [0.0, 0.0, 0.0, 0.0]
    assert second.tolist() == [0.0, 0.0, 10.0, 0.0]
    assert third.tolist() == [0.0, 5.0, 0.0, 2.0]


def test_logsumexp_of_infinities_is_pytorchs(oracle):
    for array in (
        np.array([-INF, 1.0]), np.array([1e4, 1e4]), np.array([-1e4, -INF])
    ):  # fmt: skip
        oracle.assert_same_gradients(
            lambda x: ops.logsumexp(x, 0), lambda x: oracle.torch.logsumexp(x, 0), array
        )
    nothing = ops.tensor([-INF, -INF], requires_grad=True)  # PyTorch's gradient here is NaN
    result = ops.logsumexp(nothing, 0)
    result.backward()
    assert (result.item(), nothing.grad.tolist()) == (-INF, [0.0, 0.0])
    assert ops.logsumexp(ops.tensor([INF, 1.0]), 0).item() == INF
    assert math.isnan(ops.logsumexp(ops.tensor([NAN, 1.0]), 0).item())


def test_overflow_is_silent(backend):
    big = ops.tensor([3e38, 3e38])
    assert ops.sum(big).item() == ops.prod(big).item() == ops.norm(big).item() == INF
    assert ops.cumsum(big, 0).tolist()[1] == INF
    assert math.isnan(ops.var(ops.tensor([INF, 1.0])).item())
