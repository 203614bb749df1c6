"""Registration of parameters, buffers and children; traversal; access by path."""

import copy

import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, GradientError


def parameter(*shape):
    return nn.Parameter(tc.zeros(*shape))


def test_assignment_registers_in_order():
    m = nn.Module()
    m.b, m.a, m.child, m.plain = parameter(1), parameter(2), nn.Linear(1, 1), 3
    m.register_buffer("stat", tc.zeros(1))
    assert [n for n, _ in m.named_parameters()] == ["b", "a", "child.weight", "child.bias"]
    assert [n for n, _ in m.named_buffers()] == ["stat"]
    assert [n for n, _ in m.named_children()] == ["child"]
    assert m.plain == 3
    assert {"b", "stat", "child", "plain"} <= set(dir(m))


def test_assignment_replaces_whatever_had_the_name():
    m = nn.Module()
    m.x = 3
    m.x = parameter(1)
    assert "x" not in m.__dict__
    m.x = nn.ReLU()
    assert list(m.named_parameters()) == []
    m.register_buffer("y", tc.zeros(1), persistent=False)
    m.y = parameter(1)
    assert list(m.state_dict()) == ["y"]


def test_none_reserves_a_name_that_can_be_filled_later():
    m = nn.Module()
    m.register_parameter("weight", None)
    m.register_buffer("mean", None)
    assert m.weight is None
    assert list(m.parameters()) == []
    m.weight, m.mean = parameter(1), tc.ones(1)
    assert list(m.state_dict()) == ["weight", "mean"]
    m.weight = None
    assert list(m.state_dict()) == ["mean"]


def test_wrong_values_for_registered_names():
    m = nn.Linear(1, 1)
    with pytest.raises(
        DTypeError, match=r"cannot assign 'Tensor' as parameter 'weight' \(nn.Param"
    ):
        m.weight = tc.zeros(1, 1)
    outer = nn.Sequential(m)
    with pytest.raises(DTypeError, match="as child module '0'"):
        setattr(outer, "0", 3)
    norm = nn.BatchNorm1d(1)
    with pytest.raises(DTypeError, match="as buffer 'running_mean'"):
        norm.running_mean = [0.0]
    norm.running_mean = tc.ones(1)
    assert dict(norm.named_buffers())["running_mean"].item() == 1


def test_names_are_checked():
    m = nn.Module()
    m.taken = 1
    for register in (m.register_parameter, m.register_buffer, m.add_module):
        for name in ("", "a.b"):
            with pytest.raises(ArgumentError, match="empty or has a dot"):
                register(name, None)
        with pytest.raises(ArgumentError, match="exists already"):
            register("taken", None)
        with pytest.raises(ArgumentError, match="exists already"):
            register("forward", None)
        with pytest.raises(DTypeError, match="must be a string"):
            register(1, None)
        with pytest.raises(DTypeError, match="or None, got int"):
            register("x", 1)


def test_a_parameter_must_be_a_leaf_and_floating():
    computed = parameter(1)
    computed._grad_fn = (parameter(1) * 2).grad_fn
    with pytest.raises(GradientError, match="result of a computation"):
        nn.Module().register_parameter("x", computed)
    with pytest.raises(GradientError):
        nn.Parameter(tc.tensor([1]))
    with pytest.raises(DTypeError, match="'data' must be a Tensor"):
        nn.Parameter([1.0])


def test_init_must_run_first():
    class Late(nn.Module):
        def __init__(self):
            self.layer = nn.ReLU()
            super().__init__()

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) first"):
        Late()


def test_unknown_attribute_and_deletion():
    m = nn.Linear(1, 1)
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wieght'"):
        _ = m.wieght
    del m.bias
    assert not hasattr(m, "bias")
    with pytest.raises(AttributeError):
        del m.bias
    m.register_buffer("stat", tc.zeros(1), persistent=False)
    del m.stat
    m.register_buffer("stat", tc.zeros(1))
    assert "stat" in m.state_dict()


def test_shared_parameters_and_modules_appear_once():
    layer = nn.Linear(2, 2)
    m = nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(2, 2))
    m[3].weight = layer.weight
    assert [n for n, _ in m.named_parameters()] == ["0.weight", "0.bias", "3.bias"]
    assert [n for n, _ in m.named_modules()] == ["", "0", "1", "3"]
    assert [n for n, _ in m.named_children()] == ["0", "1", "3"]
    every = [n for n, _ in m.named_parameters(remove_duplicate=False)]
    assert every == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"]
    assert [n for n, _ in m.named_modules(remove_duplicate=False)] == ["", "0", "1", "2", "3"]


def test_prefix_and_recurse():
    m = nn.Sequential(nn.BatchNorm1d(1))
    m.own = parameter(1)
    assert [n for n, _ in m.named_parameters("net")] == ["net.own", "net.0.weight", "net.0.bias"]
    assert [n for n, _ in m.named_parameters(recurse=False)] == ["own"]
    assert list(m.buffers(recurse=False)) == []
    assert next(n for n, _ in m.named_buffers("net")) == "net.0.running_mean"


def test_access_by_path():
    m = nn.Sequential(nn.Sequential(nn.BatchNorm1d(3)))
    assert m.get_submodule("") is m
    assert m.get_submodule("0.0") is m[0][0]
    assert m.get_parameter("0.0.weight") is m[0][0].weight
    assert m.get_buffer("0.0.running_mean") is m[0][0].running_mean
    m.set_submodule("0.0", nn.ReLU())
    assert isinstance(m[0][0], nn.ReLU)
    for call in (
        lambda: m.get_submodule("0.7"),
        lambda: m.get_submodule("0.training"),
        lambda: m.get_parameter("0.weight"),
        lambda: m.get_buffer("0.running_mean"),
        lambda: m.set_submodule("9", nn.ReLU()),
    ):
        with pytest.raises(AttributeError):
            call()
    with pytest.raises(ArgumentError):
        m.set_submodule("", nn.ReLU())


def test_parameter_may_carry_attributes_and_shares_memory():
    data = tc.zeros(2)
    p = nn.Parameter(data, requires_grad=False)
    p.note = "mine"
    data.add_(1)
    assert p.tolist() == [1, 1]
    assert p.note == "mine"
    assert not p.requires_grad
    other = copy.deepcopy(p)
    assert (other.note, other.requires_grad, type(other)) == ("mine", False, nn.Parameter)
    assert repr(nn.Parameter(tc.ones(1))).startswith("Parameter containing:\n")
    assert nn.Parameter().shape == (0,)
