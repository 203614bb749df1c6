"""Function: contexts, hooks, once_differentiable, and what forward may return."""

import numpy as np
import pytest
from autograd_helpers import host, leaf, tensor

from tinyconv.autograd import Function, grad, no_grad, once_differentiable
from tinyconv.backend import Device
from tinyconv.errors import DeviceError, GradientError


class Square(Function):
    """In the style with setup_context."""

    @staticmethod
    def forward(x):
        return x.wrap(x.array * x.array)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 2


class CubeOnce(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.wrap(x.array**3)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.wrap(g.array * 3 * x.array**2)


class TopOne(Function):
    """Largest element and its position."""

    @staticmethod
    def forward(ctx, x):
        position = int(np.argmax(host(x)))
        index = x.wrap(x.xp.asarray(position))
        ctx.position, ctx.n = position, x.array.shape[0]
        ctx.mark_non_differentiable(index)
        return x.wrap(x.xp.asarray(x.array[position])), index

    @staticmethod
    def backward(ctx, g, g_index):
        one_hot = np.zeros(ctx.n)
        one_hot[ctx.position] = 1
        return g * tensor(one_hot)


def test_setup_context(backend):
    x = leaf([2.0, 3.0])
    (g,) = grad(Square.apply(x).sum(), x, create_graph=True)
    np.testing.assert_array_equal(host(g), [4.0, 6.0])
    (h,) = grad(g.sum(), x)
    np.testing.assert_array_equal(host(h), [2.0, 2.0])


def test_needs_input_grad_and_plain_arguments():
    seen = []

    class Scale(Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            seen.append(ctx.needs_input_grad)
            ctx.factor = factor
            return x.wrap(x.array * factor + y.array)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None, None

    x = leaf([1.0])
    y = Scale.apply(x, 4, tensor([1.0]))
    y.sum().backward()
    assert seen == [(True, False, False)]
    assert host(x.grad).item() == 4.0
    with no_grad():
        assert Scale.apply(x, 4, x).grad_fn is None


def test_non_differentiable_output(backend):
    x = leaf([1.0, 5.0, 2.0])
    value, index = TopOne.apply(x)
    assert value.requires_grad
    assert not index.requires_grad
    assert index.grad_fn is None
    value.backward()
    np.testing.assert_array_equal(host(x.grad), [0.0, 1.0, 0.0])


def test_floating_output_marked_non_differentiable():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            half = x.wrap(x.array / 2)
            ctx.mark_non_differentiable(half)
            return x.wrap(x.array * 2), half

        @staticmethod
        def backward(ctx, g, g_half):
            assert not host(g_half).any()
            return g * 2

    x = leaf([1.0])
    twice, half = Split.apply(x)
    assert not half.requires_grad
    twice.sum().backward()
    assert host(x.grad).item() == 2.0


def test_once_differentiable(backend):
    x = leaf([2.0])
    CubeOnce.apply(x).sum().backward()
    assert host(x.grad).item() == 12.0
    (g,) = grad(CubeOnce.apply(x).sum(), x, create_graph=True)
    assert host(g).item() == 12.0
    with pytest.raises(GradientError, match="CubeOnceBackward is marked once_differentiable"):
        grad(g.sum(), x)


def test_once_differentiable_is_never_left_out_of_a_sum():
    x = leaf([2.0])
    (g,) = grad(CubeOnce.apply(x * 1).sum(), x, create_graph=True)
    with pytest.raises(GradientError, match="once_differentiable"):
        (g + x * x).sum().backward()


def test_missing_backward_says_so():
    class Nothing(Function):
        @staticmethod
        def forward(ctx, x):
            return x.wrap(x.array * 1)

    with pytest.raises(GradientError, match="derivative of Nothing is not implemented"):
        Nothing.apply(leaf([1.0])).sum().backward()


@pytest.mark.parametrize("value", [3.0, None, (1, 2)])
def test_forward_must_return_tensors(value):
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return value

    with pytest.raises(GradientError, match="Wrong: forward must return a tensor or a tuple"):
        Wrong.apply(tensor([1.0]))


def test_two_devices_are_named():
    other = Device("strict")
    there = tensor([1.0]).public_class(other.xp.asarray([1.0]), other)

    class Both(Function):
        @staticmethod
        def forward(ctx, a, number, b):
            return a

    with pytest.raises(DeviceError, match=r"both: 'a' is on cpu but 'b' is on strict"):
        Both.apply(tensor([1.0]), 2, there)


def test_saving_an_inference_tensor_raises():
    from tinyconv.autograd import inference_mode

    with inference_mode():
        y = tensor([2.0])
    x = leaf([1.0])
    with pytest.raises(GradientError, match="inference mode cannot be saved"):
        x * y
    (x * y.clone()).sum().backward()
    assert host(x.grad).item() == 2.0
    with pytest.raises(GradientError, match="inference mode"):
        y.requires_grad_()


def test_names_and_neighbours():
    x = leaf([1.0])
    y = x * 2
    z = (y + 1).sum()
    assert y.grad_fn.name() == "MulBackward"
    assert z.grad_fn.next_functions[0][0].next_functions[0][0] is y.grad_fn
    assert y.is_leaf is False
    assert x.is_leaf is True
    assert x.output_nr == 0


def test_requires_grad_can_be_turned_off_on_a_leaf_only():
    x = leaf([1.0])
    y = x * 2
    with pytest.raises(GradientError, match="detach"):
        y.requires_grad_(False)
    x.requires_grad = False
    assert not (x * 2).requires_grad


# -- hooks --------------------------------------------------------------------------------------


def test_hooks_run_in_order_and_replace(backend):
    x = leaf([1.0])
    order = []
    y = x * 3
    for t, name in ((x, "leaf"), (y, "inner")):
        t.register_hook(lambda g, name=name: order.append((name, host(g).item())))
        t.register_hook(lambda g: g * 10)
        t.register_hook(lambda g, name=name: order.append((name, host(g).item())))
    (y * 2).sum().backward()
    assert order == [("inner", 2.0), ("inner", 20.0), ("leaf", 60.0), ("leaf", 600.0)]
    assert host(x.grad).item() == 600.0


def test_hook_sees_the_whole_gradient_once():
    x, seen = leaf([1.0]), []
    y = x * 1
    y.register_hook(lambda g: seen.append(host(g).item()))
    x.register_hook(lambda g: seen.append(host(g).item()))
    (y * 2 + y * 3 + y * 4).sum().backward()
    assert seen == [9.0, 9.0]


def test_removal():
    x, seen = leaf([1.0]), []
    first = x.register_hook(lambda g: seen.append("first"))
    with x.register_hook(lambda g: seen.append("second")):
        x.sum().backward()
    first.remove()
    first.remove()
    x.sum().backward()
    assert seen == ["first", "second"]


def test_removal_while_running():
    x, seen = leaf([1.0]), []
    handles = []
    handles.append(x.register_hook(lambda g: handles[1].remove()))
    handles.append(x.register_hook(lambda g: seen.append("ran")))
    x.sum().backward()
    x.sum().backward()
    assert seen == ["ran"]


def test_retained_gradient_is_the_hooked_one(backend):
    x = leaf([1.0])
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    assert y.retains_grad
    y.sum().backward()
    assert host(y.grad).item() == 2.0
    assert host(x.grad).item() == 6.0
    x.retain_grad()  # nothing to do for a leaf


def test_retained_gradients_accumulate_and_share_nothing():
    x = leaf([1.0])
    y = x + 0.0
    y.retain_grad()
    out = (y + 0.0).sum()
    out.backward(retain_graph=True)
    y.grad.add_(100)
    assert host(x.grad).item() == 1.0
    out.backward()
    assert host(y.grad).item() == 102.0


@pytest.mark.parametrize("wrong", [lambda g: 3.0, lambda g: g.sum()])
def test_hook_result_is_checked(wrong):
    x = leaf([1.0, 2.0])
    x.register_hook(wrong)
    with pytest.raises(GradientError, match=r"hook of a tensor.*\(2,\)"):
        x.sum().backward()
    assert x.grad is None


def test_hook_on_a_tensor_without_gradient():
    with pytest.raises(GradientError, match="register_hook"):
        tensor([1.0]).register_hook(print)
    with pytest.raises(GradientError, match="retain_grad"):
        tensor([1.0]).retain_grad()


def test_node_hooks_replace_gradients():
    x = leaf([1.0])
    y = x * 3
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
    handle = y.grad_fn.register_hook(
        lambda results, grads: tuple(None if r is None else r + grads[0] for r in results)
    )
    y.sum().backward(retain_graph=True)
    assert host(x.grad).item() == 40.0  # 10 * 3 + 10
    handle.remove()
    x.grad = None
    y.sum().backward()
    assert host(x.grad).item() == 30.0


def test_hooks_under_create_graph_are_differentiated():
    x = leaf([3.0])
    y = x * x
    y.register_hook(lambda g: g * 5)
    (g,) = grad(y.sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    assert host(g).item() == 30.0
    assert host(h).item() == 10.0
