"""Moving elements between channels and positions, without changing any."""

from __future__ import annotations

import operator
from typing import Any

from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_tensor


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Make an image larger by spreading groups of channels over the new pixels.

    Channel ``c * r**2 + i * r + j`` becomes the pixels at row ``i`` and column ``j`` of each block
    of ``r`` by ``r`` in channel ``c``: a convolution before it is one of sub-pixel stride.

    Parameters
    ----------
    input : Tensor
        (..., C * r**2, H, W), any dtype.
    upscale_factor : int
        The factor r.

    Returns
    -------
    Tensor
        (..., C, H * r, W * r)

    Raises
    ------
    ShapeError
        If there are less than 3 dimensions, or the channels are no multiple of ``r**2``.
    ArgumentError
        If the factor is less than 1.

    References
    ----------
    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", CVPR 2016, arXiv:1609.05158.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.pixel_shuffle(tc.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    *batch, channels, height, width = _image("pixel_shuffle", input)
    r = _positive("pixel_shuffle", "upscale_factor", upscale_factor)
    if channels % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the number of channels must be a multiple of upscale_factor**2 = "
            f"{r * r}, got {channels} of input shape {tuple(input.array.shape)}"
        )
    channels //= r * r
    n = len(batch)
    blocks = input.reshape(*batch, channels, r, r, height, width)
    pixels = blocks.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return pixels.reshape(*batch, channels, height * r, width * r)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Make an image smaller by moving the pixels of each block to channels of their own.

    Undoes :func:`pixel_shuffle`; also called space to depth.

    Parameters
    ----------
    input : Tensor
        (..., C, H * r, W * r), any dtype.
    downscale_factor : int
        The factor r.

    Returns
    -------
    Tensor
        (..., C * r**2, H, W)

    Raises
    ------
    ShapeError
        If there are less than 3 dimensions, or the factor does not divide height and width.
    ArgumentError
        If the factor is less than 1.
    """
    *batch, channels, height, width = _image("pixel_unshuffle", input)
    r = _positive("pixel_unshuffle", "downscale_factor", downscale_factor)
    if height % r or width % r:
        raise ShapeError(
            f"pixel_unshuffle: downscale_factor={r} must divide height and width, got input shape "
            f"{tuple(input.array.shape)}"
        )
    height, width, n = height // r, width // r, len(batch)
    blocks = input.reshape(*batch, channels, height, r, width, r)
    pixels = blocks.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return pixels.reshape(*batch, channels * r * r, height, width)


def channel_shuffle(input: Any, groups: int) -> Any:
    """Deal out the channels of each group in turn, so that the next groups see all of them.

    Channel ``g * (C / groups) + i`` moves to ``i * groups + g``. Zhang et al., "ShuffleNet", CVPR
    2018, arXiv:1707.01083.

    Parameters
    ----------
    input : Tensor
        (N, C, *S) with at least one spatial dimension, any dtype.
    groups : int
        Number of groups; divides C.

    Raises
    ------
    ShapeError
        If there are less than 3 dimensions, or the groups do not divide the channels.
    ArgumentError
        If ``groups`` is less than 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.channel_shuffle(tc.arange(6).reshape(1, 6, 1), 2).flatten()
    tensor([0, 3, 1, 4, 2, 5])
    """
    batch, channels, *positions = _image("channel_shuffle", input)
    groups = _positive("channel_shuffle", "groups", groups)
    if channels % groups:
        raise ShapeError(
            f"channel_shuffle: groups={groups} must divide the {channels} channels of the input "
            f"of shape {tuple(input.array.shape)}"
        )
    grouped = input.reshape(batch, groups, channels // groups, *positions)
    return grouped.transpose(1, 2).reshape(input.array.shape)


def _image(op: str, input: Any) -> tuple[int, ...]:
    shape = tuple(check_tensor(op, "input", input).array.shape)
    if len(shape) < 3:
        raise ShapeError(f"{op}: argument 'input' must have 3 dimensions or more, got {shape}")
    return shape


def _positive(name: str, argument: str, value: Any) -> int:
    try:
        value = operator.index(value)
    except TypeError:
        raise DTypeError(f"{name}: {argument} must be an int, got {value!r}") from None
    if value < 1:
        raise ArgumentError(f"{name}: {argument} must be at least 1, got {value}")
    return value
