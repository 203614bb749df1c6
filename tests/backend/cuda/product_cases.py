"""What the tests of convolutions and matrix products on a GPU share: tiles and error bounds."""

import types

import ml_dtypes
import numpy as np

from tinyconv import config
from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import conv, matmul  # noqa: F401  imported with all tiles
from tinyconv.backend.cuda.products import choice
from tinyconv.backend.cuda.products.choice import Tile

#: Small tiles: the emulator needs less than a millisecond for one.
SMALL = {
    "HALF": Tile(32, 32, 4, 3, 16, 32, 1),
    "TF32": Tile(32, 32, 4, 3, 32, 16, 1),
    "EXACT": Tile(32, 32, 2, 3, 16, 32, 1),
}
#: A dtype, and a precision: each a kind of arithmetic.
KINDS = {
    "exact": ("float32", "highest"),
    "tf32": ("float32", "high"),
    "bfloat16": (ml_dtypes.bfloat16, "high"),
    "float16": ("float16", "high"),
}
#: Largest error of one product, and of the result, relative to their sizes; and of tiny results.
ROUNDING = {
    "exact": (0, 0, 0),
    "tf32": (2.0**-10, 0, 0),
    "bfloat16": (0, 2.0**-8, 0),
    "float16": (0, 2.0**-11, 2.0**-25),
}


def _poisoned(*args, **kwargs):
    array = np.empty(*args, **kwargs)
    array.reshape(-1).view(np.uint8)[...] = 0xFF  # NaN
    return array


#: NumPy, but what is fresh holds NaN.
xp = types.ModuleType("poisoned numpy")
xp.__dict__.update(np.__dict__)
xp.empty = _poisoned


def use_tiles(monkeypatch, tiles):
    """Let every product take the tile of its kind of arithmetic."""
    monkeypatch.setattr(choice, "TILES", {math: (tile,) for math, tile in tiles.items()})


def wide(value):
    """Return an array in float64, and anything else as it is."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) else value


def absolute(value):
    """Return the sizes of the numbers of an array, in float64."""
    return np.abs(wide(value)) if isinstance(value, np.ndarray) else value


def check(kind, name, arguments, depth, last=()):
    """Compare a kernel with the reference in float64, element by element.

    A sum of ``depth`` float32 products errs by at most 2 * depth * eps times the sum of their
    sizes; inputs of 16 bits are exact, and round the result.
    """
    exact = getattr(reference, name)(np, *map(wide, arguments))
    size = getattr(reference, name)(np, *map(absolute, arguments))
    with config.override(float32_precision=KINDS[kind][1]):
        actual = cuda.override(name)(xp, *arguments, *last)
    if last:
        exact = np.clip(exact, *last[0])
    assert actual.shape == exact.shape
    assert actual.dtype == arguments[0].dtype
    of_product, of_result, least = ROUNDING[kind]
    bound = (of_product + 2 * max(depth, 1) * np.finfo(np.float32).eps) * size
    bound += np.maximum(of_result * np.abs(exact), least) + np.finfo(np.float32).tiny
    error = np.abs(wide(actual) - exact)
    assert (error <= bound).all(), f"{name}: {np.max(error - bound)} beyond its bound"
    return actual
