"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from collections import OrderedDict

import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError


def names(module):
    return list(module._modules)


def test_sequential_runs_in_order():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
    x = tc.randn(2, 2, 2)
    assert net(x).tolist() == net[2](net[1](net[0](x))).tolist()
    assert nn.Sequential()(x) is x


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_sequential_from_a_mapping(kind):
    net = nn.Sequential(kind(conv=nn.Conv2d(1, 1, 1), act=nn.ReLU()))
    assert names(net) == ["conv", "act"]
    assert net.act is net[1]
    assert names(net[:1]) == ["conv"]
    assert list(net.state_dict()) == ["conv.weight", "conv.bias"]


@pytest.mark.parametrize("build", [lambda *m: nn.Sequential(*m), lambda *m: nn.ModuleList(m)])
def test_sequence_protocol(build):
    a, b, c, d = nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU()
    m = build(a, b, c)
    assert len(m) == 3
    assert list(m) == [a, b, c]
    assert (m[0], m[-1]) == (a, c)
    assert type(m[1:]) is type(m)
    assert list(m[1:]) == [b, c]
    assert names(m[1:]) == ["0", "1"]
    assert b in m
    m[1] = d
    assert list(m) == [a, d, c]
    del m[0]
    assert (list(m), names(m)) == ([d, c], ["0", "1"])
    m.append(a).extend([b]).insert(1, nn.ELU())
    assert [type(x).__name__ for x in m] == ["SiLU", "ELU", "Sigmoid", "ReLU", "Tanh"]
    m.insert(-1, nn.GELU())
    assert type(m[-2]).__name__ == "GELU"
    assert names(m) == list("012345")
    assert m.pop() is b
    assert m.pop(0) is d
    del m[1:]
    assert [type(x).__name__ for x in m] == ["ELU"]
    m += [c]
    assert list(m + [a])[1:] == [c, a]
    for index in (5, -3):
        with pytest.raises(IndexRangeError, match="has 2 modules"):
            _ = m[index]
    with pytest.raises(DTypeError):
        m.insert(0, 3)
    with pytest.raises(DTypeError):
        m.append("layer")


def test_module_list_registers_and_shortens_its_repr():
    m = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
    assert len(list(m.parameters())) == 6
    assert repr(m) == (
        "ModuleList(\n  (0-2): 3 x Linear(in_features=1, out_features=1, bias=True)\n)"
    )


def test_module_dict():
    a, b = nn.ReLU(), nn.Linear(1, 1)
    m = nn.ModuleDict({"z": a, "a": b})
    assert list(m) == list(m.keys()) == ["z", "a"]
    assert list(m.values()) == [a, b]
    assert dict(m.items()) == {"z": a, "a": b}
    assert "z" in m
    assert len(m) == 2
    assert m["a"] is b
    m["c"] = nn.Tanh()
    m.update([("d", nn.ELU())])
    m.update(nn.ModuleDict({"e": nn.GELU()}))
    assert m.pop("z") is a
    del m["a"]
    assert list(m) == ["c", "d", "e"]
    with pytest.raises(KeyError):
        _ = m["z"]
    with pytest.raises(ArgumentError, match="has a dot"):
        m["a.b"] = a
    with pytest.raises(ArgumentError):
        m.update(3)
    with pytest.raises(ArgumentError, match="exists already"):
        m["keys"] = a
    m.clear()
    assert len(m) == 0


def test_parameter_list():
    p = nn.Parameter(tc.zeros(2))
    m = nn.ParameterList([p, tc.ones(3)])
    assert m[0] is p
    assert isinstance(m[1], nn.Parameter)
    assert [n for n, _ in m.named_parameters()] == ["0", "1"]
    m.append(tc.ones(1))
    m[-1] = tc.zeros(4)
    m += [tc.ones(5)]
    assert [tuple(x.shape) for x in m] == [(2,), (3,), (4,), (5,)]
    assert len(m[1:3]) == 2
    assert repr(m[:1]) == "ParameterList(\n  (0): Parameter of shape (2,), tinyconv.float32\n)"
    with pytest.raises(IndexRangeError):
        _ = m[4]
    with pytest.raises(DTypeError, match="expected a Parameter or a Tensor"):
        m.append(3)


def test_parameter_dict():
    m = nn.ParameterDict({"b": tc.zeros(2), "a": nn.Parameter(tc.ones(1))})
    assert list(m) == list(m.keys()) == ["b", "a"]
    assert len(m) == len(list(m.values())) == len(list(m.items())) == 2
    assert [n for n, _ in m.named_parameters()] == ["b", "a"]
    m.update(nn.ParameterDict({"c": tc.ones(1)}))
    m.update([("d", tc.ones(1))])
    assert "c" in m
    assert m.pop("b").shape == (2,)
    del m["a"]
    assert repr(m).startswith("ParameterDict(\n  (c): Parameter of shape (1,)")
    with pytest.raises(KeyError):
        _ = m["b"]
    m.clear()
    assert len(m) == 0
