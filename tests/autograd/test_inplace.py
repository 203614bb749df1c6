"""In-place ops and views: gradients like PyTorch's, or an error where PyTorch raises one."""

import warnings

import numpy as np
import programs
import pytest
from autograd_helpers import host, leaf, tensor

from tinyconv.autograd import Function, grad, gradcheck, inference_mode, no_grad
from tinyconv.autograd.inplace import write
from tinyconv.errors import DTypeError, GradientError, InPlaceError, ShapeError

A = np.linspace(0.3, 1.1, 6).reshape(2, 3)
B = np.linspace(-1, 1, 6).reshape(2, 3)
C = np.array([0.5, -0.2, 0.9])


def loss_of(variables):
    """Return a sum in which each variable has a weight of its own."""
    total = None
    for number, v in enumerate(variables):
        if v.requires_grad:
            term = (v * (number + 1.5)).sum()
            total = term if total is None else total + term
    return total


def outcome(program, leaves, no_grad, error, values):
    """Run a program forward and backward; return what happened, values and gradients."""
    try:
        variables = programs.run(program, leaves, no_grad)
        total = loss_of(variables)
    except error as e:
        return "raised", str(e), None
    results = [values(v.detach()) for v in variables]
    try:
        total.backward()
    except error as e:
        return "raised", str(e), results
    return "ok", [None if x.grad is None else values(x.grad) for x in leaves[:2]], results


def run_torch(program):
    import torch

    leaves = [torch.tensor(A, requires_grad=True), torch.tensor(B, requires_grad=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outcome(
            program, [*leaves, torch.tensor(C)], torch.no_grad, RuntimeError, lambda t: t.numpy()
        )


def run_ours(program):
    return outcome(program, [leaf(A), leaf(B), tensor(C)], no_grad, GradientError, host)


def numerical(program):
    """Return the gradient of the loss with respect to the leaf a, by central differences."""
    result, eps = np.zeros_like(A), 1e-6
    for index in np.ndindex(A.shape):
        losses = []
        for sign in (1, -1):
            a = A.copy()
            a[index] += sign * eps
            total = loss_of(programs.run(program, [leaf(a), leaf(B), tensor(C)], no_grad))
            losses.append(total.item())
        result[index] = (losses[0] - losses[1]) / (2 * eps)
    return result


def compare(program):
    """Run a program in both libraries; return what both did, or raise AssertionError."""
    with np.errstate(all="ignore"):
        theirs, ours = run_torch(program), run_ours(program)
    text = programs.describe(program)
    if theirs[0] == "raised" and "no_grad mode" in theirs[1]:
        return "skipped"  # PyTorch refuses to use some views made in no_grad; here they are data
    if theirs[0] == "raised" and ours[0] == "ok":
        # Here the output of an in-place op is saved apart, so that it may change: check that
        # the gradient is right, unless the program holds something constant on purpose.
        quirk = theirs[2] is None and "a leaf Variable that requires grad" in theirs[1]
        assert quirk or theirs[2] is not None, text
        constant = any(k == "detach" or (k == "in_place" and a[1]) for k, _, _, a in program)
        if not constant:
            np.testing.assert_allclose(ours[1][0], numerical(program), rtol=1e-4, err_msg=text)
        # PyTorch takes some views, whose base got a history, for leaves until one looks at them.
        return "quirk" if quirk else "more"
    assert ours[0] == theirs[0], f"{text}\nPyTorch: {theirs[1]}\ntinyconv: {ours[1]}"
    if ours[0] == "ok":
        for a, b in zip(ours[1] + ours[2], theirs[1] + theirs[2], strict=True):
            assert (a is None) == (b is None), text
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=1e-9, err_msg=text)
    return ours[0]


@pytest.mark.parametrize("block", range(8))
def test_random_programs_agree_with_torch(block):
    pytest.importorskip("torch")
    outcomes = [compare(programs.make(seed)) for seed in range(block * 250, block * 250 + 250)]
    assert outcomes.count("ok") > 100
    assert outcomes.count("raised") > 30
    assert outcomes.count("more") > 0
    assert "quirk" not in outcomes


def test_random_programs_agree_on_every_backend(backend):
    pytest.importorskip("torch")
    outcomes = [compare(programs.make(seed)) for seed in range(5000, 5080)]
    assert outcomes.count("ok") > 30


@pytest.mark.slow
def test_many_random_programs_agree_with_torch():
    pytest.importorskip("torch")
    outcomes = [compare(programs.make(seed)) for seed in range(10_000, 30_000)]
    assert outcomes.count("quirk") < 10


def test_write_into_slice(backend):
    x = leaf([1.0, 2.0, 3.0, 4.0])
    y = x * 1
    y[1:3].mul_(x[:2])
    (y * tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    # y = x0, x1 x0, x2 x1, x3
    np.testing.assert_allclose(host(x.grad), [1 + 10 * 2, 10 + 100 * 3, 100 * 2, 1000])


def test_view_made_before_a_write_to_the_base_follows(backend):
    x = leaf([1.0, 2.0])
    y = x * 1
    view = y[:1]
    deeper = view.reshape((1, 1))
    y.mul_(x)
    assert deeper.grad_fn is not None
    deeper.sum().backward()
    np.testing.assert_allclose(host(x.grad), [2.0, 0.0])


def test_view_of_base_without_history_starts_to_require_gradients(backend):
    w, base = leaf([5.0]), tensor([0.0, 0.0])
    first, second = base[:1], base[:]
    assert not second.requires_grad
    first.copy_(w)
    assert second.requires_grad
    (second * second).sum().backward()
    np.testing.assert_allclose(host(w.grad), [10.0])


def test_op_on_a_view_notices_the_write(backend):
    w, base = leaf([5.0]), tensor([0.0, 0.0])
    first, second = base[:1], base[:]
    first.copy_(w)
    out = second * second  # the first look at the view since
    out.sum().backward()
    np.testing.assert_allclose(host(w.grad), [10.0])


def test_write_through_a_view_of_permuted_memory():
    x = leaf(np.arange(6.0).reshape(2, 3))
    base = (x * 1).transpose(0, 1).clone()  # PyTorch and NumPy may keep the strides
    weight = tensor(np.arange(1.0, 7.0).reshape(3, 2))
    base.transpose(0, 1).reshape((6,))[2:4].mul_(10)
    base.transpose(0, 1)[0].mul_(2)
    (base * weight).sum().backward()
    reshaped_is_view = np.shares_memory(base.array, base.transpose(0, 1).reshape((6,)).array)
    factor = np.full(6, 1.0)
    if reshaped_is_view:
        factor[2:4] = 10
    factor = factor.reshape(2, 3) * [[2.0], [1.0]]
    np.testing.assert_allclose(host(x.grad), factor * host(weight).T)


def test_long_chain_of_views_is_not_followed_step_by_step():
    x = leaf([1.0, 2.0])
    y = base = x * 1
    for _ in range(3000):
        y = y[:]
    base.mul_(3)
    y.sum().backward()
    np.testing.assert_allclose(host(x.grad), [3.0, 3.0])


def test_broadcast_cast_and_constant_values(backend):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = x * 1
    y.copy_(tensor([7.0], dtype=np.float32))
    y.sum().backward()
    np.testing.assert_array_equal(host(y), np.full((2, 2), 7.0))
    np.testing.assert_array_equal(host(x.grad), np.zeros((2, 2)))


def test_copy_keeps_the_histories_apart(backend):
    w, x = leaf([2.0]), leaf([3.0])
    source, target = w * 1, x * 1
    target.copy_(source)
    assert target.grad_fn is not source.grad_fn
    seen = []
    target.register_hook(lambda g: seen.append(host(g).item()))
    (source * 10 + target).sum().backward()
    assert seen == [1.0]
    assert host(w.grad).item() == 11.0


def test_leaf_copied_into_makes_no_leaf(backend):
    w, target = leaf([2.0]), tensor([0.0])
    target.copy_(w)
    assert not target.is_leaf
    target.sum().backward()
    assert target.grad is None
    assert host(w.grad).item() == 1.0


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x[:1], lambda x: x[:1].reshape((1, 1))])
def test_leaf_and_its_views_refuse(backend, make):
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match="leaf that requires gradients"):
        make(x).mul_(2)
    np.testing.assert_array_equal(host(x), [1.0, 2.0])
    with no_grad():
        make(x).mul_(2)
    assert host(x)[0] == 2.0


def test_view_made_in_no_grad_refuses():
    x = leaf([1.0, 2.0])
    y = x * 1
    with no_grad():
        view = y[:1]
    with pytest.raises(GradientError, match="no_grad"):
        view.mul_(2)
    with no_grad():
        view.mul_(2)
    np.testing.assert_array_equal(host(y), [2.0, 2.0])


def test_modified_input_raises_with_names(backend):
    x = leaf([1.0, 2.0])
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(
        InPlaceError, match=r"MulBackward: an input of shape \(2,\).*version 1, exp"
    ):
        z.sum().backward()
    assert x.grad is None


def test_modified_output_raises(backend):
    y = leaf([1.0, 2.0]).exp()
    y.add_(1)
    with pytest.raises(InPlaceError, match=r"ExpBackward: output 0 of shape \(2,\)"):
        y.sum().backward()


@pytest.mark.parametrize(
    "modify",
    [
        lambda y: y[0].add_(1),
        lambda y: y.reshape((2,))[1:].zero_(),
        lambda y: y.detach().add_(1),
        lambda y: y.__setitem__(0, 5.0),
        lambda y: y.__iadd__(1),
        lambda y: y.copy_(y * 2),
        lambda y: y.fill_(1),
        lambda y: y.transpose(0, 0).mul_(2),
    ],
)
def test_modified_through_a_view_raises(backend, modify):
    y = leaf([1.0, 2.0]) * 1
    z = y * y
    with no_grad():
        modify(y)
    with pytest.raises(InPlaceError):
        z.sum().backward()


def test_detach_shares_version_and_memory(backend):
    x = leaf([1.0]) * 1
    other = x.detach()
    other.add_(1)
    assert x._version[0] == other._version[0] == 1
    assert host(x).item() == 2.0
    assert not other.requires_grad


def test_writes_through_data_are_not_noticed(backend):
    x = leaf([1.0, 2.0])
    y = x * 1
    z = y * y
    y.data.mul_(10)
    z.sum().backward()
    np.testing.assert_array_equal(host(x.grad), [20.0, 40.0])


def test_inplace_op_that_needs_its_own_old_value(backend):
    assert gradcheck(lambda x: (x * 1).mul_(x), leaf([1.0, 2.0]))

    def square_in_place(x):
        y = x * 1
        return y.mul_(y)

    with pytest.raises(InPlaceError):  # as in PyTorch: the other operand is the new value
        gradcheck(square_in_place, leaf([1.0, 2.0]))

    def composed(x):
        y = x * 1
        return write("composed_", y, lambda old: (old * old + old) * old)

    assert gradcheck(composed, leaf([1.0, 2.0]))


def test_second_derivative_through_a_write(backend):
    x = leaf([2.0, 3.0])
    y = x * x
    y[1:].mul_(x[1:])  # x0^2, x1^3
    (dx,) = grad(y.sum(), x, create_graph=True)
    (ddx,) = grad(dx.sum(), x)
    np.testing.assert_allclose(host(dx), [4.0, 27.0])
    np.testing.assert_allclose(host(ddx), [2.0, 18.0])


def test_retain_grad_moves_with_the_tensor():
    x = leaf([2.0])
    y = x * 3
    y.retain_grad()
    y.mul_(5)
    (y * 7).sum().backward()
    assert host(y.grad).item() == 7.0
    assert host(x.grad).item() == 105.0


def test_hook_stays_with_the_old_value():
    x, seen = leaf([2.0]), []
    y = x * 3
    y.register_hook(lambda g: seen.append(host(g).item()))
    y.mul_(5)
    (y * 7).sum().backward()
    assert seen == [35.0]


def test_misfits_raise_and_change_nothing(backend):
    x = tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"add_.*\(3,\).*\(2,\)"):
        write("add_", x, lambda _: tensor([1.0, 2.0, 3.0]))
    n = tensor([1, 2], dtype=np.int64)
    with pytest.raises(DTypeError, match="float64"):
        write("add_", n, lambda _: x)
    np.testing.assert_array_equal(host(x), [1.0, 2.0])
    assert x._version == [0]


def test_inference_tensor_refuses_outside():
    with inference_mode():
        x = tensor([1.0])
        x.add_(1)
    with pytest.raises(GradientError, match="inference mode"):
        x.add_(1)


def test_detach_in_place_refuses_a_view():
    y = leaf([1.0, 2.0]) * 1
    with pytest.raises(GradientError, match="view"):
        y[:1].detach_()
    assert y.detach_().is_leaf


class AddOne(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.array += 1
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2  # not the derivative of x + 1: shows that this backward was used


def test_mark_dirty():
    x = leaf([1.0])
    y = x * 3
    z = AddOne.apply(y)
    assert z is y
    assert y._version == [1]
    y.sum().backward()
    assert host(x.grad).item() == 6.0


def test_mark_dirty_on_a_view_reaches_the_base():
    x = leaf([1.0, 1.0])
    y = x * 3
    AddOne.apply(y[:1])
    y.sum().backward()
    np.testing.assert_array_equal(host(y), [4.0, 3.0])
    np.testing.assert_array_equal(host(x.grad), [6.0, 3.0])


def test_mark_dirty_refuses_a_leaf_and_wants_the_tensor_back():
    with pytest.raises(GradientError, match="leaf that requires gradients"):
        AddOne.apply(leaf([1.0]))

    class Forgets(AddOne):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.wrap(x.array + 1)

    with pytest.raises(GradientError, match="must be returned"):
        Forgets.apply(leaf([1.0]) * 1)


def test_mark_dirty_is_noticed_by_those_who_saved():
    y = leaf([1.0]) * 1
    z = y * y
    with no_grad():
        AddOne.apply(y)
    with pytest.raises(InPlaceError):
        z.sum().backward()


def test_input_returned_as_it_is():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = leaf([1.0])
    y = Same.apply(x)
    assert y is not x
    y.sum().backward()
    assert host(x.grad).item() == 5.0
    with pytest.raises(GradientError, match="returned as it is"):
        Same.apply(x * 1).mul_(2)
