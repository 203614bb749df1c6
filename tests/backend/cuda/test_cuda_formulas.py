"""Formulas of each element in one launch: followed where they can be, right where they cannot."""

import importlib.util
import operator
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from cuda_cases import OF, assert_near, numbers, wide
from cuda_emulator import COMPILER, MEMORY, emulated, emulated_device
from kernel_cases import LAYOUTS

import tinyconv as tc
from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import elementwise as module
from tinyconv.backend.cuda.driver import launching
from tinyconv.backend.cuda.loops import formulas
from tinyconv.nn import functional as F
from tinyconv.ops.elementwise import _formulas

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
DTYPES = ("float32", "float16", "bfloat16")
SIZES = [(1,), (3,), (8,), (2, 3, 4, 5), (1021,)]


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


@pytest.fixture
def launches(monkeypatch):
    """Return the names of the kernels launched so far, and of what the reference has done."""
    found = []
    launch, plain = launching.Variant.__call__, reference.elementwise

    def noting(self, *values, **options):
        found.append(self.name)
        launch(self, *values, **options)

    def noting_plain(*arguments):
        found.append("reference")
        return plain(*arguments)

    monkeypatch.setattr(launching.Variant, "__call__", noting)
    monkeypatch.setattr(reference, "elementwise", noting_plain)
    return found


def elementwise(function, *operands):
    with np.errstate(all="ignore"):
        return cuda.override("elementwise")(MEMORY, function, *operands)


def expected_of(function, *operands):
    with np.errstate(all="ignore"):
        return function(*wide(*operands))


# -- what is followed ---------------------------------------------------------------------------

FORMULAS = {
    "sum": (operator.add, 2),
    "difference": (operator.sub, 2),
    "product": (operator.mul, 2),
    "quotient": (operator.truediv, 2),
    "power": (lambda a, b: abs(a) ** b, 2),
    "negation": (operator.neg, 1),
    "numbers on the right": (lambda a: ((a + 3) * 2.5 - 1) / 7, 1),
    "numbers on the left": (lambda a: 3 - 2.5 * (1 + 7 / (abs(a) + True)), 1),
    "square": (lambda a: a**2, 1),
    "cube": (lambda a: a**3, 1),
    "root": (lambda a: abs(a) ** 0.5, 1),
    "exponential": (lambda a: 2.0**a, 1),
    "softsign": (lambda g, a: g / (abs(a) + 1) / (abs(a) + 1), 2),
    "three arrays": (lambda g, a, b: -g * (a / (abs(b) + 1) / (abs(b) + 1)), 3),
    "four arrays": (lambda a, b, c, d: a * b - c * d, 4),
    "used twice": (lambda a: (b := a * a + 1) * b - b, 1),
    "less": (lambda a, b: (a < b) * a, 2),
    "not above": (lambda a, b: (a <= 0.5) * b, 2),
    "above": (lambda a, b: (a > b) * a, 2),
    "not less": (lambda a, b: (a >= 0.5) * b, 2),
    "equal": (lambda a, b: (a == a * 1) * b + (a != b), 2),
    "both": (lambda a, b: ((a > 0) & (b > 0)) * a, 2),
    "either": (lambda a, b: ((a > 0) | (b > 0)) * a, 2),
    "not": (lambda a, b: ~(a > 0) * b, 2),
    "choice": (lambda a, b: np.where(a > 0, b * 2, 0.5), 2),
    "larger": (lambda a, b: np.maximum(np.minimum(a, 0.5), b), 2),
    "functions": (lambda a: np.log1p(np.exp(-np.abs(a))) + np.sqrt(np.expm1(a * a)), 1),
    "more functions": (lambda a: np.log(abs(a) + 1) * np.tanh(a) - np.cosh(a) + np.sin(a), 1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_against_the_formula_in_float64(name, dtype, launches):
    function, count = FORMULAS[name]
    for shape in SIZES:
        arrays = [numbers(shape, dtype, seed) for seed in range(count)]
        launches.clear()
        found = elementwise(function, *arrays)
        assert launches == ["formula"]
        assert_near(found, expected_of(function, *arrays), dtype, 16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["product", "softsign", "four arrays"])
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_any_layout(first, second, name, dtype):
    function, count = FORMULAS[name]
    plain = [numbers((3, 5, 7, 2), dtype, seed) for seed in range(count)]
    arrays = [LAYOUTS[second if i else first](a) for i, a in enumerate(plain)]
    found = elementwise(function, *arrays)
    assert_near(found, expected_of(function, *plain), dtype, 16)
    for array, untouched in zip(arrays, plain, strict=True):
        np.testing.assert_array_equal(array, untouched)


def test_the_order_of_memory_is_kept(launches):
    x, y = (LAYOUTS["channels_last"](numbers((2, 3, 4, 5), seed=s)) for s in range(2))
    assert elementwise(operator.mul, x, y).strides == x.strides
    assert launches == ["formula"]


def test_one_operator_of_two_layouts_is_left_to_the_array_library(launches):
    x, y = numbers((2, 3, 4, 5)), LAYOUTS["channels_last"](numbers((2, 3, 4, 5), seed=1))
    np.testing.assert_array_equal(elementwise(operator.mul, x, y), x * y)
    assert launches == ["reference"]
    elementwise(lambda a, b: a * b + 1, x, y)
    assert launches == ["reference", "formula"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_no_dimension(dtype, launches):
    """They are read where they are, on the device."""
    x, y = numbers((5, 7), dtype), numbers((5, 7), dtype, 1)
    one, other = (np.full((), value, OF[dtype]) for value in (0.75, -2.5))

    def function(a, b, c, d):
        return (a - c) * b / d

    found = elementwise(function, x, one, other, y)
    assert_near(found, expected_of(function, x, one, other, y), dtype, 64)
    both = elementwise(operator.mul, one, other)
    assert both.shape == ()
    assert both == -1.875
    assert launches == ["formula", "formula"]


def test_ieee_arithmetic(launches):
    values = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 3e38, 1e-30], "float32")
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))

    def check(function, other, same=None):
        with np.errstate(all="ignore"):
            expected = function(a, other if same is None else np.float32(same))
        found = elementwise(function, a, other)
        np.testing.assert_array_equal(found, expected)
        if function not in (np.maximum, np.minimum):  # of zeros NumPy takes either
            signs = [np.signbit(x[~np.isnan(x)]) for x in (found, expected)]
            np.testing.assert_array_equal(*signs)

    for function in (operator.add, operator.sub, operator.mul, operator.truediv):
        check(function, b)
        for number, same in ((0, 0), (-0.0, -0.0), (1e300, np.inf), (-1e39, -np.inf)):
            check(function, number, same)
    for function in (
        np.maximum, np.minimum, lambda a, b: np.where(a < b, a, b), lambda a, b: (a != b) * a,
        lambda a, b: ~(a >= b) * b, lambda a, b: (a == b) * a, lambda a, b: -a - abs(b),
    ):  # fmt: skip
        check(function, b)
    assert set(launches) == {"formula"}


def test_numbers_of_16_bits_are_rounded_once():
    x = np.array([1, 3, 250, 60000, -7], "float16")
    found = elementwise(lambda a: (a * 1.0009765 + 1e-3) * 1000 / 1000, x)
    exact = (x.astype("f8") * np.float32(1.0009765) + np.float32(1e-3)).astype("float16")
    np.testing.assert_array_equal(found, exact)


def test_nothing(launches):
    assert elementwise(lambda a: a * 2 + 1, np.ones((0, 3), "float32")).shape == (0, 3)
    assert launches == []


# -- what is compiled ---------------------------------------------------------------------------


def test_other_numbers_are_the_same_kernel():
    x = numbers((100,))

    def scaled(rate, exponent):
        return lambda a: rate * a**exponent - rate

    elementwise(scaled(0.5, 2), x)
    before = len(module.FORMULA._variants)
    for rate, exponent in ((0.25, 2), (3, 3), (1e-3, 1.0), (True, 0)):
        found = elementwise(scaled(rate, exponent), x)
        assert_near(found, expected_of(scaled(rate, exponent), x), "float32")
    assert len(module.FORMULA._variants) == before
    elementwise(lambda a: 0.5 * a**2 + 0.5, x)
    assert len(module.FORMULA._variants) == before + 1


def test_the_same_code_may_do_something_else():
    """What was noted of a function is never taken for another's with the same code."""
    x, y = numbers((9,)), numbers((9,), seed=1)

    def with_(first):
        return lambda a, b: first(a, b) * 2

    for combine in (operator.add, operator.sub, operator.mul):
        assert_near(elementwise(with_(combine), x, y), 2 * combine(*wide(x, y)), "float32")
    assert_near(elementwise(partial(operator.sub, 2.0), x), 2.0 - x.astype("f8"), "float32")


# -- what is not followed -----------------------------------------------------------------------

OTHERS = {
    "another function": lambda a: np.cumsum(a * 2),
    "a shape": lambda a: a * a.shape[0],
    "an index": lambda a: a[::2] + 1,
    "a branch": lambda a: a * 2 if (a > 1000).all() else a * 3,
    "an array": lambda a: np.asarray(a) * 2,
    "an array of its own": lambda a: np.arange(7, dtype="float32") * a,
    "a sum": lambda a: a - np.sum(a),
    "a dtype": lambda a: a.astype(np.float32) * 2,
    "a dtype of masks": lambda a: a.astype("?") * a,
    "a mask made wide": lambda a: a + (a > 0).astype("float64"),
    "a mask": lambda a: a > 0,
    "a mask of masks": lambda a: (a > 0) & ~(a > 1),
    "masks and numbers": lambda a: (a > 0) * 2.5,
    "a choice of numbers": lambda a: np.where(a > 0, 1.0, 0.0),
    "a choice by numbers": lambda a: np.where(a, a * 2, 0.0),
    "a wide number": lambda a: a * np.float64(0.5),
    "a wide number first": lambda a: np.float64(0.5) * a,
    "a number": lambda a: 3.0,
    "itself": lambda a: a,
    "many numbers": lambda a: sum((a * k for k in range(20)), a),
    "a remainder": lambda a: a % 2 + a // 3,
    "an option": lambda a: np.add(a, a, dtype=np.float64),
    "a method": lambda a: np.add.outer(a, a),
    "several results": lambda a: (a + 1, a + 2),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", OTHERS)
def test_others_go_to_the_reference(name, dtype, launches):
    function, x = OTHERS[name], numbers((7,), dtype)
    for _ in range(2):
        found, expected = elementwise(function, x), function(x)
        np.testing.assert_array_equal(found, expected)
        assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)
    assert launches == ["reference"] * 2


def test_a_branch_upon_one_number():
    for value, expected in ((-2.0, -6.0), (2.0, 4.0)):
        x = np.full((1,), value, "float32")
        assert elementwise(lambda a: a * 2 if a > 0 else a * 3, x) == expected


@pytest.mark.parametrize("operands", [
    (numbers((3, 4)), numbers((4,))),
    (numbers((3, 4)), numbers((3, 1))),
    (numbers((3, 4)), numbers((1,))),
    (numbers((3,)), numbers((3,), "float64")),
    (numbers((3,)), np.full((), 2.0)),
    (numbers((3,), "float64"), 2.0),
    (np.arange(4), 2),
    (numbers((3,)), np.array([True, False, True])),
    (numbers((3,)), numbers((3,), "float16")),
    (numbers((3,)), np.float64(0.5)),
])  # fmt: skip
def test_operands_that_the_kernel_does_not_take(operands, launches):
    found, expected = elementwise(lambda a, b: a * 2 + b, *operands), operands[0] * 2 + operands[1]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert launches == ["reference"]


def test_more_arrays_than_a_launch_takes(launches):
    arrays = [numbers((5,), seed=s) for s in range(5)]
    assert_near(elementwise(lambda *a: sum(a), *arrays), sum(wide(*arrays)), "float32")
    assert launches == ["reference"]


def test_a_refusal_is_remembered():
    asked = []

    def made(k):
        def function(a):
            asked.append(k)
            return np.cumsum(a) * k

        return function

    assert [formulas.follow(made(k), ["x[0]"]) for k in range(3)] == [None] * 3
    assert asked == [0]


def test_errors_reach_the_caller():
    def broken(a):
        raise KeyError("no")

    for _ in range(2):
        with pytest.raises(KeyError):
            elementwise(broken, numbers((3,)))


# -- the library's ops --------------------------------------------------------------------------

OPS = {
    "softsign": F.softsign, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "hardshrink": F.hardshrink, "softshrink": F.softshrink, "elu": F.elu, "selu": F.selu,
    "celu": lambda x: F.celu(x, 0.75), "softplus": lambda x: F.softplus(x, 2.0, 1.5),
    "logsigmoid": F.logsigmoid, "tanh": tc.tanh, "sigmoid": tc.sigmoid, "exp": tc.exp,
    "exp2": tc.exp2, "expm1": tc.expm1, "tan": tc.tan, "deg2rad": tc.deg2rad,
    "sqrt": lambda x: tc.sqrt(x * x + 1), "rsqrt": lambda x: tc.rsqrt(x * x + 1),
    "reciprocal": lambda x: tc.reciprocal(x * x + 1), "div": lambda x: (x + 1) / (x * x + 2),
    "pow": lambda x: (x * x + 1) ** 1.5, "logit": lambda x: tc.logit(tc.sigmoid(x), 1e-3),
}  # fmt: skip


def derivatives(op, values, weights, device, dtype):
    """Return the value of an op, its gradient, and the gradient of that, in float64."""
    x = tc.tensor(values, device=device, dtype=dtype, requires_grad=True)
    g = tc.tensor(weights, device=device, dtype=dtype)
    y = op(x)
    (plain,) = tc.autograd.grad(y, x, g, retain_graph=True)
    (first,) = tc.autograd.grad(y, x, g, create_graph=True)
    (second,) = tc.autograd.grad(first, x, g, allow_unused=True) if first.requires_grad else (None,)
    found = y, plain, first, tc.zeros(1, device=device) if second is None else second
    return [t.detach().to("cpu").to(tc.float64).numpy() for t in found]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPS)
def test_values_and_gradients_of_ops(name, dtype, launches, monkeypatch):
    monkeypatch.setattr(_formulas, "LARGE", 0)  # single operators, too
    values = numbers((3, 5, 4)) * 2
    values = values.astype(OF[dtype]).astype("float32")
    weights = numbers((3, 5, 4), seed=1).astype(OF[dtype]).astype("float32")
    with emulated_device() as device:
        found = derivatives(OPS[name], values, weights, device, getattr(tc, dtype))
    assert "formula" in launches
    with tc.config.override(backend="numpy"):
        expected = derivatives(OPS[name], values, weights, "cpu", tc.float64)
    # An op of several steps is rounded after each; 1 - y * y of a tanh near 1 loses digits.
    bound = {"float32": 2e-5, "float16": 2e-2, "bfloat16": 1e-1}[dtype]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=bound, atol=bound * max(1, abs(other).max()))


@pytest.mark.parametrize("name", ["hardswish", "softplus", "elu", "softsign"])
def test_a_chain_is_one_launch(name, launches):
    with emulated_device() as device:
        x = tc.tensor(numbers((3, 5, 4)), device=device)
        OPS[name](x)
    assert launches == ["formula"]


def test_a_gradient_is_one_launch(launches):
    """Of whatever size; of single operators that is worth it for large tensors alone."""
    with emulated_device() as device, tc.no_grad():
        g, x = (tc.tensor(numbers((7,), seed=s), device=device) for s in range(2))
        y = tc.tanh(x).requires_grad_()
        x.requires_grad_()
        with tc.enable_grad():
            outputs = [tc.tanh(x), F.softsign(x), F.hardswish(x), tc.div(1.0, y)]
        for output, leaf in zip(outputs, (x, x, x, y), strict=True):
            launches.clear()
            tc.autograd.grad(output, leaf, g)
            assert launches == ["formula"]
        launches.clear()
        _ = x + g
        assert launches == []
        large = tc.ones(1 << 17, device=device)
        _ = large + large
        assert launches == ["formula"]


def test_sums_of_bfloat16_gradients_are_one_launch(launches):
    with emulated_device() as device:
        x = tc.ones(1 << 17, device=device, dtype=tc.bfloat16, requires_grad=True)
        y, z = x.view(-1), x.view(2, -1)
        launches.clear()
        tc.autograd.backward([y, z], [tc.ones_like(y), tc.ones_like(z)])
        assert launches == ["formula"]
        assert bool((x.grad == 2).all())


def test_a_formula_is_recorded(emulator):
    """A single array is read anew each time, and nothing is read by the host."""
    x, rate, out = numbers((50,)), np.full((), 2.0, "float32"), []

    def step():
        out.append(elementwise(lambda a, r: a * r - 0.5 * abs(a), x, rate))

    step()
    _, graph = emulator.record(step)
    for value in (2.0, -3.0):
        rate[...] = value
        graph.launch()
        assert_near(out[-1], x.astype("f8") * value - 0.5 * abs(x.astype("f8")), "float32")
    assert len(out) == 2


CUPY = """
import array_api_compat.cupy as xp
from tinyconv.backend.cuda.loops.formulas import follow

def text(function):
    found = follow(function, ["x[0]", "x[1]"])
    return None if found is None else found.text.replace("float ", "").replace("bool ", "")

print(text(lambda a, b: xp.where((a > -3) & (b < 3), xp.maximum(a, 0.0), b)))
print(text(lambda a, b: xp.log1p(xp.exp(-xp.abs(a))) + xp.expm1(xp.minimum(b, 0)) * xp.sqrt(a)))
print(text(lambda a, b: xp.tanh(a) * xp.log(b)))
for other in (
    lambda a, b: xp.where(a, a, b), lambda a, b: xp.astype(a, xp.float32), lambda a, b: xp.sum(a),
    lambda a, b: xp.multiply(a, b), lambda a, b: xp.exp(a, dtype=xp.float64), xp.sign, xp.argsort,
    lambda a, b: xp.ones_like(a) * b, lambda a, b: xp.asarray(a), lambda a, b: xp.concat([a, b]),
):
    print(text(other))
"""


def test_functions_of_cupy_itself_are_followed():
    """It is imported without a GPU; a symbol never comes to where it would need one."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CUPY], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.stdout.splitlines() == [
        "v0 = x[0] > a.numbers[0]; v1 = x[1] < a.numbers[1]; v2 = v0 & v1; "
        "v3 = larger(x[0], a.numbers[2]); v4 = v2 ? v3 : x[1]; return v4;",
        "v0 = fabsf(x[0]); v1 = -v0; v2 = expf(v1); v3 = log1pf(v2); "
        "v4 = smaller(x[1], a.numbers[0]); v5 = expm1f(v4); v6 = sqrtf(x[0]); v7 = v5 * v6; "
        "v8 = v3 + v7; return v8;",
        "v0 = tanhf(x[0]); v1 = logf(x[1]); v2 = v0 * v1; return v2;",
        *["None"] * 10,
    ], done.stderr
