"""state_dict and load_state_dict: names, messages, and that an error changes nothing."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import DTypeError, StateDictError


def net():
    tc.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3, bias=False))


def values(module):
    return {k: v.numpy().copy() for k, v in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_names_order_and_aliasing():
    m = net()
    m.register_buffer("scratch", tc.zeros(1), persistent=False)
    sd = m.state_dict()
    assert list(sd) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
        "1.num_batches_tracked", "2.weight",
    ]  # fmt: skip
    assert not sd["0.weight"].requires_grad
    nn.init.zeros_(m[0].weight)
    assert sd["0.weight"].abs().sum().item() == 0
    assert m.state_dict(keep_vars=True)["0.weight"] is m[0].weight
    box = {"before": 1}
    assert m[0].state_dict(destination=box, prefix="net.") is box
    assert list(box) == ["before", "net.weight", "net.bias"]


@pytest.mark.parametrize("convert", [lambda t: t, lambda t: t.numpy(), lambda t: t.double()])
def test_round_trip(convert):
    a, b = net(), net()
    nn.init.normal_(a[0].weight)
    a[1].num_batches_tracked.add_(5)
    result = b.load_state_dict({k: convert(v) for k, v in a.state_dict().items()})
    assert repr(result) == str(result) == "<All keys matched successfully>"
    assert result == ([], [])
    assert same(values(a), values(b))
    assert b[0].weight.dtype is tc.float32
    nn.init.zeros_(a[0].weight)
    assert b[0].weight.abs().sum().item() > 0


def test_across_devices():
    a = net()
    b = net().to("strict")
    nn.init.zeros_(b[2].weight)
    b.load_state_dict(a.state_dict())
    assert b[2].weight.tolist() == a[2].weight.tolist()
    a.load_state_dict(b.state_dict())
    assert str(a[2].weight.device) == "cpu"


def bad_state(module):
    sd = values(module)
    sd["0.weight"] = sd["0.weight"] + 1
    del sd["0.bias"]
    sd["0.extra"] = np.zeros(1)
    sd["1.running_mean"] = np.zeros(3)
    sd["2.weight"] = np.zeros((3, 5))
    return sd


def test_message_and_transaction():
    m = net()
    before, versions = values(m), [p._version[0] for p in m.parameters()]
    with pytest.raises(StateDictError) as caught:
        m.load_state_dict(bad_state(m))
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.bias". \n'
        '\tUnexpected key(s) in state_dict: "0.extra". \n'
        "\tsize mismatch for 1.running_mean: copying a param with shape (3,) from checkpoint, "
        "the shape in current model is (2,).\n"
        "\tsize mismatch for 2.weight: copying a param with shape (3, 5) from checkpoint, "
        "the shape in current model is (3, 4)."
    )
    assert same(before, values(m))
    assert versions == [p._version[0] for p in m.parameters()]


def test_message_is_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(4, 3, bias=False)
    )
    m = net()
    bad = bad_state(m)
    with pytest.raises(RuntimeError) as expected:
        theirs.load_state_dict({k: torch.tensor(v) for k, v in bad.items()})
    with pytest.raises(RuntimeError) as caught:
        m.load_state_dict(bad)
    theirs_text = str(expected.value).replace("torch.Size([", "(").replace("])", ")")
    assert str(caught.value).replace(",)", ")") == theirs_text


def test_not_strict():
    m = net()
    sd = values(m)
    del sd["0.bias"]
    sd["other"] = np.zeros(1)
    sd["2.weight"] = np.ones((3, 4))
    result = m.load_state_dict(sd, strict=False)
    assert result.missing_keys == ["0.bias"]
    assert result.unexpected_keys == ["other"]
    assert repr(result) == "IncompatibleKeys(missing_keys=['0.bias'], unexpected_keys=['other'])"
    assert m[2].weight.sum().item() == 12
    sd["2.weight"] = np.ones((4, 3))
    with pytest.raises(StateDictError, match=r"size mismatch for 2\.weight"):
        m.load_state_dict(sd, strict=False)


def test_values_that_are_no_arrays():
    m = nn.Linear(1, 1)
    before = values(m)
    with pytest.raises(StateDictError, match=r'"weight", expected a Tensor or an array .* list'):
        m.load_state_dict({"weight": [[1.0]], "bias": np.ones(1)})
    with pytest.raises(StateDictError, match=r'"weight": dtype .* is not supported'):
        m.load_state_dict({"weight": np.array([["a"]]), "bias": np.ones(1)})
    assert same(before, values(m))
    with pytest.raises(DTypeError, match="expected a dict"):
        m.load_state_dict([("weight", np.ones((1, 1)))])


def test_awkward_arrays():
    """Non-contiguous, negative strides, big-endian, scalars saved with one dimension."""
    m = net()
    sd = values(m)
    sd["2.weight"] = np.arange(12.0).reshape(4, 3).T[::-1]
    sd["1.num_batches_tracked"] = np.array([7])
    sd["0.bias"] = np.array([1.0, 2.0], dtype=">f8")
    m.load_state_dict(sd)
    assert m[2].weight.tolist() == sd["2.weight"].tolist()
    assert m[1].num_batches_tracked.item() == 7
    assert m[0].bias.tolist() == [1, 2]
    m.load_state_dict(sd, assign=True)
    assert m[1].num_batches_tracked.shape == ()


def test_files_without_a_batch_count_load():
    m = nn.BatchNorm1d(2)
    sd = values(m)
    del sd["num_batches_tracked"]
    sd["running_mean"] = np.array([3.0, 4.0], np.float32)
    m.load_state_dict(sd)
    assert m.running_mean.tolist() == [3, 4]
    assert m.num_batches_tracked.item() == 0


def test_tied_parameters_have_both_names_and_stay_tied():
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m[1].weight = m[0].weight
    sd = m.state_dict()
    assert list(sd) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    m.load_state_dict({k: np.ones(v.shape) for k, v in sd.items()}, assign=True)
    assert m[1].weight is m[0].weight
    assert len(list(m.parameters())) == 3


def test_own_tensors_in_another_order():
    """Swapping two weights through their own state dict does not overwrite one of them first."""
    m = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    nn.init.constant_(m[0].weight, 1)
    nn.init.constant_(m[1].weight, 2)
    sd = m.state_dict()
    m.load_state_dict({"0.weight": sd["1.weight"], "1.weight": sd["0.weight"]})
    assert (m[0].weight.item(), m[1].weight.item()) == (2, 1)


def test_assign_takes_the_values_themselves():
    m = nn.Linear(2, 1)
    m.bias.requires_grad_(False)
    weight = tc.ones(1, 2, dtype=tc.float64)
    m.load_state_dict({"weight": weight, "bias": np.ones(1)}, assign=True)
    assert isinstance(m.weight, nn.Parameter)
    assert m.weight.dtype is tc.float64
    assert m.weight.requires_grad
    assert not m.bias.requires_grad
    weight.add_(1)
    assert m.weight.tolist() == [[2, 2]]


def test_loading_marks_the_weights_as_modified():
    m = nn.Linear(2, 2)
    y = m(tc.ones(1, 2, requires_grad=True))
    m.load_state_dict(m.state_dict())
    with pytest.raises(tc.errors.InPlaceError):
        y.sum().backward()
