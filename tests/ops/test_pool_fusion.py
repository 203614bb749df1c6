"""The gradient of max pooling after ReLU: the mask is applied to the smaller map."""

import weakref

import numpy as np
import pytest
from fusing import both_ways, layer, random

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.backend import backends
from tinyconv.nn import functional as F
from tinyconv.ops import fusion, masks

pytestmark = pytest.mark.usefixtures("nothing_left_open")


@pytest.fixture
def mask_shapes(monkeypatch):
    """The shapes of the masks that are applied."""
    backend, shapes = backends()["cpu"], []
    relu_grad, hardtanh_grad = backend.relu_grad, backend.hardtanh_grad
    monkeypatch.setattr(backend, "relu_grad", lambda *a: shapes.append(a[0].shape) or relu_grad(*a))
    monkeypatch.setattr(
        backend, "hardtanh_grad", lambda *a: shapes.append(a[0].shape) or hardtanh_grad(*a)
    )
    return shapes


def gradients(form):
    """Return the gradient of an input that is 0, or below, in many windows altogether."""
    x = random((4, 16, 34, 34))
    y = form(x - 1)
    (y * random(y.shape, 3, False)).sum().backward()
    return [x.grad.numpy()]


def plain(x):
    return F.max_pool2d(F.relu(x), 2)


def overlapping(x):
    return F.max_pool2d(F.relu(x), 3, 2, 1)


def six(x):
    return F.max_pool2d(F.relu6(x * 4), 2)


def in_place(x):
    return F.max_pool2d(F.relu(x * 1, inplace=True), 2)


def batch_norm(x):
    return F.max_pool2d(F.relu(layer()(x)), 2)


def used_elsewhere(x):
    y = F.relu(x)
    return F.max_pool2d(y, 2) + F.max_pool2d(y * y, 2)


def written_afterwards(x):
    y = F.max_pool2d(F.relu(x), 2)
    y += 3.0
    return y


FORMS = [plain, overlapping, six, in_place, batch_norm, used_elsewhere, written_afterwards]


@pytest.mark.parametrize("form", FORMS)
def test_same_bits(form):
    for one, other in zip(*both_ways(lambda: gradients(form)), strict=True):
        if form is batch_norm:  # it adds up what the mask lets through in another order
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", [plain, overlapping, six, in_place])
def test_mask_has_the_size_of_the_output(form, mask_shapes):
    gradients(form)
    assert mask_shapes == [(4, 16, 17, 17)]


def test_who_looks_at_the_gradient_between_them_sees_it_without_mask():
    def program(seen):
        x = random((4, 16, 34, 34))
        y = F.relu(x - 1)
        if seen == "retained":
            y.retain_grad()
            F.max_pool2d(y, 2).sum().backward()
            return y.grad.numpy(), x.grad.numpy()
        found = []
        y.register_hook(lambda g: found.append(g.numpy().copy()))
        F.max_pool2d(y, 2).sum().backward()
        return found[0], x.grad.numpy()

    for seen in ("retained", "hook"):
        fused, apart = both_ways(lambda seen=seen: program(seen))
        assert fused[0].sum() == 4 * 16 * 17 * 17
        for one, other in zip(fused, apart, strict=True):
            np.testing.assert_array_equal(one, other)


def test_first_and_second_gradients(monkeypatch):
    monkeypatch.setattr(fusion, "SMALLEST", 1)
    x = tc.tensor(np.random.default_rng(0).permutation(96).reshape(2, 2, 4, 6) / 10 - 4.83)
    x.requires_grad = True
    program = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    assert gradcheck(program, (x,))
    assert gradgradcheck(program, (x,))


def test_third_gradient_of_max_pooling():
    x = tc.tensor(np.random.default_rng(0).permutation(16).reshape(1, 1, 4, 4) / 4.0)
    x.requires_grad = True
    y = F.max_pool2d(x * x * x, 2).sum()
    for _ in range(3):
        (y,) = tc.autograd.grad(y.sum(), x, create_graph=True)
    assert sorted(set(y.detach().numpy().ravel())) == [0.0, 6.0]


def test_what_was_pooled_is_freed_before_its_gradient_is_made(monkeypatch):
    """A step needs the larger map once, not twice."""
    alive, compute = [], masks.Unpooled.compute
    monkeypatch.setattr(
        masks.Unpooled, "compute",
        lambda promise, *reads: alive.append(large() is not None) or compute(promise, *reads),
    )  # fmt: skip
    y = F.relu(F.conv2d(random((4, 16, 34, 34)), random((16, 16, 3, 3), 1), padding=1))
    large = weakref.ref(y.array)
    y = F.max_pool2d(y, 2)
    (y * random(y.shape, 3, False)).sum().backward()
    assert alive == [False]
