"""Joining and cutting large images, and dropout: memory orders, and the bits of the masks."""

import numpy as np
import pytest
from kernel_cases import LAYOUTS, random_array

from tinyconv import config
from tinyconv.backend import backends, reference
from tinyconv.backend.cpu import dropout as drop
from tinyconv.backend.cpu import joining
from tinyconv.backend.random import bernoulli, key_and_counter


@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_concat_and_split(axis, layout):
    shapes = [[4, 12, 30, 28] for _ in range(3)]
    for shape, size in zip(shapes, (1, 0, 17), strict=True):
        shape[axis] = size
    parts = [LAYOUTS[layout](random_array(shape, seed=i)) for i, shape in enumerate(shapes)]
    whole = joining.concat(np, axis, *parts)
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=axis))
    for change in (LAYOUTS[layout], LAYOUTS["channels_last"]):
        for piece, part in zip(
            joining.split(np, change(whole), (1, 0, 17), axis), parts, strict=True
        ):
            np.testing.assert_array_equal(piece, part)


def test_channels_last_stays():
    parts = [LAYOUTS["channels_last"](random_array((4, c, 30, 28))) for c in (8, 5)]
    whole = joining.concat(np, 1, *parts)
    assert whole.transpose(0, 2, 3, 1).flags.c_contiguous
    for piece in joining.split(np, whole, (8, 5), 1):
        assert piece.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "negative"])
@pytest.mark.parametrize("shape", [(1,), (7,), (64, 130), (3, 5, 40, 41), (2, 3, 70), (0, 3)])
def test_dropout_has_the_bits_of_bernoulli(shape, layout, threads):
    x = LAYOUTS[layout](random_array(shape, "float32"))
    draw = (5, 1, 2**40 + 3)
    for p in (0.0, 0.25, 1.0):
        mask = bernoulli(backends()["cpu"], shape, p, *draw)
        with config.override(num_threads=threads):
            y, keep = drop.dropout(np, x, round(p * 2**32), 1.5, *key_and_counter(*draw))
        np.testing.assert_array_equal(keep, mask)
        np.testing.assert_array_equal(y, np.where(mask, x * np.float32(1.5), np.float32(0)))
        again, _ = reference.dropout(np, x, round(p * 2**32), 1.5, *key_and_counter(*draw))
        np.testing.assert_array_equal(y, again)


def test_what_is_dropped_may_be_anything():
    x = np.array([np.nan, np.inf, 1.0, np.nan], np.float32)
    keep = np.array([False, False, True, True])
    np.testing.assert_array_equal(drop.kept(np, x, keep, 2.0), [0, 0, 2, np.nan])
