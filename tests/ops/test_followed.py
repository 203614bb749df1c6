"""Backwards that call kernels in place of ops, where neither graph nor observer follows them."""

from contextlib import nullcontext

import pytest

import tinyconv as tc
from tinyconv.autograd import Observer, enable_grad, no_grad
from tinyconv.autograd.modes import is_followed
from tinyconv.nn import functional as F


class Names(Observer):
    """The ops that ran, in order."""

    def __init__(self):
        self.seen = []

    def after_forward(self, node, args, outputs):
        self.seen.append(type(node).__name__)


def convolved(x, weight, bias):
    return F.conv2d(x, weight, bias, stride=2, padding=1, groups=2)


CONVOLUTIONS, PRODUCTS = {"ConvInputGrad", "ConvWeightGrad", "Sum"}, {"MatMul", "Linear", "Sum"}
CASES = {
    "conv": (convolved, (2, 4, 7, 6), (6, 2, 3, 3), (6,), CONVOLUTIONS),
    "linear of a matrix": (F.linear, (5, 4), (3, 4), (3,), PRODUCTS),
    "linear of a stack": (F.linear, (2, 5, 4), (3, 4), (3,), PRODUCTS),
    "linear of a vector": (F.linear, (4,), (3, 4), (3,), PRODUCTS),
    "max_pool": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 3, 6, 5), {"MaxPoolGrad"}),
    "avg_pool": (lambda x: F.avg_pool2d(x, 2), (2, 3, 6, 5), {"SumPoolGrad"}),
    "matmul": (tc.matmul, (4, 3), (3, 5), {"MatMul"}),
    "matmul of stacks": (tc.matmul, (2, 1, 4, 3), (5, 3, 2), {"MatMul"}),
    "mul": (tc.mul, (4, 3), (3,), {"Mul"}),
    "mul by a number": (lambda x: x * 3, (4, 3), {"Mul"}),
    "large linear": (F.linear, (70, 130), (90, 130), (90,), PRODUCTS),
}


def test_who_follows():
    with enable_grad():
        assert is_followed()
    with no_grad():
        assert not is_followed()
        with Names():
            assert is_followed()


@pytest.mark.parametrize("wanted", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("name", CASES)
def test_same_bits_as_the_ops(name, wanted, backend):
    function, *shapes, ops = CASES[name]
    wanted = wanted[: len(shapes)]
    if not any(wanted):
        return
    tc.manual_seed(3)
    operands = [
        tc.randn(*shape, requires_grad=bool(want))
        for shape, want in zip(shapes, wanted, strict=True)
    ]
    y = function(*operands)
    grad = tc.randn(*y.shape)
    names, results = Names(), []
    for observer in (nullcontext(), names):
        y = function(*operands)
        with observer:
            y.backward(grad)
        results.append([None if p.grad is None else p.grad.tolist() for p in operands])
        for p in operands:
            p.grad = None
    assert results[0] == results[1]
    assert [gradient is not None for gradient in results[0]] == list(map(bool, wanted))
    assert set(names.seen) & ops  # they show up where somebody looks
