"""Constraints on weights: Keras's formulas in NumPy, and that optimizers put them in force."""

import copy

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError
from tinyconv.nn.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm, constrain


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape) * 2


def lengths(w, axes):
    return np.sqrt((w * w).sum(axis=axes, keepdims=True))


def max_norm(w, axes, m):
    n = lengths(w, axes)
    return w * np.clip(n, 0, m) / n


def unit_norm(w, axes):
    return w / lengths(w, axes)


def min_max_norm(w, axes, low, high, rate):
    n = lengths(w, axes)
    return w * (rate * np.clip(n, low, high) + (1 - rate) * n) / n


CASES = [
    ((5, 3), None, (1,)),
    ((5, 3), 0, (0,)),
    ((5, 3), -1, (1,)),
    ((4, 3, 2, 2), None, (1, 2, 3)),
    ((4, 3, 2, 2), (0, 2, 3), (0, 2, 3)),
    ((4, 3, 2, 2), (1,), (1,)),
    ((6,), None, (0,)),
    ((), None, ()),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "dim", "axes"), CASES)
def test_formulas(shape, dim, axes, dtype):
    w = random(*shape).astype(dtype)
    rtol = 1e-6 if dtype == "float32" else 1e-14
    for constraint, expected in [
        (MaxNorm(1.5, dim), max_norm(w, axes, 1.5)),
        (MaxNorm(dim=dim), max_norm(w, axes, 2.0)),
        (UnitNorm(dim), unit_norm(w, axes)),
        (MinMaxNorm(1.0, 2.5, dim=dim), min_max_norm(w, axes, 1.0, 2.5, 1.0)),
        (MinMaxNorm(2.0, 3.0, 0.25, dim), min_max_norm(w, axes, 2.0, 3.0, 0.25)),
        (MinMaxNorm(2.0, 3.0, rate=0, dim=dim), w),
        (NonNeg(), np.maximum(w, 0)),
    ]:
        tensor = tc.tensor(w)
        assert constraint(tensor) is tensor
        assert tensor.numpy().dtype == dtype
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=rtol, err_msg=repr(constraint))


@pytest.mark.parametrize("constraint", [MaxNorm(3.0), MinMaxNorm(0.5, 3.0, 0.3), NonNeg()])
def test_what_satisfies_it_keeps_its_bits(constraint):
    w = np.abs(random(50, 7).astype(np.float32))
    w *= np.linspace(0.51, 2.99, 50, dtype=np.float32)[:, None] / lengths(w, (1,))
    tensor = constraint(tc.tensor(w))
    np.testing.assert_array_equal(tensor.numpy(), w)


@pytest.mark.parametrize("constraint", [MaxNorm(), UnitNorm(), MinMaxNorm(1.0, 2.0), NonNeg()])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_zeros_stay_zeros_and_nan_is_seen(constraint, dtype):
    w = tc.tensor(np.array([[0.0, 0.0], [np.nan, 1.0]], dtype=dtype))
    constraint(w)
    assert w[0].tolist() == [0, 0]
    assert np.isnan(w.numpy()[1, 0])


def test_after_every_step():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    optimizer = tc.optim.SGD(model.parameters(), lr=10.0)
    before = model[0].weight.detach().numpy().copy()
    handle = constrain(optimizer, model[0].weight, UnitNorm())
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)
    for _ in range(2):
        optimizer.zero_grad()
        (model(tc.tensor(random(5, 4).astype(np.float32))) ** 2).sum().backward()
        optimizer.step()
        np.testing.assert_allclose(lengths(model[0].weight.detach().numpy(), (1,)), 1, rtol=1e-5)
        assert model[0].weight.requires_grad
        assert model[0].weight.is_leaf
        assert lengths(model[1].weight.detach().numpy(), (1,)).max() > 1.1
    handle.remove()
    model[0].weight.grad.fill_(1.0)
    optimizer.step()
    assert lengths(model[0].weight.detach().numpy(), (1,)).min() > 2


def test_several_constraints_in_order():
    p = nn.Parameter(tc.tensor([[3.0, -4.0]]))
    optimizer = tc.optim.SGD([p], lr=1.0)
    constrain(optimizer, [p], NonNeg())
    constrain(optimizer, [p], UnitNorm())
    p.grad = tc.zeros(1, 2)
    optimizer.step()
    assert p.tolist() == [[1.0, 0.0]]


def test_a_function_and_a_class_of_the_user():
    class Half(Constraint):
        def project(self, tensor):
            tensor.mul_(0.5)

    p = nn.Parameter(tc.ones(1))
    optimizer = tc.optim.Adam([p])
    constrain(optimizer, p, Half())
    constrain(optimizer, p, lambda tensor: tensor.detach().add_(3))
    optimizer.step()
    assert p.item() == 3.5
    assert repr(Half()) == "Half()"
    assert repr(MaxNorm(1.5)) == "MaxNorm(max_value=1.5, dim=None)"


def test_copy_of_the_optimizer_constrains_its_own_parameters():
    p = nn.Parameter(tc.full((1, 1), 4.0))
    optimizer = tc.optim.SGD([p])
    constrain(optimizer, p, MaxNorm(1.0))
    twin = copy.deepcopy(optimizer)
    twin.step()
    assert twin.param_groups[0]["params"][0].item() == 1
    assert p.item() == 4


def test_memory_in_use_by_a_graph_is_protected():
    p = nn.Parameter(tc.full((1, 1), 4.0))
    loss = (p * p).sum()
    MaxNorm(1.0)(p)
    with pytest.raises(tc.errors.InPlaceError):
        loss.backward()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p, o: MaxNorm(0.0), ArgumentError, "max_value must be above 0 and finite, got 0"),
        (lambda p, o: MaxNorm(float("inf")), ArgumentError, "got inf"),
        (lambda p, o: MaxNorm(float("nan")), ArgumentError, "got nan"),
        (lambda p, o: MinMaxNorm(2.0, 1.0), ArgumentError, "min_value <= max_value"),
        (lambda p, o: MinMaxNorm(-1.0, 1.0), ArgumentError, "min_value <= max_value"),
        (lambda p, o: MinMaxNorm(rate=1.5), ArgumentError, "rate must be from 0 to 1"),
        (lambda p, o: MaxNorm(dim=2)(p), IndexRangeError, "MaxNorm: dim=2 .* 2 dimensions"),
        (lambda p, o: constrain(o, p, MaxNorm), DTypeError, "must be a Constraint"),
        (lambda p, o: constrain(o, p, 2.0), DTypeError, "must be a Constraint"),
        (lambda p, o: constrain(o, [], MaxNorm()), ArgumentError, "no parameters"),
        (lambda p, o: constrain(o, p * 2, MaxNorm()), ArgumentError, "SGD does not hold"),
        (lambda p, o: constrain(o, 3, MaxNorm()), ArgumentError, "iterable of tensors"),
    ],
)
def test_refused(make, error, words):
    p = nn.Parameter(tc.ones(2, 2))
    with pytest.raises(error, match=words):
        make(p, tc.optim.SGD([p]))
