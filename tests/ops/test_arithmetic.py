"""Dtypes, errors and special values of arithmetic."""

import numpy as np
import pytest

from tinyconv import config, ops
from tinyconv.backend.dtypes import float32, int64
from tinyconv.errors import ArgumentError, DeviceError, DTypeError, GradientError, ShapeError

BINARY = ("add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow")
NAN, INF = float("nan"), float("inf")


def of_dtype(name, values=(1, 2, 3)):
    return np.array(values).astype(name)


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


@pytest.mark.parametrize("name", [*BINARY, "maximum", "minimum", "fmax", "fmin", "atan2"])
def test_promotion_of_two_tensors_is_pytorchs(name, oracle):
    checked = 0
    for a in oracle.DTYPES:
        for b in oracle.DTYPES:
            for shape in ((3,), ()):
                second = of_dtype(b) if shape else of_dtype(b, 2)
                x, tx = oracle.pair(of_dtype(a))
                y, ty = oracle.pair(second)
                try:
                    expected = getattr(oracle.torch, name)(tx, ty)
                except (RuntimeError, NotImplementedError):
                    continue  # what PyTorch refuses is tested by name below
                half = "float16" in str(expected.dtype)
                oracle.assert_same(getattr(ops, name)(x, y), expected, rtol=2e-3 if half else 2e-6)
                checked += 1
    assert checked > 100


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("number", [True, 2, 2.5])
def test_promotion_with_a_number_is_pytorchs(name, number, oracle):
    checked = 0
    for dtype in oracle.DTYPES:
        x, tx = oracle.pair(of_dtype(dtype))
        if dtype == "bool" and number is True and name == "pow":
            continue  # a bool to the power of a bool: tinyconv refuses
        try:
            expected = getattr(oracle.torch, name)(tx, number)
        except (RuntimeError, NotImplementedError):
            continue
        half = "float16" in str(expected.dtype)
        oracle.assert_same(getattr(ops, name)(x, number), expected, rtol=2e-3 if half else 2e-6)
        checked += 1
    assert checked >= 8 or (name, number) == ("sub", True)


def test_a_number_never_widens(backend):
    x = ops.tensor([1.0, 2.0])
    for result in (x + 1e300, x * 2, 2 / x, x**2, ops.where(x > 0, x, 1e300)):
        assert result.dtype is float32


def test_integer_division_follows_the_default_dtype():
    with config.dtype.override("float64"):
        assert ops.div(ops.tensor([1, 2]), 2).dtype.name == "float64"


def test_numbers_wrap_around_in_small_integers(backend):
    x = ops.tensor([1, 2], dtype="uint8")
    assert (x + 300).tolist() == [45, 46]
    assert (x * -1).tolist() == [255, 254]


def test_bools_add_as_or_and_multiply_as_and(backend):
    a, b = ops.tensor([True, True, False]), ops.tensor([True, False, False])
    assert (a + b).tolist() == [True, True, False]
    assert (a * b).tolist() == [True, False, False]
    assert (a + True).tolist() == [True, True, True]
    assert ops.add(a, b, alpha=2).tolist() == [True, True, False]
    assert (a + 1).dtype is int64


def test_bools_cannot_be_subtracted_negated_or_divided_whole(backend):
    mask, x = ops.tensor([True, False]), ops.tensor([1.0, 2.0])
    for bad in (
        lambda: mask - mask, lambda: mask - 1, lambda: 1 - mask, lambda: x - mask,
        lambda: ops.sub(mask, True), lambda: ops.rsub(mask, 1), lambda: -mask,
        lambda: ops.pow(mask, mask), lambda: ops.remainder(mask, mask),
        lambda: ops.floor_divide(mask, mask), lambda: ops.fmod(mask, mask),
    ):  # fmt: skip
        with pytest.raises(DTypeError, match="bool"):
            bad()


def test_shapes_that_do_not_broadcast(backend):
    with pytest.raises(ShapeError, match=r"add: shapes \(2, 3\) and \(2,\) do not broadcast"):
        ops.zeros(2, 3) + ops.zeros(2)
    with pytest.raises(ShapeError, match="where"):
        ops.where(ops.ones(2) > 0, ops.zeros(2, 3), 0.0)
    with pytest.raises(ShapeError, match="clamp"):
        ops.clamp(ops.zeros(2, 3), ops.zeros(3), ops.zeros(2))


def test_operands_that_are_no_tensors():
    with pytest.raises(DTypeError, match="'other' must be a Tensor or a number, got str"):
        ops.add(ops.zeros(2), "1")
    with pytest.raises(DTypeError, match="make a tensor"):
        ops.mul(ops.zeros(2), np.zeros(2))
    with pytest.raises(DTypeError):
        ops.add(1, 2)


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_two_devices_name_both_arguments():
    x, y = ops.tensor([1.0]), ops.tensor([1.0], device="strict")
    for op in (ops.add, ops.lt, ops.logical_and, ops.maximum, ops.isclose):
        with pytest.raises(DeviceError, match=r"cpu.*strict"):
            op(x, y)


def test_alpha_must_fit_the_operands():
    with pytest.raises(DTypeError, match=r"alpha=0\.5 is a float"):
        ops.add(ops.tensor([1]), ops.tensor([2]), alpha=0.5)


def test_whole_division_by_zero(backend):
    x = ops.tensor([1, 2])
    for op in (ops.floor_divide, ops.remainder, ops.fmod):
        with pytest.raises(ArgumentError, match="divided by zero"):
            op(x, ops.tensor([1, 0]))
    with pytest.raises(ArgumentError, match="rounding_mode='up'"):
        ops.div(x, 2, rounding_mode="up")
    with pytest.raises(ArgumentError, match="negative integer power"):
        ops.pow(x, -1)


def test_division_of_floats_by_zero_is_ieee_and_silent(backend):
    x = ops.tensor([1.0, -1.0, 0.0])
    np.testing.assert_array_equal((x / 0).tolist(), [INF, -INF, NAN])
    np.testing.assert_array_equal(ops.floor_divide(x, 0.0).tolist(), [INF, -INF, NAN])
    np.testing.assert_array_equal(ops.remainder(x, 0.0).tolist(), [NAN, NAN, NAN])


def test_overflow_is_silent(backend):
    big = ops.tensor([3e38, -3e38])
    assert (big + big).tolist() == [INF, -INF]
    assert (big * 10).tolist() == [INF, -INF]
    assert (big - 10 * big).tolist() == [-INF, INF]
    assert np.isnan((big * INF * 0).tolist()).all()
    assert (big**2).tolist() == [INF, INF]
    assert np.isnan((ops.tensor([-1.0]) ** 0.5).tolist()).all()
    assert ops.hypot(big, big).tolist() == [INF, INF]


CORNERS = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -2.5])


@pytest.mark.parametrize("name", ["abs", "sign", "square", "neg", "floor", "round", "trunc"])
def test_gradients_at_kinks_are_pytorchs(name, oracle):
    oracle.assert_same_gradients(getattr(ops, name), getattr(oracle.torch, name), CORNERS)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_gradients_of_ties_and_nan_are_pytorchs(name, oracle):
    a = np.array([1.0, 2.0, 3.0, NAN, 1.0, NAN, INF])
    b = np.array([1.0, 3.0, 2.0, 1.0, NAN, NAN, INF])
    oracle.assert_same_gradients(getattr(ops, name), getattr(oracle.torch, name), a, b)


@pytest.mark.parametrize(
    "bounds", [(-1.0, 2.5), (None, 1.0), (1.0, None), (2.0, 1.0), (NAN, None), (-1, 1)]
)
def test_clamp_is_pytorchs(bounds, oracle):
    x = np.append(CORNERS, [NAN, INF])
    oracle.assert_same_gradients(
        lambda x: ops.clamp(x, *bounds), lambda x: oracle.torch.clamp(x, *bounds), x
    )


def test_clamp_to_tensors_is_pytorchs(oracle):
    x = np.array([0.0, 1.0, 2.0, 3.0, 1.0, NAN])
    low, high = np.array([1.0, 1.0, 1.0, 1.0, 5.0, 0.0]), np.array([2.0, 2.0, 2.0, 2.0, 4.0, 1.0])
    oracle.assert_same_gradients(ops.clamp, oracle.torch.clamp, x, low, high)
    oracle.assert_same_gradients(ops.clamp, oracle.torch.clamp, x, low)


def test_clamp_dtypes_are_pytorchs(oracle):
    x, tx = oracle.pair(np.array([1, -2, 3]))
    low, tlow = oracle.pair(np.array(0.5, dtype=np.float32))
    oracle.assert_same(ops.clamp(x, low), oracle.torch.clamp(tx, tlow))
    for bounds in ((0.5,), (0, 2), (0, 2.5)):
        oracle.assert_same(ops.clamp(x, *bounds), oracle.torch.clamp(tx, *bounds))
    with pytest.raises(ArgumentError, match="min, max or both"):
        ops.clamp(x)


def test_power_gradients_at_zero_are_pytorchs(oracle):
    a = np.array([0.0, 0.0, 0.0, 2.0, 2.0])
    b = np.array([0.0, 2.0, 1.0, 0.0, 3.0])
    oracle.assert_same_gradients(ops.pow, oracle.torch.pow, a, b)
    for n in (0, 1, 2, 3, 0.5):
        oracle.assert_same_gradients(lambda x, n=n: x**n, lambda x, n=n: x**n, a)


def test_atan2_and_hypot_at_the_origin(oracle):
    a, b = np.array([0.0, 1.0, -0.0]), np.array([0.0, 0.0, -1.0])
    oracle.assert_same_gradients(ops.atan2, oracle.torch.atan2, a, b)


def test_a_masked_gradient_is_zero_even_if_infinite(backend):
    for cut in (lambda x: ops.clamp(x, min=0), ops.relu, lambda x: ops.maximum(x, ops.zeros(2)),
                lambda x: ops.where(x > 0, x, 0)):  # fmt: skip
        x = ops.tensor([-1.0, 4.0], requires_grad=True)
        ops.sqrt(cut(x)).sum().backward()
        assert x.grad.tolist() == [0.0, 0.25]


def test_lerp_is_exact_at_both_ends(backend):
    a, b = ops.tensor([0.1, 1e8]), ops.tensor([0.7, 0.3])
    assert ops.lerp(a, b, 1.0).tolist() == b.tolist()
    assert ops.lerp(a, b, ops.zeros(2)).tolist() == a.tolist()
    with pytest.raises(DTypeError, match="lerp"):
        ops.lerp(ops.tensor([1]), b, 0.5)


def test_addcdiv_of_integers_asks_which_division():
    one = ops.tensor([1])
    assert ops.addcmul(one, one, one, value=2).tolist() == [3]
    with pytest.raises(DTypeError, match="rounding_mode"):
        ops.addcdiv(one, one, one)


def test_where_of_numbers_and_wrong_conditions(backend):
    mask = ops.tensor([True, False])
    assert ops.where(mask, 1, 0).dtype is int64
    assert ops.where(mask, 1.0, 0).tolist() == [1.0, 0.0]
    assert ops.where(mask, 1.0, 0).dtype is float32
    with pytest.raises(DTypeError, match="condition must be a bool tensor"):
        ops.where(ops.tensor([1, 0]), 1, 0)


def test_multiplying_by_a_number_keeps_nothing_of_the_tensor(backend):
    x = ops.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y * 3
    y.add_(1)  # y is not needed for the gradient of z
    z.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    a, b = x * 1, x * 1
    product = a * b
    a.add_(1)
    with pytest.raises(GradientError, match="modified by an in-place operation"):
        product.sum().backward()
