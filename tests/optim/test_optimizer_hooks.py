"""Hooks of optimizers, and parameters with names."""

import pytest

import tinyconv as tc
from tinyconv import nn, optim
from tinyconv.errors import ArgumentError, DTypeError


def torch_or_skip():
    return pytest.importorskip("torch")


def model_of(lib):
    """Return a small network with gradients of 1."""
    net = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Linear(3, 1, bias=False))
    for p in net.parameters():
        p.grad = lib.ones(*p.shape)
    return net


def stepping(lib):
    """Return what hooks see of two steps, one with a closure, and the parameter afterwards."""
    p = lib.nn.Parameter(lib.ones(1))
    p.grad = lib.ones(1)
    optimizer, seen = lib.optim.SGD([p], lr=0.25), []
    handle = optimizer.register_step_pre_hook(
        lambda o, args, kwargs: seen.append(("pre", o is optimizer, len(args), set(kwargs)))
    )
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: "replaced"), {}))
    optimizer.register_step_post_hook(
        lambda o, args, kwargs: seen.append(("post", p.item(), len(args), set(kwargs)))
    )
    seen.append(optimizer.step())
    seen.append(optimizer.step(closure=lambda: "own"))
    handle.remove()
    optimizer.step()
    return seen, p.item()


def test_step_hooks_match_pytorch():
    torch = torch_or_skip()
    seen, value = stepping(tc)
    assert (seen, value) == stepping(torch)
    assert value == 0.25
    assert seen[:3] == [("pre", True, 1, set()), ("post", 0.75, 2, set()), "replaced"]


def test_pre_hook_returns_nonsense():
    p = nn.Parameter(tc.ones(1))
    optimizer = optim.SGD([p])
    handle = optimizer.register_step_pre_hook(lambda *a: 3)
    with pytest.raises(DTypeError, match=r"SGD: .*\(args, kwargs\), got 3"):
        optimizer.step()
    handle.remove()
    optimizer.step()  # the error left nothing behind


def test_step_of_subclasses_calls_hooks_once():
    class Twice(optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            return super().step()

    p = nn.Parameter(tc.ones(1))
    p.grad = tc.ones(1)
    optimizer, seen = Twice([p], lr=0.25), []
    optimizer.register_step_post_hook(lambda *a: seen.append(p.item()))
    optimizer.step()
    assert seen == [0.5]
    lbfgs = optim.LBFGS([p])
    lbfgs.register_step_post_hook(lambda *a: seen.append("lbfgs"))

    def closure():
        lbfgs.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    lbfgs.step(closure)
    assert seen == [0.5, "lbfgs"]


def saving(lib):
    """Return what hooks around the state do."""
    net, seen = model_of(lib), []
    optimizer = lib.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.register_state_dict_post_hook(lambda o, state: state.update(last=sorted(state)))
    optimizer.step()
    state = optimizer.state_dict()
    optimizer.register_load_state_dict_pre_hook(lambda o, s: seen.append(sorted(s)) or s.pop("x"))
    optimizer.register_load_state_dict_pre_hook(
        lambda o, s: {**s, "param_groups": [{**g, "lr": 7.0} for g in s["param_groups"]]}
    )
    optimizer.register_load_state_dict_pre_hook(lambda o, s: s.update(x=None), prepend=True)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    optimizer.register_load_state_dict_pre_hook(lambda o, s: s.update(y=None), prepend=True)
    optimizer.load_state_dict(state)
    return seen, sorted(state), state["last"], state["param_groups"][0]["lr"]


def test_state_hooks_match_pytorch():
    torch = torch_or_skip()
    assert saving(tc) == saving(torch)


def names_of(lib):
    """Return names in groups, states and the text of an optimizer."""
    net = model_of(lib)
    optimizer = lib.optim.SGD(net[0].named_parameters(), lr=0.5)
    optimizer.add_param_group({"params": net[1].named_parameters(prefix="1"), "lr": 0.25})
    optimizer.step()
    state = optimizer.state_dict()
    bare = lib.optim.SGD([{"params": net[0].parameters()}, {"params": net[1].parameters()}], lr=1.0)
    bare.load_state_dict(state)
    plain = lib.optim.SGD(net.parameters(), lr=1.0).state_dict()
    named = lib.optim.SGD(net.named_parameters(), lr=0.5)
    named.load_state_dict(plain)
    return [
        [g["param_names"] for g in optimizer.param_groups],
        [(g["params"], g["param_names"]) for g in state["param_groups"]],
        [g["param_names"] for g in bare.param_groups],
        named.param_groups[0]["param_names"],
        "param_names: ['weight', 'bias']" in repr(optimizer),
        net[0].bias.tolist() == bare.param_groups[0]["params"][1].tolist(),
    ]


def test_names_match_pytorch():
    torch = torch_or_skip()
    ours = names_of(tc)
    assert ours == names_of(torch)
    assert ours[1] == [([0, 1], ["weight", "bias"]), ([2], ["1.weight"])]


def test_names_for_some_parameters_only():
    net = model_of(tc)
    with pytest.raises(ArgumentError, match="2 of 3 have none"):
        optim.SGD([*net[0].parameters(), *net[1].named_parameters()])
    optimizer = optim.SGD(net[0].parameters())
    with pytest.raises(ArgumentError, match="this group has some"):
        optimizer.add_param_group({"params": net[1].named_parameters()})
    optimizer = optim.SGD(net[0].named_parameters())
    with pytest.raises(ArgumentError, match="this group has none"):
        optimizer.add_param_group({"params": net[1].parameters()})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(DTypeError, match="a tuple"):
        optim.SGD([(1, 2, 3)])


def test_names_survive_a_file(tmp_path):
    net = model_of(tc)
    optimizer = optim.Adam(net.named_parameters())
    optimizer.step()
    tc.save(optimizer.state_dict(), tmp_path / "state")
    other = optim.Adam(net.parameters())
    other.load_state_dict(tc.load(tmp_path / "state"))
    assert other.param_groups[0]["param_names"] == ["0.weight", "0.bias", "1.weight"]
