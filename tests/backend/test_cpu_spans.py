"""The tables of a sliding window against its definition, and depthwise multipliers."""

from itertools import product

import numpy as np
import pytest
from kernel_cases import assert_close, random_array

from tinyconv import config
from tinyconv.backend import reference
from tinyconv.backend.cpu.convolution import depthwise
from tinyconv.backend.cpu.loops.spans import backward_span, forward_span, long_pixels, strided_runs

CASES = list(product((1, 4, 9), (1, 2, 5), (1, 2, 3), (0, 1, 4), (1, 2, 3)))


def pairs(size, out, k, s, before, d):
    """Return all (input, output, tap) that meet."""
    places = product(range(out), range(k))
    found = ((o * s - before + t * d, o, t) for o, t in places)
    return {(i, o, t) for i, o, t in found if 0 <= i < size}


@pytest.mark.parametrize(("size", "k", "s", "before", "d"), CASES)
def test_spans_hold_every_meeting_once(size, k, s, before, d):
    out = max((size + 2 * before - d * (k - 1) - 1) // s + 2, 1)
    expected, g = pairs(size, out, k, s, before, d), np.gcd(s, d)
    forward = forward_span(size, out, k, s, before, d)
    met = [(p + j * d, o, t + j) for o, (t, n, p) in enumerate(forward) for j in range(n)]
    assert sorted(met) == sorted(expected)
    backward = backward_span(size, out, k, s, before, d)
    met = [
        (i, p - j * d // g, t + j * s // g)
        for i, (t, n, p) in enumerate(backward)
        for j in range(n)
    ]
    assert sorted(met) == sorted(expected)

    for span, runs, step, source in (
        (forward, long_pixels(forward), 1, 1),
        (forward, strided_runs(forward, 1, s), 1, s),
        (backward, strided_runs(backward, s, 1), s, 1),
    ):
        spread = {
            first + j * step: (t, n, p + j * source * (n > 0))
            for first, length, t, n, p in runs
            for j in range(length)
        }
        assert [spread[i] for i in range(len(span))] == span


@pytest.mark.parametrize("channels", [3, 16, 70])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_several_outputs_a_channel(channels, multiplier):
    stride, before, dilation, padding = (2, 1), (1, 1), (1, 2), ((1, 1), (1, 1))
    x, outputs = random_array((2, channels, 9, 8), "float32"), channels * multiplier
    w, bias = random_array((outputs, 1, 3, 3), "float32"), random_array((outputs,), "float32")
    rest = (stride, padding, dilation, channels)
    y = reference.conv(np, x, w, bias, *rest)
    dy = random_array(y.shape, "float32")
    pixels = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    slopes = np.ascontiguousarray(dy.transpose(0, 2, 3, 1))
    geometry = (stride, before, dilation)
    assert depthwise.applies(w, channels, multiplier=True)
    assert depthwise.applies(w, channels) == (multiplier == 1)
    results = []
    for threads in (1, 2):
        with config.override(num_threads=threads):
            results.append((
                depthwise.forward(pixels, w, bias, y.shape[2:], *geometry),
                depthwise.input_grad(slopes, w, (9, 8), *geometry, channels),
                depthwise.weight_grad(pixels, slopes, (3, 3), *geometry),
            ))  # fmt: skip
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    forward, dx, dw = results[0]
    assert_close(forward.transpose(0, 3, 1, 2), y, 20)
    exact = reference.conv_input_grad(np, dy, w, (9, 8), *rest)
    assert_close(dx.transpose(0, 3, 1, 2), exact, 20)
    assert_close(dw, reference.conv_weight_grad(np, x, dy, (3, 3), *rest), 60)
