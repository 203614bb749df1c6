"""Parameters that are read later: as they were, and copied only if somebody writes to them."""

import numpy as np
import pytest
from fusing import assert_same, both_ways, layer, random

import tinyconv as tc
from tinyconv import config
from tinyconv.autograd import pending
from tinyconv.autograd.pending import Snapshot
from tinyconv.backend import backends
from tinyconv.nn import functional as F

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def vector(values=(1.0, 2.0, 3.0)):
    return tc.nn.Parameter(tc.tensor(list(values)))


def conv():
    """Return a convolution of the same weights each time."""
    tc.manual_seed(0)
    return tc.nn.Conv2d(16, 16, 1)


def written(x):
    with tc.no_grad():
        x.add_(1)
    return x


def test_nothing_is_copied_until_somebody_writes():
    x = vector()
    snapshot = Snapshot(x)
    assert snapshot.now() is x.array
    written(x)
    np.testing.assert_array_equal(snapshot.now(), [1, 2, 3])
    np.testing.assert_array_equal(x.detach().numpy(), [2, 3, 4])
    assert not np.shares_memory(snapshot.now(), x.array)


@pytest.mark.parametrize("shown", ["before", "after"])
def test_memory_that_numpy_was_shown_is_copied(shown):
    x = vector()
    view = x.detach().numpy() if shown == "before" else None
    snapshot = Snapshot(x)
    view = x.detach().numpy() if view is None else view
    view[:] = 9
    np.testing.assert_array_equal(snapshot.now(), [1, 2, 3])


@pytest.fixture
def reads_later(monkeypatch):
    """Have batch norm keep its parameters as it does where no kernel reads them late."""
    monkeypatch.setattr(backends()["cpu"], "normalises", False)


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("training", [True, False])
def test_a_pending_result_keeps_the_parameters_it_was_made_with(training, name, reads_later):
    def program():
        bn, x = layer(training=training), random()
        z = bn(x * 1.5)
        written(getattr(bn, name))
        return (F.relu(z).detach().numpy(),)

    assert_same(program)


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
def test_a_pending_convolution_keeps_what_normalises_it(name, reads_later):
    def program():
        net, x = tc.nn.Sequential(conv(), layer(training=False)), random(requires_grad=False)
        with tc.no_grad():
            z = net(x * 1.5)
            written(getattr(net[1], name))
            return (F.relu(z).numpy(),)

    one, other = both_ways(program)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_backward_uses_the_shift_of_the_forward_pass(reads_later):
    def program():
        bn, x = layer(), random()
        y = F.relu(bn(x * 1.5))
        written(bn.bias)
        (y * y).sum().backward(retain_graph=True)
        written(bn.bias)
        (y * y).sum().backward()
        return x.grad.numpy(), bn.weight.grad.numpy(), bn.bias.grad.numpy()

    assert_same(program)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_an_optimizer_finds_nothing_to_copy(mode, reads_later, monkeypatch):
    copies, compute = [], Snapshot.compute
    monkeypatch.setattr(Snapshot, "compute", lambda *a: (copies.append(1), compute(*a))[1])
    bn, x = layer(), random()
    optimizer = tc.optim.SGD(bn.parameters(), lr=0.1)
    with config.fusion.override(mode):
        loss = F.relu(bn(x * 1.5)).sum()
        loss.backward()
        optimizer.step()
    assert loss.item() > 0
    assert not copies
    assert not any(isinstance(r(), Snapshot) for r in pending._open.values())


@pytest.mark.parametrize(("written_to", "read"), [(None, 1), (1, None), (None, None), (1, 1)])
def test_memory_that_nobody_knows_may_be_any(written_to, read, monkeypatch):
    x = vector()
    snapshot, answers = Snapshot(x), [written_to, read]
    monkeypatch.setattr(backends()["cpu"], "memory_of", lambda array: answers.pop(0))
    pending.settle(x)
    assert snapshot.now() is not x.array


def test_other_memory_is_left_alone():
    x, y = vector(), vector()
    snapshot = Snapshot(x)
    pending.settle(y)
    assert snapshot.now() is x.array
