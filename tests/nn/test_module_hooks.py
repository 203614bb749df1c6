"""Hooks around calls, and their agreement with PyTorch's."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import GradientError


class Two(nn.Module):
    """Two inputs, two outputs, one of each not differentiable."""

    def forward(self, a, n, scale=1.0):
        return a * n * scale, n


def test_forward_hooks_in_order_and_with_replacement():
    m, calls = nn.Identity(), []
    m.register_forward_pre_hook(lambda m, args: calls.append("pre") or (args[0] + 1,))
    m.register_forward_pre_hook(lambda m, args: args[0] * 2)  # not a tuple: the only argument
    m.register_forward_hook(lambda m, args, out: calls.append(args[0]) or out + 100)
    handle = m.register_forward_hook(lambda m, args, out: calls.append("last"))
    m.register_forward_hook(lambda m, args, out: calls.append("first"), prepend=True)
    assert m(1) == 104
    assert calls == ["pre", "first", 4, "last"]
    handle.remove()
    handle.remove()
    calls.clear()
    m(1)
    assert "last" not in calls


def test_hooks_see_keyword_arguments():
    m, seen = Two(), []
    m.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"scale": kwargs["scale"] + 1}), with_kwargs=True
    )
    m.register_forward_hook(lambda m, args, kw, out: seen.append(kw), with_kwargs=True)
    y, _ = m(tc.ones(1), tc.tensor([2]), scale=2.0)
    assert y.item() == 6
    assert seen == [{"scale": 3.0}]


def test_a_hook_may_remove_itself():
    m, calls = nn.Identity(), []
    handle = m.register_forward_hook(lambda *a: calls.append(1) or handle.remove())
    m(1)
    m(1)
    assert calls == [1]


def run(nn, lib, hooked):
    """Gradients that the hooks of a hidden layer see, and that arrive at the leaves."""
    seen = {}
    one, two, three = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
    rng = np.random.default_rng(0)
    for layer in (one, two, three):
        for p in layer.parameters():
            values = lib.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32))
            layer.register_parameter("weight" if p.ndim == 2 else "bias", nn.Parameter(values))
    if hooked:
        two.register_full_backward_pre_hook(
            lambda m, out: seen.update(pre=[g.numpy().copy() for g in out]) or (out[0] * 2,)
        )
        two.register_full_backward_hook(
            lambda m, inp, out: (
                seen.update(
                    inp=[g.numpy().copy() for g in inp], out=[g.numpy().copy() for g in out]
                )
                or (inp[0] * 3,)
            )
        )
    x = lib.ones(5, 3).requires_grad_()
    (three(two(one(x)).relu()) ** 2).sum().backward()
    leaves = [x.grad] + [p.grad for layer in (one, two, three) for p in layer.parameters()]
    return seen, [g.numpy() for g in leaves]


def test_backward_hooks_match_pytorch():
    torch = pytest.importorskip("torch")
    seen, leaves = run(nn, tc, hooked=True)
    expected_seen, expected = run(torch.nn, torch, hooked=True)
    assert seen.keys() == expected_seen.keys() == {"pre", "inp", "out"}
    for key in seen:
        for a, b in zip(seen[key], expected_seen[key], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, err_msg=key)
    for a, b in zip(leaves, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    _, plain = run(nn, tc, hooked=False)
    np.testing.assert_allclose(leaves[0], 6 * plain[0], rtol=1e-4)  # hooks scale by 2 and by 3


def test_gradients_stand_at_the_places_of_arguments_and_outputs():
    m, seen = Two(), []
    m.register_full_backward_hook(lambda m, inp, out: seen.append((inp, out)))
    a, n = tc.ones(2, requires_grad=True), tc.tensor([3, 4])
    y, _ = m(a, n)
    y.sum().backward()
    ((inp, out),) = seen
    assert inp[0].tolist() == [3, 4]
    assert inp[1] is None
    assert out[0].tolist() == [1, 1]
    assert out[1] is None


def test_hook_runs_without_a_differentiable_input():
    m, seen = nn.Linear(2, 1), []
    m.register_full_backward_hook(lambda m, inp, out: seen.append((inp, out[0].tolist())))
    m(tc.ones(3, 2)).sum().backward()
    assert seen == [((None,), [[1.0], [1.0], [1.0]])]
    assert m.weight.grad.tolist() == [[3.0, 3.0]]
    m.register_full_backward_hook(lambda m, inp, out: (tc.ones(3, 2),))
    with pytest.raises(GradientError, match="no input of the module requires one"):
        m(tc.ones(3, 2)).sum().backward()


def test_hook_that_returns_too_many_gradients():
    m = nn.ReLU()
    m.register_full_backward_hook(lambda m, inp, out: (inp[0], inp[0]))
    y = m(tc.ones(1, requires_grad=True))
    with pytest.raises(GradientError, match="returned 2 gradients, expected 1"):
        y.sum().backward()


def test_hooks_do_nothing_without_a_graph():
    m, seen = nn.Linear(1, 1), []
    m.register_full_backward_hook(lambda *a: seen.append(1))
    with tc.no_grad():
        assert m(tc.ones(1, 1)).grad_fn is None
    assert seen == []


def test_other_outputs_than_tensors_are_warned_of():
    class Named(nn.Module):
        def forward(self, x):
            return {"y": x * 2}

    m = Named()
    m.register_full_backward_hook(lambda *a: None)
    with pytest.warns(UserWarning, match="it returned dict"):
        assert m(tc.ones(1, requires_grad=True))["y"].item() == 2


def test_second_derivative_through_hooks():
    m = nn.Tanh()
    m.register_full_backward_hook(lambda m, inp, out: (inp[0] * 3,))
    x = tc.tensor(0.5, dtype=tc.float64, requires_grad=True)
    (dx,) = tc.autograd.grad(m(x), x, create_graph=True)
    (ddx,) = tc.autograd.grad(dx, x)
    t = np.tanh(0.5)
    assert dx.item() == pytest.approx(3 * (1 - t**2))
    # As in PyTorch: the second pass goes by the module's output, so the hook is not called again.
    assert ddx.item() == pytest.approx(3 * -2 * t * (1 - t**2))


def test_in_place_layer_inside_hooks():
    m, seen = nn.ReLU(inplace=True), []
    m.register_full_backward_hook(lambda m, inp, out: seen.append(inp[0].tolist()))
    x = tc.tensor([-1.0, 2.0], requires_grad=True)
    m(x * 1).sum().backward()
    assert seen == [[0.0, 1.0]]
    assert x.grad.tolist() == [0.0, 1.0]
