"""Windows of images as columns, and back: what turns a convolution into a matrix product.

    Unfold   columns[n, (c, tap), p] = x[n, c, p*stride - padding + tap*dilation]
    Fold     x[n, c, i] = sum of columns[n, (c, tap), p] over all (tap, p) that read i

Each is the derivative of the other.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ...autograd import Function
from ...backend.reference.windows import interior, output_size, pad, padded_size, tap_slice, taps
from ...errors import ShapeError
from .._operands import check_floating, check_tensor
from ._windows import Ints, Padding, as_batch, check_kernel_fits, per_dimension, sizes


class Windows(NamedTuple):
    """The windows of an image of size ``spatial``."""

    spatial: Ints
    kernel: Ints
    dilation: Ints
    padding: Padding
    stride: Ints

    @property
    def out(self) -> Ints:
        """How many windows there are in each dimension."""
        return output_size(self.spatial, self.kernel, self.stride, self.padding, self.dilation)

    @property
    def padded(self) -> Ints:
        """Size of the image with its padding."""
        geometry = (self.kernel, self.stride, self.padding, self.dilation)
        return padded_size(self.spatial, *geometry, self.out)


class Unfold(Function):
    """columns[n, (c, tap), p] = x[n, c, p*stride - padding + tap*dilation]."""

    @staticmethod
    def forward(ctx: Any, x: Any, windows: Windows) -> Any:
        ctx.windows, xp = windows, x.xp
        image = pad(xp, x.array, windows.padding, windows.padded)
        pixels = xp.stack(
            [image[tap_slice(tap, windows.stride, windows.dilation, windows.out)]
             for tap in taps(windows.kernel)], axis=2,
        )  # fmt: skip
        n, c = x.array.shape[:2]
        rows = c * prod(windows.kernel)
        return x.wrap(xp.reshape(pixels, (n, rows, prod(windows.out))))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Fold.apply(grad, ctx.windows), None


class Fold(Function):
    """x[n, c, i] = sum of columns[n, (c, tap), p] over all (tap, p) that read i."""

    @staticmethod
    def forward(ctx: Any, columns: Any, windows: Windows) -> Any:
        ctx.windows, xp, array = windows, columns.xp, columns.array
        count = prod(windows.kernel)
        n, c = array.shape[0], array.shape[1] // count
        pixels = xp.reshape(array, (n, c, count, *windows.out))
        image = xp.zeros((n, c, *windows.padded), dtype=array.dtype, device=array.device)
        for number, tap in enumerate(taps(windows.kernel)):
            image[tap_slice(tap, windows.stride, windows.dilation, windows.out)] += pixels[
                :, :, number, ...
            ]
        return columns.wrap(image[interior(windows.spatial, windows.padding)])

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Unfold.apply(grad, ctx.windows), None


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Return the windows of images, each as a column.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch.
    kernel_size : int or pair of int
        Size of a window.
    dilation : int or pair of int, default 1
        Distance between the elements of a window.
    padding : int or pair of int, default 0
        Zeros on all sides.
    stride : int or pair of int, default 1
        Step of the windows.

    Returns
    -------
    Tensor
        (N, C * kH * kW, L) with a column for each of the L windows, row-major; without a batch
        (C * kH * kW, L). Its rows are ordered by channel, then by place in the window.

    Raises
    ------
    ShapeError
        If the input has another number of dimensions, or the window does not fit.
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.unfold(tc.arange(6.0).reshape(1, 1, 2, 3), 2)
    tensor([[[0., 1.],
             [1., 2.],
             [3., 4.],
             [4., 5.]]])
    """
    input, added = as_batch("unfold", input, 2)
    windows = _windows("unfold", sizes(input.array.shape), kernel_size, dilation, padding, stride)
    y = Unfold.apply(input, windows)
    return y.squeeze(0) if added else y


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Any:  # fmt: skip
    """Add up columns, each a window of an image: the adjoint of :func:`unfold`.

    ``fold(unfold(x))`` is ``x`` times the number of windows that each pixel is in.

    Parameters
    ----------
    input : Tensor
        (N, C * kH * kW, L), or (C * kH * kW, L) without a batch; floating point.
    output_size : int or pair of int
        Height and width of the images.
    kernel_size, dilation, padding, stride
        As in :func:`unfold`.

    Returns
    -------
    Tensor
        (N, C, *output_size) or (C, *output_size).

    Raises
    ------
    ShapeError
        If the number of rows is no multiple of the window's size, or the number of columns is not
        that of the windows.
    """
    shape = tuple(check_tensor("fold", "input", input).array.shape)
    check_floating("fold", "input", input)
    if len(shape) not in (2, 3):
        raise ShapeError(
            "fold: argument 'input' must be (N, C * kernel size, windows), or (C * kernel size, "
            f"windows) without a batch, got shape {shape}"
        )
    added = len(shape) == 2
    input = input.unsqueeze(0) if added else input
    size = per_dimension("fold", "output_size", output_size, 2)
    windows = _windows("fold", size, kernel_size, dilation, padding, stride)
    rows, columns, count = shape[-2], shape[-1], prod(windows.kernel)
    if rows % count or columns != prod(windows.out):
        raise ShapeError(
            f"fold: argument 'input' must have a multiple of {count} rows (kernel "
            f"{windows.kernel}) and {prod(windows.out)} columns (windows {windows.out} in an image "
            f"of {size}), got shape {shape}"
        )
    y = Fold.apply(input, windows)
    return y.squeeze(0) if added else y


def _windows(
    op: str, spatial: Ints, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Windows:
    kernel = per_dimension(op, "kernel_size", kernel_size, 2)
    dilation = per_dimension(op, "dilation", dilation, 2)
    around = tuple((p, p) for p in per_dimension(op, "padding", padding, 2, 0))
    check_kernel_fits(op, spatial, kernel, around, dilation)
    return Windows(spatial, kernel, dilation, around, per_dimension(op, "stride", stride, 2))
