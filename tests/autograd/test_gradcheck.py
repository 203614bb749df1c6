"""gradcheck finds planted faults, and passes right gradients of every shape."""

import numpy as np
import pytest
from autograd_helpers import host, leaf, tensor

from tinyconv.autograd import Function, checkpoint, gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, GradientError


def planted(backward):
    """Return x^2 with a given backward(x, g)."""

    class Planted(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.wrap(x.array * x.array)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return backward(x, g)

    return Planted.apply


def one_element_wrong(x, g):
    wrong = np.full(host(x).shape, 2.0)
    wrong.reshape(-1)[-1] = 2.02
    return g * x * tensor(wrong)


@pytest.mark.parametrize("elementwise", [False, True])
class TestFaults:
    def test_right_gradient_passes(self, backend, elementwise):
        f = planted(lambda x, g: g * x * 2)
        for shape in [(2, 3), (1,), (), (0, 2)]:
            assert gradcheck(f, leaf(np.ones(shape) * 1.5), elementwise=elementwise)
            assert gradgradcheck(f, leaf(np.ones(shape) * 1.5), elementwise=elementwise)

    def test_one_wrong_element_of_many(self, backend, elementwise):
        f = planted(one_element_wrong)
        x = leaf(np.linspace(1, 2, 12).reshape(3, 4))
        message = (
            r"output 1 \(shape \(3, 4\)\) with respect to input 1 \(shape \(3, 4\)\).*"
            r"d output\[2, 3\] / d input\[2, 3\] is 4 numerically, 4.04 by autograd"
        )
        with pytest.raises(GradientError, match=message):
            gradcheck(lambda y, x: (y * 1, f(x)), (leaf([1.0]), x), elementwise=elementwise)
        assert not gradcheck(f, x, elementwise=elementwise, raise_exception=False)

    @pytest.mark.parametrize(
        "backward",
        [
            lambda x, g: x * 2,  # forgets the incoming gradient
            lambda x, g: None,
            lambda x, g: -(g * x * 2),
            lambda x, g: g * x,
            lambda x, g: g.sum() * x * 2,
        ],
    )
    def test_wrong_formulas(self, backward, elementwise):
        f = planted(backward)
        with pytest.raises(GradientError, match="wrong gradient"):
            gradcheck(f, leaf([0.7, 1.3]), elementwise=elementwise)

    def test_wrong_second_derivative(self, elementwise):
        f = planted(lambda x, g: g * x.detach() * 2)
        assert gradcheck(f, leaf([0.7, 1.3]), elementwise=elementwise)
        with pytest.raises(GradientError, match="gradgradcheck: wrong gradient of output 0"):
            gradgradcheck(f, leaf([0.7, 1.3]), elementwise=elementwise)

    def test_detached_output(self, elementwise):
        with pytest.raises(GradientError, match="0 by autograd"):
            gradcheck(lambda x: (x * 2, x.detach() * 2), leaf([1.0]), elementwise=elementwise)


def test_mutated_input():
    def mutates(x, y):
        y.array[...] = y.array + 1
        return x * 2

    with pytest.raises(GradientError, match=r"func modified inputs\[1\]"):
        gradcheck(mutates, (leaf([1.0]), tensor([1.0])))


def test_mutated_gradient():
    def backward(x, g):
        result = g * x * 2
        g.array[...] = 0
        return result

    with pytest.raises(GradientError, match="backward modified"):
        gradcheck(planted(backward), leaf([1.0]))


def test_nondeterminism():
    state = np.random.default_rng(0)

    def noisy(x):
        return x * (1 + 1e-7 * state.uniform())

    with pytest.raises(GradientError, match="two runs"):
        gradcheck(noisy, leaf([1.0]))
    assert gradcheck(noisy, leaf([1.0]), nondet_tol=1e-6, atol=10.0)


def test_kink_is_named():
    with pytest.raises(GradientError, match="kink"):
        gradcheck(lambda x: x.relu() + x * 0.3, leaf([0.0]))


def test_partial_gradients(backend):
    class ZeroIsNone(Function):
        """Output 1 does not depend on input 0: None, not zeros."""

        @staticmethod
        def forward(ctx, x, y):
            ctx.set_materialize_grads(False)
            return x.wrap(x.array + y.array), y.wrap(y.array * 3)

        @staticmethod
        def backward(ctx, g0, g1):
            parts = [g for g in (g0, None if g1 is None else g1 * 3) if g is not None]
            return g0, sum(parts[1:], parts[0])

    assert gradcheck(ZeroIsNone.apply, (leaf([1.0]), leaf([2.0])))


def test_undefined_gradient_that_is_not_handled_is_found():
    class Careless(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x.wrap(x.array * 2), x.wrap(x.array * 3)

        @staticmethod
        def backward(ctx, g0, g1):
            return g0 * 2 + g1 * 3

    with pytest.raises(TypeError):
        gradcheck(Careless.apply, leaf([1.0]))


def test_other_inputs_and_outputs(backend):
    index = tensor([0, 1], dtype=np.int64)
    constant = tensor([2.0, 3.0])

    def f(x, number, i, c):
        return x * number * c, i, (x > 0)

    assert gradcheck(f, (leaf([1.0, -1.0]), 3, index, constant))
    assert gradgradcheck(f, (leaf([1.0, -1.0]), 3, index, constant))


def test_closure_over_the_input_sees_the_steps():
    w, x = leaf([2.0]), leaf([3.0])
    assert gradcheck(lambda *_: w * x * x, (w, x))


def test_non_leaf_input():
    x = leaf([2.0]) * 1
    assert gradcheck(lambda x: x * x, x)


def test_nothing_to_check():
    with pytest.raises(ArgumentError, match="requires_grad"):
        gradcheck(lambda x: x, tensor([1.0]))
    with pytest.raises(ArgumentError, match="must return tensors"):
        gradcheck(lambda x: 3.0, leaf([1.0]))


def test_float32_warns():
    with pytest.warns(UserWarning, match="float64"):
        gradcheck(lambda x: x * 2, leaf([1.0], np.float32), eps=1e-2, atol=1e-2)


def test_inputs_and_grads_are_left_alone():
    x = leaf([1.0, 2.0])
    array = x.array
    gradcheck(lambda x: checkpoint(lambda t: t * t, x), x)
    gradgradcheck(lambda x: x * x, x, [tensor([1.0, 2.0])])
    assert x.array is array
    assert x.grad is None
    np.testing.assert_array_equal(host(x), [1.0, 2.0])


def test_number_of_evaluations_does_not_grow():
    calls = []

    def f(x):
        calls.append(1)
        return x * x

    gradcheck(f, leaf(np.ones(5)))
    few = len(calls)
    calls.clear()
    gradcheck(f, leaf(np.ones(5000)))
    assert len(calls) == few < 20
