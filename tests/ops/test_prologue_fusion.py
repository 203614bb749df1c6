"""Batch normalisation and ReLU on the way into a convolution of one tap: no map between them."""

import gc

import numpy as np
import pytest
from fusing import Calls, assert_same, both_ways, is_pending, layer, random

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.autograd import gradcheck, gradgradcheck, pending
from tinyconv.backend import backends
from tinyconv.errors import InPlaceError
from tinyconv.nn import functional as F
from tinyconv.ops import fusion

pytestmark = pytest.mark.usefixtures("nothing_left_open")


@pytest.fixture
def passes(monkeypatch):
    """Counts the calls of the kernels that write a normalised or clipped map."""
    return Calls(monkeypatch, "batch_norm", "relu", "hardtanh", "relu_grad", "hardtanh_grad").counts


def weights(outputs=24, inputs=16, kernel=1, seed=4):
    return random((outputs, inputs, kernel, kernel), seed)


def gradients(y, *tensors):
    """Return a result and the gradients of leaves, as arrays."""
    (y * random(y.shape, 3, False)).sum().backward()
    return [t.detach().numpy().copy() for t in (y, *(t.grad for t in tensors))]


ACTIVATIONS = {
    "relu": F.relu,
    "in place": lambda z: F.relu(z, inplace=True),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 0.25, inplace=True),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_bits_and_gradients_without_a_map(name, training, passes):
    def program():
        x, w, b, bn = random(), weights(), random((24,), 5), layer(training=training)
        passes.clear()
        y = F.conv2d(ACTIVATIONS[name](bn(x * 1.5)), w, b)
        results = gradients(y, x, w, b, *bn.parameters())
        return [*results, bn.running_var.numpy().copy()], dict(passes)

    (fused, few), (plain, many) = both_ways(program)
    assert few == {}
    assert sum(many.values()) >= 2
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("context", [tc.no_grad, tc.inference_mode])
def test_without_a_graph(context, training, passes):
    def program():
        with context():
            x, w, bn = random(requires_grad=False) * 1.5, weights() * 1, layer(training=training)
            passes.clear()
            return F.relu(F.conv2d(F.relu(bn(x)), w)).numpy().copy(), dict(passes)

    (fused, few), (plain, _) = both_ways(program)
    assert few == {}
    np.testing.assert_array_equal(fused, plain)


def test_normalised_before_and_after(passes):
    """A layer of DenseNet at inference is two convolutions, and nothing else."""

    def program():
        with tc.no_grad():
            x, one, other = random(requires_grad=False) * 1, weights(16) * 1, weights(8, 16, 3) * 1
            passes.clear()
            h = F.conv2d(F.relu(layer(training=False)(x)), one)
            y = F.conv2d(F.relu(layer(2, training=False)(h)), other, padding=1)
            return y.numpy().copy(), dict(passes)

    (fused, few), (plain, _) = both_ways(program)
    assert few == {}
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())


def one_and_three_taps(y):
    return F.conv2d(y, weights()) + F.conv2d(y, weights(kernel=3), padding=1)


def three_taps_and_one(y):
    return F.conv2d(y, weights(kernel=3), padding=1) + F.conv2d(y, weights())


def twice(y):
    return F.conv2d(y, weights()) + F.conv2d(y, weights(seed=9))


def with_a_shortcut(y):
    return F.conv2d(y, weights(16)) + y


def looked_at(y):
    y.sum().item()
    return F.conv2d(y, weights())


def looked_at_later(y):
    z = F.conv2d(y, weights())
    return z + y.mean()


def clipped_again(y):
    return F.conv2d(F.hardtanh(y, -1.0, 0.5), weights())


def added_to(y):
    return F.conv2d(y + y * 2, weights())


def added_to_another(y):
    return y + random(seed=9) * 1


def normalised_again(y):
    return F.conv2d(F.relu(layer(7)(y)), weights())


def strided(y):
    return F.conv2d(y, weights(), stride=(2, 3))


def padded(y):
    return F.conv2d(y, weights(), padding=1)


def in_groups(y):
    return F.conv2d(y, weights(24, 4), groups=4)


def pooled(y):
    return F.conv2d(F.max_pool2d(y, 2), weights())


def detached(y):
    return F.conv2d(y.detach(), weights()) + F.conv2d(y, weights())


def a_slice(y):
    return F.conv2d(y[:, :, ::2], weights())


def transposed(y):
    return F.conv_transpose2d(y, weights(16, 24))


def to_little(y):
    """The result is too small to be pending."""
    return F.conv2d(y, weights(1))


def weights_only(y):
    return F.conv2d(y, weights().detach()) * 2


def checkpointed(y):
    return tc.autograd.checkpoint(lambda y: F.conv2d(y, weights()), y)


CONSUMERS = [one_and_three_taps, three_taps_and_one, twice, with_a_shortcut, looked_at,
             looked_at_later, clipped_again, added_to, added_to_another, normalised_again,
             strided, padded, in_groups, pooled, detached, a_slice, transposed, weights_only,
             checkpointed, to_little]  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_any_consumer(consumer, training):
    def program():
        x, bn = random(), layer(training=training)
        return gradients(consumer(F.relu(bn(x * 1.5))), x, *bn.parameters())

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("training", [True, False])
def test_without_an_activation(training):
    def program():
        x, w, bn = random(), weights(), layer(training=training)
        return gradients(F.conv2d(bn(x * 1.5), w), x, w, *bn.parameters())

    assert_same(program)


def test_first_and_second_gradients(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 1)
    x, w = (tc.tensor(np.asarray(t.detach(), np.float64), requires_grad=True)
            for t in (random((3, 2, 4, 3)), random((3, 2, 1, 1), 1)))  # fmt: skip

    def program(x, w):
        y = F.relu(F.batch_norm(x * 1, None, None, training=True))
        assert is_pending(y)
        return F.conv2d(y, w)

    assert gradcheck(program, (x, w))
    assert gradgradcheck(program, (x, w))


WRITES = {
    "the input": lambda h, w, bn: h.detach().mul_(2),
    "the input, by NumPy": lambda h, w, bn: h.detach().numpy().__setitem__(0, 5.0),
    "the weights": lambda h, w, bn: w.detach().zero_(),
    "scale and shift": lambda h, w, bn: [p.detach().add_(1) for p in bn.parameters()],
    "running averages": lambda h, w, bn: [b.zero_() for b in bn.buffers()],
}


@pytest.mark.parametrize("when", ["before the convolution", "before somebody looks"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("what", WRITES)
def test_what_is_pending_keeps_what_it_was_made_of(what, training, when):
    def program():
        h, w, bn = random(requires_grad=False) * 1.5, weights() * 1, layer(training=training)
        with tc.no_grad():
            y = F.relu(bn(h))
            if when == "before the convolution":
                WRITES[what](h, w, bn)
            z = F.conv2d(y, w)
            if when == "before somebody looks":
                WRITES[what](h, w, bn)
            return z.numpy().copy(), y.numpy().copy()

    assert_same(program)


@pytest.mark.parametrize("what", ["the input", "the input, by NumPy", "running averages"])
def test_writes_between_forward_and_backward(what):
    def program():
        h, w, bn = random(requires_grad=False) * 1.5, weights(), layer(training=False)
        for p in bn.parameters():
            p.requires_grad_(False)
        y = F.conv2d(F.relu(bn(h)), w)
        y.detach()
        WRITES[what](h, w, bn)
        return gradients(y, w)

    assert_same(program)


@pytest.mark.parametrize("what", ["the input", "the weights", "scale and shift", "the map"])
def test_a_write_to_what_backward_needs_is_refused(what):
    for mode in ("auto", "off"):
        with config.fusion.override(mode):
            bn, w = layer(), weights()
            h = random() * 1.5
            z = F.relu(bn(h))
            y = F.conv2d(z, w).sum()
            if what == "the map":
                z.mul_(2)
            else:
                WRITES[what](h, w, bn)
            with pytest.raises(InPlaceError, match="modified by an in-place operation"):
                y.backward()


def test_hooks_see_the_map_and_its_gradients():
    def program():
        x, w, seen = random(), weights(), []
        z = layer()(x * 1.5)
        z.retain_grad()
        z.register_hook(lambda g: seen.append(g.numpy().copy()))
        y = F.relu(z)
        y.retain_grad()
        y.register_hook(lambda g: seen.append(y.detach().numpy().copy()))
        out = F.conv2d(y, w)
        results = gradients(out, x, w)
        return *results, *seen, y.grad.numpy(), z.grad.numpy()

    assert_same(program)


def test_a_hook_sees_the_gradient_before_the_map_was_needed():
    def program():
        x, w, seen = random(), weights(), []
        z = layer()(x * 1.5)
        z.register_hook(lambda g: seen.append(g.numpy().copy()))
        return *gradients(F.conv2d(F.relu(z), w), x, w), *seen

    assert_same(program)


def test_a_kernel_of_several_taps_has_the_map_computed():
    y = F.relu(layer()(random() * 1.5))
    F.conv2d(y, weights())
    assert is_pending(y)
    F.conv2d(y, weights(kernel=3))
    assert not is_pending(y)


def test_saved_tensors_hooks_get_the_map():
    def program():
        x, w, packed = random(), weights(), []

        def pack(t):
            packed.append(t.numpy().copy())
            return t

        with tc.autograd.saved_tensors_hooks(pack, lambda t: t):
            y = F.conv2d(F.relu(layer()(x * 1.5)), w)
        return *gradients(y, x, w), *packed

    assert_same(program)


def test_backward_twice():
    def program():
        x, w = random(), weights()
        y = F.conv2d(F.relu(layer()(x * 1.5)), w).sum()
        y.backward(retain_graph=True)
        y.backward()
        return x.grad.numpy(), w.grad.numpy()

    assert_same(program)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes(dtype):
    def program():
        x, w = (t.detach().to(getattr(tc, dtype)).requires_grad_() for t in (random(), weights()))
        bn = layer().to(dtype=getattr(tc, dtype))
        y = F.conv2d(F.relu(bn(x * 1)), w)
        assert y.dtype is getattr(tc, dtype)
        y.float().pow(2).sum().backward()
        return [t.detach().double().numpy() for t in (y, x.grad, w.grad)]

    assert_same(program)


def test_other_backends_keep_the_map(monkeypatch):
    """Where a kernel normalises in a pass of its own, backward would do it again for nothing."""
    monkeypatch.setattr(backends()["cpu"], "normalises", False)
    y = F.relu(layer()(random() * 1.5))
    assert not is_pending(y)


def test_the_graph_dies_with_its_result():
    y = F.relu(layer()(random() * 1.5))
    z = F.conv2d(y, weights())
    z.sum().backward(retain_graph=True)
    assert is_pending(y)
    gc.disable()
    try:
        del y, z
        assert not pending._open
    finally:
        gc.enable()
