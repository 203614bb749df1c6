"""checkpoint: the same gradients with less kept, or a clear error."""

import contextlib

import numpy as np
import pytest
from autograd_helpers import host, leaf, tensor

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.autograd import (
    checkpoint,
    checkpoint_sequential,
    enable_grad,
    grad,
    gradcheck,
    gradgradcheck,
    no_grad,
    saved_tensors_hooks,
)
from tinyconv.backend.generator import default_generator, manual_seed
from tinyconv.errors import ArgumentError, GradientError, InPlaceError


class Block:
    """x -> tanh(w x) exp(x), counting its calls."""

    def __init__(self, w):
        self.w, self.calls = leaf(w), 0

    def __call__(self, x):
        self.calls += 1
        return (self.w * x).tanh() * (x * 0.1).exp()


def both(compute):
    """Run with and without checkpoint; return the two results."""
    return compute(lambda f, *a, **k: f(*a, **k)), compute(checkpoint)


def assert_same(plain, saved):
    for a, b in zip(plain, saved, strict=True):
        np.testing.assert_array_equal(host(a), host(b))


def test_same_gradients(backend):
    def compute(run):
        block, x = Block([1.5, 2.0]), leaf([0.3, 0.4])
        y = run(block, x * 1) * 2
        y.sum().backward()
        assert block.calls == (2 if run is checkpoint else 1)
        return y, x.grad, block.w.grad

    assert_same(*both(compute))


def test_gradcheck_of_first_and_second_order(backend):
    block = Block([1.5, 2.0])
    assert gradcheck(lambda x, w: checkpoint(block, x), (leaf([0.3, 0.4]), block.w))
    assert gradgradcheck(lambda x, w: checkpoint(block, x), (leaf([0.3, 0.4]), block.w))


def test_nested(backend):
    def compute(run):
        inner, outer, x = Block([1.5]), Block([0.7]), leaf([0.3])
        y = run(lambda t: run(inner, outer(t)) + run(outer, t), x * 1)
        y.sum().backward()
        return y, x.grad, inner.w.grad, outer.w.grad

    assert_same(*both(compute))
    block = Block([1.5])
    assert gradgradcheck(
        lambda x: checkpoint(lambda t: checkpoint(block, checkpoint(block, t)), x), leaf([0.3])
    )


def saved_arrays(output):
    """Return the ids of the arrays that the graph behind ``output`` keeps."""
    nodes, stack = set(), [output.grad_fn]
    while stack:
        node = stack.pop()
        if node not in nodes:
            nodes.add(node)
            stack += [e[0] for e in node.edges if e is not None and hasattr(e[0], "edges")]
    kept = [s.array for n in nodes for s in n._saved or () if s is not None]
    return [a for a in kept if a is not None]


def test_intermediate_results_are_dropped():
    block, x = Block(np.ones(7)), leaf(np.ones(7))
    plain = saved_arrays(block(x * 1))
    dropped = saved_arrays(checkpoint(block, x * 1))
    assert len(plain) >= 5
    assert all(a is block.w.array for a in dropped)


def test_outer_checkpoint_drops_the_arguments_of_the_inner():
    import weakref

    probes = []

    def outer(t):
        middle = t * 2
        probes.append(weakref.ref(middle))
        return checkpoint(lambda m: m.exp(), middle)

    x = leaf([1.0])
    y = checkpoint(outer, x * 1)
    assert probes[0]() is None
    y.sum().backward()
    np.testing.assert_allclose(host(x.grad), 2 * np.exp(2.0))


def test_retain_graph_and_several_backwards():
    block, x = Block([1.5]), leaf([0.3])
    y = checkpoint(block, x * 1).sum()
    y.backward(retain_graph=True)
    first = host(x.grad).copy()
    y.backward()
    np.testing.assert_array_equal(host(x.grad), 2 * first)
    assert block.calls == 2
    with pytest.raises(GradientError, match="retain_graph"):
        y.backward()


def test_grad_to_inputs_and_parameters():
    block, x = Block([1.5]), leaf([0.3])
    (gx, gw), (hx, hw) = (
        grad(run(block, x * 1).sum(), (x, block.w)) for run in (lambda f, t: f(t), checkpoint)
    )
    assert_same((gx, gw), (hx, hw))


def test_several_outputs_one_unused(backend):
    def compute(run):
        x = leaf([0.3, 0.5])
        a, b, n = run(lambda t, k: (t.exp() * k, t * t, 5), x * 1, k=3)
        assert n == 5
        a.sum().backward(retain_graph=True)
        (b * a).sum().backward()
        return (x.grad,)

    assert_same(*both(compute))


def random_mask(x):
    backend = x.device.backend
    return x.wrap(default_generator().uniform(backend, tuple(x.array.shape), "float64"))


def test_same_random_numbers(backend):
    def compute(run):
        manual_seed(3)
        x = leaf(np.ones(50))
        y = run(lambda t: (t * random_mask(t)).exp() * random_mask(t), x * 1)
        between = random_mask(x)
        y.sum().backward()
        return y, x.grad, between, random_mask(x)

    assert_same(*both(compute))


def test_without_the_random_state_numbers_differ():
    manual_seed(3)
    x = leaf(np.ones(50))
    y = checkpoint(lambda t: t * random_mask(t), x * 1, preserve_rng_state=False)
    y.sum().backward()
    assert not np.array_equal(host(x.grad), host(y))


def test_settings_of_the_first_call_hold_in_the_second():
    seen = []
    with config.dtype.override("float64"):
        y = checkpoint(lambda t: (seen.append(config.dtype.get()), t.exp())[1], leaf([1.0]) * 1)
    y.sum().backward()
    assert seen == ["float64", "float64"]


def test_gradient_inside_the_function():
    def penalty(x):
        with enable_grad():
            (g,) = grad((x * x * x).sum(), x, create_graph=True)
        return g * g

    assert gradcheck(lambda x: checkpoint(penalty, x), leaf([0.5, 0.7]))


@pytest.mark.parametrize("case", ["more", "fewer", "shape"])
def test_different_second_call(case):
    calls = []

    def changes(t):
        calls.append(1)
        if len(calls) == 1:
            return t.exp() * t
        if case == "more":
            return t.exp() * t * t.exp()
        return t.exp() if case == "fewer" else tensor([1.0, 2.0, 3.0]) * t.reshape((2, 1))

    y = checkpoint(changes, leaf([1.0, 2.0]) * 1)
    message = {"more": "more than the", "fewer": "tensors where the first", "shape": "shape"}[case]
    with pytest.raises(GradientError, match="checkpoint: called again.*" + message):
        y.sum().backward()


def test_modified_argument_and_parameter():
    x = leaf([1.0]) * 1
    y = checkpoint(lambda t: t.exp() * t, x)
    with no_grad():
        x.add_(1)
    with pytest.raises(InPlaceError, match="checkpoint: an input"):
        y.sum().backward()
    block = Block([1.0])
    y = checkpoint(block, leaf([1.0]) * 1)
    with no_grad():
        block.w.add_(1)
    with pytest.raises(InPlaceError):
        y.sum().backward()


def test_error_in_function_restores_saving():
    with pytest.raises(ZeroDivisionError):
        checkpoint(lambda t: t * (1 // 0), leaf([1.0]))
    x = leaf([3.0])
    (x * x).sum().backward()
    assert host(x.grad).item() == 6.0


def test_no_grad_calls_once():
    block = Block([1.0])
    with no_grad():
        assert not checkpoint(block, leaf([1.0])).requires_grad
    assert block.calls == 1


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_sequential(segments):
    def run(apply):
        blocks, x = [Block([0.5 + n]) for n in range(5)], leaf([0.3])
        apply(blocks, x * 1).sum().backward()
        return [x.grad] + [b.w.grad for b in blocks], [b.calls for b in blocks]

    def plain(blocks, x):
        for block in blocks:
            x = block(x)
        return x

    expected, _ = run(plain)
    found, calls = run(lambda blocks, x: checkpoint_sequential(blocks, segments, x))
    assert_same(expected, found)
    size = 5 // segments
    assert calls == [2] * (size * (segments - 1)) + [1] * (5 - size * (segments - 1))


def test_sequential_segments_out_of_range():
    with pytest.raises(ArgumentError, match="segments must be from 1 to 2"):
        checkpoint_sequential([abs, abs], 3, leaf([1.0]))


# -- saved_tensors_hooks ------------------------------------------------------------------------


def test_hooks_pack_and_unpack(backend):
    packed = []

    def pack(t):
        assert not t.requires_grad
        packed.append(host(t).copy())
        return len(packed) - 1

    with saved_tensors_hooks(pack, lambda n: tensor(packed[n])):
        assert gradcheck(lambda x: (x * x).exp() * x, leaf([0.5, 0.7]))
        assert gradgradcheck(lambda x: (x * x).exp() * x, leaf([0.5, 0.7]))
    assert packed


def test_hooks_see_only_their_block():
    seen = []
    x = leaf([2.0])
    with contextlib.suppress(KeyError), saved_tensors_hooks(seen.append, lambda p: p):
        raise KeyError
    (x * x).sum().backward()
    assert not seen


def test_unpack_must_return_a_tensor():
    with saved_tensors_hooks(lambda t: t, lambda t: 5):
        y = leaf([2.0]) * leaf([2.0])
    with pytest.raises(GradientError, match="unpack must return a tensor"):
        y.sum().backward()


@pytest.mark.parametrize("name", ["BatchNorm1d", "InstanceNorm1d"])
def test_running_averages_move_once(name):
    def averages(call):
        layer = getattr(nn, name)(3, track_running_stats=True)
        x = tc.arange(24.0).reshape(2, 3, 4).requires_grad_()
        call(layer, x).sum().backward()
        return [buffer.numpy().copy() for buffer in layer.buffers()]

    for once, again in zip(averages(lambda layer, x: layer(x)), averages(checkpoint), strict=True):
        np.testing.assert_array_equal(once, again)
