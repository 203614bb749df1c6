"""Other memory orders of images, and rows made of them: against NumPy, and what stays a view."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import LAYOUTS

import tinyconv as tc
from tinyconv.backend.cpu import relayout
from tinyconv.backend.cpu.layout import LARGE


def images(shape, dtype="float32"):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.fixture
def transposed(monkeypatch):
    """Return the shapes of what was transposed by the kernel."""
    seen, original = [], relayout.to_channels_last
    monkeypatch.setattr(relayout, "to_channels_last", lambda x: seen.append(x.shape) or original(x))
    return seen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 40, 17, 19), (2, 16, 5, 11, 13), (7, 33, 120)])
@pytest.mark.parametrize("unknown", [False, True])
def test_images_become_rows(shape, dtype, unknown, transposed):
    x = images(shape, dtype)
    wanted = (shape[0], -1 if unknown else x.size // shape[0])
    y = relayout.reshape(np, channels_last(x), wanted)
    np.testing.assert_array_equal(y, x.reshape(wanted))
    assert y.flags.c_contiguous
    assert transposed == [(shape[0], np.prod(shape[2:]), shape[1])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 5, 57, 79), (2, 20, 5, 11, 13), (7, 33, 120)])
@pytest.mark.parametrize("unknown", [False, True])
def test_images_become_pixels(shape, dtype, unknown, transposed):
    x = np.moveaxis(images(shape, dtype), 1, -1)
    wanted = (-1 if unknown else x.size // shape[1], shape[1])
    y = relayout.reshape(np, x, wanted)
    np.testing.assert_array_equal(y, np.ascontiguousarray(x).reshape(wanted))
    assert transposed == [shape]


@given(
    st.lists(st.integers(1, 40), min_size=3, max_size=4),
    st.sampled_from(sorted(LAYOUTS)),
    st.integers(0, 4),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_any_layout_and_cut(shape, layout, cut, last):
    x = LAYOUTS[layout](images((*shape, -(-LARGE // int(np.prod(shape))))))
    x = np.moveaxis(x, 1, -1) if last else x
    rows = int(np.prod(x.shape[:cut]))
    for wanted in ((rows, x.size // rows), (rows, -1), (-1, x.size // rows)):
        y = relayout.reshape(np, x, wanted)
        expected = x.reshape(wanted)
        np.testing.assert_array_equal(y, expected)
        assert np.shares_memory(y, x) == np.shares_memory(expected, x)


def test_impossible_shapes_raise_as_ever():
    x = tc.from_numpy(channels_last(images((3, 40, 17, 19))))
    for shape in ((-1, 0), (-1, -1), (3, 7), (-1, 7), (-2, 3)):
        with pytest.raises(tc.errors.ShapeError, match="reshape"):
            x.reshape(shape)


def test_gradients_of_a_flattened_image():
    x = tc.from_numpy(channels_last(images((3, 40, 17, 19), "float64"))).requires_grad_()
    weight = tc.rand(3, 40 * 17 * 19, dtype=tc.float64)
    (x.flatten(1) ** 2 * weight).sum().backward()
    expected = 2 * x.detach() * weight.reshape(3, 40, 17, 19)
    np.testing.assert_allclose(x.grad.numpy(), expected.numpy())
