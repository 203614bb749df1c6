"""Gradients that meet: a node adds its own to what is there, without a pass for the sum."""

import weakref

import numpy as np
import pytest
from fusing import both_ways, layer, random

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import Function, Observer, gradcheck, gradgradcheck, walk
from tinyconv.backend import backends
from tinyconv.nn import functional as F


@pytest.fixture
def added(monkeypatch):
    """Collects whether each call of a kernel was given something to add to, by its name."""
    backend, calls = backends()["cpu"], []

    def watched(name, kernel, position):
        def call(*args):
            calls.append((name, len(args) > position and args[position] is not None))
            return kernel(*args)

        return call

    for name, position in (("conv_input_grad", 8), ("batch_norm_grad", 10)):
        monkeypatch.setattr(backend, name, watched(name, getattr(backend, name), position))
    return calls


def conv(kernel=3, outputs=16, seed=4, **options):
    """Return a convolution that keeps the size, with fixed weights."""
    made = nn.Conv2d(16, outputs, kernel, padding=kernel // 2, **options)
    rng = np.random.default_rng(seed)
    with tc.no_grad():
        for p in made.parameters():
            p.copy_(tc.tensor(rng.uniform(-0.3, 0.3, p.shape).astype(np.float32)))
    return made


def dense(h):
    """Return a layer's input and its result, one behind the other, as in a DenseNet."""
    return tc.cat([h, conv(outputs=8)(F.relu(layer()(h)))], 1)


def frozen(h):
    return layer(training=False)(h) + h * 2


def shortcut(h):
    return F.relu(h + conv(seed=6)(F.relu(conv()(h))))


def strided(h):
    return F.avg_pool2d(h, 2) + conv(1, stride=2)(h) + conv(stride=2, seed=7)(h)


def branches(h):
    convs = [conv(1), conv(1, 8, 5), conv(3, 4, 6), conv(5, 4, 7), conv(groups=16)]
    return tc.cat([m(h) for m in convs] + [F.max_pool2d(h, 3, 1, 1)], 1)


FORMS = {dense: 1, frozen: 1, shortcut: 1, strided: 1, branches: 5}


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_separate_sums(form, added):
    def program():
        x = random()
        h = x * 1.5
        added.clear()
        y = form(h)
        (y * y * random(y.shape, 3, False)).sum().backward()
        return x.grad.numpy().copy(), sum(given for _, given in added)

    (fused, count), (plain, none) = both_ways(program)
    assert (count, none) == (FORMS[form], 0)
    np.testing.assert_allclose(fused, plain, rtol=1e-6, atol=1e-6 * np.abs(plain).max())


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_gradients(form):
    def program():
        x = random((2, 16, 8, 8))
        y = form(x * 1.5)
        (g,) = tc.autograd.grad((y * y).sum(), x, create_graph=True)
        (g * g).sum().backward()
        return g.detach().numpy(), x.grad.numpy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_first_and_second_gradients_by_differences():
    rng = np.random.default_rng(0)
    x = tc.tensor(rng.standard_normal((2, 2, 4, 3)), requires_grad=True)
    w = tc.tensor(rng.standard_normal((2, 2, 3, 3)), requires_grad=True)

    def program(x, w):
        h = x * 1
        return F.conv2d(h, w, padding=1) + F.batch_norm(h, None, None, training=True) * h

    assert gradcheck(program, (x, w))
    assert gradgradcheck(program, (x, w))


def test_no_gradient_is_added_to_while_somebody_holds_it(added):
    def program():
        kept, x = [], random()
        h = x * 1.5

        class Through(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                result = grad * 2
                kept.append(result)
                return result

        added.clear()
        m = conv()
        y = m(h) + Through.apply(h)
        (y * y).sum().backward()
        return *(k.numpy().copy() for k in kept), x.grad.numpy().copy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)
    assert added == [("conv_input_grad", False)]


def test_views_of_a_gradient_are_left_alone():
    def program():
        kept, x = [], random()
        h = x * 1.5

        class Through(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                result = grad * 2
                kept.append(result.array[1:])  # NumPy's view: only the memory is shared
                return result

        y = conv()(h) + Through.apply(h)
        (y * y).sum().backward()
        return kept[0].copy(), x.grad.numpy().copy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["hook", "observer"])
def test_whoever_watches_a_node_sees_its_own_gradient(kind):
    def program():
        x, seen = random(), []
        h = x * 1.5
        z = conv()(h)
        y = z + layer()(h)

        class Watch(Observer):
            def after_backward(self, node, grads, results):
                if node.name() == "ConvBackward":
                    seen.append(results[0].numpy().copy())

        if kind == "hook":
            z.grad_fn.register_hook(lambda results, _: seen.append(results[0].numpy().copy()))
            (y * y).sum().backward()
        else:
            with Watch():
                (y * y).sum().backward()
        return *seen, x.grad.numpy().copy()

    one, other = both_ways(program)
    assert len(one) == len(other) == 2
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_hooks_of_the_shared_tensor_see_the_sum_once():
    def program():
        x, seen = random(), []
        h = x * 1.5
        h.register_hook(lambda g: seen.append(g.numpy().copy()))
        h.retain_grad()
        shortcut(h).sum().backward()
        return *seen, h.grad.numpy(), x.grad.numpy()

    one, other = both_ways(program)
    assert len(one) == 3
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(b).max())


def test_a_graph_that_is_walked_twice():
    x = random()
    h = x * 1.5
    total = shortcut(h).sum()
    total.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), once * 2)


def test_weight_and_input_that_are_one_tensor():
    def program():
        x = random((4, 4, 3, 3))
        h = x * 1
        (F.conv2d(h, h, padding=1) * F.conv2d(h, h, padding=1) + h).sum().backward()
        return x.grad.numpy().copy()

    fused, plain = both_ways(program)
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())


def test_the_sum_takes_no_memory_of_its_own(monkeypatch):
    """The gradient that leaves the second node lies where that of the first one lay."""
    places = []
    deliver = walk.Walk._deliver

    def watched(self, edge, gradient):
        if not isinstance(edge[0], tc.Tensor) and edge[0].name() == "MulBackward":
            places.append((gradient.array.__array_interface__["data"], weakref.ref(gradient)))
        deliver(self, edge, gradient)

    monkeypatch.setattr(walk.Walk, "_deliver", watched)
    h = random() * 1.5
    (conv()(h).relu() + conv(seed=5)(h).relu()).sum().backward()
    assert len(places) == 2
    assert places[0][0] == places[1][0]


def test_under_autocast():
    def program():
        x = random()
        h = x * 1.5
        with tc.autocast("cpu"):
            y = conv()(h) + conv(1, seed=5)(h)
        y.float().sum().backward()
        return x.grad.numpy().copy()

    fused, plain = both_ways(program)
    np.testing.assert_allclose(fused, plain, rtol=2e-2, atol=2e-2 * np.abs(plain).max())
