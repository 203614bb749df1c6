"""Element-wise methods that end in ``_``, beside those of PyTorch."""

import numpy as np
import pytest

from tinyconv import ops
from tinyconv.errors import DTypeError, ShapeError
from tinyconv.tensor import Tensor

X = np.array([[0.3, -0.4, 0.8], [0.25, 0.6, -0.75]])
Y = np.array([[0.5, 0.3, -0.2], [0.7, -0.9, 0.4]])
UNARY = [
    "abs",
    "absolute",
    "neg",
    "negative",
    "sign",
    "sgn",
    "square",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "floor",
    "ceil",
    "round",
    "trunc",
    "frac",
    "fix",
    "relu",
    "sigmoid",
    "logit",
    "sinc",
    "erf",
    "erfc",
    "erfinv",
    "i0",
    "lgamma",
    "digamma",
    "deg2rad",
    "rad2deg",
    "nan_to_num",
    "logical_not",
    "tril",
    "triu",
]
BINARY = [
    "add",
    "sub",
    "subtract",
    "mul",
    "multiply",
    "div",
    "divide",
    "true_divide",
    "remainder",
    "fmod",
    "floor_divide",
    "pow",
    "hypot",
    "copysign",
    "atan2",
    "arctan2",
    "ldexp",
    "xlogy",
    "eq",
    "ne",
    "not_equal",
    "lt",
    "less",
    "le",
    "less_equal",
    "gt",
    "greater",
    "ge",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "float_power",
    "clamp_min",
    "clamp_max",
    "addmm",
]
OTHERS = {
    "cumsum": (1,), "cumprod": (0,), "renorm": (2, 0, 0.5), "polygamma": (1,), "clamp": (-0.3, 0.5),
    "clip": (-0.3, 0.5), "clamp_min": (0.1,), "clamp_max": (0.1,), "logit": (0.2,), "tril": (-1,),
    "triu": (1,), "xlogy": (2.0,), "copysign": (-1.0,), "fmod": (0.3,), "nan_to_num": (1.0,),
    "eq": (0.3,), "lt": (0.3,), "float_power": (2,), "true_divide": (3,),
}  # fmt: skip
CASES = [(n, ()) for n in UNARY] + [(n, None) for n in BINARY] + list(OTHERS.items())
DTYPES = ("uint8", "int32", "float32")


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("torch")
    import against_torch

    return against_torch


#: The gradient is 0, which PyTorch does not say, or not in a form that NumPy takes.
STEPS = ("sgn", "floor_divide", "logical_and", "logical_or", "logical_xor")
#: PyTorch differentiates these only out of place.
HYPERBOLIC = ("asinh", "acosh", "atanh", "arcsinh", "arccosh", "arctanh")


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_value_and_gradient_are_pytorchs(name, arguments, oracle):
    if name == "addmm":
        arguments = X @ X.T, X
    arguments = (Y,) if arguments is None else arguments
    pairs = [oracle.pair(a) if isinstance(a, np.ndarray) else (a, a) for a in arguments]
    x, tx = oracle.pair(X, requires_grad=True)
    result, expected = x * 1, tx * 1
    assert getattr(result, f"{name}_")(*[ours for ours, _ in pairs]) is result
    with oracle.torch.set_grad_enabled(name not in STEPS):
        method = getattr(expected, name if name in HYPERBOLIC else f"{name}_")
        expected = method(*[theirs for _, theirs in pairs])
    oracle.assert_same(result, expected, rtol=1e-9)
    (result * result).sum().backward()
    if name in STEPS:
        assert not np.any(x.grad.numpy())
        return
    (expected * expected).sum().backward()
    oracle.assert_same(x.grad, tx.grad, rtol=1e-9)


@pytest.mark.parametrize("name", [n for n in BINARY if n not in ("addmm", "float_power")])
def test_the_dtype_stays_or_it_is_refused(name, oracle):
    for dtype in DTYPES:
        x, tx = oracle.pair(np.array([1, 2, 3]).astype(dtype))
        y, ty = oracle.pair(np.array([2, 2, 1]).astype(dtype))
        try:
            expected = getattr(tx, f"{name}_")(ty)
        except RuntimeError:
            with pytest.raises(DTypeError, match="does not fit into a tensor of"):
                getattr(x, f"{name}_")(y)
            continue
        oracle.assert_same(getattr(x, f"{name}_")(y), expected)


def test_twins_of_integers(oracle):
    integers = {"gcd": (4,), "lcm": (4,), "bitwise_left_shift": (2,), "bitwise_right_shift": (1,),
                "bitwise_not": (), "cumsum": (0,), "cumprod": (0,)}  # fmt: skip
    for name, numbers in integers.items():
        x, tx = oracle.pair(np.array([12, 10, 7]))
        if name in ("gcd", "lcm"):
            other, theirs = oracle.pair(np.array([8, 4, 14]))
            getattr(x, f"{name}_")(other)
            getattr(tx, f"{name}_")(theirs)
        else:
            getattr(x, f"{name}_")(*numbers)
            getattr(tx, f"{name}_")(*numbers)
        oracle.assert_same(x, tx)
    x = ops.tensor([1, 2])
    x <<= 2
    x >>= 1
    assert x.tolist() == [2, 4]


def test_twins_without_gradient(oracle):
    x, tx = oracle.pair(np.array([-1.0, 0.0, 2.0]))
    y, ty = oracle.pair(np.array([0.5, 0.5, 0.5]))
    oracle.assert_same(x.heaviside_(y), tx.heaviside_(ty))
    oracle.assert_same(x.nextafter_(y * 9), tx.nextafter_(ty * 9), rtol=0, atol=0)


def test_float_power_rounds_to_the_dtype_of_the_tensor():
    x = ops.tensor([3.0])
    assert x.float_power_(-1).dtype.name == "float32"  # PyTorch takes float64 tensors only
    assert x.item() == np.float32(1 / 3)


def test_results_that_do_not_fit_are_refused(backend):
    with pytest.raises(DTypeError, match="sin_: the result is"):
        ops.tensor([1, 2]).sin_()
    with pytest.raises(ShapeError, match=r"hypot_: the result has shape \(2, 3\)"):
        ops.ones(3).hypot_(ops.ones(2, 3))


def test_twins_have_names_and_docstrings():
    for name, value in vars(Tensor).items():
        if name.endswith("_") and not name.startswith("_"):
            assert value.__doc__, name
            assert value.__name__.endswith("_"), name
    assert Tensor.sin_.__name__ == "sin_"
    assert ":func:`sin`" in Tensor.sin_.__doc__
    assert Tensor.arcsin_ is Tensor.asin_
