"""Convolutions on CUDA that find mean and variance of their results while they write them."""

import numpy as np
import pytest
from cuda_cases import launches, plant
from cuda_emulator import COMPILER, emulated, emulated_device
from kernel_cases import NONE, geometry, random_array
from product_cases import KINDS, SMALL, use_tiles, xp

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import norm
from tinyconv.backend.cuda.products import choice
from tinyconv.nn import functional as F

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
TILES = dict(choice.TILES)
PAD = ((1, 1), (1, 1))
ONE, TWO = (1, 1), (2, 2)
SHAPES = {
    "channels of 16 bytes": geometry(2, 24, 40, (9, 10), (3, 3), ONE, PAD, ONE),
    "odd channels": geometry(2, 7, 37, (6, 5), (3, 2), TWO, PAD, ONE),
    "one column in the last tile": geometry(1, 16, 33, (8, 8), (3, 3), ONE, PAD, ONE),
    "one row in the last tile": geometry(1, 16, 32, (5, 13), (3, 3), ONE, PAD, ONE),
    "one row": geometry(1, 16, 24, (3, 3), (3, 3), ONE, NONE, ONE),
    "groups": geometry(2, 64, 96, (5, 6), (3, 3), ONE, PAD, ONE, 2),
    "groups of odd channels": geometry(2, 34, 38, (5, 6), (3, 3), ONE, PAD, ONE, 2),
    "one tap": geometry(3, 40, 72, (7, 6), ONE, ONE, NONE, ONE),
    "one tap, odd channels": geometry(3, 37, 35, (5, 6), ONE, ONE, NONE, ONE),
    "one tap, groups": geometry(3, 64, 96, (5, 6), ONE, ONE, NONE, ONE, 2),
    "one tap, a stride": geometry(3, 24, 40, (7, 6), ONE, TWO, NONE, ONE),
    "images of three channels": geometry(2, 3, 24, (12, 11), (7, 7), TWO, ((3, 3),) * 2, ONE),
    "a sequence": geometry(2, 16, 24, (40,), (3,), (1,), ((1, 1),), (1,)),
    "volumes": geometry(1, 16, 24, (5, 4, 6), (3, 1, 3), (1,) * 3, ((1, 1),) * 3, (1,) * 3),
    "a kernel wider than the mask": geometry(1, 17, 20, (40,), (25,), (3,), ((2, 9),), (1,)),
}
#: These have kernels of their own, and a pass over the result.
WITHOUT = {
    "depthwise": geometry(2, 24, 24, (9, 8), (3, 3), ONE, PAD, ONE, 24),
    "few channels": geometry(2, 3, 6, (9, 8), (3, 3), ONE, PAD, ONE),
}


@pytest.fixture(autouse=True)
def runner(monkeypatch):
    use_tiles(monkeypatch, SMALL)
    with emulated() as runner:
        yield runner


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes over a map for its statistics."""
    calls, statistics = [], norm.statistics

    def counted(*arguments):
        calls.append(1)
        return statistics(*arguments)

    monkeypatch.setattr(norm, "statistics", counted)
    return calls


def operands(g, kind, offset=0.0):
    """Return x, w and the bias of a geometry, and its settings."""
    dtype = KINDS[kind][0]
    x = random_array((g.batch, g.channels, *g.spatial)).astype(dtype)
    w = random_array((g.out_channels, g.channels // g.groups, *g.kernel)).astype(dtype)
    bias = (random_array((g.out_channels,)) + offset).astype(dtype)
    return x, w, bias, g.stride, g.padding, g.dilation, g.groups


def run(kind, *arguments):
    with config.override(float32_precision=KINDS[kind][1]):
        return cuda.override("conv_with_statistics")(xp, *arguments)


def check_statistics(g, kind, offset=0.0):
    """Compare with the reference: the map by its bound, its statistics with those of the map."""
    arguments = operands(g, kind, offset)
    y, mean, var = run(kind, *arguments)
    with config.override(float32_precision=KINDS[kind][1]):
        np.testing.assert_array_equal(y, cuda.override("conv")(xp, *arguments))
    right = reference.batch_statistics(np, y.astype(np.float64))
    assert mean.dtype == var.dtype == np.float64
    assert mean.shape == var.shape == (g.out_channels,)
    scale = np.sqrt(right[1]) + 1e-3 * np.abs(right[0])
    assert (np.abs(mean - right[0]) <= 2e-7 * scale).all()
    np.testing.assert_allclose(var, right[1], rtol=4e-7, atol=1e-12 * max(offset, 1) ** 2)
    return y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name, kind, passes):
    check_statistics(SHAPES[name], kind)
    assert not passes


@pytest.mark.parametrize("name", WITHOUT)
def test_kernels_that_find_no_statistics(name, passes):
    check_statistics(WITHOUT[name], "bfloat16")
    assert passes


@pytest.mark.parametrize(
    ("kind", "math", "number"),
    [("bfloat16", "HALF", i) for i in range(4)]
    + [("tf32", "TF32", i) for i in range(4)]
    + [("exact", "EXACT", i) for i in range(4)],
)
def test_every_tile(kind, math, number, monkeypatch, passes):
    tile = TILES[math][number]
    use_tiles(monkeypatch, dict.fromkeys(SMALL, tile))
    check_statistics(geometry(2, 24, 136, (9, 10), (3, 3), ONE, PAD, ONE), kind)
    check_statistics(geometry(2, 40, 136, (9, 10), ONE, ONE, NONE, ONE), kind)
    assert not passes


def test_slices_of_the_depth_leave_no_tile_a_whole_sum(monkeypatch, runner, passes):
    monkeypatch.setattr(runner, "multiprocessors", 20, raising=False)
    monkeypatch.setattr(choice, "SHORTEST", 1)
    for kind in ("exact", "tf32", "bfloat16"):
        check_statistics(geometry(1, 96, 40, (5, 6), ONE, ONE, NONE, ONE), kind)
        assert passes
        passes.clear()
        check_statistics(geometry(1, 96, 40, (5, 6), (3, 3), ONE, PAD, ONE), kind)
        assert not passes


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("name", ["channels of 16 bytes", "one tap"])
def test_a_mean_that_is_large(name, offset):
    check_statistics(SHAPES[name], "exact", offset)


def test_a_first_number_far_from_the_mean():
    g = SHAPES["one tap"]
    x, w, *rest = operands(g, "exact")
    x[:, :, 0, 0] = 1e4
    y, mean, var = run("exact", x, w, *rest)
    right = reference.batch_statistics(np, y.astype(np.float64))
    np.testing.assert_allclose(mean, right[0], rtol=1e-6)
    np.testing.assert_allclose(var, right[1], rtol=1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, -1])
def test_what_is_not_finite(value, place):
    x, w = np.ones((2, 36, 6, 6), np.float32), np.ones((34, 36, 1, 1), np.float32)
    x[place, 1, place, place] = value
    rest = (None, ONE, NONE, ONE, 1)
    with np.errstate(invalid="ignore"):
        right = reference.conv_with_statistics(np, x, w, *rest)
    for one, other in zip(run("exact", x, w, *rest), right, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_empty_batch_and_float64():
    empty = geometry(0, 24, 40, (9, 10), (3, 3), ONE, PAD, ONE)
    y, mean, var = run("exact", *operands(empty, "exact"))
    assert y.shape == (0, 40, 9, 10)
    np.testing.assert_array_equal((mean, var), np.zeros((2, 40)))
    x, w, bias, *rest = operands(SHAPES["one tap"], "exact")
    wide = [a.astype(np.float64) for a in (x, w, bias)]
    right = reference.conv_with_statistics(np, *wide, *rest)
    for one, other in zip(run("exact", *wide, *rest), right, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kept", ["float32", "float64"])
@pytest.mark.parametrize("name", ["channels of 16 bytes", "one tap", "groups"])
def test_running_averages_are_moved(name, kept, passes):
    arguments = operands(SHAPES[name], "exact", 3.0)
    averages = [random_array((SHAPES[name].out_channels,), kept, seed) for seed in (1, 2)]
    moved = *(average.copy() for average in averages), np.array(0)
    y, *_ = run("exact", *arguments, None, moved, 0.25)
    expected = tuple(average.astype(np.float64) for average in averages)
    reference.batch_statistics(np, y.astype(np.float64), expected, 0.25)
    for one, other in zip(moved[:2], expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert moved[2] == 1
    assert not passes


def test_the_same_bits_every_time():
    arguments = operands(SHAPES["groups"], "tf32")
    for one, other in zip(run("tf32", *arguments), run("tf32", *arguments), strict=True):
        np.testing.assert_array_equal(one, other)


#: What goes wrong: what stands in moments.cuh, and what stands there then.
FAULTS = {
    "rows beyond the last one": ("row < end.rows; row", "row < BM; row"),
    "threads share no column": ("threadIdx.x % ACROSS * V;", "threadIdx.x / DOWN * V;"),
    "results overwritten before they are read": ("__syncthreads();  // the results", "// the"),
    "squares not put together": ("of.squares + distance * distance * rows_of(i)", "of.squares"),
    "rows of every thread alike": ("of.sum / rows_of(i)", "of.sum / rows_of(0)"),
    "nothing taken off": ("to_float(x.at[k]) - centre[k]", "to_float(x.at[k])"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_noticed(fault, monkeypatch):
    plant(monkeypatch, "moments.cuh", *FAULTS[fault])
    with emulated(), pytest.raises((AssertionError, RuntimeError)):
        check_statistics(geometry(1, 16, 32, (5, 15), (3, 3), ONE, PAD, ONE), "exact", offset=3.0)


# ---- in a network ------------------------------------------------------------------------------


def network(kernel, dtype):
    """Return a convolution, and a normalisation in training, of fixed parameters."""
    conv = nn.Conv2d(16, 24, kernel, padding=kernel // 2, bias=False)
    bn = nn.BatchNorm2d(24)
    with tc.no_grad():
        for p in (*conv.parameters(), *bn.parameters()):
            p.copy_(tc.tensor(random_array(tuple(p.shape), "float32")))
    return conv.to(dtype=dtype), bn


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_step_is_a_pass_shorter(kernel, monkeypatch):
    with emulated_device():
        names = launches(monkeypatch)
        conv, bn = network(kernel, tc.float32)
        x = tc.tensor(random_array((4, 16, 16, 16), "float32")) * 1
        counts = {}
        for mode in ("auto", "off"):
            with config.fusion.override(mode):
                names.clear()
                y = bn(conv(x))
                assert y.array is not None
                counts[mode] = sorted(names)
    product = "matmul" if kernel == 1 else "conv"
    orders = ["channels_last"] * (1 if kernel == 1 else 2)  # of the images, and of several taps
    rest = "merge_moments", "normalise", *orders
    assert counts["off"] == sorted([product, "moments", *rest])
    assert counts["auto"] == sorted([product, *rest])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_gradients_are_those_of_the_ops_one_by_one(kernel, dtype):
    def step():
        conv, bn = network(kernel, getattr(tc, dtype))
        x = tc.tensor(random_array((4, 16, 16, 16), "float32")).to(getattr(tc, dtype))
        x.requires_grad_()
        y = F.relu(bn(conv(x * 1)))
        (y * y).float().mean().backward()
        tensors = y, x.grad, *(p.grad for p in (*conv.parameters(), *bn.parameters()))
        return [t.detach().double().numpy() for t in (*tensors, bn.running_mean, bn.running_var)]

    results = []
    with emulated_device():
        for mode in ("auto", "off"):
            with config.fusion.override(mode):
                results.append(step())
    bound = 1e-5 if dtype == "float32" else 2e-2
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * np.abs(other).max())


def test_second_gradients_are_those_of_the_ops_one_by_one():
    def step():
        conv, bn = network(3, tc.float32)
        x = tc.tensor(random_array((4, 16, 16, 16), "float32"), requires_grad=True)
        y = bn(conv(x * 1))
        loss = (y.tanh() * tc.tensor(random_array(tuple(y.shape), "float32", 1))).sum()
        (first,) = tc.autograd.grad(loss, [x], create_graph=True)
        (first * first).sum().backward()
        return [
            t.grad.numpy() for t in (x, *conv.parameters(), *bn.parameters()) if t.grad is not None
        ]

    results = []
    with emulated_device(), config.override(float32_precision="highest"):
        for mode in ("auto", "off"):
            with config.fusion.override(mode):
                results.append(step())
    assert len(results[0]) >= 3
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())


def test_a_result_that_was_looked_at_is_measured_by_a_pass():
    with emulated_device():
        conv, bn = network(3, tc.float32)
        x = tc.tensor(random_array((4, 16, 16, 16), "float32")) * 1
        y = conv(x)
        expected = bn(conv(x)).detach().numpy().copy()
        y.sum().item()
        np.testing.assert_allclose(bn(y).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
