"""backward() and grad(): what arrives where, and what an error leaves behind."""

import contextlib
import gc
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from autograd_helpers import alive, host, leaf, tensor

import tinyconv as tc
from tinyconv import autograd
from tinyconv.autograd import Function, backward, enable_grad, grad, inference_mode, no_grad
from tinyconv.errors import DTypeError, GradientError, OutOfMemoryError, ShapeError


class TwoOutputs(Function):
    """x^2 and x^3; notes which gradients its backward got."""

    got = None

    @staticmethod
    def forward(ctx, x, materialize=True):
        ctx.set_materialize_grads(materialize)
        ctx.save_for_backward(x)
        return x.wrap(x.array**2), x.wrap(x.array**3)

    @staticmethod
    def backward(ctx, g2, g3):
        TwoOutputs.got = g2, g3
        (x,) = ctx.saved_tensors
        total = None
        for g, factor in ((g2, x * 2), (g3, x * x * 3)):
            if g is not None:
                total = g * factor if total is None else total + g * factor
        return total, None


class Fails(Function):
    @staticmethod
    def forward(ctx, x):
        return x.wrap(x.array * 1)

    @staticmethod
    def backward(ctx, g):
        raise ZeroDivisionError("planted")


# -- results ------------------------------------------------------------------------------------


def test_two_leaves_of_one_sum_share_no_memory(backend):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x + y).sum().backward()
    assert x.grad.array is not y.grad.array
    x.grad.add_(5)
    np.testing.assert_array_equal(host(y.grad), [1.0, 1.0])


def test_grad_is_not_the_gradient_passed_in(backend):
    x, g = leaf([1.0, 2.0]), tensor([3.0, 4.0])
    (x + 0.0).backward(g)
    x.grad.add_(1)
    x.backward(g)
    np.testing.assert_array_equal(host(g), [3.0, 4.0])
    np.testing.assert_array_equal(host(x.grad), [7.0, 9.0])


def test_grad_never_aliases_what_others_hold(backend):
    kept = []

    class Keeps(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(y)
            return x.wrap(x.array * y.array)

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            kept.append(g)
            return y, g  # y itself: right where g is 1

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (Keeps.apply(x + 0.0, y)).sum().backward()
    seen = []
    z = leaf([1.0])
    z.register_hook(seen.append)
    (z * 2).sum().backward()
    for t in (x, y, z):
        t.grad.zero_()
    np.testing.assert_array_equal(host(y), [3.0, 4.0])
    np.testing.assert_array_equal(host(kept[0]), [1.0, 1.0])
    np.testing.assert_array_equal(host(seen[0]), [2.0])


@pytest.mark.parametrize("size", [3, 1 << 18])  # the larger one is copied on all cores
def test_two_leaves_never_share_a_gradient(size):
    x, y, given = leaf(np.ones(size)), leaf(np.ones(size)), tensor(np.full(size, 2.0))
    (x + y).backward(given)
    x.grad.zero_()
    np.testing.assert_array_equal(host(y.grad), 2.0)
    y.grad.zero_()
    np.testing.assert_array_equal(host(given), 2.0)


def test_grad_never_aliases_an_array_that_others_hold():
    class KeepsArray(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.array = y.array
            return x.wrap(x.array * y.array)

        @staticmethod
        def backward(ctx, g):
            return g.wrap(ctx.array), None

    x, y = leaf([1.0, 2.0]), tensor([3.0, 4.0])
    KeepsArray.apply(x, y).sum().backward()
    x.grad.zero_()
    np.testing.assert_array_equal(host(y), [3.0, 4.0])


def test_fresh_gradient_is_handed_over_without_a_copy():
    made = []

    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x.wrap(x.array * 2)

        @staticmethod
        def backward(ctx, g):
            result = g * 2
            made.append(id(result.array))
            return result

    x = leaf(np.ones(1000))
    Double.apply(x).sum().backward()
    assert id(x.grad.array) == made[0]


def test_accumulates_into_the_same_memory(backend):
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    first = x.grad
    (x * 4).sum().backward()
    assert x.grad is first
    np.testing.assert_array_equal(host(first), [7.0, 7.0])


def test_fan_in_sums_and_leaves_gradients_of_others_alone(backend):
    x = leaf([1.0, 2.0])
    y = x * 1
    parts = [y + 0.0 for _ in range(5)]
    for part in parts:
        part.retain_grad()
    y.retain_grad()
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    total.sum().backward()
    np.testing.assert_array_equal(host(x.grad), [5.0, 5.0])
    np.testing.assert_array_equal(host(y.grad), [5.0, 5.0])
    for part in parts:
        np.testing.assert_array_equal(host(part.grad), [1.0, 1.0])


def test_discarded_output_of_a_multi_output_function(backend):
    x = leaf([2.0, 3.0])
    square, cube = TwoOutputs.apply(x)
    cube.sum().backward(retain_graph=True)
    np.testing.assert_array_equal(host(x.grad), [12.0, 27.0])
    np.testing.assert_array_equal(host(TwoOutputs.got[0]), [0.0, 0.0])
    (g,) = grad(square.sum(), x)
    np.testing.assert_array_equal(host(g), [4.0, 6.0])
    square, cube = TwoOutputs.apply(x)
    (g,) = grad((square + cube).sum(), x)
    np.testing.assert_array_equal(host(g), [16.0, 33.0])


def test_materialize_off_gives_none():
    square, _ = TwoOutputs.apply(leaf([2.0]), False)
    square.sum().backward()
    assert TwoOutputs.got[1] is None


def test_gradient_is_summed_and_cast_to_its_argument(backend):
    class Sloppy(Function):
        @staticmethod
        def forward(ctx, x, y):
            return y.wrap(x.array + y.array)

        @staticmethod
        def backward(ctx, g):
            return g, g

    x, y = leaf([[1.0], [2.0]], np.float32), leaf(np.ones((3, 2, 2)), np.float32)
    out = Sloppy.apply(x, y)
    out.to(tensor([1.0]).dtype).sum().backward()
    assert host(x.grad).shape == (2, 1)
    assert host(x.grad).dtype == np.float32
    np.testing.assert_array_equal(host(x.grad), [[6.0], [6.0]])


def test_several_roots(backend):
    x = leaf([1.0, 2.0])
    y = x * 2
    backward([y.sum(), y, x], [None, tensor([1.0, 10.0]), tensor([100.0, 100.0])])
    np.testing.assert_array_equal(host(x.grad), [104.0, 122.0])


def test_inputs_of_backward(backend):
    x, y = leaf([1.0]), leaf([2.0])
    h = x * y
    (h * h).sum().backward(inputs=[x, h, x])
    assert y.grad is None
    np.testing.assert_array_equal(host(x.grad), [8.0])
    np.testing.assert_array_equal(host(h.grad), [4.0])


def test_inputs_leave_the_rest_of_the_graph_uncomputed():
    x, y = leaf([1.0]), leaf([2.0])
    (Fails.apply(y) + x * 3).sum().backward(inputs=x)
    assert host(x.grad).item() == 3.0


def test_grad_with_respect_to_non_leaf_and_to_itself(backend):
    x = leaf([3.0])
    y = x * x
    z = (y * y).sum()
    gx, gy, gz = grad(z, (x, y, z))
    assert [host(g).item() for g in (gx, gy, gz)] == [108.0, 18.0, 1.0]
    assert x.grad is None


def test_unused_inputs(backend):
    x, y = leaf([1.0, 2.0]), leaf([[3.0]])
    with pytest.raises(GradientError, match=r"inputs\[1\] of shape \(1, 1\)"):
        grad(x.sum(), (x, y))
    assert grad(x.sum(), (x, y), allow_unused=True)[1] is None
    zeros = grad(x.sum(), (x, y), materialize_grads=True)[1]
    np.testing.assert_array_equal(host(zeros), [[0.0]])


def test_none_gradient_means_no_influence():
    class Ignores(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x.wrap(x.array + y.array)

        @staticmethod
        def backward(ctx, g):
            return g, None

    x, y = leaf([1.0]), leaf([1.0])
    deep = y * 2
    Ignores.apply(x, deep).sum().backward()
    assert y.grad is None
    assert host(x.grad).item() == 1.0


def test_derivatives_to_fourth_order(backend):
    x = leaf([1.5])
    y = x * x * x * x * x  # x^5
    for expected in (5 * 1.5**4, 20 * 1.5**3, 60 * 1.5**2, 120 * 1.5):
        (y,) = grad(y.sum(), x, create_graph=True)
        assert host(y).item() == pytest.approx(expected, rel=1e-12)


def test_higher_derivatives_through_a_saved_output(backend):
    x = leaf([0.5])
    y = (x * 2).exp()
    for order in (1, 2, 3):
        (y,) = grad(y.sum(), x, create_graph=True)
        assert host(y).item() == pytest.approx(2**order * np.e, rel=1e-12)


def test_create_graph_gives_a_grad_with_history(backend):
    x = leaf([3.0])
    (x * x * x).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    assert host(x.grad).item() == 18.0
    x.grad = tensor([1.0])
    (x * x).sum().backward(create_graph=True)
    assert host(x.grad).item() == 7.0
    assert x.grad.requires_grad


def test_create_graph_leaves_of_one_sum_get_tensors_of_their_own():
    x, y = leaf([1.0]), leaf([1.0])
    (x + y).sum().backward(create_graph=True)
    assert x.grad is not y.grad
    assert x.grad.array is not y.grad.array


# -- errors -------------------------------------------------------------------------------------


def test_second_backward_says_retain_graph(backend):
    x = leaf([2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match=r"MulBackward.*second time.*retain_graph=True"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert host(x.grad).item() == 12.0


def test_bad_calls():
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match=r"one element.*\(2,\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        (x * 2).backward(tensor([1.0, 2.0, 3.0]))
    with pytest.raises(GradientError, match="does not require gradients"):
        tensor([1.0]).backward()
    with pytest.raises(GradientError, match=r"inputs\[0\] does not require"):
        grad(x.sum(), tensor([1.0]))
    with pytest.raises(DTypeError, match="must be a Tensor"):
        (x * 2).backward(1.0)
    with pytest.raises(DTypeError, match=r"inputs\[0\] must be a Tensor"):
        grad(x.sum(), "x")
    with pytest.raises(GradientError, match="2 outputs but 1 gradients"):
        backward([x.sum(), x.sum()], [None])
    with pytest.raises(GradientError, match="only floating-point"):
        tensor([1], dtype=np.int64).requires_grad_()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda g: (g, g), "returned 2 gradients, but forward has 1"),
        (lambda g: (), "returned 0 gradients"),
        (lambda g: 1.5, "must return tensors or None.*float"),
        (lambda g: g.reshape((2, 1)), r"shape \(2, 1\) for argument 0.*\(2,\)"),
        (lambda g: g.sum(), r"shape \(\) for argument 0"),
    ],
)
def test_bad_backward_is_named(returned, message):
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x.wrap(x.array * 1)

        @staticmethod
        def backward(ctx, g):
            return returned(g)

    with pytest.raises(GradientError, match="BadBackward.*" + message):
        Bad.apply(leaf([1.0, 2.0])).sum().backward()


def test_extra_none_gradients_are_fine():
    class Extra(Function):
        @staticmethod
        def forward(ctx, x):
            return x.wrap(x.array * 1)

        @staticmethod
        def backward(ctx, g):
            return g, None, None

    x = leaf([1.0])
    Extra.apply(x).sum().backward()
    assert host(x.grad).item() == 1.0


def test_error_mid_backward_leaves_every_grad(backend):
    x, y, z = leaf([1.0]), leaf([2.0]), leaf([3.0])
    for t in (x, y):
        (t * 5).sum().backward()
    h = x * y
    h.retain_grad()
    before = [host(t.grad).copy() for t in (x, y)]
    with pytest.raises(ZeroDivisionError):
        (h * 2 + Fails.apply(h) + z).sum().backward()
    assert [host(t.grad) for t in (x, y)] == before
    assert z.grad is None
    assert h.grad is None
    assert autograd.is_grad_enabled()


def test_memory_that_runs_out_in_backward_is_said_by_the_node():
    class Greedy(Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise MemoryError("no 8 GiB")

    x = tc.ones(2, requires_grad=True)
    with pytest.raises(OutOfMemoryError, match="GreedyBackward: out of memory on cpu: no 8 GiB"):
        Greedy.apply(x).sum().backward()
    assert x.grad is None


def test_grad_that_does_not_fit_leaves_every_grad():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    y.grad = tensor([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"\.grad has shape \(3,\)"):
        (x * y).sum().backward()
    assert x.grad is None


def test_error_mid_forward_restores_the_mode():
    class Broken(Function):
        @staticmethod
        def forward(ctx, x):
            assert not autograd.is_grad_enabled()
            raise ZeroDivisionError("planted")

    with pytest.raises(ZeroDivisionError):
        Broken.apply(leaf([1.0]))
    assert autograd.is_grad_enabled()


# -- life time ----------------------------------------------------------------------------------


@pytest.fixture
def collector_off():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def live_nodes_after(loop):
    before = alive()
    for _ in range(20):
        loop()
    return alive() - before


def run_plain():
    x = leaf([1.0, 2.0])
    y = (x * x).exp()
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    y.sum().backward()


def run_retained():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()


def run_second_order():
    x = leaf([1.0, 2.0])
    (g,) = grad((x * x * x).sum(), x, create_graph=True)
    g.sum().backward()


def run_abandoned():
    x = leaf([1.0, 2.0])
    ((x * x).exp()[0] * x.sum()).sin()


def run_error_in_backward():
    x = leaf([1.0, 2.0])
    with contextlib.suppress(ZeroDivisionError):
        (Fails.apply(x * x) * x).sum().backward()


def run_in_place():
    x = leaf([[1.0, 2.0]])
    y = x * 1
    first, second = y[0], y[:, :1]
    first.mul_(x[0])
    second.exp_()
    (y.sum() + first.sum()).backward()


def run_multi_output():
    a, _ = TwoOutputs.apply(leaf([1.0]))
    a.sum().backward()


def run_checkpoint():
    x = leaf([1.0, 2.0])
    autograd.checkpoint(lambda t: (t * t).exp(), x * 1).sum().backward()


@pytest.mark.parametrize(
    "loop",
    [run_plain, run_retained, run_second_order, run_abandoned, run_error_in_backward,
     run_in_place, run_multi_output, run_checkpoint],
)  # fmt: skip
def test_graphs_die_without_the_garbage_collector(loop, collector_off):
    loop()
    TwoOutputs.got = None
    assert live_nodes_after(loop) == 0


def test_saved_arrays_are_freed_during_backward(collector_off):
    x = leaf(np.ones(3))
    y = x * x
    out = y.exp().sum()
    out.backward()
    assert y.grad_fn._saved is None


DEEP = """
    import gc, sys
    sys.setrecursionlimit(150)
    gc.disable()
    from tinyconv.autograd import Function, TensorBase, draw, grad
    from tinyconv import tensor  # noqa: F401  (makes the public class known)
    from tinyconv.backend import as_device
    import numpy as np
    device = as_device()
    def leaf(v): return TensorBase.public_class(np.array(v), device, True)
    {body}
    print("done")
"""


def run_deep(body):
    source = textwrap.dedent(DEEP).replace("{body}", textwrap.dedent(body))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "done"


def test_chain_of_100_000_ops():
    run_deep("""
        x = leaf([2.0])
        y = x
        for _ in range(100_000):
            y = y + 1.0
        y.backward()
        assert x.grad.array[0] == 1.0
        del y
        y = x
        for _ in range(100_000):
            y = -y
        (g,) = grad(y, x)
        assert g.array[0] == 1.0
        text = draw(y)
        assert text.count("->") == 100_001
        del y, text
        gc.enable()
        assert not any(issubclass(type(o), Function) for o in gc.get_objects())
    """)


def test_chain_of_views_with_in_place_writes():
    run_deep("""
        x = leaf([2.0, 3.0])
        base = x * 1.0
        y = base
        for _ in range(20_000):
            y = y.reshape((2, 1)).reshape((2,))
        y.mul_(2.0)
        y.sum().backward()
        assert x.grad.array[0] == 2.0
        del y, base
    """)


def test_diamond_of_2_to_the_60_paths():
    run_deep("""
        x = leaf([1.0])
        y = x
        for _ in range(60):
            y = y + y
        y.backward()
        assert x.grad.array[0] == 2.0**60
        y = x
        for _ in range(60):
            y = y + y
        assert grad(y, x)[0].array[0] == 2.0**60
    """)


def test_fan_in_of_100_000():
    run_deep("""
        class Collect(Function):
            @staticmethod
            def forward(ctx, *xs):
                ctx.n = len(xs)
                return xs[0].wrap(np.array([sum(x.array[0] for x in xs)]))
            @staticmethod
            def backward(ctx, g):
                return (g,) * ctx.n
        x = leaf([1.0])
        Collect.apply(*[x] * 100_000).backward()
        assert x.grad.array[0] == 100_000
        x.grad = None
        h = x * 1.0
        total = h
        for _ in range(30_000):
            total = total + h
        total.backward()
        assert x.grad.array[0] == 30_001
        del h, total
    """)


# -- threads ------------------------------------------------------------------------------------


def in_threads(work, count=8):
    results, errors = [None] * count, []

    def run(number):
        try:
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors
    return results


def test_modes_belong_to_a_thread():
    barrier = threading.Barrier(8)

    def work(number):
        modes = [no_grad, enable_grad, inference_mode]
        with modes[number % 3]():
            barrier.wait()
            seen = autograd.is_grad_enabled(), autograd.is_inference_mode_enabled()
            barrier.wait()
        return seen

    with no_grad():
        seen = in_threads(work)
    expected = [(False, False), (True, False), (False, True)]
    assert seen == [expected[n % 3] for n in range(8)]


def test_threads_with_graphs_of_their_own_give_serial_results():
    def work(number):
        x = leaf(np.linspace(0, 1, 5) + number)
        for _ in range(50):
            (x * x * 0.1).exp().sum().backward()
        return host(x.grad)

    for number, result in enumerate(in_threads(work)):
        np.testing.assert_array_equal(result, work(number))


def test_threads_share_a_frozen_graph():
    w = tensor([2.0, 3.0])

    def work(number):
        x = leaf([1.0 * number, 1.0])
        (x * w).sum().backward()
        return host(x.grad)

    for result in in_threads(work):
        np.testing.assert_array_equal(result, [2.0, 3.0])
