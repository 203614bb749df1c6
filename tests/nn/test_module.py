"""Module: calling, modes, gradients, devices and dtypes, text."""

import copy

import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd.modes import state
from tinyconv.errors import ArgumentError, DeviceError, DTypeError


class Net(nn.Module):
    """A convolution, a normalisation, a nested chain, and a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(tc.ones(1))
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.norm(self.conv(x))) * self.scale


def test_runs_on_every_backend(device):
    tc.manual_seed(0)
    net = Net().to(device)
    y = net(tc.ones(2, 1, 4, 4, device=device))
    (y * y).sum().backward()
    assert tuple(y.shape) == (2, 3)
    assert all(p.grad is not None and str(p.grad.device) == device for p in net.parameters())


def test_a_module_without_forward_says_so():
    with pytest.raises(AttributeError, match="ModuleList defines no forward"):
        nn.ModuleList()(tc.ones(1))


def test_train_and_eval_reach_every_module():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.head.train()
    assert net.head[1].training
    assert not net.conv.training
    with pytest.raises(ArgumentError, match="True or False"):
        net.train("yes")


def test_requires_grad_freezes():
    net = Net()
    net.conv.requires_grad_(False)
    net(tc.ones(2, 1, 4, 4)).sum().backward()
    assert net.conv.weight.grad is None
    assert net.head[1].weight.grad is not None


def test_zero_grad():
    net = Net()
    net(tc.ones(2, 1, 4, 4)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.head[1].bias.grad.tolist() == [0, 0, 0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_apply_visits_children_first():
    net, seen = Net(), []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Conv2d", "BatchNorm2d", "Flatten", "Linear", "Sequential", "Net"]


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda m: m.double(), tc.float64),
        (lambda m: m.half(), tc.float16),
        (lambda m: m.double().float(), tc.float32),
        (lambda m: m.to(tc.float64), tc.float64),
        (lambda m: m.to("cpu", tc.float64), tc.float64),
        (lambda m: m.to(dtype=tc.float64), tc.float64),
        (lambda m: m.to(tc.zeros(1, dtype=tc.float64)), tc.float64),
    ],
)
def test_conversion_keeps_the_parameters_and_integer_buffers(convert, dtype):
    net = Net()
    net(tc.ones(2, 1, 4, 4)).sum().backward()
    before = list(net.parameters())
    optimizer = tc.optim.SGD(net.parameters(), lr=1.0)
    assert convert(net) is net
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert {p.dtype for p in net.parameters()} == {dtype}
    assert {p.grad.dtype for p in net.parameters()} == {dtype}
    assert net.norm.running_mean.dtype is dtype
    assert net.norm.num_batches_tracked.dtype is tc.int64
    bias = net.head[1].bias.tolist()
    optimizer.step()
    assert net.head[1].bias.tolist() != bias


def test_to_another_device_and_back():
    net = Net().to("strict")
    assert {str(p.device) for p in net.parameters()} == {"strict"}
    assert {str(b.device) for b in net.buffers()} == {"strict"}
    assert {str(p.device) for p in net.cpu().parameters()} == {"cpu"}


def test_to_refuses_what_makes_no_sense():
    with pytest.raises(DTypeError, match="floating-point"):
        Net().to(tc.int64)
    with pytest.raises(DTypeError, match="expected a device"):
        Net().to(3.5)
    with pytest.raises(DeviceError):
        Net().to("tpu")


def test_type_converts_integer_buffers_too():
    assert nn.BatchNorm1d(2).type(tc.float64).num_batches_tracked.dtype is tc.float64


def test_backward_after_a_conversion_raises():
    """The graph holds the old values; a silent mixture of dtypes would be worse."""
    layer = nn.Linear(2, 2)
    y = layer(tc.ones(1, 2, requires_grad=True))
    layer.double()
    with pytest.raises(tc.errors.InPlaceError):
        y.sum().backward()


def test_deepcopy_is_independent_and_keeps_ties():
    net = Net()
    net.tied = net.conv.weight
    other = copy.deepcopy(net)
    assert other.tied is other.conv.weight
    assert other.conv.weight is not net.conv.weight
    tc.nn.init.zeros_(other.conv.weight)
    assert net.conv.weight.abs().sum().item() > 0
    other.norm.running_mean.add_(1)
    assert net.norm.running_mean.tolist() == [0, 0]
    assert list(other.state_dict()) == list(net.state_dict())
    assert other(tc.ones(2, 1, 4, 4)).shape == (2, 3)


def test_repr_is_pytorchs():
    torch = pytest.importorskip("torch")

    def build(nn):
        inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
        return nn.Sequential(
            inner, nn.ModuleDict({"a": nn.ModuleList([nn.Linear(1, 2), nn.Linear(1, 2), inner])})
        )

    assert repr(build(nn)) == repr(build(torch.nn))


def test_repr_with_extra_lines():
    class Chatty(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(Chatty()) == "Chatty(\n  one\n  two\n)"
    chatty = Chatty()
    chatty.child = nn.ReLU()
    assert repr(chatty) == "Chatty(\n  one\n  two\n  (child): ReLU()\n)"


def test_module_stack_is_kept_for_observers_only():
    stacks = []

    class Spy(nn.Module):
        def forward(self, x):
            stacks.append(state.module_stack)
            if x is None:
                raise ValueError("planted")
            return x

    inner = Spy()
    outer = nn.Sequential(inner)
    outer(1)
    assert stacks.pop() == ()

    class Observer:
        def before_forward(self, node, args): ...
        def after_forward(self, node, args, outputs): ...

    before = state.observers
    state.observers = (Observer(),)
    try:
        outer(1)
        assert stacks.pop() == (outer, inner)
        with pytest.raises(ValueError, match="planted"):
            outer(None)
        assert state.module_stack == ()
    finally:
        state.observers = before
