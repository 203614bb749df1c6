"""Convolution with what follows it: ReLU in the same pass, normalisation in the weights."""

import numpy as np
import pytest
from fusing import Calls, both_ways, is_pending, layer, random

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.backend import backends
from tinyconv.nn import functional as F
from tinyconv.ops import fusion

pytestmark = pytest.mark.usefixtures("nothing_left_open")


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of the backend's kernels."""
    return Calls(monkeypatch, "conv", "batch_norm", "relu", "hardtanh").counts


def conv(outputs=16, kernel=3, seed=4, **options):
    """Return a convolution of 16 channels that keeps the size, with fixed weights."""
    made = nn.Conv2d(16, outputs, kernel, padding=kernel // 2, **options)
    rng = np.random.default_rng(seed)
    with tc.no_grad():
        for p in made.parameters():
            p.copy_(tc.tensor(rng.uniform(-0.3, 0.3, p.shape).astype(np.float32)))
    return made


ACTIVATIONS = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(-0.5, 0.25)]


@pytest.mark.parametrize("groups", [1, 16])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activation_in_the_same_pass_has_the_same_bits_and_gradients(activation, groups, calls):
    def program():
        m, x = conv(groups=groups), random()
        calls.clear()
        y = activation(m(x * 1.5))
        passes = dict(calls)
        (y * y * random(y.shape, 3, False)).sum().backward()
        tensors = (y, x.grad, *(p.grad for p in m.parameters()))
        return [t.detach().numpy().copy() for t in tensors], passes, y.grad_fn.name()

    (fused, few, name), (plain, many, plain_name) = both_ways(program)
    assert name == plain_name
    assert few == {"conv": 1}
    assert sum(many.values()) == 2
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("measures", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_statistics_for_normalisation_come_with_the_convolution(kernel, measures, monkeypatch):
    """Only where the backend says that it finds them: on a CPU a pass of its own is faster."""
    assert not backends()["cpu"].measures
    monkeypatch.setattr(backends()["cpu"], "measures", measures)
    names = "conv", "conv_with_statistics", "batch_statistics"
    counts = Calls(monkeypatch, *names).counts

    def program():
        m, bn, x = conv(kernel=kernel), layer(), random()
        counts.clear()
        y = F.relu(bn(m(x * 1.5)))
        passes = dict(counts)
        (y * random(y.shape, 3, False)).sum().backward()
        tensors = y, x.grad, *(p.grad for p in (*m.parameters(), *bn.parameters()))
        return [t.detach().numpy().copy() for t in (*tensors, *bn.buffers())], passes

    (fused, few), (plain, many) = both_ways(program)
    assert many == {"conv": 1, "batch_statistics": 1}
    assert few == ({"conv_with_statistics": 1} if measures else many)
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * max(np.abs(other).max(), 1))


@pytest.mark.parametrize("form", ["alone", "relu", "relu6", "residual"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_normalisation_by_constants_goes_into_the_weights(kernel, form, bias, calls):
    def program():
        m, bn = conv(kernel=kernel, bias=bias), layer(training=False)
        x = random(requires_grad=False) * 1
        calls.clear()
        with tc.no_grad():
            y = bn(m(x))
            if form == "residual":
                y = F.relu(y + random(seed=6, requires_grad=False) * 1)
            elif form != "alone":
                y = getattr(F, form)(y)
        return y.numpy().copy(), dict(calls)

    (fused, few), (plain, _) = both_ways(program)
    assert few == {"conv": 1}
    np.testing.assert_allclose(fused, plain, rtol=2e-5, atol=2e-5 * np.abs(plain).max())


def test_normalisation_stays_apart_where_a_gradient_is_wanted(calls):
    bn = layer(training=False)
    x, m = random(), conv()
    y = F.relu(bn(m(x * 1)))
    y.sum().backward()
    assert calls["batch_norm"] == 1
    assert m.weight.grad is not None


def test_statistics_of_the_batch_are_not_put_into_weights():
    def program():
        m, bn, x = conv(), layer(), random(requires_grad=False) * 1
        with tc.no_grad():
            return F.relu(bn(m(x))).numpy().copy(), bn.running_mean.numpy().copy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_pending_keeps_the_weights_it_was_made_with():
    def write_in_place(m, optimizer):
        with tc.no_grad():
            m.weight.mul_(2)

    def step(m, optimizer):
        optimizer.step()

    def load(m, optimizer):
        m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()})

    def write_data(m, optimizer):
        m.weight.data[0] = 7.0

    def write_by_numpy(m, optimizer):
        m.weight.detach().numpy()[...] = 3.0

    def write_bias(m, optimizer):
        with tc.no_grad():
            m.bias.fill_(9.0)

    for change in (write_in_place, step, load, write_data, write_by_numpy, write_bias):
        m = conv()
        optimizer = tc.optim.SGD(m.parameters(), lr=0.1)
        m(random() * 1).sum().backward()
        x = random(seed=5) * 1
        expected = m(x).detach().numpy().copy()
        y = m(x)
        assert is_pending(y)
        change(m, optimizer)
        np.testing.assert_array_equal(y.detach().numpy(), expected, change.__name__)
        assert not np.array_equal(m(x).detach().numpy(), expected)


def test_what_is_pending_keeps_its_input():
    m, x = conv(), random(requires_grad=False) * 1
    y = m(x)
    assert is_pending(y)
    expected = m(x).detach().numpy().copy()
    x.zero_()
    np.testing.assert_array_equal(y.detach().numpy(), expected)


def test_weights_or_input_that_numpy_was_shown_wait_for_nothing():
    m, x = conv(), random(requires_grad=False) * 1
    array = m.weight.detach().numpy()
    assert not is_pending(m(x))
    del array
    images = np.ones((4, 16, 32, 32), np.float32)
    assert not is_pending(conv()(tc.from_numpy(images)))


def test_used_twice_and_looked_at_later():
    def program():
        m, x = conv(), random()
        z = m(x * 1)
        y = F.relu(z)
        total = (y + z * 3).sum()
        total.backward()
        return y.detach().numpy(), z.detach().numpy(), x.grad.numpy(), m.weight.grad.numpy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


def test_first_and_second_gradients(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 1)
    rng = np.random.default_rng(0)
    x = tc.tensor(rng.standard_normal((2, 2, 4, 3)), requires_grad=True)
    w = tc.tensor(rng.standard_normal((3, 2, 3, 3)), requires_grad=True)
    b = tc.tensor(rng.standard_normal(3), requires_grad=True)

    def program(x, w, b):
        z = F.conv2d(x * 1, w * 1, b, padding=1)
        assert is_pending(z)
        return F.relu(z)

    assert gradcheck(program, (x, w, b))
    assert gradgradcheck(program, (x, w, b))


def test_a_chain_of_layers(calls):
    def program():
        layers = [conv(), layer(2, False), nn.ReLU6(), conv(groups=16, bias=False),
                  layer(3, False), nn.ReLU6(), conv(kernel=1), layer(4, False)]  # fmt: skip
        x = random(requires_grad=False) * 1
        calls.clear()
        with tc.no_grad():
            y = nn.Sequential(*layers)(x) + x
        return y.numpy().copy(), calls.get("batch_norm")

    (fused, passes), (plain, _) = both_ways(program)
    assert passes is None
    np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-4 * np.abs(plain).max())


WRITES = {
    "the residual": lambda m, x, r: r.zero_(),
    "the input": lambda m, x, r: x.zero_(),
    "the weights": lambda m, x, r: m.weight.zero_(),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_sum_that_is_pending_keeps_what_it_reads(what):
    def program():
        m, bn = conv(kernel=1), layer(training=False)
        x, r = random(requires_grad=False) * 1, random(seed=6, requires_grad=False) * 1
        with tc.no_grad():
            y = bn(m(x)) + r
            WRITES[what](m, x, r)
            return F.relu(y).numpy().copy(), y.numpy().copy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_a_second_sum_and_two_branches():
    def program():
        x, r = random(requires_grad=False) * 1, random(seed=6, requires_grad=False) * 1
        with tc.no_grad():
            one = layer(training=False)(conv(kernel=1)(x))
            other = layer(2, training=False)(conv(kernel=1, seed=5)(x))
            y = one + other + r
            return F.relu(y).numpy().copy(), F.relu(other).numpy().copy(), y.numpy().copy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_normalisation_by_constants_of_half_precision(kernel, clips, dtype):
    """The vectors of half precision are inside of what the kernel is given."""
    half = getattr(tc, dtype)

    def program():
        m, bn = conv(kernel=kernel).to(half), layer(training=False).to(half)
        x = random(requires_grad=False).to(half)
        with tc.no_grad():
            y = bn(m(x))
            y = F.relu6(y) if clips else y
        assert y.dtype is half
        return y.float().numpy()

    fused, plain = both_ways(program)
    np.testing.assert_allclose(fused, plain, rtol=0.02, atol=0.02 * np.abs(plain).max())
