"""Max unpooling: values go back to where max pooling found them, everything else is 0."""

from __future__ import annotations

from math import prod
from typing import Any

from ...errors import DTypeError, IndexRangeError, ShapeError
from .._operands import check_floating, check_tensor
from ..convolution._windows import Ints, as_batch, per_dimension, sizes
from ..indexing.scatter import scatter


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    """Spread a sequence (N, C, L); as :func:`max_unpool2d`."""
    settings = (kernel_size, stride, padding, output_size)
    return _max_unpool("max_unpool1d", 1, input, indices, *settings)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    """Return a larger image with each element at its index, and 0 elsewhere.

    This undoes max pooling as far as that can be: what did not win is lost.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch; floating point.
    indices : Tensor
        int64, shape of ``input``: what :func:`max_pool2d` returned with ``return_indices``.
    kernel_size, stride, padding
        Those of the pooling; they give the size of the output.
    output_size : sequence of int, optional
        The size of the output (its last 2 dimensions count), where the pooling has left some
        elements out: its input had up to a stride more or less.

    Returns
    -------
    Tensor
        (N, C, H_out, W_out), by default with ``H_out = (H - 1) * stride - 2 * padding + kernel``.

    Raises
    ------
    ShapeError
        If shapes differ, or ``output_size`` is more than a stride off.
    IndexRangeError
        If an index lies outside of the output.

    Examples
    --------
    >>> import tinyconv as tc
    >>> F = tc.nn.functional
    >>> y, at = F.max_pool1d(tc.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, at, 2)
    tensor([[[0., 3., 2., 0.]]])
    """
    settings = (kernel_size, stride, padding, output_size)
    return _max_unpool("max_unpool2d", 2, input, indices, *settings)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    """Spread a volume (N, C, D, H, W); as :func:`max_unpool2d`."""
    settings = (kernel_size, stride, padding, output_size)
    return _max_unpool("max_unpool3d", 3, input, indices, *settings)


def _max_unpool(
    op: str, dims: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any,
    output_size: Any,
) -> Any:  # fmt: skip
    if check_tensor(op, "indices", indices).dtype.name != "int64":
        raise DTypeError(f"{op}: argument 'indices' must be int64, got {indices.dtype}")
    if tuple(indices.array.shape) != tuple(input.array.shape):
        raise ShapeError(
            f"{op}: argument 'indices' must have the shape of input, {tuple(input.array.shape)}, "
            f"got {tuple(indices.array.shape)}"
        )
    check_floating(op, "input", input)
    input, added = as_batch(op, input, dims)
    kernel = per_dimension(op, "kernel_size", kernel_size, dims)
    stride = kernel if stride in (None, ()) else per_dimension(op, "stride", stride, dims)
    padding = per_dimension(op, "padding", padding, dims, 0)
    out = _size(op, sizes(input.array.shape), kernel, stride, padding, output_size)
    flat = indices.reshape(*input.array.shape[:2], -1)
    count, xp = prod(out), input.xp
    if flat.array.size and not (bool(xp.all(flat.array >= 0)) and bool(xp.all(flat.array < count))):
        raise IndexRangeError(
            f"{op}: argument 'indices' must be from 0 to {count - 1} for an output of size {out}, "
            f"got {int(xp.min(flat.array))} to {int(xp.max(flat.array))}; pass the output_size"
        )
    zeros = input.new_zeros((*input.array.shape[:2], count))
    y = scatter(zeros, 2, flat, input.reshape(*input.array.shape[:2], -1))
    y = y.reshape(*input.array.shape[:2], *out)
    return y.squeeze(0) if added else y


def _size(
    op: str, spatial: Ints, kernel: Ints, stride: Ints, padding: Ints, output_size: Any
) -> Ints:
    """Return the size of the output."""
    default = tuple(
        (n - 1) * s - 2 * p + k for n, k, s, p in zip(spatial, kernel, stride, padding, strict=True)
    )
    if output_size is None:
        return default
    wanted = tuple(int(n) for n in tuple(output_size)[-len(spatial) :])
    if len(wanted) != len(spatial) or any(
        abs(w - d) >= s for w, d, s in zip(wanted, default, stride, strict=False)
    ):
        raise ShapeError(
            f"{op}: argument 'output_size' must be less than a stride {stride} from {default}, got "
            f"{tuple(output_size)}"
        )
    return wanted
