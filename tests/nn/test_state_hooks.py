"""Hooks around state dicts, and forward hooks that are called after errors too."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import StateDictError


def torch_or_skip():
    return pytest.importorskip("torch")


def nested(lib):
    """Return a Sequential in a Sequential."""
    return lib.Sequential(lib.Linear(2, 2), lib.Sequential(lib.Linear(2, 3), lib.ReLU()))


def saving(nn):
    """Return what hooks saw while a state was collected."""
    net, seen = nested(nn), []
    for module in net.modules():
        kind = type(module).__name__
        module.register_state_dict_pre_hook(
            lambda m, prefix, keep, kind=kind: seen.append(("pre", kind, prefix, keep))
        )
        module.register_state_dict_post_hook(
            lambda m, state, prefix, meta, kind=kind: seen.append((kind, prefix, list(state)))
        )
    state = net.state_dict(prefix="net.", keep_vars=True)
    return [*seen, list(state)]


def test_saving_hooks_match_pytorch():
    assert saving(nn) == saving(torch_or_skip().nn)


def test_post_hook_changes_the_state():
    net = nested(nn)
    handle = net[1].register_state_dict_post_hook(
        lambda m, state, prefix, meta: state.pop(f"{prefix}0.bias")
    )
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.0.weight"]
    handle.remove()
    assert "1.0.bias" in net.state_dict()


def loading(nn, lib):
    """Return what hooks saw while a state was loaded."""
    net, seen = nested(nn), []
    state = dict(net.state_dict())
    for module in net.modules():
        kind = type(module).__name__

        def before(m, state, prefix, meta, strict, missing, unexpected, errors, kind=kind):
            seen.append(("pre", kind, prefix, strict, m is not None, sorted(state)))

        def after(m, keys, kind=kind):
            out = m.out_features if kind == "Linear" else 0
            seen.append(("post", kind, out, list(keys.missing_keys), list(keys.unexpected_keys)))

        module.register_load_state_dict_pre_hook(before)
        module.register_load_state_dict_post_hook(after)
    net.load_state_dict(state)
    return seen


def test_loading_hooks_match_pytorch():
    torch = torch_or_skip()
    ours, theirs = loading(nn, tc), loading(torch.nn, torch)
    # Ours are all called before anything is written, since an error leaves all as it was.
    assert ours == sorted(theirs, key=lambda row: row[0] == "post")


def test_pre_hook_renames_keys_in_a_copy():
    net = nested(nn)
    state = {k.replace("1.0.weight", "1.0.kernel"): tc.ones(*v.shape) for k, v in
             net.state_dict().items()}  # fmt: skip

    def rename(module, state, prefix, *rest):
        if f"{prefix}kernel" in state:
            state[f"{prefix}weight"] = state.pop(f"{prefix}kernel")

    for module in net.modules():
        module.register_load_state_dict_pre_hook(rename)
    assert repr(net.load_state_dict(state)) == "<All keys matched successfully>"
    assert net[1][0].weight.sum().item() == 6
    assert "1.0.kernel" in state


def test_pre_hook_sees_the_metadata_of_pytorch():
    torch = torch_or_skip()
    theirs, net, seen = torch.nn.Sequential(torch.nn.BatchNorm1d(2)), nn.Sequential(
        nn.BatchNorm1d(2)
    ), []  # fmt: skip
    state = theirs.state_dict()
    for key in list(state):
        state[key] = state[key].numpy()
    net[0].register_load_state_dict_pre_hook(lambda *a: seen.append(a[3]))
    net.load_state_dict(state)
    assert seen == [{"version": 2}]


def test_pre_hook_reports_errors_and_keys():
    net = nn.Linear(1, 1)
    before = net.weight.item()

    def complain(module, state, prefix, meta, strict, missing, unexpected, errors):
        missing.append("lost")
        unexpected.append("found")
        errors.append("this is no good")

    handle = net.register_load_state_dict_pre_hook(complain)
    state = {"weight": tc.ones(1, 1), "bias": tc.ones(1)}
    with pytest.raises(StateDictError, match=r'(?s)"lost".*"found".*this is no good'):
        net.load_state_dict(state)
    with pytest.raises(StateDictError, match="no good"):
        net.load_state_dict(state, strict=False)
    assert net.weight.item() == before
    handle.remove()
    net.load_state_dict(state)
    assert net.weight.item() == 1


def test_post_hook_forgives_missing_keys():
    net, seen = nn.Linear(2, 1), []

    def forgive(module, keys):
        seen.append((module.weight.tolist(), list(keys.missing_keys)))
        keys.missing_keys.clear()

    net.register_load_state_dict_post_hook(forgive)
    result = net.load_state_dict({"weight": tc.ones(1, 2)})
    assert seen == [([[1.0, 1.0]], ["bias"])]
    assert result.missing_keys == []


@pytest.mark.parametrize("assign", [False, True])
def test_keys_that_are_not_forgiven_undo_the_loading(assign):
    net = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    weight = net[0].weight
    net.register_load_state_dict_post_hook(lambda m, keys: None)
    with pytest.raises(StateDictError, match="Missing key"):
        net.load_state_dict({"0.weight": tc.ones(1, 2)}, assign=assign)
    assert net[0].weight is weight
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert net.load_state_dict({"0.weight": tc.ones(1, 2)}, strict=False).missing_keys
    assert net[0].weight.tolist() == [[1.0, 1.0]]


class Fails(nn.Module):
    def forward(self, x):
        raise ZeroDivisionError("no")


def failing(nn, lib):
    """Return what forward hooks saw of calls that fail."""

    class Fails(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError("forward")

    seen = []
    one, two = Fails(), nn.Identity()
    one.register_forward_hook(lambda m, args, out: seen.append(("plain", out)))
    one.register_forward_hook(
        lambda m, args, kw, out: seen.append((args, kw, out)), with_kwargs=True, always_call=True
    )
    two.register_forward_hook(lambda m, args, out: seen.append(("first", out)), always_call=True)
    two.register_forward_hook(lambda m, args, out: {}["missing"])
    two.register_forward_hook(lambda m, args, out: seen.append(("never", out)))
    two.register_forward_hook(lambda m, args, out: seen.append(("always", out)), always_call=True)
    for module, kwargs in ((one, {"x": 2}), (two, {})):
        args = () if kwargs else (1,)
        with pytest.raises((ZeroDivisionError, KeyError)):
            module(*args, **kwargs)
    return seen


def test_hooks_after_an_error_match_pytorch():
    torch = torch_or_skip()
    seen = failing(nn, tc)
    assert seen == failing(torch.nn, torch)
    assert seen == [((), {"x": 2}, None), ("first", 1), ("always", 1)]


def test_error_of_a_hook_after_an_error_is_warned_of():
    m = Fails()
    m.register_forward_hook(lambda *a: {}["missing"], always_call=True)
    with (
        pytest.warns(UserWarning, match=r"KeyError: 'missing'; it is silenced"),
        pytest.raises(ZeroDivisionError),
    ):
        m(1)
