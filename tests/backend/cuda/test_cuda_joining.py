"""Joining arrays and cutting them apart by the CUDA kernel."""

import numpy as np
import pytest
from cuda_cases import launches, numbers, xp
from cuda_emulator import COMPILER, emulated, emulated_device
from kernel_cases import LAYOUTS

import tinyconv as tc
from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import joining

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
WIDTHS = [(8, 16), (5, 3, 1), (4,), (0, 4, 0, 8), (1,) * 40, (12, 0), (7, 9)]


@pytest.fixture(autouse=True)
def emulator():
    with emulated() as runner:
        yield runner


def run(name, *arguments):
    return cuda.override(name)(xp, *arguments)


def last(x):
    """Return the same numbers in channels-last memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("order", [np.ascontiguousarray, last])
@pytest.mark.parametrize("widths", WIDTHS)
def test_joined_and_cut_apart(widths, order, dtype, axis, emulator, monkeypatch):
    monkeypatch.setattr(emulator, "multiprocessors", 1, raising=False)
    monkeypatch.setattr(joining, "BLOCKS", 1)  # so that blocks go over the rows several times
    monkeypatch.setattr(joining, "THREADS", 32)
    shape = [2, 4, 5, 13]
    parts = []
    for seed, width in enumerate(widths):
        shape[axis] = width
        parts.append(order(numbers(tuple(shape), dtype, seed)))
    whole = run("concat", axis, *parts)
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=axis))
    pieces = run("split", whole, tuple(widths), axis)
    for piece, part in zip(pieces, parts, strict=True):
        np.testing.assert_array_equal(piece, part)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_laid_out_otherwise(layout):
    x, y = last(numbers((2, 8, 5, 6))), LAYOUTS[layout](numbers((2, 12, 5, 6), seed=1))
    whole = run("concat", 1, x, y)
    np.testing.assert_array_equal(whole, np.concatenate([x, y], axis=1))
    assert np.moveaxis(whole, 1, -1).flags.c_contiguous


def test_pieces_of_channels_have_no_gaps():
    x = last(numbers((2, 12, 5, 6)))
    for piece in run("split", x, (4, 8), 1):
        assert np.moveaxis(piece, 1, -1).flags.c_contiguous
        assert not np.shares_memory(piece, x)
    for piece in run("split", x, (1, 1), 0):
        assert np.shares_memory(piece, x)


def test_gradients_through_a_network(monkeypatch):
    def step():
        x = tc.tensor(numbers((2, 8, 6, 6)), requires_grad=True)
        a, b = x * 2, x[:, :3] * 3
        y = tc.cat([a, b, a], dim=1)
        (y * y).sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    expected = step()
    with emulated_device():
        for one, other in zip(step(), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_launch_for_all_parts(monkeypatch):
    names = launches(monkeypatch)
    x = [last(numbers((2, 4, 5, 6), seed=seed)) for seed in range(joining.MOST + 1)]
    run("concat", 1, *x[:-1])
    assert names == ["join"]
    whole = run("concat", 1, *x)
    assert names == ["join"] * 3
    np.testing.assert_array_equal(whole, reference.concat(np, 1, *x))
