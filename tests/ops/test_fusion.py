"""Normalisation, sum and ReLU in one pass: the bits of one op after the other, less traffic."""

import numpy as np
import pytest
from fusing import Calls, assert_same, both_ways, is_pending, layer, names, random

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.nn import functional as F
from tinyconv.ops import fusion

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def relu(bn, h, x):
    return F.relu(bn(h))


def relu_in_place(bn, h, x):
    return F.relu(bn(h), inplace=True)


def residual(bn, h, x):
    return F.relu(bn(h) + x * 1)


def residual_first(bn, h, x):
    return (x * 1 + bn(h)).relu()


def residual_in_place(bn, h, x):
    z = bn(h)
    z += x * 1
    return nn.ReLU(inplace=True)(z)


def two_branches(bn, h, x):
    return F.relu(bn(h) + layer(5)(x * 2))


def used_twice(bn, h, x):
    z = bn(h)
    return F.relu(z) + z * 3


def looked_at(bn, h, x):
    z = bn(h)
    z.sum().item()
    return F.relu(z)


def looked_at_later(bn, h, x):
    z = bn(h)
    y = F.relu(z)
    return y + z


def input_changed_after(bn, h, x):
    z = bn(h)
    h = h.detach()
    y = F.relu(z)
    h.mul_(0.0)  # z is still there, and has its old value
    return y.detach() + z.detach() + 0 * x


def pre_activation_view(bn, h, x):
    return F.relu(bn(h)[1:, ::2])


def pre_activation_written(bn, h, x):
    z = bn(h)
    z[0] = 1.0
    z.mul_(2)
    return F.relu(z)


def detached(bn, h, x):
    z = bn(h)
    return F.relu(z.detach() + z)


def number_added(bn, h, x):
    return F.relu(0.25 + bn(h)) + F.relu(bn(h) + 1)


def broadcast(bn, h, x):
    return F.relu(bn(h) + x[:1])


def other_dtype(bn, h, x):
    return F.relu(bn(h) + x.double())


def grouped_sum(bn, h, x):
    return F.relu((bn(h) + x * 1) + x * 2)


def relu6(bn, h, x):
    return F.relu6(bn(h))


def relu6_in_place(bn, h, x):
    return nn.ReLU6(inplace=True)(bn(h) + x * 1)


FORMS = [relu, relu_in_place, residual, residual_first, residual_in_place, two_branches, used_twice,
         looked_at, looked_at_later, pre_activation_view, pre_activation_written, detached,
         number_added, broadcast, other_dtype, grouped_sum, relu6, relu6_in_place]  # fmt: skip
FUSED = [relu, relu_in_place, residual, residual_first, residual_in_place, two_branches,
         relu6, relu6_in_place]  # fmt: skip


def step(form, mode, training):
    """Return all that a training step yields, as NumPy arrays."""
    with config.fusion.override(mode):
        bn, x = layer(training=training), random()
        y = form(bn, x * 1.5, x)
        graph = names(y.grad_fn)
        (y * y * random(y.shape, 3, False)).sum().backward()
    tensors = (y, x.grad, bn.weight.grad, bn.bias.grad, bn.running_mean, bn.running_var)
    return [t.detach().numpy().copy() for t in tensors], graph


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_same_bits_and_same_graph_as_one_op_after_the_other(form, training):
    fused, graph = step(form, "auto", training)
    plain, plain_graph = step(form, "off", training)
    assert graph == plain_graph
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", FUSED)
def test_forward_is_one_pass(form, training, monkeypatch):
    calls = Calls(monkeypatch, "batch_norm", "relu", "hardtanh")
    bn, x = layer(training=training), random()
    form(bn, x * 1.5, x).detach()
    assert calls.counts == {
        "batch_norm": 2 if form is two_branches else 1,
        "relu": 0,
        "hardtanh": 0,
    }


@pytest.mark.parametrize("form", [relu, relu_in_place])
def test_backward_has_no_pass_for_the_mask(form, monkeypatch):
    calls = Calls(monkeypatch, "batch_norm_grad", "relu_grad", "masked")
    x = random()
    y = form(layer(), x * 1.5, x)
    (y * y).sum().backward()
    assert calls.counts == {"batch_norm_grad": 1, "relu_grad": 0, "masked": 0}


@pytest.mark.parametrize("training", [True, False])
def test_without_a_graph(training):
    for context in (tc.no_grad, tc.inference_mode):
        results = []
        for mode in ("auto", "off"):
            with config.fusion.override(mode), context():
                bn, x = layer(training=training), random()
                z = bn(x * 1.5)
                assert is_pending(z) == (mode == "auto")
                results.append(F.relu(z, inplace=True).numpy().copy())
        np.testing.assert_array_equal(*results)


def test_first_and_second_gradients(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 1)
    rng = np.random.default_rng(0)
    x, r = (tc.tensor(rng.standard_normal((3, 2, 2, 2)), requires_grad=True) for _ in "xr")
    w, b = (tc.tensor(rng.standard_normal(2), requires_grad=True) for _ in "wb")
    mean, var = tc.tensor(rng.standard_normal(2)), tc.tensor(rng.uniform(0.5, 1, 2))

    def train(x, w, b, r):
        z = F.batch_norm(x * 1, None, None, w, b, True)
        assert is_pending(z)
        return F.relu(z + r * 1)

    def evaluate(x, w, b):
        return F.relu(F.batch_norm(x * 1, mean, var, w, b))

    assert gradcheck(train, (x, w, b, r))
    assert gradgradcheck(train, (x, w, b, r))
    assert gradcheck(evaluate, (x, w, b))
    assert gradgradcheck(evaluate, (x, w, b))


@pytest.mark.parametrize("training", [True, False])
def test_gradient_of_a_gradient(training):
    def program():
        x = random()
        y = F.relu(layer(training=training)(x * 1.5) + x)
        (g,) = tc.autograd.grad((y * y).sum(), x, create_graph=True)
        (g * g).sum().backward()
        return g.detach().numpy(), x.grad.numpy()

    for one, other in zip(*both_ways(program), strict=True):  # sums over different memory layouts
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_averages_in_memory_that_is_to_be_read():
    def program():
        h = random(requires_grad=False).abs() + 1
        z = layer(training=False)(h)
        assert is_pending(z) == (config.fusion.get() == "auto")
        mean, var = h[0, :, 0, 0], h[1, :, 0, 0]
        F.batch_norm(random(seed=5, requires_grad=False), mean, var, training=True)
        return [t.numpy().copy() for t in (z, h)]

    with tc.no_grad():
        assert_same(program)
