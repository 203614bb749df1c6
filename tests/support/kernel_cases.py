"""Arrays, memory layouts and window geometries that the kernel tests share."""

import zlib
from typing import NamedTuple

import numpy as np


class Geometry(NamedTuple):
    """A 2-D window over an (N, channels, *spatial) input."""

    batch: int
    channels: int
    out_channels: int
    spatial: tuple
    kernel: tuple
    stride: tuple
    padding: tuple
    dilation: tuple
    groups: int

    @property
    def out(self):
        return tuple(
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                self.spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )


def geometry(batch, channels, out_channels, spatial, kernel, stride, padding, dilation, groups=1):
    return Geometry(
        batch, channels, out_channels, spatial, kernel, stride, padding, dilation, groups
    )


NONE = ((0, 0), (0, 0))
GEOMETRIES = [
    geometry(2, 1, 6, (9, 9), (5, 5), (1, 1), NONE, (1, 1)),
    geometry(3, 3, 5, (7, 10), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    geometry(2, 5, 3, (8, 7), (2, 3), (2, 3), ((0, 1), (2, 0)), (1, 1)),
    geometry(1, 3, 4, (12, 11), (3, 2), (3, 2), ((2, 1), (0, 1)), (2, 3)),
    geometry(2, 2, 3, (9, 11), (3, 2), (1, 1), ((2, 0), (1, 3)), (2, 3)),
    geometry(2, 4, 6, (8, 7), (2, 3), (1, 1), ((1, 3), (0, 2)), (3, 2), 2),
    geometry(2, 4, 6, (6, 9), (3, 3), (2, 1), ((1, 2), (2, 1)), (1, 2), 2),
    geometry(2, 5, 5, (9, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 5),
    geometry(2, 5, 5, (9, 8), (3, 2), (2, 3), ((2, 0), (1, 1)), (2, 1), 5),
    geometry(2, 3, 6, (5, 6), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 3),
    geometry(3, 5, 4, (4, 6), (1, 1), (1, 1), NONE, (1, 1)),
    geometry(3, 4, 6, (5, 6), (1, 1), (1, 1), NONE, (1, 1), 2),
    geometry(3, 5, 4, (5, 6), (1, 1), (2, 3), NONE, (1, 1)),
    geometry(2, 3, 2, (4, 4), (3, 3), (1, 1), ((4, 5), (3, 6)), (1, 1)),
    geometry(0, 3, 4, (6, 6), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    geometry(2, 3, 4, (5, 5), (5, 5), (1, 1), NONE, (1, 1)),
]
DTYPES = ("float32", "float64")


def random_array(shape, dtype="float64", seed=0):
    """Return normal numbers, of every shape its own."""
    generator = np.random.default_rng([seed, zlib.crc32(repr(tuple(shape)).encode())])
    return generator.standard_normal(shape).astype(dtype)


def _channels_last(x):
    if x.ndim < 3:
        return np.ascontiguousarray(x)
    axes = (0, *range(2, x.ndim), 1)
    return np.moveaxis(np.ascontiguousarray(x.transpose(axes)), -1, 1)


def _sliced(x):
    wide = np.full(tuple(2 * n + 1 for n in x.shape), np.nan if x.dtype.kind == "f" else 7, x.dtype)
    view = wide[tuple(slice(1, 2 * n + 1, 2) for n in x.shape)]
    view[...] = x
    return view


def _negative(x):
    every = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[every])[every]


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def _unaligned(x):
    buffer = np.empty(x.nbytes + 1, np.uint8)[1:]
    view = buffer.view(x.dtype) if x.nbytes % x.itemsize else buffer[: x.nbytes].view(x.dtype)
    view = view.reshape(x.shape)
    view[...] = x
    return view


LAYOUTS = {
    "contiguous": np.ascontiguousarray,
    "channels_last": _channels_last,
    "fortran": np.asfortranarray,
    "sliced": _sliced,
    "negative": _negative,
    "read_only": _read_only,
    "unaligned": _unaligned,
}


def assert_close(actual, expected, scale=1.0):
    """Compare shape, dtype and values, within a few roundings of numbers of size ``scale``."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    tolerance = {"float16": 2e-3, "float32": 2e-6, "float64": 2e-14}.get(actual.dtype.name, 0)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)
