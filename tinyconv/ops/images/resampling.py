"""Resizing images by interpolation, one dimension after the other.

Along one dimension, each output is a weighted sum of a few inputs: a sparse matrix, which the
method, the two sizes and the scale decide. So resizing is linear, and its gradient is the same with
the matrix transposed; :class:`Resample` is all there is to differentiate, to any order. But
repeating each pixel a whole number of times, in all dimensions at once, is the gradient of sum
pooling.

    nearest         one input, the one at floor(i * scale)
    nearest-exact   one input, the one at floor((i + 1/2) * scale)
    linear          two inputs, by their distance
    cubic           four inputs, by the convolution kernel of Keys with a = -3/4
    area            the mean of all inputs that the output covers

Positions: with ``align_corners`` the centres of the first and last pixels of input and output
coincide; else the outer edges do, as in OpenCV and Pillow.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ...autograd import Function
from ...backend import as_dtype
from ...backend.dtypes import BOOL
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_floating, check_tensor
from ..convolution._windows import Ints
from ..pooling.pool import SumPoolGrad

#: The modes by the number of spatial dimensions they are for.
MODES: dict[str, tuple[int, ...]] = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
    "area": (1, 2, 3),
}
#: The parameter of the cubic kernel, and with antialiasing that of Pillow.
CUBIC, CUBIC_ANTIALIASED = -0.75, -0.5


class Matrix:
    """A sparse matrix (outputs, inputs): the terms of output o are those from ``starts[o]`` on."""

    def __init__(
        self, inputs: int, starts: list[int], places: list[int], factors: list[float]
    ) -> None:
        self.inputs, self.starts, self.places, self.factors = inputs, starts, places, factors
        self._arrays: dict[tuple[Any, Any], tuple[Any, Any, Any]] = {}

    def on(self, device: Any, dtype: Any) -> tuple[Any, Any, Any]:
        """Return starts, places and factors as arrays; the same ones every time.

        A copy from the host to a GPU takes longer than most kernels, and cannot be recorded.
        """
        found = self._arrays.get((device, dtype))
        if found is None:
            asarray, int64 = device.backend.asarray, as_dtype("int64")
            found = self._arrays[device, dtype] = (
                asarray(self.starts, int64), asarray(self.places, int64),
                asarray(self.factors, dtype),
            )  # fmt: skip
        return found


class Resample(Function):
    """y[..., o, ...] = sum over terms e of output o: factors[e] * x[..., places[e], ...]."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, matrix: Matrix) -> Any:
        ctx.axis, ctx.matrix = axis, matrix
        tables = matrix.on(x.device, x.dtype)
        return x.wrap(x.device.backend.resample(x.array, axis, *tables))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Resample.apply(grad, ctx.axis, transposed(ctx.matrix)), None, None


@lru_cache(maxsize=256)
def transposed(matrix: Matrix) -> Matrix:
    """Return the matrix with rows and columns exchanged."""
    rows: list[list[tuple[int, float]]] = [[] for _ in range(matrix.inputs)]
    for o in range(len(matrix.starts) - 1):
        for e in range(matrix.starts[o], matrix.starts[o + 1]):
            rows[matrix.places[e]].append((o, matrix.factors[e]))
    return _matrix(len(matrix.starts) - 1, rows)


def _matrix(inputs: int, rows: list[list[tuple[int, float]]]) -> Matrix:
    """Return the matrix with the given (place, factor) terms of each output."""
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row))
    terms = [term for row in rows for term in row]
    return Matrix(inputs, starts, [place for place, _ in terms], [factor for _, factor in terms])


# -- what the methods say of an output -------------------------------------------------------------


def _nearest(inputs: int, outputs: int, scale: float, centre: float) -> Matrix:
    # In float32, as PyTorch computes it: at some sizes it rounds to a neighbour.
    step = _float32(scale)
    places = [math.floor(_float32((o + centre) * step)) for o in range(outputs)]
    return _matrix(inputs, [[(min(place, inputs - 1), 1.0)] for place in places])


def _float32(number: float) -> float:
    return array("f", (number,))[0]


def _linear(inputs: int, outputs: int, source: Callable[[int], float]) -> Matrix:
    rows = []
    for o in range(outputs):
        at = max(source(o), 0.0)
        place = min(int(at), inputs - 1)
        share = min(at - place, 1.0)
        rows.append([(place, 1 - share), (min(place + 1, inputs - 1), share)])
    return _matrix(inputs, rows)


def _cubic(inputs: int, outputs: int, source: Callable[[int], float]) -> Matrix:
    rows = []
    for o in range(outputs):
        at = source(o)
        place = math.floor(at)
        rows.append([
            (min(max(place + k, 0), inputs - 1), _cubic_kernel(place + k - at, CUBIC))
            for k in (-1, 0, 1, 2)
        ])  # fmt: skip
    return _matrix(inputs, rows)


def _cubic_kernel(distance: float, a: float) -> float:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981)."""
    d = abs(distance)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return (((d - 5) * d + 8) * d - 4) * a if d < 2 else 0.0


def _triangle(distance: float, a: float) -> float:
    return max(1 - abs(distance), 0.0)


def _antialiased(
    inputs: int, outputs: int, scale: float, kernel: Callable[[float, float], float], reach: float
) -> Matrix:
    """Widen the kernel so that it covers all inputs of an output, as Pillow does."""
    wider = max(scale, 1.0)
    support = reach * wider
    rows = []
    for o in range(outputs):
        centre = scale * (o + 0.5)
        first = max(int(centre - support + 0.5), 0)
        last = min(int(centre + support + 0.5), inputs)
        weights = [
            kernel((p - centre + 0.5) / wider, CUBIC_ANTIALIASED) for p in range(first, last)
        ]
        total = sum(weights)
        rows.append([(p, w / total) for p, w in zip(range(first, last), weights, strict=True)])
    return _matrix(inputs, rows)


@lru_cache(maxsize=256)
def averages(inputs: int, outputs: int) -> Matrix:
    """Return the means over ``outputs`` windows, from floor(o*n/m) to ceil((o+1)*n/m)."""
    rows = []
    for o in range(outputs):
        first, last = o * inputs // outputs, -(-(o + 1) * inputs // outputs)
        rows.append([(place, 1 / (last - first)) for place in range(first, last)])
    return _matrix(inputs, rows)


@lru_cache(maxsize=256)
def interpolation(
    mode: str, inputs: int, outputs: int, factor: float | None, corners: bool, antialias: bool
) -> Matrix:
    """Return the matrix of a mode; ``factor`` is a scale factor that sets the positions."""
    scale = inputs / outputs if factor is None else 1 / factor
    if mode == "area":
        return averages(inputs, outputs)
    if mode.startswith("nearest"):
        return _nearest(inputs, outputs, scale, 0.5 if mode == "nearest-exact" else 0.0)
    if corners:
        scale = (inputs - 1) / (outputs - 1) if outputs > 1 else 0.0
    if antialias:
        cubic = mode == "bicubic"
        return _antialiased(
            inputs, outputs, scale, _cubic_kernel if cubic else _triangle, 2.0 if cubic else 1.0
        )

    def source(o: int) -> float:
        return o * scale if corners else (o + 0.5) * scale - 0.5

    return (_cubic if mode == "bicubic" else _linear)(inputs, outputs, source)


@lru_cache(maxsize=256)
@lru_cache(maxsize=256)
def repeats(mode: str, spatial: Ints, out: Ints, factors: tuple[float | None, ...]) -> Ints | None:
    """Return how often each pixel comes in a row, or ``None`` if not all come equally often."""
    if not mode.startswith("nearest"):
        return None
    times = tuple(m // n for n, m in zip(spatial, out, strict=True))
    for n, m, factor, count in zip(spatial, out, factors, times, strict=True):
        places = interpolation(mode, n, m, factor, False, False).places
        if m != n * count or places != [o // count for o in range(m)]:
            return None
    return times


# -- the function ----------------------------------------------------------------------------------


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resize sequences, images or volumes.

    Parameters
    ----------
    input : Tensor
        (N, C, L), (N, C, H, W) or (N, C, D, H, W); floating point, or any numbers for the two
        nearest modes.
    size : int or sequence of int, optional
        Spatial size of the output. Give either this or ``scale_factor``.
    scale_factor : float or sequence of float, optional
        The output has ``floor(size * scale_factor)`` elements along each dimension.
    mode : str, default "nearest"
        ``nearest`` (as OpenCV has it, a bit off the centre), ``nearest-exact``, ``linear`` (3-D
        input), ``bilinear``, ``bicubic`` (4-D), ``trilinear`` (5-D) or ``area`` (adaptive average).
    align_corners : bool, optional
        For the linear and cubic modes: whether the centres of the corner pixels stay where they
        are, rather than the edges of the image. Default is false.
    recompute_scale_factor : bool, optional
        Whether the positions follow from the two sizes; default is from ``scale_factor`` where that
        is given.
    antialias : bool, default False
        Widen the kernel when making ``bilinear`` or ``bicubic`` images smaller, so that no pixel is
        left out.

    Returns
    -------
    Tensor
        (N, C, *size).

    Raises
    ------
    ShapeError
        If the input has a number of dimensions that the mode is not for, or no elements along one.
    ArgumentError
        If not exactly one of ``size`` and ``scale_factor`` is given, one of them has a wrong length
        or gives an empty output, or an option does not go with the mode.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([[[0.0, 4.0]]])
    >>> tc.nn.functional.interpolate(x, scale_factor=2, mode="linear")
    tensor([[[0., 1., 3., 4.]]])
    """
    spatial = _check_input(input, mode)
    if align_corners is not None and (mode == "area" or mode.startswith("nearest")):
        raise ArgumentError(
            f"interpolate: align_corners goes with the linear and cubic modes, not with {mode!r}"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(
            f"interpolate: antialias goes with 'bilinear' and 'bicubic' only, not with {mode!r}"
        )
    factors, out = _output(spatial, size, scale_factor, recompute_scale_factor)
    times = repeats(mode, spatial, out, factors) if input.dtype.is_floating_point else None
    if times is not None:
        return SumPoolGrad.apply(input, out, times, times, ((0, 0),) * len(times), 1)
    y = input
    for axis in range(len(spatial) + 1, 1, -1):
        n, m, factor = spatial[axis - 2], out[axis - 2], factors[axis - 2]
        # As in PyTorch, a factor that changes no size moves nothing in these modes.
        stays = factor in (None, 1.0) or "linear" in mode
        if n != m or not stays:
            matrix = interpolation(mode, n, m, factor, bool(align_corners), antialias)
            y = Resample.apply(y, axis, matrix)
    return y.clone() if y is input else y


def _check_input(input: Any, mode: str) -> Ints:
    if mode not in MODES:
        raise ArgumentError(
            f"interpolate: argument 'mode' must be one of {', '.join(MODES)}, got {mode!r}"
        )
    if mode.startswith("nearest"):
        if check_tensor("interpolate", "input", input).dtype.kind == BOOL:
            raise DTypeError("interpolate: argument 'input' must hold numbers, got bool")
    else:
        check_floating("interpolate", "input", input)
    shape = tuple(input.array.shape)
    if len(shape) - 2 not in MODES[mode]:
        wanted = " or ".join(str(d + 2) for d in MODES[mode])
        raise ShapeError(
            f"interpolate: mode {mode!r} needs an input of {wanted} dimensions (N, C, then one a "
            f"spatial dimension), got shape {shape}"
        )
    if 0 in shape[1:]:
        raise ShapeError(f"interpolate: argument 'input' has an empty dimension: shape {shape}")
    return shape[2:]


def _output(
    spatial: Ints, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[float | None, ...], Ints]:
    """Return the scale factors that set positions (or ``None``), and the size of the output."""
    dims = len(spatial)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            "interpolate: give either size or scale_factor, got "
            f"size={size!r}, scale_factor={scale_factor!r}"
        )
    if size is not None:
        if recompute:
            raise ArgumentError(
                "interpolate: recompute_scale_factor goes with scale_factor only, got size as well"
            )
        out = tuple(operator.index(n) for n in _per_dimension("size", size, dims))
        factors: tuple[float | None, ...] = (None,) * dims
    else:
        given = tuple(float(f) for f in _per_dimension("scale_factor", scale_factor, dims))
        if not all(math.isfinite(f) and f > 0 for f in given):
            raise ArgumentError(
                f"interpolate: argument 'scale_factor' must be positive, got {scale_factor!r}"
            )
        out = tuple(math.floor(n * f) for n, f in zip(spatial, given, strict=True))
        factors = (None,) * dims if recompute else given
    if min(out) < 1:
        raise ArgumentError(
            f"interpolate: the output would have size {out}; every size must be at least 1 (input "
            f"{spatial}, size={size!r}, scale_factor={scale_factor!r})"
        )
    return factors, out


def _per_dimension(name: str, value: Any, dims: int) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,) * dims
    if len(values) != dims:
        raise ArgumentError(
            f"interpolate: argument '{name}' must be a number or {dims} numbers (one a spatial "
            f"dimension), got {value!r}"
        )
    return values
