"""Winograd's convolution against float64, on both of its ways, and its algebra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyconv as tc
from tinyconv import config
from tinyconv.backend import reference
from tinyconv.backend.cpu import conv
from tinyconv.backend.cpu.convolution import winograd
from tinyconv.backend.cpu.convolution.choice import choose, estimate, step_of_product
from tinyconv.backend.cpu.convolution.cook_toom import cook_toom
from tinyconv.backend.cpu.host import host
from tinyconv.errors import ConfigError


@pytest.mark.parametrize(("outputs", "taps"), [(4, 3), (3, 4), (2, 3), (3, 2), (2, 5), (5, 2)])
def test_matrices_compute_a_correlation(outputs, taps):
    matrices = cook_toom(outputs, taps)
    d, g = np.arange(1.0, outputs + taps), np.arange(3.0, 3 + taps) ** 2
    product = (np.array(matrices.weight) @ g) * (np.array(matrices.input) @ d)
    np.testing.assert_allclose(np.array(matrices.output) @ product, np.correlate(d, g), rtol=1e-12)


def check(batch, channels, outputs, spatial, padding, taps=3, dilation=(1, 1)):
    """Compare forward pass and both gradients with the reference in float64."""
    rng = np.random.default_rng([batch, channels, outputs, *spatial])
    out = tuple(
        n + sum(p) - d * (taps - 1) for n, p, d in zip(spatial, padding, dilation, strict=True)
    )
    x = rng.standard_normal((batch, channels, *spatial)).astype(np.float32)
    w = rng.standard_normal((outputs, channels, taps, taps)).astype(np.float32)
    dy = rng.standard_normal((batch, outputs, *out)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    rest = ((1, 1), padding, dilation, 1)
    wide = [a.astype(np.float64) for a in (x, w, dy, bias)]
    with config.override(conv_algorithm="winograd"):
        results = (
            conv.conv(np, x, w, bias, *rest),
            conv.conv(np, x, w, bias, *rest, (-1.0, 2.0)),
            conv.conv_input_grad(np, dy, w, spatial, *rest),
            conv.conv_weight_grad(np, x, dy, (taps, taps), *rest),
        )
    y = reference.conv(np, wide[0], wide[1], wide[3], *rest)
    exact = (
        (y, y),
        (np.clip(y, -1.0, 2.0), y),
        (reference.conv_input_grad(np, wide[2], wide[1], spatial, *rest),) * 2,
        (reference.conv_weight_grad(np, wide[0], wide[2], (taps, taps), *rest),) * 2,
    )
    for result, (expected, scale) in zip(results, exact, strict=True):
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        if expected.size:
            error = np.abs(result - expected).max()
            assert error <= 2e-5 * max(np.abs(scale).max(), 1e-3)


PADDINGS = st.tuples(st.integers(0, 4), st.integers(0, 4))


@pytest.mark.parametrize("taps", [3, 5])
@given(
    st.integers(0, 3), st.integers(1, 70), st.integers(1, 70),
    st.tuples(st.integers(5, 14), st.integers(5, 14)), st.tuples(PADDINGS, PADDINGS),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_any_shape(taps, batch, channels, outputs, spatial, padding):
    check(batch, channels, outputs, spatial, padding, taps)


@pytest.mark.parametrize("taps", [3, 5])
@given(
    st.integers(1, 2), st.integers(1, 40), st.integers(1, 40),
    st.tuples(st.integers(13, 20), st.integers(13, 20)), st.tuples(PADDINGS, PADDINGS),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip
@settings(deadline=None, max_examples=20)
def test_dilation(taps, batch, channels, outputs, spatial, padding, dilation):
    check(batch, channels, outputs, spatial, padding, taps, dilation)


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize(("channels", "outputs"), [(48, 12), (12, 48), (3, 64), (70, 17)])
def test_gradient_of_narrow_weights(channels, outputs, taps):
    assert winograd.turns(channels, outputs) == ((channels, outputs) in ((48, 12), (70, 17)))
    check(4, channels, outputs, (21, 34), ((1, 1), (0, 1)), taps)


def take(shallow, monkeypatch):
    """Have all layers be shallow, or deep."""
    for question in ("is_shallow", "has_shallow_sums"):
        monkeypatch.setattr(winograd, question, lambda *shape: shallow)


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("deep_bytes", [1, 100_000, 1 << 30])
def test_deep_layers_in_parts_and_chunks(deep_bytes, taps, monkeypatch):
    take(False, monkeypatch)
    monkeypatch.setattr(winograd, "DEEP_BYTES", deep_bytes)
    monkeypatch.setattr(winograd, "CHUNK", 16)
    check(3, 40, 37, (13, 18), ((1, 1), (2, 0)), taps)


@pytest.mark.parametrize("partial_bytes", [1, 1 << 20])
def test_shallow_layers_with_little_memory_for_partial_sums(partial_bytes, monkeypatch):
    take(True, monkeypatch)
    monkeypatch.setattr(winograd, "PARTIAL_BYTES", partial_bytes)
    check(7, 33, 40, (20, 17), ((1, 1), (1, 1)))
    check(7, 40, 33, (20, 17), ((1, 1), (1, 1)))


@pytest.mark.parametrize(("taps", "dilation", "outputs"), [(3, 1, 70), (5, 2, 70), (3, 1, 12)])
@pytest.mark.parametrize("shallow", [False, True])
def test_threads_do_not_change_a_bit(shallow, taps, dilation, outputs, monkeypatch):
    take(shallow, monkeypatch)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 21, 22, 40)).astype(np.float32)
    dy = rng.standard_normal((6, 21, 22, outputs)).astype(np.float32)
    w = rng.standard_normal((outputs, 40, taps, taps)).astype(np.float32)
    places = (taps // 2 * dilation,) * 2, (dilation,) * 2
    results = []
    for threads in (1, 2, 3):
        with config.override(num_threads=threads):
            results.append((
                winograd.correlate(x, w, False, None, (21, 22), *places),
                winograd.correlate(dy, w, True, None, (21, 22), *places),
                winograd.weight_grad(x, dy, taps, *places),
            ))  # fmt: skip
    for one, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)


def test_deep_and_shallow_layers_have_the_same_bits(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 11, 13, 230)).astype(np.float32)
    w = rng.standard_normal((40, 230, 3, 3)).astype(np.float32)
    results = []
    for shallow in (False, True):
        take(shallow, monkeypatch)
        results.append(winograd.correlate(x, w, False, None, (11, 13), (1, 1), (1, 1)))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("taps", [3, 5])
def test_an_image_does_not_depend_on_its_batch(taps):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 19, 23, 24)).astype(np.float32)
    w = rng.standard_normal((40, 24, taps, taps)).astype(np.float32)
    whole, alone = (
        winograd.correlate(images, w, False, None, (19, 23), (taps // 2,) * 2, (1, 1))
        for images in (x, x[3:4])
    )
    np.testing.assert_array_equal(whole[3:4], alone)


ONE = (1, 1)
LAYER = ((8, 64, 56, 56), (64, 64, 3, 3), (56, 56), ONE, ONE, ONE, 1, np.dtype(np.float32))


def test_a_step_of_a_product_takes_longer_where_tiles_are_not_full():
    rows = host().rows
    full = step_of_product(10 * rows, 2) / (20 * rows)
    assert 1 <= full < 1.1
    assert step_of_product(10 * rows, 4) == 2 * step_of_product(10 * rows, 2)
    assert 1.1 * full < step_of_product(10 * rows, 1) / (10 * rows)
    for fewer in range(1, rows):
        assert step_of_product(fewer, 2) / (2 * fewer) > full
    assert step_of_product(1, 1) > 5, "a sum waits for itself"
    assert step_of_product(0, 2) == step_of_product(5, 0) == 0


def test_choice_follows_the_shape_the_precision_and_the_setting():
    assert choose("forward", *LAYER) == "winograd"
    with config.override(float32_precision="highest"):
        assert choose("forward", *LAYER) == "direct"
        with config.override(conv_algorithm="winograd"):
            assert choose("forward", *LAYER) == "direct"
    with config.override(conv_algorithm="direct"):
        assert choose("forward", *LAYER) == "direct"
    few = ((64, 1, 28, 28), (2, 1, 3, 3), (28, 28), ONE, ONE, ONE, 1, np.dtype(np.float32))
    assert choose("forward", *few) == "narrow"
    assert set(estimate("forward", *few)) == {"direct", "winograd", "narrow", "joined"}
    five = tuple({1: (64, 64, 5, 5), 2: (54, 54)}.get(i, v) for i, v in enumerate(LAYER))
    assert choose("forward", *five) == choose("weight_grad", *five) == "winograd"
    dilated = tuple({2: (54, 54), 5: (2, 2)}.get(i, v) for i, v in enumerate(LAYER))
    assert choose("forward", *dilated) == choose("weight_grad", *dilated) == "winograd"
    for change in (
        {3: (2, 2)}, {6: 2}, {7: np.dtype(np.float64)}, {1: (64, 64, 7, 7)}, {1: (64, 64, 3, 5)},
    ):  # fmt: skip
        other = tuple(change.get(i, value) for i, value in enumerate(LAYER))
        assert set(estimate("forward", *other)) == {"direct"}
    small = ((32, 512, 2, 2), (512, 512, 3, 3), (2, 2), ONE, ONE, ONE, 1, np.dtype(np.float32))
    for part in ("forward", "input_grad", "weight_grad"):
        assert choose(part, *small) == "positions"


def test_setting_names_what_it_knows():
    with (
        pytest.raises(ConfigError, match="auto, direct, winograd"),
        config.override(conv_algorithm="fft"),
    ):
        pass


def test_second_gradients_agree_with_the_direct_algorithm():
    results = []
    for algorithm in ("direct", "winograd"):
        tc.manual_seed(0)
        x, w = tc.randn(2, 5, 9, 8, requires_grad=True), tc.randn(6, 5, 3, 3, requires_grad=True)
        with config.override(conv_algorithm=algorithm):
            y = tc.nn.functional.conv2d(x, w, padding=1)
            first = tc.autograd.grad((y * y).sum(), (x, w), create_graph=True)
            second = tc.autograd.grad(sum((g * g).sum() for g in first), (x, w))
        results.append([t.numpy() for t in (y.detach(), *(g.detach() for g in first), *second)])
    for direct, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, direct, atol=3e-5 * np.abs(direct).max())


def test_explain_says_what_is_chosen_and_what_it_takes():
    text = tc.backend.cpu.explain((2, 16, 12, 12), (32, 16, 3, 3), padding=1, measure=True)
    lines = text.splitlines()
    assert "estimate" in lines[0]
    assert "measured" in lines[0]
    assert sum("<-" in line for line in lines) == 3
    assert sum("winograd" in line for line in lines) == 3
