"""Sampling images at any positions: the last step of a spatial transformer.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial transformer networks", 2015,
arXiv:1506.02025. Everything is composed of differentiable ops, so that gradients of any order flow
to the image and to the positions.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from ...backend import as_dtype
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_floating
from .resampling import CUBIC

MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """Return the values of images or volumes at given positions.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W) or (N, C, D, H, W); floating point.
    grid : Tensor
        (N, H_out, W_out, 2) or (N, D_out, H_out, W_out, 3): the position (x, y) or (x, y, z) of
        each output, where -1 and 1 are the ends of the input; dtype of ``input``.
    mode : str, default "bilinear"
        ``bilinear`` (trilinear for volumes), ``nearest``, or ``bicubic`` (images only).
    padding_mode : str, default "zeros"
        What lies outside: ``zeros``, the nearest ``border`` pixel, or the image's ``reflection``.
    align_corners : bool, optional
        Whether -1 and 1 are the centres of the corner pixels, rather than the edges of the image.
        Default is false.

    Returns
    -------
    Tensor
        (N, C, H_out, W_out) or (N, C, D_out, H_out, W_out). A position that is NaN lies outside.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or the input has no elements.
    DTypeError
        If the dtypes differ.
    ArgumentError
        If a mode is unknown, or not for volumes.

    Examples
    --------
    >>> import tinyconv as tc
    >>> image = tc.tensor([[[[1.0, 3.0]]]])
    >>> tc.nn.functional.grid_sample(image, tc.zeros(1, 1, 1, 2))
    tensor([[[[2.]]]])
    """
    _check(input, grid, mode, padding_mode)
    sizes, corners = tuple(input.array.shape[2:]), bool(align_corners)
    dims = len(sizes)
    # The last number of a position is that of the first dimension.
    places = [_pixel(grid[..., dims - 1 - i], n, corners) for i, n in enumerate(sizes)]
    if mode == "bicubic":
        return _sum(input, [
            _cubic(place, n, padding_mode, corners)
            for place, n in zip(places, sizes, strict=True)
        ])  # fmt: skip
    places = [
        _inside(place, n, padding_mode, corners) for place, n in zip(places, sizes, strict=True)
    ]
    if mode == "nearest":
        return _sum(input, [_nearest(place) for place in places])
    return _sum(input, [_linear(place) for place in places])


def _check(input: Any, grid: Any, mode: str, padding_mode: str) -> None:
    check_floating("grid_sample", "input", input)
    if check_floating("grid_sample", "grid", grid).dtype is not input.dtype:
        raise DTypeError(
            f"grid_sample: argument 'grid' is {grid.dtype}, but input is {input.dtype}; convert "
            "one of them with .to(dtype)"
        )
    shape, at = tuple(input.array.shape), tuple(grid.array.shape)
    if len(shape) not in (4, 5) or len(at) != len(shape) or at[-1] != len(shape) - 2:
        raise ShapeError(
            "grid_sample: input must be (N, C, H, W) with grid (N, H_out, W_out, 2), or (N, C, D, "
            f"H, W) with grid (N, D_out, H_out, W_out, 3); got {shape} and {at}"
        )
    if at[0] != shape[0] or 0 in shape[2:]:
        raise ShapeError(
            f"grid_sample: input and grid must have as many samples, and input some pixels; got "
            f"{shape} and {at}"
        )
    for name, value, legal in (("mode", mode, MODES), ("padding_mode", padding_mode, PADDINGS)):
        if value not in legal:
            raise ArgumentError(
                f"grid_sample: argument '{name}' must be one of {', '.join(legal)}, got {value!r}"
            )
    if mode == "bicubic" and len(shape) == 5:
        raise ArgumentError("grid_sample: mode 'bicubic' is for images, got a volume")


def _pixel(position: Any, n: int, corners: bool) -> Any:
    """Return positions from -1 to 1 as places of pixels, from 0."""
    return (position + 1) * ((n - 1) / 2) if corners else ((position + 1) * n - 1) / 2


def _inside(place: Any, n: int, padding_mode: str, corners: bool) -> Any:
    """Return where to look for a place outside of the image."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        low, span = (0.0, n - 1.0) if corners else (-0.5, float(n))
        if span == 0:
            return place * 0
        away = (place - low).abs()
        flips = (away.detach() / span).floor()
        rest = away - flips * span
        odd = flips - (flips / 2).floor() * 2
        place = rest * (1 - odd) + (span - rest) * odd + low
    return place.clamp(0, n - 1)


def _nearest(place: Any) -> list[tuple[Any, Any]]:
    """Return the pixel next to a place, with the weight 1, whose gradient is 0."""
    pixel = place.round()
    return [(pixel.detach(), pixel - pixel.detach() + 1)]


def _linear(place: Any) -> list[tuple[Any, Any]]:
    """Return the two pixels around a place, with their weights."""
    first = place.detach().floor()
    share = place - first
    return [(first, 1 - share), (first + 1, share)]


def _cubic(place: Any, n: int, padding_mode: str, corners: bool) -> list[tuple[Any, Any]]:
    """Return four pixels around a place, with their weights."""
    first = place.detach().floor()
    share, a = place - first, CUBIC
    weights: list[Any] = []
    for distance in (share + 1, share, 1 - share, 2 - share):
        near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
        far = (((distance - 5) * distance + 8) * distance - 4) * a
        weights.append(near if len(weights) in (1, 2) else far)
    return [
        (_inside(first + k, n, padding_mode, corners), weight)
        for k, weight in zip((-1, 0, 1, 2), weights, strict=True)
    ]


def _sum(input: Any, choices: list[list[tuple[Any, Any]]]) -> Any:
    """Return the sum over all combinations of pixels, one (place, weight) for each dimension."""
    shape = tuple(input.array.shape)
    sizes = shape[2:]
    pixels = input.reshape(*shape[:2], -1)
    out = tuple(choices[0][0][0].array.shape)
    total: Any = None
    for combination in product(*choices):
        index: Any = 0
        exists: Any = None
        weight: Any = None
        for (place, factor), n in zip(combination, sizes, strict=True):
            ok = (place >= 0) & (place < n)
            index = index * n + place.masked_fill(~ok, 0).to(as_dtype("int64"))
            exists = ok if exists is None else exists & ok
            weight = factor if weight is None else weight * factor
        at = index.reshape(out[0], 1, -1).expand(-1, shape[1], -1)
        values = pixels.gather(2, at).reshape(out[0], shape[1], *out[1:])
        values = (values * weight.unsqueeze(1)).masked_fill(~exists.unsqueeze(1), 0)
        total = values if total is None else total + values
    return total


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Return the positions of an affine map, for :func:`grid_sample`.

    Parameters
    ----------
    theta : Tensor
        (N, 2, 3) or (N, 3, 4): for each output pixel at (x, y, 1), where in the input it lies.
    size : sequence of int
        Size of the output: (N, C, H, W) or (N, C, D, H, W).
    align_corners : bool, optional
        As for :func:`grid_sample`; default is false.

    Returns
    -------
    Tensor
        (N, H, W, 2) or (N, D, H, W, 3).

    Raises
    ------
    ShapeError
        If ``theta`` and ``size`` do not fit together, or a size is below 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> identity = tc.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> tc.nn.functional.affine_grid(identity, (1, 1, 1, 2))
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    check_floating("affine_grid", "theta", theta)
    size, shape = tuple(int(n) for n in size), tuple(theta.array.shape)
    dims = len(size) - 2
    if dims not in (2, 3) or shape != (size[0], dims, dims + 1) or min(size) < 1:
        raise ShapeError(
            "affine_grid: theta must be (N, 2, 3) for size (N, C, H, W), or (N, 3, 4) for (N, C, "
            f"D, H, W), and sizes at least 1; got {shape} and {size}"
        )
    xp, spatial = theta.xp, size[2:]
    axes = []
    for n in reversed(spatial):  # x, the last dimension, comes first
        half = 0.0 if n == 1 else 1.0 if align_corners else (n - 1) / n
        axes.append(xp.linspace(-half, half, n, dtype=theta.array.dtype))
    ones = xp.ones(spatial, dtype=theta.array.dtype)
    columns = []
    for i, axis in enumerate(axes):
        along = [1] * dims
        along[dims - 1 - i] = -1
        columns.append(ones * xp.reshape(axis, tuple(along)))
    base = theta.wrap(xp.reshape(xp.stack([*columns, ones], axis=-1), (-1, dims + 1)))
    return (base @ theta.transpose(1, 2)).reshape(size[0], *spatial, dims)
